"""Turns what pydantic found wrong into sentences with places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from layerkit.errors import Mark, Problem, Problems, Use, did_you_mean
from layerkit.text import Map, mark_of

PHASES = ("train", "test", "predict")

Model = TypeVar("Model", bound=BaseModel)
Loc = tuple[int | str, ...]

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "finite_number": "finite",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


@dataclass(frozen=True)
class Source:
    """What was read and where from, so that a fault can name its place."""

    tree: Any
    where: str = ""
    uses: tuple[Use, ...] = ()
    phase: str = "train"

    def mark(self, *path: int | str, key: bool = False) -> Mark | None:
        """The place of the value (or key) at `path`, or of the nearest thing around it."""
        return mark_of(self.tree, self.walk(path), key=key)

    def problem(self, message: str, *path: int | str, key: bool = False) -> Problem:
        """A problem at `path`."""
        return Problem(message, self.where, self.mark(*path, key=key), self.uses)

    def walk(self, path: Iterable[int | str]) -> Loc:
        """`path` as far as the tree goes, through per-phase mappings and past labels that pydantic adds."""
        tree, walked = self.tree, list[int | str]()
        for step in path:
            if isinstance(tree, Map) and step in tree:
                walked.append(step)
                tree = tree[str(step)]
            elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
                walked.append(step)
                tree = tree[step]
            chosen = phase_key(tree, self.phase) if is_per_phase(tree) else None
            if chosen is not None:
                walked.append(chosen)
                tree = tree[chosen]
        return tuple(walked)


def validate(
    model: type[Model], values: Mapping[str, Any], source: Source, problems: Problems, known: Iterable[str] = ()
) -> Model | None:
    """An instance of `model`, or None with every fault added to `problems`; `known` are further names to suggest."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems.found += _Faults(model, source, known).sentences(error.errors(include_url=False))
        return None


def is_per_phase(value: Any) -> bool:
    """Whether a value is a mapping that gives one value a phase."""
    return isinstance(value, Map) and bool(value) and all(key in PHASES for key in value)


def phase_key(value: Mapping[str, Any], phase: str) -> str | None:
    """The key of a per-phase mapping that serves `phase` (predict takes test's), or None for the default."""
    if phase not in value and phase == "predict":
        phase = "test"
    return phase if phase in value else None


def plain(value: Any) -> str:
    """A value as a person would write it in YAML, kept short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Faults:
    """The sentences for one model's errors."""

    def __init__(self, model: type[BaseModel], source: Source, known: Iterable[str]):
        self.model = model
        self.source = source
        self.known = list(known)

    def sentences(self, errors: list[ErrorDetails]) -> list[Problem]:
        hints = {e["loc"]: self.hint(e["loc"]) for e in errors if e["type"] == "extra_forbidden"}
        found: dict[tuple[Loc, str], Problem] = {}
        for error in errors:
            loc, kind = error["loc"], error["type"]
            name = str(loc[-1]) if loc else ""
            if kind == "missing" and any(at[:-1] == loc[:-1] and repr(name) in hint for at, hint in hints.items()):
                continue  # the field is there, under a misspelt name that is reported itself
            path = self.source.walk(loc)
            if kind == "extra_forbidden":
                problem = self.source.problem(_inside(path[:-1], f"unknown field {name!r}{hints[loc]}"), *loc, key=True)
            elif kind == "missing":
                problem = self.source.problem(_inside(path, f"needs the field {name!r}"), *loc)
            else:
                problem = self.wrong_value(error, path)
            found.setdefault((loc, kind) if kind == "missing" else (path, ""), problem)
        return list(found.values())

    def wrong_value(self, error: ErrorDetails, path: Loc) -> Problem:
        value, kind, context = error["input"], error["type"], error.get("ctx", {})
        field = _dotted(path)
        stray = _stray_phase(value)
        if stray is not None:
            message = f"{field}: {stray!r} is no phase{did_you_mean(stray, PHASES)}"
            return self.source.problem(message, *path, stray, key=True)
        if kind == "literal_error":
            choices = [choice.strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]
            hint = did_you_mean(str(value), choices)
            message = f"{field} must be one of {', '.join(choices)}, not {plain(value)}{hint}"
        elif kind in _WANTED:
            message = f"{field} must be {_WANTED[kind]}, not {plain(value)}"
        elif kind in _BOUNDS:
            bound, words = _BOUNDS[kind]
            message = f"{field} must be {words} {context[bound]}, not {plain(value)}"
        elif kind == "value_error":
            message = _inside(path, str(context["error"]))
        else:
            message = f"{_inside(path, error['msg'][0].lower() + error['msg'][1:])}, not {plain(value)}"
        return self.source.problem(message, *path)

    def hint(self, loc: Loc) -> str:
        """`; did you mean ...` from the fields of the model in which the unknown field stands."""
        model: type[BaseModel] | None = self.model
        for step in loc[:-1]:
            if isinstance(step, str) and model is not None and step in model.model_fields:
                model = _model_in(model.model_fields[step].annotation)
        names = [] if model is None else list(model.model_fields)
        return did_you_mean(str(loc[-1]), [*names, *self.known] if model is self.model else names)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `list[Model] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)


def _stray_phase(value: Any) -> str | None:
    """The key of a would-be per-phase mapping that is no phase."""
    if not isinstance(value, Mapping):
        return None
    strays = [key for key in value if key not in PHASES]
    if len(strays) == 1 and (len(value) > 1 or did_you_mean(strays[0], PHASES)):
        return str(strays[0])
    return None


def _inside(path: Loc, message: str) -> str:
    return f"{_dotted(path)}: {message}" if path else message


def _dotted(path: Loc) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
