"""The machine: what it is, and who else is using it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

VERSIONS = ("numpy", "torch", "torchvision", "pillow")
"""Packages whose versions are told."""


class Used(NamedTuple):
    """Seconds of processor time since the machine started."""

    clock: float
    everyone: float
    ours: float


def used(pids: Iterable[int]) -> Used | None:
    """What everyone has used, and what these processes and their children have; None on a system that does not say."""
    if not Path("/proc/stat").exists():
        return None
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    ours = sum(_ticks(pid) for pid in {each for pid in pids for each in _family(pid)})
    return Used(time.monotonic(), (user + nice + system + irq + softirq + steal) / tick, ours / tick)


def _family(pid: int) -> Iterator[int]:
    """A process and those that it started, as far as the system tells."""
    yield pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split() if children.exists() else ():
        yield from _family(int(child))


def _ticks(pid: int) -> int:
    """Of one process: its own time, user and system."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(after_name[11]) + int(after_name[12])


def foreign(before: Used | None, after: Used | None) -> float | None:
    """How many cores others kept busy in between, on average."""
    if before is None or after is None:
        return None
    others = (after.everyone - before.everyone) - (after.ours - before.ours)
    return max(0.0, others / max(after.clock - before.clock, 1e-9))


def describe(threads: int) -> dict[str, Any]:
    """Processor, system and versions, for the record."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in VERSIONS},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
