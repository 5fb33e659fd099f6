"""Where runs go: runs/NAME, or runs/NAME-2 and so on if that is there already."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from layerkit.errors import UsageError

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
    from layerkit.snapshot import EVENTS

    path = Path(run)
    tried = [path / EVENTS, RUNS / run / EVENTS]
    found = next((each for each in ([path] if path.is_file() else tried) if each.exists()), None)
    if found is None:
        raise UsageError(f"there is no record of a run: neither {tried[0]} nor {tried[1]} exists")
    return found


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
