"""The nearest row of a memory bank to each row of a scan: exact search, against faiss."""

import faiss
import numpy as np

import features
import machine
from bench import Bench, Outcome, Row, Skip, alternate, timed
from programs import Kernel, read, write

# A call takes tens of milliseconds: a turn is the median of this many.
CALLS = 3

# Rows from which a bank is selected.
CANDIDATES = 60_000

# Rounding of f32: distances within this part of each other are ties.
TIE = 1e-5
DISTANCE = 1e-4


def cases(bench: Bench):
    """Each network with the size of its bank."""
    return [(features.resnet50, 16_384), (features.builtin, 20_000)]


def prepare(bench: Bench) -> None:
    """A bank of greedy k-centre picks among training rows, as PatchCore keeps it, and the rows of one test scan."""
    tests = features.scans(bench.data, "test")
    for network, size in cases(bench):
        try:
            backbone = network(bench)
        except Skip:
            continue
        rows = features.training_rows(bench, backbone, CANDIDATES)
        small = features.projected(rows)
        file = write(bench.work / f"{backbone.name}.candidates", small)
        kernel = Kernel(bench, "coreset", file, small.shape[1], size, 0, threads=len(machine.processors()), out="picks", repeats=1)
        kernel()
        write(bench.work / f"{backbone.name}.bank", rows[kernel.rows])
        queries = next(backbone.rows(tests[len(tests) // 2:]))
        write(bench.work / f"{backbone.name}.queries", queries)


def compare(bench: Bench, threads: int) -> Outcome:
    """faiss IndexFlatL2 and Assay's bank, both built beforehand."""
    faiss.omp_set_num_threads(threads)
    outcome = Outcome()
    for network, _ in cases(bench):
        try:
            backbone = network(bench)
        except Skip as skip:
            outcome.notes.append(f"SKIPPED: nearest rows, {skip}")
            continue
        outcome.rows.append(search(bench, backbone, threads))
    return outcome


def search(bench: Bench, backbone: features.Backbone, threads: int) -> Row:
    """One bank and the rows of one scan."""
    columns = backbone.columns
    files = [bench.work / f"{backbone.name}.{what}" for what in ("bank", "queries")]
    bank, queries = (read(file, columns) for file in files)
    index = faiss.IndexFlatL2(columns)
    index.add(bank)
    kernel = Kernel(bench, "nearest", *files, columns, threads=threads, out="nearest", repeats=CALLS)
    times = alternate(
        {"faiss": lambda _: timed(lambda: index.search(queries, 1), CALLS), "assay": kernel}, bench.repeats
    )
    squared, found = index.search(queries, 1)
    agrees, agreement = compared(bank, queries, found[:, 0], squared[:, 0], kernel)
    work = f"nearest row, {len(queries)} x {len(bank)} x {columns}, {backbone.name}"
    peer = f"faiss {faiss.__version__} IndexFlatL2"
    return Row(work, peer, threads, times["faiss"], times["assay"], agreement, agrees)


def compared(bank: np.ndarray, queries: np.ndarray, rows: np.ndarray, squared: np.ndarray, kernel: Kernel):
    """Whether both found the nearest rows, by exact distances, and what to say about it."""
    theirs, ours = (exact(bank, queries, found) for found in (rows, kernel.rows))
    same = int((rows == kernel.rows).sum())
    tied = int(((rows != kernel.rows) & (np.abs(ours - theirs) <= TIE * theirs)).sum())
    farther = int((ours > theirs * (1 + TIE)).sum())
    off = float(np.max(np.abs(kernel.distances - np.sqrt(squared.clip(0))) / ours.clip(1e-6)))
    words = [f"{same} of {len(rows)} rows equal"]
    words += [f"{tied} tied"] * (tied > 0) + [f"{farther} FARTHER"] * (farther > 0)
    words += [f"{len(rows) - same - tied - farther} nearer than the peer's"] * (same + tied + farther < len(rows))
    return farther == 0 and off <= DISTANCE, f"{', '.join(words)}; distances to {off:.0e}"


def exact(bank: np.ndarray, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Distances in f64."""
    return np.linalg.norm(bank[rows].astype(np.float64) - queries.astype(np.float64), axis=1)
