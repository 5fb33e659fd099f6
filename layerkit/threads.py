"""How many threads compute: one pool for the whole process, either that of BLAS or that of an engine's OpenMP.

Idle threads of a pool wait by spinning. Two pools that take turns therefore keep each other from the cores, at several
milliseconds a turn; so one of them gets all threads and the other a single one.

OpenMP, and some BLAS libraries, keep the number for each thread that calls them. So whoever is about to compute calls
`enter`, which costs next to nothing once its thread has been told.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from layerkit import cores
from layerkit.errors import UnknownNameError, UsageError

MOST = 1024
"""A count above this is taken for a slip."""

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which BLAS and OpenMP are told a count; what a batch system or a user said there holds."""

Pool = Literal["blas", "openmp"]


@dataclass(frozen=True)
class _Choice:
    """What `use` was asked for."""

    count: int
    runtime: ctypes.CDLL | None
    """The OpenMP runtime that got the threads; None for BLAS."""


class _Told(threading.local):
    """What the current thread has been told."""

    choice: _Choice | None = None


_choice: _Choice | None = None
_told = _Told()


def default() -> int:
    """How many threads to use where nobody says: as many as can compute at once, or what the environment asks for."""
    wanted = asked(os.environ)
    return min(MOST, cores.find().threads if wanted is None else wanted[1])


def asked(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """The first of `VARIABLES` that holds a count, and the count; None where none does."""
    for name in VARIABLES:
        value = environment.get(name, "").split(",")[0].strip()  # OpenMP takes a list, one count a level of nesting
        if value.isdecimal() and int(value) > 0:
            return name, int(value)
    return None


def use(count: int | None, pool: Pool, library: ctypes.CDLL | None = None) -> None:
    """Let matrix products run on `count` threads (None: `default()`) of BLAS or of OpenMP, in the whole process.

    For `openmp`, BLAS gets one thread, and the count goes to the OpenMP runtime that `library` is linked with, by
    default the one of GCC. Raises UsageError for a count that cannot be, and where there is no such runtime.
    """
    global _choice
    wanted = default() if count is None else count
    if not isinstance(wanted, int) or not 0 < wanted <= MOST:
        raise UsageError(f"the number of threads must be a whole number from 1 to {MOST}, not {wanted!r}")
    if pool not in ("blas", "openmp"):
        raise UnknownNameError("pool of threads", pool, ["blas", "openmp"])
    _choice = _Choice(wanted, None if pool == "blas" else _runtime(library))
    enter()


def take_over(library: ctypes.CDLL | None = None) -> None:
    """Give the threads of BLAS, as many as are in force, to the OpenMP runtime of a library, unless OpenMP has them."""
    if _choice is None or _choice.runtime is None:
        use(None if _choice is None else _choice.count, "openmp", library)


def enter() -> None:
    """See to it that the current thread computes with the count in force; cheap, for every forward pass."""
    if _told.choice is not _choice:
        _tell()


def count() -> int:
    """How many threads matrix products use; 1 where there is no BLAS that can be asked."""
    enter()
    if _choice is not None and _choice.runtime is not None:
        return int(_choice.runtime.omp_get_max_threads())
    return max((int(blas.num_threads) for blas in blas_libraries()), default=1)


def blas_libraries() -> list[Any]:
    """threadpoolctl's handles of the BLAS libraries, which are looked for once."""
    return list(_controller().select(user_api="blas").lib_controllers)


def _tell() -> None:
    """Set what is in force, for the current thread or for all, as each library has it."""
    choice = _choice
    if choice is not None:
        for blas in blas_libraries():
            blas.set_num_threads(choice.count if choice.runtime is None else 1)
            if hasattr(blas, "clear_controlling_thread"):  # else threadpoolctl would refuse it to every other thread
                blas.clear_controlling_thread()
        if choice.runtime is not None:
            choice.runtime.omp_set_num_threads(choice.count)
    _told.choice = choice


@functools.cache
def _controller() -> Any:
    """What threadpoolctl finds among the loaded libraries; looking takes milliseconds."""
    importlib.import_module("numpy")  # which loads BLAS
    return importlib.import_module("threadpoolctl").ThreadpoolController()


def _runtime(library: ctypes.CDLL | None) -> ctypes.CDLL:
    """A handle by which the OpenMP runtime's functions are found: those of what a library is linked with count too."""
    try:
        handle = ctypes.CDLL("libgomp.so.1") if library is None else library
        _ = handle.omp_set_num_threads, handle.omp_get_max_threads
    except OSError:
        raise UsageError("OpenMP's runtime libgomp.so.1 is missing; the system's package libgomp1 has it") from None
    except AttributeError:
        raise UsageError("the engine's library is linked with no OpenMP runtime, so it has no threads") from None
    return handle
