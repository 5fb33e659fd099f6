"""Learned: what a net's table has taught, as plain data, so that another file is read as that one was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from layerkit.datasets.files.tables.layout import Layout, inspect
from layerkit.datasets.files.tables.table import Column, Columns, Missing, Table, matched, read
from layerkit.errors import DataError
from layerkit.fields import Strict
from layerkit.words import counted

_WIDEST = 1 << 20  # columns, so that a snapshot that lies takes no memory

Index = Annotated[int, Field(ge=0, lt=_WIDEST)]


class LearnedColumn(Strict):
    """A column that is used."""

    index: Index = Field(description="Its place, from 0 on.")
    categories: list[str] | None = Field(None, description="The texts that it may hold, by number; None: numbers.")
    mean: float = Field(0.0, description="Of a column of numbers.")

    @classmethod
    def of(cls, column: Column) -> Self:
        """That of a column that was read."""
        return cls(index=column.index, categories=list(column.categories) if column.is_text else None, mean=column.mean)

    def column(self) -> Column:
        """The column again."""
        return Column(self.index, self.categories is not None, tuple(self.categories or ()), self.mean)


class Learned(Strict):
    """The columns of a table that a net was trained with."""

    names: list[str] | None = Field(description="Names of all columns, from the header; None where it has none.")
    width: Index = Field(description="How many columns there are.")
    delimiter: str | None = Field(description="What divides columns, where the user said it.")
    missing: Missing = Field(description="What becomes of a missing value.")
    features: list[LearnedColumn] = Field(min_length=1, description="The columns that make a sample, in their order.")
    label: LearnedColumn | None = Field(description="The label's column.")

    @model_validator(mode="after")
    def _fits_together(self) -> Learned:
        used = [*self.features, *([] if self.label is None else [self.label])]
        if self.names is not None and len(self.names) != self.width:
            raise ValueError(f"there are {len(self.names)} names of {self.width} columns")
        if any(each.index >= self.width for each in used):
            raise ValueError(f"a column lies beyond the {self.width} that there are")
        return self

    @classmethod
    def of(cls, columns: Columns, missing: Missing, delimiter: str | None) -> Self:
        """What a table that was read has taught."""
        names = columns.layout.names
        return cls(
            names=None if names is None else list(names),
            width=columns.layout.width,
            delimiter=delimiter,
            missing=missing,
            features=[LearnedColumn.of(each) for each in columns.features],
            label=None if columns.label is None else LearnedColumn.of(columns.label),
        )

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """What a snapshot says of it. Raises DataError for what does not fit together."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            fault = error.errors()[0]
            what = ": ".join([*map(str, fault["loc"]), fault["msg"]])
            raise DataError(f"what is known of the table of the training cannot be read: {what}") from None

    @property
    def numbers(self) -> int:
        """How many numbers a sample has."""
        return sum(1 if each.categories is None else len(each.categories) for each in self.features)

    def read(
        self,
        path: str,
        *,
        delimiter: str | None,
        header: bool | None,
        missing: Missing | None,
        labelled: bool = True,
        skip: bool = False,
    ) -> Table:
        """Another file as the one of the training was read; its columns are found by their names.

        It may lack the label's column, or any value in it, and then has no labels, as where it is not to be `labelled`.
        `delimiter` and `missing` stand for what the training says; `header` says whether the file has one where that of
        the training has none. With `skip` rows that cannot be used are left out. Raises DataError, naming line and
        column.
        """
        names = None if self.names is None else tuple(self.names)
        layout = inspect(path, delimiter or self.delimiter, bool(header) if names is None else True)
        if names is None:
            lacks = self.label is not None and layout.width == self.width - 1
            if not lacks and layout.width != self.width:
                columns = counted(layout.width, "column")
                raise DataError(
                    f"'{path}' has {columns}, but the table of the training, without a header, {self.width}"
                )
        else:
            lacks = self.label is not None and names[self.label.index] not in (layout.names or ())
        known = Columns(
            Layout("the table of the training", "", names, (("",) * self.width,)),
            tuple(each.column() for each in self.features),
            None if self.label is None else self.label.column(),
        )
        found = matched(known, layout, unlabelled=lacks)
        if not labelled:
            found = replace(found, label=None)
        return read(found, missing or self.missing, learned=True, label_may_lack=True, skip=skip)
