"""Strict: the pydantic base of everything that YAML can say, with the shorthands that every field understands.

- a field with choices (`Literal`) accepts them in any letter case: `pool: max`;
- a field that is a list accepts a single value: `kernel_size: 3`;
- a field that is a model with a `shorthand` accepts that one field's value: `weight_filler: xavier`;
- a field that is one of several models, told apart by their `type`, accepts the type alone: `transform: [mirror]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic.fields import FieldInfo


class Strict(BaseModel):
    """A frozen model without surprises: unknown fields, wrong types, booleans for numbers, nan and inf are errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    shorthand: ClassVar[str | None] = None
    _expanders: ClassVar[dict[str, Callable[[Any], Any]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        expanders = {name: _expander(field.annotation) for name, field in cls.model_fields.items()}
        cls._expanders = {name: expand for name, expand in expanders.items() if expand is not None}

    @model_validator(mode="before")
    @classmethod
    def _expand_shorthands(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        expanders = cls._expanders
        return {key: expanders[key](item) if key in expanders else item for key, item in value.items()}


class Tagged(Strict):
    """Base of models that are told apart by their `type`, which is therefore written out although it is a default."""

    @model_serializer(mode="wrap")
    def _with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"type": getattr(self, "type", None), **handler(self)}


def _expander(annotation: Any) -> Callable[[Any], Any] | None:
    """What turns a shorthand of this type into its long form, or None where the type has no shorthand."""
    if get_origin(annotation) is Annotated:
        inside, *notes = get_args(annotation)
        tags = [note.discriminator for note in notes if isinstance(note, FieldInfo)]
        return _tagged_expander(inside, tags[0]) if tags and isinstance(tags[0], str) else _expander(inside)
    if get_origin(annotation) in (Union, UnionType):
        found = {expand for expand in map(_expander, get_args(annotation)) if expand is not None}
        return found.pop() if len(found) == 1 else None
    if get_origin(annotation) is Literal:
        choices = {str(choice).lower(): choice for choice in get_args(annotation)}
        return lambda value: choices.get(value.lower(), value) if isinstance(value, str) else value
    if get_origin(annotation) is list and get_args(annotation) != (Any,):
        return _list_expander(*get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Strict) and annotation.shorthand is not None:
        return _Shorthand(annotation.shorthand)
    return None


@dataclass(frozen=True)
class _Shorthand:
    """Turns a text into a mapping with this field; models that tell their kinds apart by one field share it."""

    field: str

    def __call__(self, value: Any) -> Any:
        return {self.field: value} if isinstance(value, str) else value


def _list_expander(item: Any) -> Callable[[Any], Any]:
    expand = _expander(item) or (lambda value: value)

    def expand_list(value: Any) -> Any:
        if value is None:
            return value
        return [expand(each) for each in (value if isinstance(value, list) else [value])]

    return expand_list


def _tagged_expander(models: Any, tag: str) -> Callable[[Any], Any]:
    """What makes a model of its tag alone, and accepts the tag in any letter case."""
    tags = [each for model in get_args(models) for each in get_args(model.model_fields[tag].annotation)]
    known = {each.lower(): each for each in tags}

    def expand(value: Any) -> Any:
        if isinstance(value, str):
            return {tag: known.get(value.lower(), value)}
        given = value.get(tag) if isinstance(value, dict) else None
        return {**value, tag: known[given.lower()]} if isinstance(given, str) and given.lower() in known else value

    return expand
