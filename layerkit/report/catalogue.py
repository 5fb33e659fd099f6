"""What there is to know of each layer type, from its docstring and from the model that validates its parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from layerkit.fields import Strict, Tagged
from layerkit.registry import family, layer_class, layer_types
from layerkit.spec import LayerSpec

_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", Any: "anything"}
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_WIDEST_BOUND = 1e30  # a bound beyond it only says that a number must be finite in float32


@dataclass(frozen=True)
class Parameter:
    """One parameter of a type."""

    name: str
    kind: str
    """What its value must be, in words: `MAX, AVE or STOCHASTIC`, `whole number > 0`."""
    default: str | None
    """As written in YAML; None where the parameter is required."""
    text: str
    """What it means."""


@dataclass(frozen=True)
class Page:
    """What there is to know of one type."""

    type: str
    family: str
    summary: str
    """One sentence."""
    text: str
    """Formula, shapes, weights, what it raises: paragraphs with a blank line between, formulas indented."""
    parameters: tuple[Parameter, ...]
    example: str
    """One layer in YAML's flow style, on one line."""
    source: str


def page(name: str) -> Page:
    """The page of a type. Raises UnknownNameError for one that does not exist."""
    cls = layer_class(name)
    lines = inspect.cleandoc(vars(cls).get("__doc__") or "").splitlines() or [""]
    parts: dict[str, list[str]] = {"": [], "Example": [], "Source": []}
    at = ""
    for line in lines[1:]:
        said = re.match(r"(Example|Source): +", line)
        if said:
            at, line = said[1], line[said.end() :]
        elif not line:
            at = ""
        parts[at].append(line if at == "" else line.strip())
    return Page(
        type=name,
        family=family(name),
        summary=lines[0],
        text=re.sub(r"\n{3,}", "\n\n", "\n".join(parts[""])).strip("\n"),
        parameters=tuple(parameters(cls.Params)),
        example=" ".join(parts["Example"]),
        source=" ".join(parts["Source"]),
    )


def index() -> list[tuple[str, list[tuple[str, str]]]]:
    """(family, [(type, summary) ...]) of all types, sorted."""
    rows = sorted((family(name), name, page(name).summary) for name in layer_types())
    return [(key, [row[1:] for row in group]) for key, group in groupby(rows, key=lambda row: row[0])]


def common_fields() -> list[str]:
    """Names of the fields that every layer has beside its type's parameters."""
    return [name for name in LayerSpec.model_fields if name != "type"]


def markdown() -> str:
    """The index of the built-in types as configs/LAYERS.md holds it: one line a type."""
    families = [(name, types) for name, types in index() if name != "plug-in"]
    count = sum(len(types) for _, types in families)
    text = [
        "# The layers",
        "",
        f"All {count} types, by family. `layerkit layers Pooling` says what there is to know of one: formula, shapes,",
        "parameters with their defaults, and an example. `layerkit layers --markdown` writes this file.",
    ]
    for name, types in families:
        text += ["", f"## {name}", ""]
        text += [f"- `{kind}`: {summary}" for kind, summary in types]
    return "\n".join(text) + "\n"


def parameters(model: type[BaseModel], inside: str = "") -> Iterator[Parameter]:
    """The parameters that a model holds, those that must be given first; those of a mapping follow it, as `a.b`."""
    fields = sorted(model.model_fields.items(), key=lambda item: not item[1].is_required())
    for name, info in fields:
        default = None if info.is_required() else written(info.get_default(call_default_factory=True))
        yield Parameter(f"{inside}{name}", kind(info.annotation, _bounds(info)), default, info.description or "")
        if isinstance(info.annotation, type) and issubclass(info.annotation, Strict) and not info.annotation.shorthand:
            yield from parameters(info.annotation, f"{inside}{name}.")


def kind(annotation: Any, bounds: str = "") -> str:
    """What a value of this type must be, in words; `bounds` such as ` > 0` belong to its numbers."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(inside[0], "".join(_bounds(info) for info in inside[1:] if isinstance(info, FieldInfo)) or bounds)
    if origin in (Union, UnionType):
        tagged = [model.model_fields["type"] for model in map(_bare, inside) if _is_tagged(model)]
        types = [each.default for each in tagged if not each.is_required()]
        if len(types) > 1:
            return f"{_either(types)}, alone or as the type of a mapping"
        return _either([kind(each, bounds) for each in inside if each is not NoneType])
    if origin is Literal:
        return _either([str(choice) for choice in inside])
    if origin in (list, tuple):
        several = re.sub(r"\b(number|list)\b", r"\1s", kind(inside[0], bounds))
        return f"list of {several}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        short = getattr(annotation, "shorthand", None)
        return f"{annotation.__name__.lower()} (its {short}, or a mapping)" if short else "mapping"
    return _WORDS[annotation] + (bounds if annotation in (int, float) else "")


def written(value: Any) -> str:
    """A default as YAML would say it; nothing for one that stands for "not given"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Strict):
        said = {name: getattr(value, name) for name in sorted(value.model_fields_set)}
        short = value.shorthand
        if short:
            said = {short: getattr(value, short), **said}
        if short and len(said) == 1:
            return str(said[short])
        return "{" + ", ".join(f"{name}: {written(each)}" for name, each in said.items()) + "}" if said else ""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]" if value else ""
    return "" if value is None else str(value)


def _bare(annotation: Any) -> Any:
    """A type without what is noted on it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_tagged(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Tagged)


def _bounds(info: FieldInfo) -> str:
    """` > 0`, ` >= 0 and <= 1`."""
    found = [
        f"{sign} {getattr(each, name):g}"
        for each in info.metadata
        for name, sign in _BOUNDS.items()
        if abs(getattr(each, name, _WIDEST_BOUND)) < _WIDEST_BOUND
    ]
    return f" {' and '.join(found)}" if found else ""


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
