"""Stand-in for the engines, which are being written: their names and whether they can run here."""

from __future__ import annotations

import importlib.metadata


def names() -> list[str]:
    """All engines, the fastest first."""
    return ["onednn", "numpy"]


def missing(name: str) -> str | None:
    """Why an engine cannot run here and what to do, in a sentence; None where it can."""
    try:
        version(name)
    except importlib.metadata.PackageNotFoundError:
        return "oneDNN's library is not installed; pip install onednn-cpu-gomp adds it"
    return None


def version(name: str) -> str:
    """The version of an engine that can run here."""
    return importlib.metadata.version("onednn-cpu-gomp" if name == "onednn" else name)
