"""Turns what pydantic found wrong into sentences with places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from layerkit.errors import ExpressionError, Mark, Problem, Problems, Use, did_you_mean, nearest
from layerkit.text import Map, mark_of

PHASES = ("train", "test", "predict")

Model = TypeVar("Model", bound=BaseModel)
Loc = tuple[int | str, ...]

_KINDS = {
    "literal_error": "",  # says its choices itself
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
    phase: str | None = None
    """The phase that a layer is read for."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Which key serves the phase, for each of the layer's fields that are given per phase."""

    def mark(self, *path: int | str, key: bool = False) -> Mark | None:
        """The place of the value (or key) at `path`, or of the nearest thing around it."""
        return mark_of(self.tree, self.walk(path), key=key)

    def problem(self, message: str, *path: int | str, key: bool = False) -> Problem:
        """A problem at `path`."""
        return Problem(message, self.where, self.mark(*path, key=key), self.uses)

    def walk(self, path: Iterable[int | str]) -> Loc:
        """`path` as far as the tree goes, through per-phase mappings and past labels that pydantic adds."""
        tree: Any = self.tree
        walked = list[int | str]()
        for step in path:
            if not _holds(tree, step):
                continue
            walked.append(step)
            tree = tree[step]
            if len(walked) == 1 and step in self.chosen:
                walked.append(self.chosen[str(step)])
                tree = tree[walked[-1]]
        return tuple(walked)

    def label(self, path: Loc) -> int | None:
        """The position in `path` of the label that pydantic adds to say which branch of a union failed."""
        tree: Any = self.tree.get(path[0]) if path and isinstance(self.tree, Mapping) else None
        if path and path[0] in self.chosen:
            tree = tree[self.chosen[str(path[0])]]
        for i, step in enumerate(path[1:], 1):
            if _holds(tree, step):
                tree = tree[step]
            elif isinstance(step, str) and not isinstance(tree, Mapping):
                return i
        return None


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


