"""Where runs go: runs/NAME, or runs/NAME-2 and so on if that is there already."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import typer

from layerkit.errors import UsageError, did_you_mean

RUNS = Path("runs")

_PATTERNS = ("config.yaml", "events.jsonl", "iter_*.safetensors", "best.safetensors", "batch_*.npz")
"""What a run leaves in its folder."""


def to_train(name: str, force: bool, given: Path | None = None) -> Path:
    """The folder of a new run: the first free one, or with `force` runs/NAME whatever it holds; or the `given` one.

    Raises UsageError for a given one that is there already, without `force`.
    """
    if given is not None:
        if given.exists() and not force:
            raise UsageError(f"{given} exists; go on in it with --resume, or replace what is in it with --force")
        return given
    folder, number = RUNS / name, 2
    while folder.exists() and not force:
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def to_resume(name: str, given: Path | None = None) -> tuple[Path, Path]:
    """The `given` folder, or that of the run of this name that snapshotted last, and its newest state.

    Raises UsageError for none.
    """
    from layerkit.snapshot import newest_state, read_state_info

    damaged: dict[Path, list[str]] = {}

    def newest_in(folder: Path) -> Path | None:
        return newest_state(folder, damaged.setdefault(folder, []).append)

    if given is not None:
        newest = newest_in(given)
        nothing = f"the folder {given} holds no snapshot"
    else:
        states = [newest_in(folder) for folder in RUNS.glob("*") if folder.is_dir() and _number(folder, name)]
        own = [state for state in states if state is not None and read_state_info(state).run.get("name") == name]
        newest = max(own, key=lambda state: (state.stat().st_mtime_ns, _number(state.parent, name)), default=None)
        nothing = f"no folder {RUNS / name} or {RUNS / name}-N holds a snapshot of this run"
    if newest is None:
        why = [sentence for sentences in damaged.values() for sentence in sentences]
        raise UsageError(f"nothing to resume: {why[0] if why else nothing}")
    for sentence in damaged[newest.parent]:
        typer.echo(f"note: passed over a snapshot: {sentence}", err=True)
    return newest.parent, newest


def event_log(run: str) -> Path:
    """The event log of a run that is given by its folder, its name in `runs`, or the log itself.

    Raises UsageError where there is none.
    """
    found = _log_of(run)
    if found is None:
        raise UsageError(_no_record(run))
    return found


def event_logs(runs: Iterable[str]) -> dict[str, Path]:
    """The event logs of several runs, each by a name of its own; a folder of runs, such as a sweep's, is all of them.

    The names are the folders', with as much of the path as it takes to tell them apart. Raises UsageError for a run
    without a record.
    """
    from layerkit.snapshot import EVENTS

    logs: list[Path] = []
    for run in runs:
        found = _log_of(run)
        if found is not None:
            logs.append(found)
            continue
        folders = [path for path in (Path(run), RUNS / run) if path.is_dir()]
        inside = sorted((log for path in folders[:1] for log in path.glob(f"*/{EVENTS}")), key=_by_numbers)
        if not inside:
            raise UsageError(_no_record(run))
        logs += inside
    logs = list(dict.fromkeys(logs))
    names = {log: (log.parent if log.name == EVENTS else log).resolve().parts for log in logs}
    depth = 1
    while len({name[-depth:] for name in names.values()}) < len(logs):
        depth += 1
    return {"/".join(name[-depth:]): log for log, name in names.items()}


def _log_of(run: str) -> Path | None:
    path = Path(run)
    return next((each for each in ([path] if path.is_file() else _places(run)) if each.exists()), None)


def _places(run: str) -> tuple[Path, Path]:
    """Where the event log of a run would be."""
    from layerkit.snapshot import EVENTS

    return Path(run) / EVENTS, RUNS / run / EVENTS


def _no_record(run: str) -> str:
    here, there = _places(run)
    names = [path.name for path in RUNS.glob("*") if path.is_dir()]
    return f"there is no record of a run: neither {here} nor {there} exists{did_you_mean(Path(run).name, names)}"


def _by_numbers(log: Path) -> list[str | float]:
    """What puts folders in order by the numbers in their names: text and numbers in turn."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", log.parent.name)
    return [float(part) if i % 2 else part for i, part in enumerate(parts)]


def keep_inputs(folder: Path, inputs: Iterable[Path]) -> None:
    """Raise UsageError if replacing a run's folder would remove a file that the new run is to start from."""
    for path in inputs:
        if path.resolve().parent == folder.resolve() and any(map(path.match, _PATTERNS)):
            raise UsageError(f"--force would remove {path}; go on in {folder} with --resume, or leave --force out")


def _number(folder: Path, name: str) -> int:
    """1 for runs/NAME, N for runs/NAME-N, 0 for any other."""
    if folder.name == name:
        return 1
    number = folder.name.removeprefix(f"{name}-")
    return int(number) if number != folder.name and number.isdecimal() else 0


def make(folder: Path, replace: bool) -> None:
    """Make a run's folder; with `replace`, one that is there is emptied of what a run leaves, and of nothing else.

    Raises UsageError where that cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=replace)
        if replace:
            for path in (path for pattern in _PATTERNS for path in folder.glob(pattern)):
                path.unlink()
    except FileExistsError:
        what = "is no folder" if replace else "has just been made by another run; start again"
        raise UsageError(f"{str(folder)!r} {what}") from None
    except OSError as error:
        raise UsageError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from None
