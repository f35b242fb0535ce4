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
    return f"| {row.work} | {row.peer} | {row.threads} | {theirs} | {ours} | {number(row.ratio)} | {row.agreement} |"


def number(value: float) -> str:
    """Three digits, or those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
