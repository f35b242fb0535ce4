"""PaDiM's scoring, a Mahalanobis distance a position, against anomalib's."""

import anomalib
import numpy as np
import torch
from anomalib.models.components import MultiVariateGaussian
from anomalib.models.image.padim.anomaly_map import AnomalyMapGenerator

import features
from bench import Bench, Outcome, Row, alternate, timed
from programs import Kernel, read, write

SIDE, CHANNELS = 64, 100
POSITIONS = SIDE * SIDE

# anomalib adds 0.01 to the diagonal, and 1e-5 more before it inverts.
EPSILON = 0.01 + 1e-5

# A call takes milliseconds: a turn is the median of this many.
CALLS = 10

TOLERANCE = 1e-3


def prepare(bench: Bench) -> None:
    """Rows of the training scans and of one test scan at 64 x 64 positions, the same 100 channels of all."""
    backbone = features.builtin(bench, size=SIDE * 4, embed=features.replicated)
    channels = np.sort(np.random.default_rng(features.SEED).permutation(backbone.columns)[:CHANNELS])
    tests = features.scans(bench.data, "test")
    rows = [rows[:, channels] for rows in backbone.rows(features.scans(bench.data, "train"))]
    write(bench.work / "padim.samples", np.concatenate(rows))
    write(bench.work / "padim.scan", next(backbone.rows(tests[len(tests) // 2:]))[:, channels])


def compare(bench: Bench, threads: int) -> Outcome:
    """anomalib's distances alone, before it resizes and smooths the map."""
    torch.set_num_threads(threads)
    files = [bench.work / "padim.samples", bench.work / "padim.scan"]
    samples, scan = (read(file, CHANNELS).reshape(-1, POSITIONS, CHANNELS) for file in files)
    statistics, embedding = MultiVariateGaussian().fit(grid(samples)), grid(scan)
    kernels = {
        storage: Kernel(
            bench, "padim", *files, POSITIONS, CHANNELS, EPSILON, storage, threads=threads, out=storage, repeats=CALLS
        )
        for storage in ("f32", "f16")
    }

    def theirs() -> torch.Tensor:
        with torch.no_grad():
            return AnomalyMapGenerator.compute_distance(embedding, statistics)

    times = alternate({"anomalib": lambda _: timed(theirs, CALLS), **kernels}, bench.repeats)
    expected = exact(samples, scan[0])
    off_peer = off(theirs().numpy().ravel(), expected)
    outcome = Outcome()
    for storage, kernel in kernels.items():
        off_ours = off(kernel.distances, expected)
        outcome.rows.append(Row(
            f"PaDiM scoring, {POSITIONS} x {CHANNELS}, factors in {storage}", f"anomalib {anomalib.__version__}", threads,
            times["anomalib"], times[storage], f"distances to {off_ours:.0e} of f64's, the peer's to {off_peer:.0e}",
            off_ours <= TOLERANCE,
        ))
    return outcome


def grid(rows: np.ndarray) -> torch.Tensor:
    """Rows [scans, positions, channels] as anomalib has them: [scans, channels, rows, columns]."""
    return torch.from_numpy(rows.reshape(-1, SIDE, SIDE, CHANNELS).transpose(0, 3, 1, 2).copy())


def exact(samples: np.ndarray, scan: np.ndarray) -> np.ndarray:
    """The distances in f64."""
    distances = np.empty(POSITIONS)
    for position in range(POSITIONS):
        covariance = np.cov(samples[:, position].astype(np.float64), rowvar=False) + EPSILON * np.eye(CHANNELS)
        deviation = scan[position] - samples[:, position].mean(axis=0, dtype=np.float64)
        distances[position] = np.sqrt(deviation @ np.linalg.solve(covariance, deviation))
    return distances


def off(distances: np.ndarray, expected: np.ndarray) -> float:
    """The greatest difference, as a part of the distance."""
    return float(np.max(np.abs(distances - expected) / expected))
