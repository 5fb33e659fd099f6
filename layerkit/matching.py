"""How named arrays match a net's weights: what is loaded, skipped, missing or of another shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import SnapshotError, did_you_mean
from layerkit.words import plural


class Row(NamedTuple):
    """One weight: its shapes as texts, "" where it is not there, and what became of it."""

    weight: str
    in_file: str
    in_net: str
    result: str


@dataclass(frozen=True)
class Match:
    """What of `source` goes into a net, by `layer.weight`; `str` of it is a table."""

    source: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """In the net but not in the source: these stay as they are."""
    skipped: list[str] = field(default_factory=list)
    """In the source but not in the net."""
    misshapen: list[str] = field(default_factory=list)
    """In both, with different shapes."""
    rows: list[Row] = field(default_factory=list, repr=False)
    """The net's weights in order, then what is skipped."""

    @property
    def titles(self) -> tuple[str, str, str, str]:
        """Of the columns of `rows`."""
        return "weight", f"in {self.source}", "in the net", ""

    @property
    def summary(self) -> str:
        """`2 of 4 weights from a.safetensors; 2 missing, 1 skipped`."""
        counts = {"missing": self.missing, "skipped": self.skipped}
        rest = ", ".join(f"{len(names)} {what}" for what, names in counts.items() if names)
        total = len(self.loaded) + len(self.missing) + len(self.misshapen)
        return (
            f"{len(self.loaded)} of {total} {plural(total, 'weight')} from {self.source}{f'; {rest}' if rest else ''}"
        )

    def expect(self, strict: bool | None) -> None:
        """Raise SnapshotError, naming the first weight to blame, for what `strict` does not allow.

        Another shape never is. With None every weight of the net must be there, with True and no others besides; with
        False any may be missing.
        """
        row = next((row for row in self.rows if row.weight in self.misshapen), None)
        if row is not None:
            layer = row.weight.partition(".")[0]
            hint = f"; to train layer {layer!r} afresh, give it another name" if strict is False else ""
            what = f"{row.weight!r} is {row.in_file}, but the net's is {row.in_net}"
            raise SnapshotError(f"{self.source}: {what}{hint}")
        if strict is not False and self.missing:
            name = self.missing[0]
            raise SnapshotError(f"{self.source} has no weight {name!r}{did_you_mean(name, self.skipped + self.loaded)}")
        if strict and self.skipped:
            name = self.skipped[0]
            raise SnapshotError(f"{self.source} has a weight {name!r}, which the net has not; strict allows no others")

    def __str__(self) -> str:
        table = [self.titles, *self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)
        return "\n".join([*lines, self.summary])


def match(arrays: Mapping[str, Array], shapes: Mapping[str, Shape], others: Collection[str], source: str) -> Match:
    """Compare `arrays` with the net's weights, name -> shape; `others` are further names of its shared weights.

    Raises SnapshotError, naming the first array to blame, for values that are no real numbers.
    """
    found = Match(source)
    for name, shape in shapes.items():
        array = arrays.get(name)
        if array is None:
            names, result = found.missing, "missing"
        elif array.shape != shape:
            names, result = found.misshapen, "wrong shape"
        elif array.dtype.kind not in "fiub":
            raise SnapshotError(f"{source}: {name!r} holds values of type {array.dtype}, not real numbers")
        else:
            names, result = found.loaded, "loaded"
        names.append(name)
        found.rows.append(Row(name, "" if array is None else shape_text(array.shape), shape_text(shape), result))
    used = {id(arrays[name]) for name in found.loaded}  # a weight that layers share stands under each one's name
    for name, array in arrays.items():
        if name not in shapes and name not in others and id(array) not in used:
            found.skipped.append(name)
            found.rows.append(Row(name, shape_text(array.shape), "", "skipped"))
    return found
