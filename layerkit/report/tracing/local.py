"""The derivative of one result of a step by one argument, as far as it can be shown.

Where each element of the result depends on one element of the argument alone, there is a number for each. Otherwise it
is a Jacobian, of the result's shape and then the argument's, with its Frobenius norm. Where the result has more than
MOST_ROWS elements, neither is computed in full: whether it is of the first kind shows in what it makes of two vectors,
as only then J'u is J'1 times u; and the norm is estimated, since the mean of |J'u|^2 over normally distributed u is
|J|^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.report.tracing.operations import Operation

MOST_ROWS = 16
"""Elements of a result of which the Jacobian is computed row by row."""
MOST_KEPT = 4096
"""Elements of a Jacobian that is kept, and not only its norm."""
PROBES = 4
"""Vectors by which a norm is estimated."""
_SEED = 0


@dataclass(frozen=True)
class Local:
    """A local derivative."""

    by_element: bool
    """Whether it is a number for each element, in the shape of the result; else a Jacobian."""
    result: Shape
    argument: Shape
    array: Array | None
    """Its elements; None for a large Jacobian."""
    norm: float
    estimated: bool = False
    """Whether the norm is."""


Arguments = Sequence[Array | None]
"""None stands for a constant."""


def locals_of(operation: Operation, which: int, result: Array, arguments: Arguments) -> list[Local | None]:
    """The derivatives of result `which` by each argument; None where no derivative goes."""
    if result.size <= MOST_ROWS:
        found = _by_rows(operation, which, result, arguments)
    else:
        found = _by_probes(operation, which, result, arguments)
    for i, argument in enumerate(arguments):
        each = operation.by_element(i) if found[i] is not None else None
        if each is not None and argument is not None:
            each = np.broadcast_to(each, result.shape)
            found[i] = Local(True, result.shape, argument.shape, each, float(np.linalg.norm(each)))
    return found


def _by_rows(operation: Operation, which: int, result: Array, arguments: Arguments) -> list[Local | None]:
    """Each Jacobian, exactly."""
    seeds = np.eye(result.size, dtype=result.dtype).reshape(result.size, *result.shape)
    rows = [[*map(_copied, operation.pull(which, seed))] for seed in seeds]
    found: list[Local | None] = []
    for i, argument in enumerate(arguments):
        held = [row[i] for row in rows]
        parts = [part.ravel() for part in held if part is not None]
        if argument is None or len(parts) < len(rows) or not rows:
            found.append(None)
            continue
        norm = math.hypot(*(float(np.linalg.norm(part)) for part in parts))
        shapes = result.shape, argument.shape
        matrix = np.array(parts) if len(rows) * argument.size <= MOST_KEPT else None
        if matrix is not None and _is_diagonal(matrix, *shapes):
            found.append(Local(True, *shapes, np.diagonal(matrix).reshape(result.shape), norm))
        else:
            array = None if matrix is None else matrix.reshape((*result.shape, *argument.shape))
            found.append(Local(False, *shapes, array, norm))
    return found


def _by_probes(operation: Operation, which: int, result: Array, arguments: Arguments) -> list[Local | None]:
    """Each derivative by what it makes of a few vectors."""
    rng = np.random.default_rng(_SEED)
    seeds = [np.ones(result.shape, result.dtype)]
    seeds += [rng.standard_normal(result.shape).astype(result.dtype) for _ in range(PROBES)]
    first: list[Array | None] = []
    squares = np.zeros(len(arguments))
    diagonal = [argument is not None and argument.shape == result.shape for argument in arguments]
    for number, seed in enumerate(seeds):
        parts = operation.pull(which, seed)
        first = first or [*map(_copied, parts)]
        for i, (part, one) in enumerate(zip(parts, first, strict=True)):
            if number and part is not None and one is not None:
                squares[i] += float(np.linalg.norm(part)) ** 2 / PROBES
                diagonal[i] = diagonal[i] and np.allclose(part, one * seed, rtol=1e-4, atol=1e-30)
    found: list[Local | None] = []
    for one, square, argument, alone in zip(first, squares, arguments, diagonal, strict=True):
        if one is None or argument is None:
            found.append(None)
        elif alone:
            found.append(Local(True, result.shape, argument.shape, one, float(np.linalg.norm(one))))
        else:
            found.append(Local(False, result.shape, argument.shape, None, math.sqrt(square), estimated=True))
    return found


def _is_diagonal(matrix: Array, result: Shape, argument: Shape) -> bool:
    return result == argument and not matrix[~np.eye(len(matrix), dtype=bool)].any()


def _copied(part: Array | None) -> Array | None:
    return None if part is None else part.copy()
