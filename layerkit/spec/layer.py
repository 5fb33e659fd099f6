"""LayerSpec: one layer as written, for one phase, with its type's own parameters."""

from __future__ import annotations

import builtins
import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from layerkit.errors import Mark, Problem, Problems, UnknownNameError, Use, did_you_mean
from layerkit.fields import Strict
from layerkit.fillers import Float32
from layerkit.layer import Layer, LayerParams
from layerkit.registry import layer_class
from layerkit.spec import elsewhere
from layerkit.spec.sentences import PHASES, Source, is_per_phase, phase_key, plain, validate
from layerkit.text import Map

__all__ = ["PHASES", "LayerSpec", "NetState", "ParamSpec", "Rule", "blob_name_fault", "name_fault", "read_layer"]

FIXED = ("name", "type", "bottom", "top", "include", "exclude")
"""Fields that cannot be given per phase."""
MAX_NAME = 1000
RESERVED = ("self", "start", "end", "accumulate")
"""Names that no blob can have, since they are arguments of a net's `forward` and `backward`."""

_PART = r"[^./\x00-\x1f\x7f-\x9f\u2028\u2029]+"
_NAME = re.compile(rf"{_PART}(/{_PART})*")
_TWO_LAYERS = "write one layer for each phase, with 'include'"
_INSTEAD = dict.fromkeys(("include", "exclude"), "it lists phases, as in 'include: [train, test]'")


@dataclass(frozen=True)
class NetState:
    """What `include` and `exclude` are compared with (Caffe's NetState), and what the caller allows."""

    phase: str = "train"
    level: int = 0
    stages: frozenset[str] = frozenset()
    allow_python: bool = False
    """Whether layers may run code that the file names."""


class Rule(Strict):
    """When a layer is there (Caffe's NetStateRule). `include: test` is short for `include: {phase: test}`."""

    shorthand: ClassVar[str | None] = "phase"

    phase: Literal["train", "test", "predict"] | None = Field(None, description="The phase it speaks of.")
    min_level: int | None = Field(None, description="Least level.")
    max_level: int | None = Field(None, description="Greatest level.")
    stage: list[str] = Field([], description="Stages that must all be set.")
    not_stage: list[str] = Field([], description="Stages none of which may be set.")

    def met(self, state: NetState) -> bool:
        """Whether the rule speaks of this state."""
        return (
            self.phase in (None, state.phase)
            and (self.min_level is None or state.level >= self.min_level)
            and (self.max_level is None or state.level <= self.max_level)
            and state.stages.issuperset(self.stage)
            and state.stages.isdisjoint(self.not_stage)
        )


class ParamSpec(Strict):
    """How one weight of a layer is trained and shared (Caffe's ParamSpec), in the order of the layer's weights."""

    name: str | None = Field(None, description="Weights of one name are one weight.")
    share_mode: Literal["STRICT", "PERMISSIVE"] = Field(
        "STRICT", description="Whether sharers must have the same shape, or only as many elements."
    )
    lr_mult: float = Field(1.0, ge=0, description="Factor on the learning rate; 0 freezes the weight.")
    decay_mult: float = Field(1.0, ge=0, description="Factor on the weight decay.")


class LayerSpec(Strict):
    """The fields that every layer has. Its type's own parameters lie beside them in YAML and are `params` here."""

    name: str = Field("", description="Name of the layer; may be left out where there are no weights.")
    type: str = Field(description="The layer's type.")
    bottom: list[str] | None = Field(None, description="Blobs it reads; left out: the nearest layer's first top above.")
    top: list[str] | None = Field(None, description="Blobs it writes; left out: one blob with the layer's name.")
    include: list[Rule] = Field([], description="The layer is there only where one of these rules is met.")
    exclude: list[Rule] = Field([], description="The layer is not there where one of these rules is met.")
    param: list[ParamSpec] = Field([], description="Learning rates, decay and sharing of its weights, in order.")
    loss_weight: list[Float32] | None = Field(None, description="Weight in the loss, one per top.")
    propagate_down: list[bool] | None = Field(None, description="Whether gradients go to each bottom.")

    _params: LayerParams = PrivateAttr(default_factory=LayerParams)
    _source: Source = PrivateAttr(default_factory=lambda: Source(Map()))

    @property
    def params(self) -> LayerParams:
        """The type's own parameters, resolved for the phase."""
        return self._params

    @property
    def cls(self) -> builtins.type[Layer]:
        """The type's class."""
        return layer_class(self.type)

    @property
    def uses(self) -> tuple[Use, ...]:
        """The blocks it came from, innermost first."""
        return self._source.uses

    def mark(self, *path: int | str) -> Mark | None:
        """Where the layer, or a value inside it, stands in its text."""
        return self._source.mark(*path)

    def problem(self, message: str, *path: int | str) -> Problem:
        """A problem with this layer, placed at `path` inside it."""
        where = describe(self.name, self.type)
        return Problem(message, where, self.mark(*path), self.uses)

    def replace(self, **changes: Any) -> LayerSpec:
        """A copy with other values."""
        return self.model_copy(update=changes)

    def renamed(self, name: str, uses: tuple[Use, ...]) -> LayerSpec:
        """A copy with another name, as if these uses of blocks had made it."""
        copy = self.replace(name=name)
        copy._source = dataclasses.replace(self._source, uses=uses)
        return copy

    def present(self, state: NetState) -> bool:
        """Whether the layer is there in this state: one `include` is met, or no `exclude`."""
        if self.include:
            return any(rule.met(state) for rule in self.include)
        return not any(rule.met(state) for rule in self.exclude)


