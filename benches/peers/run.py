"""Assay beside its Python peers: the same inputs, the same threads, taking turns; medians and ratios as one Markdown table.

    benches/peers/setup
    target/peers/bin/python benches/peers/run.py --data DIR --resnet50 FILE

DIR is a data set in MVTec AD or MVTec 3D-AD layout, FILE an ONNX ResNet-50 that takes pictures of 0 to 255 and has the outputs c3
and c4 (layers 2 and 3). The Rust side is built first. Exit status: 0 all answers agree, 1 some do not, or a comparison failed.
"""

import argparse
import importlib
import json
import multiprocessing
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import machine
import report
from bench import Bench, Outcome, Row

# Each is a module with two functions: `prepare(bench)` makes the inputs once, `compare(bench, threads)` gives an `Outcome`.
COMPARISONS = ("nearest", "coreset", "padim", "patchcore", "fpfh")


def main() -> int:
    args = arguments()
    root = Path(__file__).resolve().parents[2]
    programs = build(root)
    print(machine.describe(), flush=True)
    rows: list[Row] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="peers-", dir=programs.parent) as work:
        for name in args.only or COMPARISONS:
            folder = Path(work, name)
            folder.mkdir()
            bench = Bench(args.data, args.resnet50, args.resnet18, folder, args.repeats, root, programs)
            outcome = compared(name, bench, args.threads)
            rows += outcome.rows
            notes += outcome.notes
            print(report.table(outcome.rows), *outcome.notes, "", sep="\n", file=sys.stderr, flush=True)
    print(report.table(rows), *notes, machine.describe(), sep="\n")
    wrong = [row for row in rows if not row.agrees]
    for row in wrong:
        print(f"DISAGREES: {row.work}, {row.peer}, threads {row.threads}: {row.agreement}", file=sys.stderr)
    return 1 if wrong or any(note.startswith("FAILED") for note in notes) else 0


def compared(name: str, bench: Bench, threads: list[int]) -> Outcome:
    """All rows of one comparison. What fails is noted, so that the others still run."""
    total = Outcome()
    try:
        alone(max(threads), name, "prepare", bench)
        for count in threads:
            outcome = alone(count, name, "compare", bench, count)
            total.rows += outcome.rows
            total.notes += [note for note in outcome.notes if note not in total.notes]
    except Exception as error:
        traceback.print_exc()
        total.notes.append(f"FAILED: {name}: {error}")
    return total


def alone(threads: int, name: str, function: str, *values: object) -> Outcome:
    """Calls a comparison's function in a process of its own, whose libraries have so many threads from the start."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=machine.limit, initargs=(threads,)) as pool:
        return pool.submit(call, name, function, *values).result()


def call(name: str, function: str, *values: object) -> Outcome:
    """Loads a comparison, with the peers that it imports, and calls it."""
    return getattr(importlib.import_module(name), function)(*values)


def build(root: Path) -> Path:
    """Builds programs and plugins; returns their folder."""
    cargo = ["cargo", "build", "--release", "--locked"]
    for command in (cargo, [*cargo, "-p", "assay-benches", "--examples"]):
        subprocess.run(command, cwd=root, check=True)
    metadata = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    found = subprocess.run(metadata, cwd=root, check=True, stdout=subprocess.PIPE).stdout
    return Path(json.loads(found)["target_directory"], "release")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=existing, required=True, metavar="DIR", help="a data set with train and test")
    parser.add_argument("--resnet50", type=existing, metavar="FILE", help="without it what needs it is skipped")
    parser.add_argument("--resnet18", type=existing, metavar="FILE", help="torchvision's state dict; else random weights")
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, metavar="NAME", help=f"of {', '.join(COMPARISONS)}")
    parser.add_argument("--threads", type=positive, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--repeats", type=positive, default=5, metavar="N")
    return parser.parse_args()


def existing(text: str) -> Path:
    """A file or folder that is there."""
    path = Path(text).resolve()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text} does not exist")
    return path


def positive(text: str) -> int:
    """A number above zero."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above zero")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
