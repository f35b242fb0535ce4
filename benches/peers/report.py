"""The table."""

import statistics

from bench import Row

HEAD = "| work | peer | threads | peer, ms | Assay, ms | ratio | agreement |\n|---|---|---|---|---|---|---|"


def table(rows: list[Row]) -> str:
    """Medians and ratios as Markdown."""
    return "\n".join([HEAD, *map(line, rows)])


def line(row: Row) -> str:
    """One line of the table."""
    theirs, ours = (number(statistics.median(times)) for times in (row.theirs, row.ours))
    return f"| {row.work} | {row.peer} | {row.threads} | {theirs} | {ours} | {row.ratio:.2g} | {row.agreement} |"


def number(milliseconds: float) -> str:
    """Three digits."""
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"
