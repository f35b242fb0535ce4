"""The machine: how many processors a comparison may use, and what they are."""

import os
import platform
from pathlib import Path

LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def limit(threads: int) -> None:
    """Holds this process, and those that it starts, to `threads` threads on as many processors.

    To be called before numerical libraries are loaded: they read their variables once, and their threads inherit the processors.
    """
    for variable in LIBRARIES:
        os.environ[variable] = str(threads)
    os.sched_setaffinity(0, processors()[:threads])


def processors() -> list[int]:
    """The processors that this process may use: one of each core first."""
    siblings: dict[str, int] = {}
    order = []
    for number in sorted(os.sched_getaffinity(0)):
        core = Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
        name = core.read_text() if core.exists() else str(number)
        order.append((siblings.get(name, 0), number))
        siblings[name] = siblings.get(name, 0) + 1
    return [number for _, number in sorted(order)]


def describe() -> str:
    """Processor, how many, and how busy they were just now."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    name = names[0] if names else platform.machine()
    return f"{name}, {len(processors())} processors, load {load}, Python {platform.python_version()}"
