"""Normals and point feature histograms of real scans, against Open3D's."""

from pathlib import Path

import numpy as np
import open3d
import tifffile

from bench import Bench, Outcome, Row, alternate, timed
from programs import Kernel, read, write

# Nearest points of a normal and of a histogram, the point itself counted.
NORMAL, HISTOGRAM = 30, 100

# About so many points of one scan; the last are all that it has.
SIZES = {"10k": 10_000, "50k": 50_000, "all": None}

SEED = 7

# Radians, and how many of the points must be as near; a part of a row's length, and how many rows.
ANGLE, ANGLES = 1e-3, 0.999
PART, PARTS = 1e-3, 0.995


def prepare(bench: Bench) -> None:
    """Points of the test scan that has the most, in the order of its pixels and in a random order."""
    scans = organised(bench)
    if not scans:
        return
    grid = max((tifffile.imread(scan) for scan in scans), key=lambda grid: len(points(grid)))
    random = np.random.default_rng(SEED)
    for name, size in SIZES.items():
        found = points(grid if size is None else sampled(grid, size))
        write(bench.work / f"{name}.organised", found)
        write(bench.work / f"{name}.cloud", random.permutation(found))


def compare(bench: Bench, threads: int) -> Outcome:
    """Open3D's normals, their orientation and its features, each of which builds a tree; Assay's by one search."""
    if not organised(bench):
        return Outcome(notes=[f"SKIPPED: FPFH, {bench.data / 'test'} has no organised points"])
    outcome = Outcome()
    for name in SIZES:
        for order in ("organised", "cloud"):
            outcome.rows.append(features(bench, bench.work / f"{name}.{order}", order, threads))
    return outcome


def organised(bench: Bench) -> list[Path]:
    """The test scans of organised points, in MVTec 3D-AD layout."""
    return sorted((bench.data / "test").rglob("xyz/*.tif*"))


def features(bench: Bench, file: Path, order: str, threads: int) -> Row:
    """One cloud."""
    found = read(file, 3)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(found.astype(np.float64)))
    nearest = open3d.geometry.KDTreeSearchParamKNN
    kernel = Kernel(bench, "fpfh", file, "-", NORMAL, HISTOGRAM, threads=threads, out="ours")
    theirs = {}

    def peer() -> None:
        cloud.normals = open3d.utility.Vector3dVector()
        cloud.estimate_normals(nearest(NORMAL))
        cloud.orient_normals_towards_camera_location(np.zeros(3))
        theirs["features"] = open3d.pipelines.registration.compute_fpfh_feature(cloud, nearest(HISTOGRAM))

    times = alternate({"open3d": lambda _: timed(peer), "assay": kernel}, bench.repeats)
    agrees, agreement = compared(bench, file, np.asarray(cloud.normals), theirs["features"].data.T)
    work = f"normals and FPFH, {len(found)} points, {'pixel by pixel' if order == 'organised' else 'in random order'}"
    return Row(work, f"Open3D {open3d.__version__}", threads, times["open3d"], times["assay"], agreement, agrees)


def compared(bench: Bench, file: Path, normals: np.ndarray, features: np.ndarray) -> tuple[bool, str]:
    """Whether normals agree, whatever their sign, and features of the peer's normals, and what to say about it."""
    ours = read(bench.work / "ours.normals", 3).astype(np.float64)
    # The chord between unit vectors, of either sign: the arc cosine has no digits left at small angles.
    chord = np.minimum(np.linalg.norm(ours - normals, axis=1), np.linalg.norm(ours + normals, axis=1))
    near = float((2 * np.arcsin(np.clip(chord / 2, 0, 1)) < ANGLE).mean())
    given = write(file.with_suffix(".normals"), normals)
    Kernel(bench, "fpfh", file, given, NORMAL, HISTOGRAM, threads=1, out="given", repeats=0).run()
    from_theirs = read(bench.work / "given.features", features.shape[1]).astype(np.float64)
    off = np.linalg.norm(from_theirs - features, axis=1) / np.linalg.norm(features, axis=1)
    equal = float((off < PART).mean())
    words = f"{near:.2%} of normals to {ANGLE:g} rad; from the same normals {equal:.2%} of features to {PART:g}"
    return near >= ANGLES and equal >= PARTS, words


def sampled(grid: np.ndarray, size: int) -> np.ndarray:
    """The grid thinned to rows and columns evenly spread, so that about `size` points are left."""
    side = np.sqrt(size / len(points(grid)))
    rows, columns = (np.arange(round(n * side)) * n // round(n * side) for n in grid.shape[:2])
    return grid[np.ix_(rows, columns)]


def points(grid: np.ndarray) -> np.ndarray:
    """The points [n, 3] of a grid [rows, columns, 3], metres; 0, 0, 0 is none."""
    return grid[(grid != 0).any(axis=2)]
