"""Where runs go: runs/NAME, or runs/NAME-2 and so on if that is there already."""

from __future__ import annotations

from pathlib import Path

from layerkit.errors import UsageError

RUNS = Path("runs")


def to_train(name: str, force: bool) -> Path:
    """The folder of a new run: the first free one, or with `force` runs/NAME whatever it holds."""
    folder, number = RUNS / name, 2
    while folder.exists() and not force:
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def to_resume(name: str) -> tuple[Path, Path]:
    """The newest folder of a run that holds a snapshot, and its newest state. Raises UsageError for none."""
    from layerkit.snapshot import newest_state

    numbered = {folder: _number(folder, name) for folder in RUNS.glob(f"{name}*") if folder.is_dir()}
    for folder in sorted((f for f, n in numbered.items() if n), key=lambda f: numbered[f], reverse=True):
        state = newest_state(folder)
        if state is not None:
            return folder, state
    raise UsageError(f"nothing to resume: no folder {RUNS / name} or {RUNS / name}-N holds a snapshot")


def _number(folder: Path, name: str) -> int:
    """1 for runs/NAME, N for runs/NAME-N, 0 for any other."""
    rest = folder.name.removeprefix(name)
    if not rest:
        return 1
    return int(rest[1:]) if rest[0] == "-" and rest[1:].isdigit() else 0


def make(folder: Path) -> None:
    """Make a run's folder. Raises UsageError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from None


def clear(folder: Path) -> None:
    """Remove what an earlier run left in its folder, and nothing else."""
    for pattern in ("config.yaml", "events.jsonl", "iter_*.safetensors"):
        for path in folder.glob(pattern):
            path.unlink()
