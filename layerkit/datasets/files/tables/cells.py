"""Cells: a table's text as one array of numbers, read in C where a column holds numbers, and what is wrong with it.

Each different text of a column becomes a number, and a missing value NaN.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Set

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.files.tables.layout import MISSING, Layout, cell, is_number
from layerkit.errors import DataError, did_you_mean
from layerkit.words import counted

Codes = dict[str, int]
"""Text -> its number."""


def matrix(
    layout: Layout, texts: Mapping[int, Codes | None], unused: Set[int], unfit: Unfit | None = None
) -> tuple[Array, dict[int, Codes]]:
    """Every cell, (rows, columns), float64, and the codes of the columns of text.

    `texts` are the columns of text, with the codes that there may be, or None where each new text gets the next number.
    The others hold numbers, but columns `unused` are 0. Cells that cannot be taken are missing and stand in `unfit`,
    if it is given. Raises DataError, naming line and column, for one otherwise.
    """
    try:
        return _load(layout, texts, unused, unfit, patient=False)
    except DataError:
        raise
    except ValueError:
        pass  # somewhere is something that C does not read as a number
    try:
        return _load(layout, texts, unused, unfit, patient=True)
    except DataError:
        raise
    except ValueError as error:
        ragged = layout.ragged()
        if ragged is None:
            raise DataError(f"'{layout.path}' is no table that can be read: {' '.join(str(error).split())}") from None
        row, width = ragged
        counts = f"{counted(width, 'value')} for {counted(layout.width, 'column')}"
        raise DataError(f"{layout.place(row)}: {counts}") from None


class UnfitError(ValueError):
    """What is wrong with a cell that cannot be taken, by its row and column, from 0."""

    def __init__(self, row: int, column: int, reason: str):
        super().__init__(reason)
        self.row, self.column = row, column


Unfit = dict[int, UnfitError]
"""Row -> what is wrong with its first cell that cannot be taken."""


class _Column:
    """Turns the cells of a column into numbers, one after the other."""

    def __init__(self, column: int, unfit: Unfit | None):
        self._column, self._row = column, -1
        self._unfit = unfit

    def __call__(self, raw: str) -> float:
        self._row += 1
        text = cell(raw)
        if text in MISSING:
            return math.nan
        try:
            return self.number(text)
        except UnfitError as error:
            if self._unfit is None:
                raise
            self._unfit.setdefault(self._row, error)
            return math.nan

    def number(self, text: str) -> float:
        if not is_number(text):
            reason = "is no number, as others in this column are; leave it out by 'ignore', or name it in 'categories'"
            raise self.unfit(text, reason)
        return float(text)

    def unfit(self, text: str, reason: str) -> UnfitError:
        return UnfitError(self._row, self._column, f"{text if len(text) <= 80 else text[:77] + '...'!r} {reason}")


class _Texts(_Column):
    def __init__(self, column: int, codes: Codes | None, unfit: Unfit | None):
        super().__init__(column, unfit)
        self._fixed = codes is not None
        self.codes = dict(codes or {})

    def __call__(self, raw: str) -> float:
        code = self.codes.get(raw)  # most cells hold what others held before
        if code is None:
            return super().__call__(raw)
        self._row += 1
        return code

    def number(self, text: str) -> float:
        if self._fixed and text not in self.codes:
            known = did_you_mean(text, self.codes) or f": {', '.join(map(repr, self.codes))}"
            raise self.unfit(text, f"is none of those that are known of this column{known[:300]}")
        return self.codes.setdefault(text, len(self.codes))


def _load(
    layout: Layout, texts: Mapping[int, Codes | None], unused: Set[int], unfit: Unfit | None, patient: bool
) -> tuple[Array, dict[int, Codes]]:
    """`patient` reads numbers cell by cell, too."""
    words = {column: _Texts(column, codes, unfit) for column, codes in texts.items()}
    converters: dict[int | str, Callable[[str], float]] = dict.fromkeys(unused, lambda _: 0.0)
    converters.update(words.items())
    for column in range(layout.width) if patient else ():
        converters.setdefault(column, _Column(column, unfit))
    with layout.rows() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a file without rows
        try:
            values = np.loadtxt(
                file, delimiter=layout.delimiter, comments=None, quotechar='"', ndmin=2, converters=converters or None
            )
        except ValueError as error:
            cause = error.__cause__
            if isinstance(cause, UnfitError):
                raise DataError(f"{layout.place(cause.row, cause.column)}: {cause}") from None
            raise
    if values.shape[1:] != (layout.width,) or not len(values):
        raise ValueError("rows and columns do not come out even")
    return values, {column: each.codes for column, each in words.items()}
