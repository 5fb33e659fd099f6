"""`csv`: samples in a text file, a row each, as spreadsheets and statistics programs write them.

The samples are the columns that hold numbers, (columns,) float32. A column of text becomes a number of 0 or 1 for each
of its categories, in their order; where nothing stands, all are 0. `label` is the last column unless a field says
otherwise: text becomes the number of its class, by the sorted class names; numbers stay what they are.

Cells that are empty or hold ?, NA, N/A, NaN, nan, NULL or null are missing. Header and delimiter are told by the first
thousand lines, and which columns are text. Quoted cells, a byte order mark, and all line ends are read.

Classes, categories and means are those of the whole file; where `parts` names a file for `train`, they are that
file's in all parts, and elsewhere `like` names the file whose they are. With `label: null` the last column of that
file may be missing, as its label.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from layerkit.datasets.dataset import Dataset
from layerkit.datasets.files import utf8
from layerkit.datasets.files.tables.layout import inspect
from layerkit.datasets.files.tables.learned import Learned
from layerkit.datasets.files.tables.table import Columns, Missing, Table, choose, like, read
from layerkit.datasets.source import ArraySource, Header, Source


class Csv(Dataset):
    """Rows of a table in a text file. The source is its path."""

    parts: ClassVar[tuple[str, ...]] = ()
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    type: Literal["csv"] = "csv"
    header: bool | None = Field(None, description="Whether the first row names the columns; by default it is told.")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="What divides columns; by default told, of ; tab | and comma."
    )
    label: str | int | None = Field(
        -1, description="The label's column, by name, or by number from 1 on or, from the end, -1; null for no label."
    )
    columns: list[str | int] = Field([], description="Columns that make the samples; by default all but the label's.")
    ignore: list[str | int] = Field([], description="Columns to leave out.")
    categories: list[str | int] = Field([], description="Columns of categories or classes though they hold numbers.")
    missing: Missing = Field(
        "error", description="What becomes of a missing value: an error, the column's mean, 0, or the row is dropped."
    )
    like: str | None = Field(
        None, description="Path of another table whose columns, categories, classes and means this one has."
    )

    _learned: Learned | None = PrivateAttr(None)
    _skip: bool = PrivateAttr(False)

    def describe(self, source: str | None, part: str) -> Header:
        """Shapes, length and names; the file is read for them. Raises DataError as `open` does."""
        return self._header(self._read(source))

    def open(self, source: str | None, part: str) -> Source:
        """The rows, in memory. Raises DataError, naming line and column."""
        found = self._read(source)
        return _Rows(repr(source), found, self._header(found))

    def beside(self, paths: Mapping[str, str]) -> Csv:
        """The same table, with the classes, categories and means of the file to train with."""
        if self.like is not None or "train" not in paths:
            return self
        return self.model_copy(update={"like": paths["train"]})

    def own_numbers(self, source: str | None) -> str:
        """The categories that this file numbers by itself, or its means; empty with `like`."""
        if self.like is not None or self._learned is not None:
            return ""
        columns = self._read(source).columns
        text = next((each for each in columns.features if each.is_text), None)
        if text is not None:
            return f"numbers the categories of {columns.layout.title(text.index)} by itself"
        return "fills in the means of its own columns" if self.missing == "mean" else ""

    def trained_with(self, table: Mapping[str, Any], skip: bool) -> Csv:
        """One whose columns, categories, classes and means are those that a snapshot speaks of; `like` goes before."""
        if self.like is not None:
            return self
        other = self.model_copy()
        other._learned, other._skip = Learned.from_data(table), skip
        return other

    def _header(self, found: Table) -> Header:
        table = Learned.of(found.columns, self.missing, self.delimiter).model_dump()
        header = Header.of(found.arrays, found.class_names)
        return replace(header, feature_names=found.feature_names, table=table)

    def _read(self, source: str | None) -> Table:
        path = self.path(source, "the path of a table")
        if self._learned is not None:
            return self._learned.read(
                path,
                delimiter=self.delimiter,
                header=self.header,
                missing=self.missing if "missing" in self.model_fields_set else None,
                labelled=self.label is not None,
                skip=self._skip,
            )
        known = None if self.like in (None, path) else self._unlike(path)._read(self.like).columns
        return _read(path, utf8.stamp(path), self.model_dump_json(exclude={"like"}), known)

    def _unlike(self, path: str) -> Csv:
        """What the table that this one is like is read by: its last column is its label if that is missing here."""
        alone = self.model_copy(update={"like": None})
        if self.like is None or self.label is not None or self.columns or self.ignore:
            return alone
        here, other = (inspect(each, self.delimiter, self.header) for each in (path, self.like))
        if here.names is None or other.names is None:
            lacks = here.names is other.names and here.width == other.width - 1
        else:
            lacks = other.names[-1] not in here.names
        return alone.model_copy(update={"label": -1}) if lacks else alone


class _Rows(ArraySource):
    """The rows of a table, which messages and answers name by the lines that they begin in."""

    def __init__(self, where: str, table: Table, header: Header):
        super().__init__(where, table.arrays, table.class_names)
        self.header = header
        self._table = table
        self.left_out = table.left_out
        if table.dropped:
            self.note = f"rows in which a value is missing are left out, {table.dropped:,} of them (missing: drop)"

    def place(self, index: int) -> str:
        """The file and the line."""
        return self._table.columns.layout.place(int(self._table.rows[index]))

    def mark(self, index: int) -> str:
        """The line."""
        return f":{self._lines[self._table.rows[index]]}"

    @functools.cached_property
    def _lines(self) -> list[int]:
        return self._table.columns.layout.lines()


@functools.lru_cache(maxsize=2)  # a net reads a file for its header and then for its samples, in each of two phases
def _read(path: str, stamp: tuple[int, ...], fields: str, known: Columns | None) -> Table:
    """The table of a file as it is at `stamp`; with `known`, by what that table has learned of its own."""
    chosen = Csv.model_validate_json(fields)
    layout = inspect(path, chosen.delimiter, chosen.header)
    if known is not None:
        return read(like(known, layout, unlabelled=chosen.label is None), chosen.missing, learned=True)
    columns = choose(layout, chosen.label, chosen.columns, chosen.ignore, chosen.categories)
    return read(columns, chosen.missing, learned=False)
