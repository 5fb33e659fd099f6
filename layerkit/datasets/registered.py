"""Datasets that a Python program registers, so that a YAML file can name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import shape_text
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.source import ArraySource, Header, Source, check, in_order
from layerkit.errors import DataError

_parts: dict[str, dict[str, tuple[dict[str, Any], tuple[str, ...]]]] = {}


def add(name: str, train: Mapping[str, Any], test: Mapping[str, Any] | None, class_names: Iterable[str]) -> None:
    """Keep the arrays under `name`, in the place of what had that name. Raises DataError for arrays that do not fit."""
    names = tuple(class_names)
    given = {"train": train} if test is None else {"train": train, "test": test}
    parts = {}
    for part, mapping in given.items():
        arrays = in_order({key: _array(name, key, value) for key, value in mapping.items()})
        check(f"the {part} part of dataset {name!r}", arrays, names)
        parts[part] = (arrays, names)
    if test is not None:
        _same_kind(name, *(Header.of(parts[part][0]) for part in ("train", "test")))
    _parts[name] = parts


def names() -> list[str]:
    """The names registered so far."""
    return sorted(_parts)


class Registered(Dataset):
    """Arrays that `add_dataset` made known by a name, which is the type."""

    in_memory: ClassVar[bool] = True

    type: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _no_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("type"), str) and len(value) > 1:
            fields = ", ".join(key for key in value if key != "type")
            raise ValueError(f"there is no kind of dataset {value['type']!r} that could have the fields {fields}")
        return value

    def describe(self, source: str | None, part: str) -> Header:
        """What the registered arrays are. Raises DataError where there is no such part."""
        arrays, class_names = _of(self.type, source, part)
        return Header.of(arrays, class_names)

    def open(self, source: str | None, part: str) -> Source:
        """The registered arrays themselves, checked again: the program may have written into them."""
        arrays, class_names = _of(self.type, source, part)
        return ArraySource(f"the {part} part of dataset {self.type!r}", arrays, class_names)


def _of(name: str, source: str | None, part: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    if source is not None:
        raise DataError(f"the dataset {name!r} lies in memory and takes no source, but is given {source!r}")
    if part not in _parts[name]:
        raise DataError(
            f"the dataset {name!r} has no {part} part; give add_dataset({name!r}, ...) the argument {part}="
        )
    return _parts[name][part]


def _array(name: str, key: str, value: Any) -> Any:
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"dataset {name!r}: {key!r} is no array: {error}") from None


def _same_kind(name: str, train: Header, test: Header) -> None:
    if list(train.shapes) != list(test.shapes):
        listed = f"{', '.join(train.shapes)} to train and {', '.join(test.shapes)} to test"
        raise DataError(f"dataset {name!r}: both parts must have the same arrays, but there are {listed}")
    for key, shape in train.shapes.items():
        if shape != test.shapes[key]:
            listed = f"{shape_text(shape)} to train and {shape_text(test.shapes[key])} to test"
            raise DataError(f"dataset {name!r}: samples of {key!r} must have one shape, but are {listed}")
