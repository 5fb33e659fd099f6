"""What a field's value may be, as JSON Schema, read from the types that validate it and from the shorthands they have.

Each kind of field is defined once, under a name such as `list_of_int_min_1`, and a field only refers to it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Container, Iterable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, WithJsonSchema
from pydantic.fields import FieldInfo

from layerkit.datasets.dataset import Dataset
from layerkit.datasets.registered import Registered
from layerkit.fields import Strict, Tagged
from layerkit.spec import PHASES, BestSpec

Schema = dict[str, Any]

_PLAIN = {int: "integer", float: "number", bool: "boolean", str: "string", NoneType: "null"}
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_WIDEST = 1e30
"""A bound beyond it only says that a number must be finite in float32."""
_MANY = 4
"""Alternatives that a name lists; of more it gives the first ones."""
_ARGUMENT = {"description": "An argument of the block around it: $name.", "type": "string", "pattern": "\\$"}


class _Kind(NamedTuple):
    """A kind of value: a name made of letters, digits and _, and its schema."""

    name: str
    schema: Schema


class Definitions:
    """The parts of a schema that others refer to, by name."""

    def __init__(self) -> None:
        self.parts: dict[str, Schema] = {"argument": _ARGUMENT}

    def put(self, name: str, schema: Schema) -> Schema:
        """Define a part, and return what refers to it; another part of the same name gets a number behind it."""
        stem, number = re.sub(r"\W+", "_", name).strip("_"), 1
        name = stem
        while self.parts.setdefault(name, schema) != schema:
            number += 1
            name = f"{stem}_{number}"
        return {"$ref": f"#/$defs/{name}"}

    def fields(
        self,
        model: type[BaseModel],
        *,
        without: Container[str] = (),
        by_phase: bool = False,
        fixed: Container[str] = (),
    ) -> Schema:
        """A model's fields with description and default; `by_phase` those that are not `fixed` may differ by phase."""
        found: Schema = {}
        for name, info in model.model_fields.items():
            if name in without:
                continue
            phases = by_phase and name not in fixed
            kind = self._kind(info.annotation, info.metadata)
            default = None if info.is_required() else _said(info.get_default(call_default_factory=True))
            found[name] = {
                **({"description": info.description} if info.description else {}),
                **({} if default is None else {"default": default}),
                **self._field(kind, phases),
            }
        return found

    def mapping(self, model: type[BaseModel], **others: Schema) -> Schema:
        """A mapping of a model's fields, and `others` in their place or beside them, and nothing else."""
        fields = {**self.fields(model, without=others), **others}
        required = {name for name, info in model.model_fields.items() if info.is_required()}
        if issubclass(model, Tagged):
            required.add("type")
        said = inspect.cleandoc(model.__doc__ or "").splitlines()
        return {**({"description": said[0]} if said else {}), **closed(fields, required)}

    def _field(self, kind: _Kind, by_phase: bool) -> Schema:
        """What refers to a field of a kind: its value, an argument that stands for it, or one of either a phase."""
        once = self.put(f"{kind.name}_field", {"anyOf": [*_choices_of(kind.schema), argument()]})
        if not by_phase:
            return once
        phases = {"type": "object", "minProperties": 1, "additionalProperties": False}
        phases["properties"] = dict.fromkeys(PHASES, once)
        return self.put(f"{kind.name}_by_phase", {"anyOf": [once, phases]})

    # -- kinds -----------------------------------------------------------------------------------------------------

    def _kind(self, annotation: Any, notes: Sequence[Any] = (), *, alone: bool = True) -> _Kind:
        """What a type accepts; `alone` says whether a list accepts a single value in its place."""
        origin, inside = get_origin(annotation), get_args(annotation)
        for note in notes:
            if isinstance(note, WithJsonSchema) and note.json_schema is not None:
                return _Kind(note.json_schema["title"], note.json_schema)
        if origin is Annotated:
            more = [each for note in inside[1:] for each in (note.metadata if isinstance(note, FieldInfo) else [note])]
            return self._kind(inside[0], [*notes, *more], alone=alone)
        if origin in (Union, UnionType):
            return self._one_of([each for each in inside if _bare(each) is not Registered], notes)
        if origin is Literal:
            return _choices(inside)
        if origin is list:
            return self._list(inside[0], notes, alone=alone)
        if origin is dict:
            value = self._kind(inside[1])
            return _Kind(f"mapping_of_{value.name}", {"type": "object", "additionalProperties": value.schema})
        if isinstance(annotation, type) and issubclass(annotation, Strict):
            return self._model(annotation)
        return _plain(annotation, notes)

    def _one_of(self, members: Sequence[Any], notes: Sequence[Any]) -> _Kind:
        """One of several; only where one alone of them is a list does a single value stand for it."""
        lists = [each for each in members if get_origin(_bare(each)) is list]
        kinds = [self._kind(each, notes, alone=len(lists) < 2) for each in members]
        name = "_or_".join(kind.name for kind in kinds)
        if len(kinds) > _MANY:
            name = f"one_of_{kinds[0].name}"
        return _Kind(name, {"anyOf": [choice for kind in kinds for choice in _choices_of(kind.schema)]})

    def _list(self, item: Any, notes: Sequence[Any], *, alone: bool) -> _Kind:
        kind = self._kind(item)
        each = self._field(kind, by_phase=False)
        least = next((note.min_length for note in notes if hasattr(note, "min_length")), None)
        several: Schema = {"type": "array", "items": each} | ({"minItems": least} if least else {})
        name = f"list_of_{kind.name}{f'_at_least_{least}' if least else ''}"
        if not alone or item is Any:
            return _Kind(f"{name}_only" if item is not Any else name, several)
        return _Kind(name, {"anyOf": [several, *_choices_of(kind.schema)]})

    def _model(self, model: type[Strict]) -> _Kind:
        """A mapping, or the short form of one: the text of one of its fields; true and false where it is a switch."""
        short = model.shorthand or ("type" if issubclass(model, Tagged) else None)
        info = model.model_fields[short] if short else None
        kind = self._kind(info.annotation, info.metadata) if info else _Kind("", {"anyOf": []})
        tags: Schema = {}
        if issubclass(model, Dataset):  # whose names have one spelling
            kind = _Kind(model.__name__, {"enum": [model.model_fields["type"].default]})
            tags["type"] = kind.schema
        choices = [self.put(model.__name__, self.mapping(model, **tags))]
        choices += [each for each in _choices_of(kind.schema) if each != {"type": "null"}]
        choices += [{"type": "boolean"}] if issubclass(model, BestSpec) else []
        return _Kind(model.__name__, {"anyOf": choices})


