"""Table: the columns of a file that are used, as samples and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.files.tables.cells import Codes, Unfit, UnfitError, matrix
from layerkit.datasets.files.tables.layout import Layout, is_number, mostly_numbers
from layerkit.errors import DataError
from layerkit.words import counted

Missing = Literal["error", "mean", "zero", "drop"]

_MOST = 100  # different texts that are taken for categories without being told so
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Column:
    """A column that is used."""

    index: int
    is_text: bool
    categories: tuple[str, ...] = ()
    """The different texts, sorted."""
    mean: float = 0.0
    """Of a column of numbers."""
    told: bool = False
    """Whether the user says that it is text."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are used: each number is one feature, and each category of a text is one."""

    layout: Layout
    features: tuple[Column, ...]
    label: Column | None

    @property
    def used(self) -> tuple[Column, ...]:
        """All of them."""
        return self.features if self.label is None else (*self.features, self.label)


@dataclass(frozen=True)
class Table:
    """What a file holds."""

    columns: Columns
    data: Array
    """(rows, features), float32."""
    label: Array | None
    """(rows,): int64 where all are whole numbers or classes, otherwise float32."""
    class_names: tuple[str, ...]
    """Names of the classes, by label, where the label is text."""
    feature_names: tuple[str, ...]
    rows: Array
    """The number of each row in the file, from 0 on, (rows,)."""
    dropped: int
    """How many rows were dropped, since a value is missing."""
    left_out: tuple[DataError, ...]
    """What is wrong with the rows that were left out."""

    @property
    def arrays(self) -> dict[str, Array]:
        """Samples and labels by their names in a dataset."""
        return {"data": self.data} if self.label is None else {"data": self.data, "label": self.label}


def choose(
    layout: Layout,
    label: str | int | None,
    columns: Sequence[str | int],
    ignore: Sequence[str | int],
    categories: Sequence[str | int],
) -> Columns:
    """The columns that these fields mean, and of which kind they are, to judge by the first rows. Raises DataError."""
    target = None if label is None else layout.find(label)
    ignored = {layout.find(each) for each in ignore}
    chosen = [layout.find(each) for each in columns] or [i for i in range(layout.width) if i != target]
    if target in chosen or target in ignored:
        raise DataError(f"'{layout.path}': {layout.title(target or 0)} is the label and nothing else; see 'label'")
    chosen = [i for i in chosen if i not in ignored]
    if not chosen:
        raise DataError(f"'{layout.path}' has no column left for the samples, beside those of 'label' and 'ignore'")
    unnamed = next((i for i in chosen if layout.names is not None and not layout.names[i] and not columns), None)
    if unnamed is not None:
        what = f"column {unnamed + 1} has no name in the header, like an index that was written along"
        raise DataError(f"'{layout.path}': {what}; leave it out by 'ignore: {unnamed + 1}', or name 'columns'")
    told = {layout.find(each) for each in categories}

    def kind(index: int) -> Column:
        cells = [row[index] for row in layout.sample if len(row) > index]
        return Column(index, index in told or not mostly_numbers(cells), told=index in told)

    return Columns(layout, tuple(map(kind, chosen)), None if target is None else kind(target))


def like(known: Columns, layout: Layout, unlabelled: bool = False) -> Columns:
    """The columns of another file that are those of `known`, by name, or by number where both have no header.

    Where it is `unlabelled` it needs no column of the label. Raises DataError.
    """
    other = known.layout
    width = other.width - (unlabelled and known.label is not None)
    if (layout.names is None) != (other.names is None) or (layout.names is None and layout.width != width):
        counts = f"{counted(layout.width, 'column')}{'' if layout.names else ' and no header'}"
        known_counts = f"{counted(other.width, 'column')}{'' if other.names else ' and no header'}"
        raise DataError(f"'{layout.path}' has {counts}, but '{other.path}' has {known_counts}")
    return matched(known, layout, unlabelled)


def matched(known: Columns, layout: Layout, unlabelled: bool) -> Columns:
    """As `like`, for a layout that is known to fit: by name where `known` has names, or else by number."""
    other = known.layout

    def there(column: Column) -> Column:
        if other.names:
            return replace(column, index=layout.find(other.names[column.index]))
        behind = unlabelled and known.label is not None and column.index > known.label.index
        return replace(column, index=column.index - behind)

    label = None if known.label is None or unlabelled else there(known.label)
    return Columns(layout, tuple(map(there, known.features)), label)


def read(columns: Columns, missing: Missing, learned: bool, label_may_lack: bool = False, skip: bool = False) -> Table:
    """The table. `learned` says that categories and means are those of `columns`; else they become this file's own.

    With `label_may_lack` a table without any value in the label's column has no labels. With `skip` rows that cannot
    be used are left out. Raises DataError, naming line and column.
    """
    layout, texts = columns.layout, [each for each in columns.used if each.is_text]
    fixed: dict[int, Codes | None] = {
        each.index: {name: number for number, name in enumerate(each.categories)} if learned else None for each in texts
    }
    unfit: Unfit | None = {} if skip else None
    values, codes = matrix(layout, fixed, set(range(layout.width)) - {each.index for each in columns.used}, unfit)
    if not learned:
        for each in texts:
            _check_categories(columns, each, codes[each.index], len(values))
        columns = _learn(columns, values, codes)
    if label_may_lack and columns.label is not None and np.isnan(values[:, columns.label.index]).all():
        columns = replace(columns, label=None)
    rows = _kept(columns, values, missing, unfit)
    left_out = _told(layout, unfit or {})
    if left_out and not len(rows):
        raise left_out[0]
    dropped = len(values) - len(rows) - len(left_out)
    values = values[rows] if len(rows) < len(values) else values
    _fill(columns, values, missing)
    data, names = _features(columns, values)
    if columns.label is None:
        return Table(columns, data, None, (), names, rows, dropped, left_out)
    return Table(columns, data, _label(columns.label, values), columns.label.categories, names, rows, dropped, left_out)


