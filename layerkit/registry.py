"""The layer types by name. A built-in type's module is imported when the type is asked for, and not before."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import re
from pathlib import Path
from typing import TypeVar

from layerkit.errors import UnknownNameError, UsageError
from layerkit.layer import Layer

PLUGINS = "layerkit.layers"
"""Entry-point group in which other distributions offer layer types: `MyLayer = "package.module:MyLayer"`."""

_REGISTERED = re.compile(r"^@register\nclass (\w+)", re.MULTILINE)
_types: dict[str, type[Layer]] = {}

AnyLayer = TypeVar("AnyLayer", bound=type[Layer])


def register(cls: AnyLayer) -> AnyLayer:
    """Class decorator: make a Layer known by its class name. Raises UsageError if another class has that name."""
    name = cls.__name__
    other = _types.get(name)
    if other is not None and other.__qualname__ != cls.__qualname__:
        raise UsageError(f"a layer type {name!r} is registered already, by {other.__module__}")
    if name in _modules() and not cls.__module__.startswith("layerkit."):
        raise UsageError(f"a layer type {name!r} is built in; choose another name")
    _types[name] = cls
    return cls


def layer_class(name: str) -> type[Layer]:
    """The class of a layer type: built in, registered, or offered by a plug-in. Raises UnknownNameError."""
    if name not in _types and name in _modules():
        register(getattr(importlib.import_module(_modules()[name]), name))
    elif name not in _types and name in _plugins():
        register(_plugins()[name].load())
    if name not in _types:
        raise UnknownNameError("layer type", name, layer_types())
    return _types[name]


def layer_types() -> list[str]:
    """The names of all types, sorted; imports none of them."""
    return sorted({*_modules(), *_plugins(), *_types})


def family(name: str) -> str:
    """The folder a built-in type lives in (`activation`, `vision` ...), or `plug-in`."""
    return _modules()[name].split(".")[2] if name in _modules() else "plug-in"


@functools.cache
def _modules() -> dict[str, str]:
    """Built-in type -> module, read from the sources, so that no second list needs keeping."""
    root = Path(__file__).with_name("layers")
    return {
        name: ".".join(("layerkit", "layers", *path.relative_to(root).with_suffix("").parts))
        for path in sorted(root.glob("*/*.py"))
        for name in _REGISTERED.findall(path.read_text(encoding="utf-8"))
    }


@functools.cache
def _plugins() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=PLUGINS)}
