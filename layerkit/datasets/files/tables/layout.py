"""Layout: how a table is written: which character divides its columns, and whether they have names."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from layerkit.datasets.files import utf8
from layerkit.errors import DataError, did_you_mean

MISSING = frozenset({"", "?", "NA", "N/A", "NaN", "nan", "NULL", "null"})
"""What stands where a value is missing."""

_DELIMITERS = (";", "\t", "|", ",")  # a comma may also be a decimal point, so it comes last
_LOOK = 1000  # lines that are looked at


@dataclass(frozen=True)
class Layout:
    """How a file is laid out."""

    path: str
    delimiter: str
    names: tuple[str, ...] | None
    """The columns' names, from the header; None where there is none."""
    sample: tuple[tuple[str, ...], ...]
    """The first rows below the header."""

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.sample[0] if self.names is None else self.names)

    def title(self, column: int) -> str:
        """How messages name a column, counted from 0: by its name, or by its number from 1 on."""
        name = self.names[column] if self.names else ""
        return f"column {name!r}" if name else f"column {column + 1}"

    def find(self, column: str | int) -> int:
        """The index of a column, given by name, or by number from 1 on or, from the end, -1. Raises DataError."""
        if isinstance(column, str):
            if self.names is None:
                raise DataError(f"'{self.path}' has no header, so there is no column {column!r}: give its number")
            if column not in self.names:
                hint = did_you_mean(column, self.names) or f"; it has: {', '.join(map(repr, self.names))}"
                raise DataError(f"'{self.path}' has no column {column!r}{hint[:500]}")
            return self.names.index(column)
        if not 1 <= abs(column) <= self.width:
            raise DataError(f"'{self.path}' has the columns 1 to {self.width}, or -1 from the end, but no {column}")
        return column - 1 if column > 0 else self.width + column

    @contextmanager
    def rows(self) -> Iterator[TextIO]:
        """The open file, behind its header. Raises DataError."""
        with utf8.reading(self.path) as file, _explained(self.path):
            if self.names is not None:
                next(row for row in csv.reader(file, delimiter=self.delimiter) if row)
            yield file

    def place(self, row: int, column: int | None = None) -> str:
        """How messages name a row, counted from 0 without the header, and a column: by the line it begins in."""
        for line, _ in itertools.islice(self._records(), row, None):
            return f"'{self.path}', line {line}" + ("" if column is None else f", {self.title(column)}")
        return f"'{self.path}'"

    def lines(self) -> list[int]:
        """The number of the line that each row begins in."""
        return [line for line, _ in self._records()]

    def ragged(self) -> tuple[int, int] | None:
        """The first row that has not the width of the table, and its own; None where there is none."""
        widths = (len(record) for _, record in self._records())
        return next(((row, width) for row, width in enumerate(widths) if width != self.width), None)

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Each row below the header, with the number of the line it begins in."""
        with utf8.reading(self.path) as file, _explained(self.path):
            reader, line, header = csv.reader(file, delimiter=self.delimiter), 0, self.names is not None
            for record in reader:
                if record and not header:
                    yield line + 1, record
                header = header and not record
                line = reader.line_num


def inspect(path: str, delimiter: str | None, header: bool | None) -> Layout:
    """The layout of a file; what is not given is told by its first lines. Raises DataError."""
    with utf8.reading(path) as file, _explained(path):
        lines = list(itertools.islice(file, _LOOK))
        if delimiter is None:
            delimiter = _delimiter(path, lines)
        rows = [tuple(map(cell, row)) for row in csv.reader(lines, delimiter=delimiter) if row]
    if len(lines) == _LOOK and len(rows) > 1:
        rows.pop()  # it may go on in the next lines
    if not rows:
        raise DataError(f"'{path}' holds no rows")
    if header is None:
        header = _is_header(rows[0], rows[1:])
    names = rows[0] if header else None
    rows = rows[1:] if header else rows
    if not rows:
        raise DataError(f"'{path}' holds no rows below its header")
    named = [name for name in names or () if name]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"'{path}' has two columns of the name {twice!r}; give each a name of its own")
    return Layout(path, delimiter, names, tuple(rows))


def cell(text: str) -> str:
    """A cell without what surrounds its value: spaces, and quotes behind spaces."""
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == '"' else text


def is_number(text: str) -> bool:
    """Whether a cell is written as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def mostly_numbers(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers, to judge by these cells: at least half of those that are not missing."""
    present = [text for text in cells if text not in MISSING]
    return 2 * sum(map(is_number, present)) >= len(present)


def _delimiter(path: str, lines: Sequence[str]) -> str:
    order = ("\t", *_DELIMITERS) if path.lower().endswith(".tsv") else _DELIMITERS
    widths = {each: [len(row) for row in csv.reader(lines, delimiter=each) if row] for each in order}
    even = [each for each in order if widths[each] and min(widths[each]) == max(widths[each]) > 1]
    if even:
        return even[0]
    return max(reversed(order), key=lambda each: widths[each][:1])  # a row is broken, or there is one column


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns: it has a word above numbers, or only words that no column repeats."""
    columns = [[row[i] for row in rest if i < len(row)] for i in range(len(first))]
    numeric = [any(map(is_number, cells)) and mostly_numbers(cells) for cells in columns]
    if any(numeric) or not rest:
        above = [name for name, yes in zip(first, numeric, strict=True) if yes or not rest]
        return any(name not in MISSING and not is_number(name) for name in above)
    return len(set(first)) == len(first) and all(name not in cells for name, cells in zip(first, columns, strict=True))


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        raise DataError(f"'{path}' is no table that can be read: {error}") from None