def _told(layout: Layout, unfit: Unfit) -> tuple[DataError, ...]:
    """What is wrong with rows, in their order, each with its line and column."""
    lines = layout.lines() if unfit else []
    return tuple(
        DataError(f"'{layout.path}', line {lines[row]}, {layout.title(error.column)}: {error}")
        for row, error in sorted(unfit.items())
    )


def _check_categories(columns: Columns, column: Column, codes: Codes, rows: int) -> None:
    """Raise DataError where a text is no category: it is a number after all, or there are as many as rows."""
    where = f"'{columns.layout.path}': {columns.layout.title(column.index)} holds"
    first = next(iter(codes), "")
    if not column.told and "," in first and all(is_number(text.replace(",", ".", 1)) for text in codes):
        raise DataError(f"{where} numbers with a comma, such as {first!r}; write them with a point")
    if column is columns.label:
        if len(codes) > _MOST and 2 * len(codes) > rows:
            what = f"{len(codes)} different texts in {rows} rows"
            raise DataError(f"{where} {what}, so it is no label; name the label's column: 'label: NAME'")
    elif len(codes) > _MOST and not column.told:
        raise DataError(
            f"{where} {len(codes)} different texts, too many to be told apart; leave it out by 'ignore' (or name it in "
            "'categories', and each of them becomes a number of the sample)"
        )


def _learn(columns: Columns, values: Array, codes: dict[int, Codes]) -> Columns:
    """The columns with their categories and means; the codes in `values` become the numbers of the categories."""

    def learned(column: Column) -> Column:
        cells = values[:, column.index]
        here = ~np.isnan(cells)
        if not column.is_text:
            return replace(column, mean=float(cells[here].mean()) if here.any() else 0.0)
        found = codes[column.index]
        numeric = all(map(is_number, found))
        categories = sorted(found, key=(lambda text: (float(text), text)) if numeric else None)
        rank = np.empty(len(found))
        rank[[found[text] for text in categories]] = np.arange(len(found))
        cells[here] = rank[cells[here].astype(np.int64)]
        return replace(column, categories=tuple(categories))

    label = None if columns.label is None else learned(columns.label)
    return Columns(columns.layout, tuple(map(learned, columns.features)), label)


def _kept(columns: Columns, values: Array, missing: Missing, unfit: Unfit | None) -> Array:
    """The numbers of the rows that stay, int64: those that are not `unfit`, if this is given.

    Raises DataError where a value is too large, or may not be missing, unless that makes a row unfit.
    """
    layout, used = columns.layout, columns.used
    indices = [each.index for each in used]

    def refuse(wrong: Array, what: Callable[[float], str]) -> None:
        for row, at in np.argwhere(wrong).tolist():
            error = UnfitError(row, indices[at], what(values[row, indices[at]]))
            if unfit is None:
                raise DataError(f"{layout.place(row, error.column)}: {error}")
            unfit.setdefault(row, error)

    refuse(np.abs(values[:, indices]) > _LARGEST, "the value must be finite in single precision: {}".format)
    absent = np.isnan(values[:, indices])
    keep = ~absent.any(axis=1) if missing == "drop" else np.ones(len(values), bool)
    if not keep.any():
        raise DataError(f"'{layout.path}': in each row a value is missing, so 'missing: drop' leaves none")
    if missing != "drop":
        ways = "mean, zero or drop" if missing == "error" else "drop, which is the only way for a label"
        may = np.array([missing != "error" and each is not columns.label for each in used])
        refuse(absent & ~may, lambda _: f"the value is missing; say 'missing: {ways}'")
    kept = np.flatnonzero(keep)
    return kept[~np.isin(kept, list(unfit))] if unfit else kept


def _fill(columns: Columns, values: Array, missing: Missing) -> None:
    """Write numbers where they are missing; a category that is missing stays NaN."""
    for each in columns.features:
        if not each.is_text:
            cells = values[:, each.index]
            cells[np.isnan(cells)] = each.mean if missing == "mean" else 0.0


def _features(columns: Columns, values: Array) -> tuple[Array, tuple[str, ...]]:
    """The samples, (rows, features), and the features' names."""
    layout = columns.layout
    names: list[str] = []
    data = np.empty((len(values), sum(len(each.categories) if each.is_text else 1 for each in columns.features)), "f4")
    for each in columns.features:
        start, title = len(names), _name(layout, each.index)
        if each.is_text:
            names += [f"{title}={category}" for category in each.categories]
            data[:, start : len(names)] = values[:, [each.index]] == np.arange(len(each.categories))
        else:
            names.append(title)
            data[:, start] = values[:, each.index]
    return data, tuple(names)


def _label(column: Column, values: Array) -> Array:
    label = values[:, column.index]
    whole = column.is_text or bool((label == np.floor(label)).all() and np.abs(label).max() < 2**53)
    return label.astype(np.int64 if whole else np.float32)


def _name(layout: Layout, index: int) -> str:
    return (layout.names[index] if layout.names else "") or f"column {index + 1}"
