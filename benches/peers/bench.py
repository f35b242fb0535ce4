"""What all comparisons share: their settings, taking turns, and what they report."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

# Between turns, in seconds: the worker threads of most runtimes spin for a while before they sleep.
PAUSE = 0.02


class Skip(Exception):
    """An optional input is missing."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """What the command line asks for; `work` is an empty folder at first, and gone after the run."""

    data: Path
    resnet50: Path | None
    resnet18: Path | None
    work: Path
    repeats: int
    root: Path
    programs: Path


@dataclasses.dataclass
class Row:
    """One line of the table; `ours` and `theirs` are milliseconds of each repeat."""

    work: str
    peer: str
    threads: int
    theirs: list[float]
    ours: list[float]
    agreement: str
    agrees: bool

    @property
    def ratio(self) -> float:
        """How many times as long as ours the peer takes."""
        return statistics.median(self.theirs) / statistics.median(self.ours)


@dataclasses.dataclass
class Outcome:
    """The lines of one comparison, and what else is to be said about it."""

    rows: list[Row] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def timed(work: Callable[[], object], repeats: int = 1) -> float:
    """Median milliseconds of `repeats` calls of `work`."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def alternate(runs: dict[str, Callable[[int], float]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Milliseconds of each of `runs`, which take turns: what disturbs the machine disturbs all of them.

    A run gets the number of the round and returns its milliseconds. The first `warm_up` rounds do not count.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warm_up + rounds):
        for name, run in runs.items():
            time.sleep(PAUSE)
            milliseconds = run(number)
            if number >= warm_up:
                times[name].append(milliseconds)
    return times
