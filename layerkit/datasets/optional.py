"""Packages that only some uses need, imported when these come up."""

from __future__ import annotations

import importlib
from typing import Any

from layerkit.errors import DataError


def need(module: str, package: str, what: str, extra: str = "data") -> Any:
    """The module. Raises DataError, with the command that installs it by one of our extras, where it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError:
        command = f"pip install 'layerkit[{extra}]'"
        raise DataError(f"{what} needs the package {package}, which is not installed: {command}") from None
