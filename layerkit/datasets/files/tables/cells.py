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

Codes = dict[str, int]
"""Text -> its number."""


def matrix(layout: Layout, texts: Mapping[int, Codes | None], unused: Set[int]) -> tuple[Array, dict[int, Codes]]:
    """Every cell, (rows, columns), float64, and the codes of the columns of text.

    `texts` are the columns of text, with the codes that there may be, or None where each new text gets the next number.
    The others hold numbers, but columns `unused` are 0. Raises DataError, naming line and column.
    """
    try:
        return _load(layout, texts, unused, patient=False)
    except DataError:
        raise
    except ValueError:
        pass  # somewhere is something that C does not read as a number
    try:
        return _load(layout, texts, unused, patient=True)
    except DataError:
        raise
    except ValueError as error:
        ragged = layout.ragged()
        if ragged is None:
            raise DataError(f"'{layout.path}' is no table that can be read: {' '.join(str(error).split())}") from None
        row, width = ragged
        raise DataError(f"{layout.place(row)}: there are {width} values, but {layout.width} columns") from None


class _UnfitError(ValueError):
    """A cell that cannot be taken, by its row and column, from 0."""

    def __init__(self, row: int, column: int, reason: str):
        super().__init__(reason)
        self.row, self.column = row, column


class _Column:
    """Turns the cells of a column into numbers, one after the other."""

    def __init__(self, column: int):
        self._column, self._row = column, -1

    def __call__(self, raw: str) -> float:
        self._row += 1
        text = cell(raw)
        return math.nan if text in MISSING else self.number(text)

    def number(self, text: str) -> float:
        if not is_number(text):
            reason = "is no number, as others in this column are; leave it out by 'ignore', or name it in 'categories'"
            raise self.unfit(text, reason)
        return float(text)

    def unfit(self, text: str, reason: str) -> _UnfitError:
        return _UnfitError(self._row, self._column, f"{text if len(text) <= 80 else text[:77] + '...'!r} {reason}")


class _Texts(_Column):
    def __init__(self, column: int, codes: Codes | None):
        super().__init__(column)
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
    layout: Layout, texts: Mapping[int, Codes | None], unused: Set[int], patient: bool
) -> tuple[Array, dict[int, Codes]]:
    """`patient` reads numbers cell by cell, too."""
    words = {column: _Texts(column, codes) for column, codes in texts.items()}
    converters: dict[int | str, Callable[[str], float]] = dict.fromkeys(unused, lambda _: 0.0)
    converters.update(words.items())
    for column in range(layout.width) if patient else ():
        converters.setdefault(column, _Column(column))
    with layout.rows() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a file without rows
        try:
            values = np.loadtxt(
                file, delimiter=layout.delimiter, comments=None, quotechar='"', ndmin=2, converters=converters or None
            )
        except ValueError as error:
            unfit = error.__cause__
            if isinstance(unfit, _UnfitError):
                raise DataError(f"{layout.place(unfit.row, unfit.column)}: {unfit}") from None
            raise
    if values.shape[1:] != (layout.width,) or not len(values):
        raise ValueError("rows and columns do not come out even")
    return values, {column: each.codes for column, each in words.items()}