def describe(name: str, kind: str) -> str:
    """How messages name a layer."""
    return f"layer {name!r} ({kind})" if name else f"{kind} layer"


def name_fault(name: str) -> str | None:
    """What is wrong with the name of a layer or blob, or None.

    A '.' would make `layer.weight` and `--set net.layers.a.b` ambiguous, and '/' stands between a block and its parts.
    """
    if len(name) > MAX_NAME:
        return f"is longer than {MAX_NAME} characters: {plain(name)}"
    if not _NAME.fullmatch(name):
        return f"must be words joined by '/', without '.' and control characters, not {plain(name)}"
    return None


def blob_name_fault(name: str) -> str | None:
    """What is wrong with the name of a blob, or None."""
    return f"cannot be {name!r}, an argument of forward or backward" if name in RESERVED else name_fault(name)


def read_layer(tree: Map, phase: str, uses: tuple[Use, ...], problems: Problems) -> LayerSpec | None:
    """Validate one layer's mapping for one phase; None, with every fault added to `problems`, where it is wrong."""
    name, kind = tree.get("name", ""), tree.get("type")
    where = describe(name if isinstance(name, str) else "", kind if isinstance(kind, str) else "untyped")
    cls = _layer_class(tree, Source(tree, where, uses, phase))
    by_part = frozenset[str]() if isinstance(cls, Problem) else cls.Params.by_part
    per_phase = [key for key, value in tree.items() if is_per_phase(value) and key not in by_part]
    chosen = {key: phase_key(tree[key], phase) for key in per_phase if key not in FIXED}
    source = Source(tree, where, uses, phase, {key: at for key, at in chosen.items() if at is not None})
    for key in per_phase:
        if key in FIXED:
            problems.found.append(
                source.problem(f"{key} cannot differ by phase; {_INSTEAD.get(key, _TWO_LAYERS)}", key)
            )
    if isinstance(cls, Problem) and "type" not in per_phase:
        problems.found.append(cls)
    if isinstance(cls, Problem) or any(key in FIXED for key in per_phase):
        return None
    values = {key: value[chosen[key]] if chosen.get(key) else value for key, value in tree.items()}
    values = {key: value for key, value in values.items() if chosen.get(key, key) is not None}
    common = {key: value for key, value in values.items() if key in LayerSpec.model_fields}
    own = {key: value for key, value in values.items() if key not in common}
    before = len(problems.found)
    params = validate(cls.Params, own, source, problems, known=LayerSpec.model_fields)
    spec = validate(LayerSpec, common, source, problems)
    if both := [key for key in ("include", "exclude") if key in tree][1:]:
        problems.found.append(source.problem("has both 'include' and 'exclude'; give one", both[0], key=True))
    if spec is None or params is None or len(problems.found) > before:
        return None
    spec._params, spec._source = params, source
    problems.found += _bad_names(spec)
    return spec if len(problems.found) == before else None


def _bad_names(spec: LayerSpec) -> Iterator[Problem]:
    """What is wrong with the names that a layer gives to itself and to its blobs."""
    if spec.name and (wrong := name_fault(spec.name)):
        yield spec.problem(f"name {wrong}", "name")
    for i, top in enumerate(spec.top or []):
        if top != spec.name and (wrong := name_fault(top)):
            yield spec.problem(f"top {wrong}", "top", i)
        elif top in RESERVED:
            message = f"no blob can have the name {top!r}, which is an argument of a net's forward or backward"
            yield spec.problem(message, *(["top", i] if spec.mark("top", i) != spec.mark() else ["name"]))


def _layer_class(tree: Map, source: Source) -> type[Layer] | Problem:
    """The class of the layer's type, or what is wrong with it."""
    if "type" not in tree:
        for key in tree:
            hint = did_you_mean(key, ["type", "block"])
            if key not in LayerSpec.model_fields and hint:
                return source.problem(f"unknown field {key!r}{hint}", key, key=True)
        return source.problem("needs the field 'type'")
    kind = tree["type"]
    if not isinstance(kind, str):
        return source.problem(f"type must be text, not {plain(kind)}", "type")
    try:
        return layer_class(kind)
    except UnknownNameError:
        return source.problem(f"there is no layer type {kind!r}{elsewhere.hint(kind)}", "type")
