"""Where the files of the public sets are looked for, and where fetched ones are kept."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from layerkit.errors import DataError

_SYSTEM = {"fashion_mnist": ("/usr/share/datasets/fashion-mnist",)}
"""Where packages of operating systems put a set: Debian's dataset-fashion-mnist."""


def cache_dir() -> Path:
    """The folder of fetched sets, which need not exist: LAYERKIT_DATA, or `layerkit` in the user's folder of caches.

    That is XDG_CACHE_HOME or ~/.cache on Linux, ~/Library/Caches on macOS, LOCALAPPDATA on Windows.
    Raises DataError where there is no home folder.
    """
    chosen = os.environ.get("LAYERKIT_DATA")
    try:
        if chosen:
            return Path(chosen).expanduser()
        caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if caches.is_absolute():  # others are to be ignored, says the XDG base directory specification
            return caches / "layerkit"
        return _caches() / "layerkit"
    except RuntimeError:
        raise DataError("there is no home folder to keep fetched sets in; set LAYERKIT_DATA to a folder") from None


def find(name: str, source: str | None = None) -> list[Path]:
    """Where the files of the set `name` are looked for, in this order; none of the places need exist.

    A `source`, the folder or archive that a layer names, is the only place; without one it is data/NAME in the
    current folder, then the cache, then where the operating system's packages put the set.
    """
    if source is not None:
        return [Path(source)]
    places = [Path("data") / name]
    with contextlib.suppress(DataError):  # without a home folder the other places are left
        places.append(cache_dir() / name)
    return places + system_places(name)


def system_places(name: str) -> list[Path]:
    """Where the operating system's packages put the set `name`."""
    return [Path(place) for place in _SYSTEM.get(name, ())]


def command(name: str) -> str:
    """What a user types to fetch the set."""
    return f"layerkit data fetch {name}"


def missing(what: str, name: str, source: str | None) -> DataError:
    """That `what`, files of the set `name`, is nowhere where it is looked for, and how to get it."""
    if source is not None:
        kind = "archive" if Path(source).is_file() else "folder"
        hint = f"without a source, layerkit finds what this command gets: {command(name)}"
        return DataError(f"{what} cannot be found in the {kind} {source!r}; {hint}")
    first, *rest = (repr(str(place)) for place in find(name))
    places = " nor in ".join([f"in the folder {first}", *rest])
    return DataError(f"{what} cannot be found {places}; this command gets the set: {command(name)}")


def _caches() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
