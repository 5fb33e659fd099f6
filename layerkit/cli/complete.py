"""What a shell completes as the value of an argument or option: names that are known without reading a file.

Where no name begins as what is typed does, the shell completes paths. Each function takes what is typed so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def phases(typed: str) -> list[str]:
    """Phases of a net."""
    return _beginning(typed, ("train", "test", "predict"))


def engines(typed: str) -> list[str]:
    """What can run the layers."""
    from layerkit.engines import names

    return _beginning(typed, ["auto", *names()])


def layer_types(typed: str) -> list[str]:
    """Types of layers, those of plug-ins too, in whatever letter case they are typed."""
    from layerkit.registry import layer_types as known

    return _beginning(typed, known(), any_case=True)


def sets(typed: str) -> list[str]:
    """Datasets that have a name, and need no path."""
    from layerkit.datasets.kinds import KINDS

    return _beginning(typed, (name for name, kind in KINDS.items() if kind.parts))


def kinds(typed: str) -> list[str]:
    """Kinds of files of samples."""
    from layerkit.datasets.kinds import KINDS

    return _beginning(typed, (name for name, kind in KINDS.items() if not kind.parts))


def public_sets(typed: str) -> list[str]:
    """Sets that can be fetched."""
    from layerkit.datasets.public.published import PUBLISHED

    return _beginning(typed, PUBLISHED)


def families(typed: str) -> list[str]:
    """Families of models that there are starters of."""
    from layerkit.starters import MODELS

    return _beginning(typed, MODELS)


def shipped(typed: str) -> list[str]:
    """Names of the shipped configs."""
    return _beginning(typed, config_files())


def configs() -> Path:
    """The shipped configs: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def config_files() -> dict[str, Path]:
    """The shipped configs by name, `lecture/...` last."""
    folder = configs()
    paths = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def _beginning(typed: str, names: Iterable[str], *, any_case: bool = False) -> list[str]:
    if any_case:
        return sorted(name for name in names if name.lower().startswith(typed.lower()))
    return sorted(name for name in names if name.startswith(typed))
