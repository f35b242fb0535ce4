"""The Rust side: building it, and running its kernels and the `assay` program."""

import json
import statistics
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime

from bench import Bench


def write(file: Path, matrix: np.ndarray) -> Path:
    """Writes a matrix as `kernels` reads it."""
    np.ascontiguousarray(matrix, dtype="<f4").tofile(file)
    return file


def read(file: Path, columns: int) -> np.ndarray:
    """Reads what `write` wrote."""
    return np.fromfile(file, dtype="<f4").reshape(-1, columns)


class Kernel:
    """One subcommand of `kernels` on given files; a call runs it and returns the median of its repeats."""

    def __init__(self, bench: Bench, *arguments: object, threads: int, out: str, repeats: int = 1):
        self.out = bench.work / out
        program = bench.programs / "examples" / "kernels"
        self.command = [str(word) for word in (program, *arguments, threads, repeats, self.out)]

    def __call__(self, _round: int = 0) -> float:
        """Milliseconds; the number of the round does not matter."""
        lines = [line.split() for line in self.run().splitlines()]
        return statistics.median(float(value) for word, value in lines if word == "repeat")

    def run(self) -> str:
        """What it prints."""
        return subprocess.run(self.command, check=True, stdout=subprocess.PIPE, text=True).stdout

    @property
    def rows(self) -> np.ndarray:
        """Rows or picks of the last call."""
        return np.fromfile(f"{self.out}.rows", dtype="<u8").astype(np.int64)

    @property
    def distances(self) -> np.ndarray:
        """Distances or radii of the last call."""
        return np.fromfile(f"{self.out}.distances", dtype="<f4")


def assay(bench: Bench, *arguments: object, **options: object) -> list[str]:
    """The command of `assay` with this Python's ONNX Runtime, which the peers use, too."""
    library = Path(onnxruntime.__file__).parent / "capi"
    named = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [str(word) for word in (bench.programs / "assay", *arguments, "--runtime-path", library, *named)]


class Station:
    """`assay score MODEL -`: a loaded model that answers one scan after the other."""

    def __init__(self, bench: Bench, model: Path, threads: int):
        self.process = subprocess.Popen(
            assay(bench, "score", model, "-", threads=threads),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )

    def score(self, scan: Path) -> dict:
        """The result line of a scan."""
        print(scan, file=self.process.stdin, flush=True)
        result = json.loads(self.process.stdout.readline())
        if "error" in result:
            raise RuntimeError(f"{scan}: {result['error']}")
        return result

    def close(self) -> None:
        """Ends the program."""
        self.process.stdin.close()
        self.process.wait()