def _holds(tree: Any, step: int | str) -> bool:
    if isinstance(tree, Map):
        return step in tree
    return isinstance(tree, list) and isinstance(step, int) and step < len(tree)


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
        """One problem for each fault; what only follows from a misspelt field is left out."""
        misspelt = [e["loc"] for e in errors if e["type"] == "extra_forbidden"]
        lacking = [e["loc"] for e in errors if e["type"] == "missing" and not self.is_misspelt(e["loc"], misspelt)]
        problems = [self.unknown_field(loc) for loc in misspelt] + [self.lacks(loc) for loc in dict.fromkeys(lacking)]
        wrong: dict[Loc, list[ErrorDetails]] = {}
        for error in self.nearest_branches(errors):
            if error["type"] not in ("extra_forbidden", "missing") and not self.follows(error, misspelt):
                wrong.setdefault(self.source.walk(error["loc"]), []).append(error)
        return problems + [self.wrong_value(path, found) for path, found in wrong.items()]

    def is_misspelt(self, missing: Loc, misspelt: list[Loc]) -> bool:
        """Whether a field that seems to be missing is there under a wrong name, which is reported itself."""
        return any(at[:-1] == missing[:-1] and nearest(str(at[-1]), [str(missing[-1])]) for at in misspelt)

    def follows(self, error: ErrorDetails, misspelt: list[Loc]) -> bool:
        """Whether a rule between fields is broken only because one of them is misspelt."""
        words = str(error.get("ctx", {}).get("error", "")).replace(",", " ").split()
        return any(nearest(str(at[-1]), words) for at in misspelt)

    def nearest_branches(self, errors: list[ErrorDetails]) -> list[ErrorDetails]:
        """The errors without those of a union's branches that were tried in vain: with more faults, or less deep."""
        unions: dict[Loc, dict[str, list[ErrorDetails]]] = {}
        kept = []
        for error in errors:
            loc, at = error["loc"], self.source.label(error["loc"])
            if at is None:
                kept.append(error)
            else:
                unions.setdefault(loc[:at], {}).setdefault(str(loc[at]), []).append(error)
        for branches in unions.values():
            rank = {name: (len(found), -max(len(e["loc"]) for e in found)) for name, found in branches.items()}
            for name, found in branches.items():
                kept += found if rank[name] == min(rank.values()) else []
        return kept

    def unknown_field(self, loc: Loc) -> Problem:
        names = [] if (model := self.model_at(loc[:-1])) is None else list(model.model_fields)
        hint = did_you_mean(str(loc[-1]), [*names, *self.known] if len(loc) == 1 else names)
        around = self.source.walk(loc[:-1])
        mark = mark_of(self.source.tree, (*around, str(loc[-1])), key=True)
        return Problem(
            _inside(around, f"unknown field {str(loc[-1])!r}{hint}"), self.source.where, mark, self.source.uses
        )

    def lacks(self, loc: Loc) -> Problem:
        name, around = str(loc[-1]), self.source.walk(loc)
        if _holds(self.source.tree, name) and len(loc) == 1:
            message = f"{name} has no value for the phase {self.source.phase}, and there is no default"
            return self.source.problem(message, name)
        return self.source.problem(_inside(around, f"needs the field {name!r}"), *loc)

    def wrong_value(self, path: Loc, errors: list[ErrorDetails]) -> Problem:
        """What is wrong with the value at `path`; of a union every branch has an error of its own."""
        value, name = errors[0]["input"], _dotted(path)
        stray = _stray_phase(value) if self.source.phase else None
        if stray is not None:
            message = f"{name}: {stray!r} is no phase{did_you_mean(stray, PHASES)}"
            return self.source.problem(message, *path, stray, key=True)
        if errors[0]["type"].startswith("union_tag"):
            return self.wrong_tag(path, errors[0])
        errors = [e for e in errors if e["type"] not in _KINDS] or errors
        if all(e["type"] in _KINDS for e in errors):
            choices = [choice for e in errors for choice in _choices(e)]
            kinds = list(dict.fromkeys(self.kind(e) for e in errors))
            message = f"{name} must be {' or '.join(kinds)}, not {plain(value)}{did_you_mean(str(value), choices)}"
            if kinds == ["text"] and isinstance(value, (bool, int, float)):
                message += f"; as text it is written in quotes: '{plain(value)}'"
            return self.source.problem(message, *path)
        kind, context = errors[0]["type"], errors[0].get("ctx", {})
        if kind in _BOUNDS:
            bound, words = _BOUNDS[kind]
            message = f"{name} must be {words} {context[bound]:g}, not {plain(value)}"
        elif kind == "too_short" and not context["actual_length"]:
            message = f"{name} must not be empty"
        elif kind in ("too_short", "too_long"):
            bound = "at least {min_length}" if kind == "too_short" else "at most {max_length}"
            message = f"{name} must have {bound} entries, not {{actual_length}}".format(**context)
        elif isinstance(context.get("error"), ExpressionError):
            fault: ExpressionError = context["error"]
            whole = (*path, *fault.inside)
            return self.source.problem(_inside(whole, str(fault)), *whole).into(fault.offset)
        elif kind == "value_error":
            message = str(context["error"])
            message = f"{name} {message}" if message.startswith("must ") else _inside(path, message)
        else:
            message = _inside(path, errors[0]["msg"][0].lower() + errors[0]["msg"][1:])
        return self.source.problem(message, *path)

    def wrong_tag(self, path: Loc, error: ErrorDetails) -> Problem:
        """What is wrong with the field, mostly `type`, that says which of several models stands at `path`."""
        value, context = error["input"], error["ctx"]
        tag = context["discriminator"].strip("'")
        if error["type"] == "union_tag_invalid":
            tags = [each.strip("'") for each in context["expected_tags"].split(", ")]
            hint = did_you_mean(context["tag"], tags) or f"; there are: {', '.join(tags)}"
            return self.source.problem(_inside(path, f"there is no {tag} {context['tag']!r}{hint}"), *path, tag)
        if not isinstance(value, Mapping):
            return self.source.problem(f"{_dotted(path)} must be a {tag} or a mapping, not {plain(value)}", *path)
        for key in value:
            if hint := did_you_mean(key, [tag]):
                return self.source.problem(_inside(path, f"unknown field {key!r}{hint}"), *path, key, key=True)
        return self.source.problem(_inside(path, f"needs the field {tag!r}"), *path)

    def kind(self, error: ErrorDetails) -> str:
        """What a value must be, in words."""
        if error["type"] == "literal_error":
            choices = _choices(error)
            return f"one of {', '.join(choices)}" if len(choices) > 1 else repr(choices[0])
        model = self.model_at(error["loc"]) if error["type"].startswith("model") else None
        if model is not None and getattr(model, "shorthand", None):
            return f"a {model.shorthand} or a mapping"  # type: ignore[attr-defined]
        return _KINDS[error["type"]]

    def model_at(self, loc: Loc) -> type[BaseModel] | None:
        """The model at a place inside the model; of models told apart by their type, the one that `loc` names."""
        models: list[type[BaseModel]] = [self.model]
        for step in loc:
            if chosen := [model for model in models if step == _type_of(model)]:
                models = chosen
                continue
            annotations = [model.model_fields[step].annotation for model in models if step in model.model_fields]
            models = list(_models_in(annotations[0])) if annotations else models
        return next(iter(models), None)


def _choices(error: ErrorDetails) -> list[str]:
    """What a Literal offers."""
    if error["type"] != "literal_error":
        return []
    return [choice.strip("'") for choice in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `list[Model] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _type_of(model: type[BaseModel]) -> Any:
    """The type that tells a model from others, if it has one."""
    return model.model_fields["type"].default if "type" in model.model_fields else None


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
