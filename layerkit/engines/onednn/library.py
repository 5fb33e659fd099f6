"""Finds oneDNN's shared library and makes its functions callable; every status becomes an exception."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from layerkit.engines.onednn import declarations as c
from layerkit.errors import LayerkitError

DISTRIBUTION = "onednn-cpu-gomp"
"""The distribution that brings the library, in the extra `fast`."""
VARIABLE = "LAYERKIT_ONEDNN"
"""An environment variable with the path of the library to use instead."""
MAJOR = 3
_NAMES = ("libdnnl.so.3", "libdnnl.3.dylib")


class UnavailableError(LayerkitError):
    """oneDNN cannot be used on this machine; the message says why, and what to do."""


class StatusError(LayerkitError):
    """A function of oneDNN failed; `status` is its number."""

    def __init__(self, function: str, status: int):
        super().__init__(f"oneDNN: {function} failed: {c.STATUSES.get(status, f'status {status}')}")
        self.status = status


class Library:
    """oneDNN's functions by name, and the one engine and stream that everything runs in."""

    def __init__(self, path: str):
        self.path = path
        self.in_use = False
        """Whether anything was made to be run in this process, and so its threads may have been started."""
        try:
            self.loaded = ctypes.CDLL(path)
            for name, takes in c.FUNCTIONS.items():
                setattr(self, name, self._checked(name, takes))
            for name, (gives, takes) in c.OTHERS.items():
                function = getattr(self.loaded, name)
                function.restype, function.argtypes = gives, takes
                setattr(self, name, function)
            self._creators = {
                name: self._checked(
                    f"dnnl_{name}_primitive_desc_create",
                    (ctypes.POINTER(ctypes.c_void_p), *(() if name == "reorder" else (ctypes.c_void_p,)), *takes),
                )
                for name, takes in c.PRIMITIVES.items()
            }
        except AttributeError as error:
            raise UnavailableError(f"{path} is no oneDNN of version {MAJOR}: {error}") from None
        except OSError as error:
            raise UnavailableError(_why_not_loaded(path, str(error))) from None
        version = self.dnnl_version().contents
        self.version = f"{version.major}.{version.minor}.{version.patch}"
        if version.major != MAJOR:
            raise UnavailableError(
                f"{path} is oneDNN {self.version}, but version {MAJOR} is needed: {how_to_install()}"
            )
        if not version.cpu_runtime & c.OPENMP:
            raise UnavailableError(f"{path} is a oneDNN that does not use OpenMP, so its threads cannot be set")
        self.engine = self.make("dnnl_engine_create", c.CPU, 0)
        self.stream = self.make("dnnl_stream_create", self.engine, c.IN_ORDER)
        self.execute = self.loaded["dnnl_primitive_execute"]  # its status is looked at where it runs, which is quicker
        self.execute.restype, self.execute.argtypes = ctypes.c_int, c.FUNCTIONS["dnnl_primitive_execute"]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"oneDNN's {name} is not declared")

    def make(self, function: str, *arguments: Any) -> int:
        """The handle that a function gives through its first argument. Raises StatusError."""
        handle = ctypes.c_void_p()
        getattr(self, function)(ctypes.byref(handle), *arguments)
        return handle.value or 0

    def describe(self, primitive: str, *arguments: Any) -> int:
        """The handle of a new primitive descriptor. Raises StatusError, for one that does not exist too."""
        handle = ctypes.c_void_p()
        engine = () if primitive == "reorder" else (self.engine,)
        self._creators[primitive](ctypes.byref(handle), *engine, *arguments)
        return handle.value or 0

    def _checked(self, name: str, takes: Any) -> Any:
        function = self.loaded[name]
        function.restype, function.argtypes = ctypes.c_int, takes

        def check(status: Any, called: Any, arguments: Any) -> Any:
            if status:
                raise StatusError(name, status)

        function.errcheck = check
        return function


@functools.cache
def load() -> Library:
    """The library, loaded once. Raises UnavailableError."""
    found = _find()
    if isinstance(found, UnavailableError):
        raise found
    return found


@functools.cache
def _find() -> Library | UnavailableError:
    """The first library that can be used, or why there is none; looked for once."""
    given = os.environ.get(VARIABLE)
    if given:
        try:
            return Library(given)
        except UnavailableError as error:
            return UnavailableError(f"{VARIABLE} does not help: {error}")
    first: UnavailableError | None = None
    for path in _candidates():
        try:
            return Library(path)
        except UnavailableError as error:
            first = first or error
    return first or UnavailableError(f"oneDNN is not installed: {how_to_install()}")


def _candidates() -> Iterator[str]:
    """Where the library may lie: as its distribution says, beside this Python (conda), where the system looks."""
    try:
        files = importlib.metadata.distribution(DISTRIBUTION).files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name in _NAMES]
    found += [Path(sys.prefix) / "lib" / name for name in _NAMES]
    yield from dict.fromkeys(str(path.resolve()) for path in found if path.exists())
    system = ctypes.util.find_library("dnnl")
    if system:
        yield system


def how_to_install() -> str:
    """The command that brings oneDNN to this machine, in a sentence's end."""
    return f"pip install {DISTRIBUTION}"


def _why_not_loaded(path: str, error: str) -> str:
    if "libgomp" in error:
        return f"{path} needs libgomp.so.1, GCC's OpenMP runtime: install it (on Debian: apt install libgomp1)"
    return f"{path} cannot be loaded: {error}"
