"""Greedy k-centre selection, against brute force: our own, NumPy's and anomalib's."""

import contextlib
import ctypes
import io
from collections.abc import Callable

import anomalib
import numpy as np
import torch
from anomalib.models.components import KCenterGreedy

import features
from bench import Bench, Outcome, Row, Skip, alternate, timed
from programs import Kernel, read, write

ROWS, COLUMNS, COUNT = 50_000, 128, 5_000

# Most repeats of our brute force and NumPy, which take seconds; anomalib, which takes minutes, runs once.
MOST_REPEATS = 3

# `mallopt` of glibc: allocations of so many bytes get pages of their own, which are given back. Those of anomalib, at each pick,
# would leave holes in the heap that the next do not fit into: 25 MB a pick.
M_MMAP_THRESHOLD, LARGE = -3, 16 << 20

# Picks whose distances are within this part of the farthest row's are ties of the peer's rounding.
TIE = 1e-4


def prepare(bench: Bench) -> None:
    """Training rows in the random projection that PatchCore selects in."""
    for network in (features.resnet50, features.builtin):
        with contextlib.suppress(Skip):
            backbone = network(bench)
            rows = features.projected(features.training_rows(bench, backbone, ROWS), COLUMNS)
            write(bench.work / f"{backbone.name}.rows", rows)


def compare(bench: Bench, threads: int) -> Outcome:
    """The same rows and the same first pick for all."""
    torch.set_num_threads(threads)
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
    outcome = Outcome()
    for network in (features.resnet50, features.builtin):
        try:
            outcome.rows += select(bench, network(bench).name, threads)
        except Skip as skip:
            outcome.notes.append(f"SKIPPED: greedy k-centre, {skip}")
    return outcome


def select(bench: Bench, name: str, threads: int) -> list[Row]:
    """The rows of one network."""
    file = bench.work / f"{name}.rows"
    rows = read(file, COLUMNS)
    start = anomalib_start(len(rows))
    count = int(len(rows) * (COUNT / ROWS))
    kernels = {
        how: Kernel(bench, how, file, COLUMNS, count, start, threads=threads, out=how) for how in ("coreset", "brute")
    }
    quick = {f"NumPy {np.__version__}": Peer(lambda: numpy_picks(rows, count, start))}
    slow = {f"anomalib {anomalib.__version__}, one run": Peer(lambda: anomalib_picks(rows, count))}
    times = alternate(kernels | quick, min(bench.repeats, MOST_REPEATS), warm_up=0) | alternate(slow, 1, warm_up=0)

    ours = kernels["coreset"].rows
    checked = {"ours, brute force": (times["brute"], *equal(kernels["coreset"], kernels["brute"]))}
    for peer, run in (quick | slow).items():
        checked[peer] = (times[peer], *like(rows, ours, run.picks))
    work = f"greedy k-centre, {len(rows)} x {COLUMNS} -> {count}, {name}"
    return [
        Row(work, peer, threads, theirs, times["coreset"], agreement, agrees)
        for peer, (theirs, agrees, agreement) in checked.items()
    ]


class Peer:
    """A function that picks, timed; keeps what it picked last."""

    def __init__(self, pick: Callable[[], np.ndarray]):
        self.pick = pick
        self.picks = np.empty(0, dtype=np.int64)

    def __call__(self, _round: int) -> float:
        """Milliseconds; the number of the round does not matter."""
        return timed(self.run)

    def run(self) -> None:
        """Picks once."""
        self.picks = self.pick()


def numpy_picks(rows: np.ndarray, count: int, start: int) -> np.ndarray:
    """One matrix-vector product a pick."""
    lengths = np.einsum("ij,ij->i", rows, rows)
    nearest = np.full(len(rows), np.inf, dtype=np.float32)
    picks = [start]
    while len(picks) < count:
        last = picks[-1]
        np.minimum(nearest, lengths + lengths[last] - 2 * (rows @ rows[last]), out=nearest)
        nearest[last] = 0
        picks.append(int(nearest.argmax()))
    return np.array(picks)


def anomalib_start(length: int) -> int:
    """The first row that anomalib picks from now on: it draws it."""
    torch.manual_seed(features.SEED)
    return int(torch.randint(high=length, size=(1,)))


def anomalib_picks(rows: np.ndarray, count: int) -> np.ndarray:
    """anomalib's sampler. It projects matrices at random; what has another axis it takes as it is."""
    sampler = KCenterGreedy(torch.from_numpy(rows)[:, :, None], (count + 0.5) / len(rows))
    torch.manual_seed(features.SEED)
    with contextlib.redirect_stderr(io.StringIO()):
        return np.array(sampler.select_coreset_idxs())


def equal(ours: Kernel, brute: Kernel) -> tuple[bool, str]:
    """Whether picks and radii are those of our brute force, to the last bit."""
    same = np.array_equal(ours.rows, brute.rows) and np.array_equal(ours.distances, brute.distances)
    return same, "picks equal" if same else "PICKS DIFFER"


def like(rows: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> tuple[bool, str]:
    """Whether picks are a peer's but for ties of its rounding: where they part, both rows are as far from the picks before."""
    if len(ours) != len(theirs):
        return False, f"{len(ours)} PICKS, NOT {len(theirs)}"
    if np.array_equal(ours, theirs):
        return True, "picks equal"
    parted = int(np.argmax(ours != theirs))
    before = rows[ours[:parted]].astype(np.float64)
    distances = [np.linalg.norm(before - rows[pick].astype(np.float64), axis=1).min() for pick in (ours[parted], theirs[parted])]
    tied = abs(distances[0] - distances[1]) <= TIE * distances[0]
    shared = len(np.intersect1d(ours, theirs))
    where = "a tie" if tied else "NO TIE"
    return tied, f"{shared} of {len(ours)} picks shared; the first that differs, number {parted + 1}, is {where}"
