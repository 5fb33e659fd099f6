"""How much of this machine's processor is there for this process: allowed CPUs, the container's quota, real cores.

Threads that share one core's arithmetic units, or that a quota puts to sleep, make matrix products slower. What the
system says is read once, by `find`; the functions that make sense of it take it as arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CPUS = Path("/sys/devices/system/cpu")
"""Where Linux describes each CPU."""


@dataclass(frozen=True)
class Found:
    """What there is for this process."""

    cpus: int
    """CPUs that it may run on."""
    quota: float | None
    """CPUs' worth of time that its control group may use; None without a limit."""
    cores: int
    """Physical cores among the allowed CPUs."""

    @property
    def threads(self) -> int:
        """How many threads can compute at once: the smallest of the three, a fraction rounded down, at least 1."""
        return max(1, min(self.cpus, self.cores, self.cpus if self.quota is None else int(self.quota)))


def find() -> Found:
    """What there is, read from the system; a part that the system does not tell limits nothing."""
    cpus = allowed()
    limit = quota(_read(Path("/proc/self/cgroup")), _read(Path("/proc/self/mountinfo")))
    return Found(len(cpus), limit, physical(cpus, CPUS, _read(Path("/proc/cpuinfo"))))


def allowed() -> set[int]:
    """The numbers of the CPUs that this process may run on; all of them where the system keeps no such list."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def physical(cpus: Collection[int], folder: Path, cpuinfo: str) -> int:
    """How many cores these CPUs lie on; CPUs of which nothing is known count as a core each.

    `folder` is Linux's description of the CPUs, `cpuinfo` the text of /proc/cpuinfo, which is asked where that says
    nothing.
    """
    listed = _from_cpuinfo(cpuinfo)
    cores: set[object] = set()
    for cpu in cpus:
        topology = folder / f"cpu{cpu}" / "topology"
        siblings = _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")  # before Linux 5.3
        cores.add(siblings.strip() or listed.get(cpu, cpu))
    return len(cores)


def _from_cpuinfo(text: str) -> dict[int, tuple[int, int]]:
    """CPU -> (package, core) for each CPU whose place /proc/cpuinfo tells."""
    places: dict[int, tuple[int, int]] = {}
    for block in re.split(r"\n\s*\n", text):
        values = {key: int(value) for key, value in re.findall(r"^(processor|[a-z]+ id)\s*:\s*(\d+)\s*$", block, re.M)}
        if "processor" in values and "core id" in values:
            places[values["processor"]] = values.get("physical id", 0), values["core id"]
    return places


def quota(cgroup: str, mountinfo: str) -> float | None:
    """The smallest limit on CPU time, in CPUs, of a process's control groups and those around them; None for none.

    `cgroup` and `mountinfo` are the texts of these files in /proc/self. Version 2 has the limit in `cpu.max`, version
    1 in `cpu.cfs_quota_us` and `cpu.cfs_period_us`; a machine can have both versions mounted.
    """
    paths = dict(re.findall(r"^\d+:([^:]*):(.*)$", cgroup, re.M))  # controllers -> path
    limits = []
    for kind, options, root, mount in _mounts(mountinfo):
        if kind == "cgroup2" and "" in paths:
            limits += [_limit(_read(folder / "cpu.max")) for folder in _folders(mount, root, paths[""])]
        elif kind == "cgroup" and "cpu" in options:
            path = next((path for names, path in paths.items() if "cpu" in names.split(",")), "/")
            for folder in _folders(mount, root, path):
                limits.append(_limit(_read(folder / "cpu.cfs_quota_us") + " " + _read(folder / "cpu.cfs_period_us")))
    return min((limit for limit in limits if limit is not None), default=None)


def _mounts(mountinfo: str) -> Iterator[tuple[str, list[str], str, Path]]:
    """File system's kind, its options, which of its folders is mounted, and where, for each line."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) >= 5 and len(kinds) >= 3:
            yield kinds[0], kinds[2].split(","), fields[3], Path(fields[4])


def _folders(mount: Path, root: str, path: str) -> list[Path]:
    """The folders of the group `path` and of the groups around it, as far as the mount of `root` shows them."""
    group = PurePosixPath(path)
    visible = group.is_relative_to(root) and ".." not in group.parts  # in a container it may be the host's name for it
    folder = mount / group.relative_to(root) if visible else mount
    return [each for each in (folder, *folder.parents) if each.is_relative_to(mount)]


def _limit(text: str) -> float | None:
    """CPUs from `QUOTA PERIOD` in microseconds; `max` and -1 are no limit."""
    match = re.fullmatch(r"\s*(\d+)\s+(\d+)\s*", text)
    return int(match[1]) / int(match[2]) if match and int(match[2]) else None


def _read(path: Path) -> str:
    """A file's text, nothing for a file that cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