def closed(fields: Schema, required: Iterable[str]) -> Schema:
    """A mapping of these fields and no others."""
    schema: Schema = {"type": "object", "properties": fields, "additionalProperties": False}
    needed = sorted(required)
    return schema | ({"required": needed} if needed else {})


def argument() -> Schema:
    """What refers to an argument of a block, which may stand for any value."""
    return {"$ref": "#/$defs/argument"}


def _plain(annotation: Any, notes: Sequence[Any]) -> _Kind:
    """A number, a text, true or false, nothing, or anything; with what bounds it."""
    if annotation is Any:
        return _Kind("anything", {})
    schema: Schema = {"type": _PLAIN[annotation]}
    for note in notes if annotation in (int, float) else ():
        for bound, word in _BOUNDS.items():
            if abs(limit := getattr(note, bound, _WIDEST)) < _WIDEST:
                schema[word] = limit
    words = [schema["type"], *(f"{word}_{_slug(value)}" for word, value in schema.items() if word != "type")]
    return _Kind("_".join(words), schema)


def _slug(number: float) -> str:
    return f"{number:g}".replace("-", "minus_").replace(".", "_").replace("+", "")


def _choices(values: Sequence[Any]) -> _Kind:
    """Words in any letter case; those that the enumeration spells out are what an editor offers."""
    words = sorted(value for value in values if isinstance(value, str))  # Literals of other orders are one, says typing
    name = "_".join([str(words[0]), *(f"or_{word}" for word in words[1:_MANY])])
    pattern = "|".join("".join(_either_case(letter) for letter in word) for word in words)
    choices: list[Schema] = [{"enum": [*words, *(value for value in values if not isinstance(value, str))]}]
    if pattern:
        choices.append({"type": "string", "pattern": f"^({pattern})$"})
    return _Kind(name if len(words) <= _MANY else f"{name}_and_so_on", {"anyOf": choices})


def _either_case(letter: str) -> str:
    return f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else re.escape(letter)


def _choices_of(schema: Schema) -> list[Schema]:
    """The alternatives of a schema, so that they can stand beside others."""
    return schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _said(value: Any) -> Any:
    """A default as YAML would say it; None for one that stands for "not given"."""
    if isinstance(value, Strict):
        said = value.model_dump(mode="json", exclude_unset=True)
        short = value.shorthand
        return said[short] if short and said.keys() == {short} else said or None
    return [_said(each) for each in value if _said(each) is not None] if isinstance(value, list) else value
