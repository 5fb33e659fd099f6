"""Which layers are there in a phase, and the predict phase that is derived from the test net."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from layerkit.errors import LayerkitError, Problems, ShapeError
from layerkit.graph.blocks import Flat
from layerkit.layer import SampleInfo, SourceLayer
from layerkit.registry import layer_class
from layerkit.spec import LayerSpec, NetState, read_layer
from layerkit.text import Map


def select(flat: Sequence[Flat], state: NetState, problems: Problems) -> tuple[list[LayerSpec], dict[str, SampleInfo]]:
    """The layers of a phase in written order; in predict also what is known of the samples, by input blob."""
    if state.phase != "predict":
        return [spec for spec in _read(flat, state.phase, problems) if spec.present(state)], {}
    test = replace(state, phase="test")
    specs = _read(flat, "predict", problems)
    explicit = {
        spec.name for spec in specs if any(rule.phase == "predict" for rule in spec.include) and spec.present(state)
    }
    banned = {spec.name for spec in specs if any(rule.phase == "predict" for rule in spec.exclude)}
    present = [spec for spec in specs if spec.name in explicit or (spec.present(test) and spec.name not in banned)]
    if problems.found:
        return present, {}
    return _Derivation(present, explicit, problems).run()


def _read(flat: Sequence[Flat], phase: str, problems: Problems) -> list[LayerSpec]:
    specs = (read_layer(each.tree, phase, each.uses, problems) for each in flat)
    return [spec for spec in specs if spec is not None]


class _Derivation:
    """Turns the test net's layers into the predict net's.

    Sources become Input; losses become their activation, unless it is there already, or go; metrics go; so does what
    fed only those. A layer that says `include: predict` stays as it is and wins over a derived one.
    """

    def __init__(self, specs: list[LayerSpec], explicit: Collection[str], problems: Problems):
        self.specs = specs
        self.explicit = explicit
        self.problems = problems
        self.samples: dict[str, SampleInfo] = {}

    def run(self) -> tuple[list[LayerSpec], dict[str, SampleInfo]]:
        given = {top for spec in self.specs if spec.name in self.explicit for top in spec.top or []}
        read_before = _read_names(self.specs)
        kept: list[LayerSpec] = []
        for spec in self.specs:
            cls = spec.cls
            if spec.name in self.explicit:
                kept.append(spec)
            elif cls.loss:
                kept += self.activation(spec)
            elif not cls.metric and spec.top and not (issubclass(cls, SourceLayer) and given.issuperset(spec.top)):
                kept.append(spec)
        made = {spec.name for spec in kept if spec not in self.specs}
        kept = _without_unread(kept, read_before, {*self.explicit, *made})
        return [self.as_input(spec, _read_names(kept)) for spec in kept], self.samples

    def activation(self, loss: LayerSpec) -> list[LayerSpec]:
        """The activation that takes a loss's place, or nothing."""
        kind = loss.cls.predict_type
        if kind is None or not loss.bottom:
            return []
        cls = layer_class(kind)
        shared = set(cls.Params.model_fields) & loss.params.model_fields_set
        params = cls.Params(**{name: getattr(loss.params, name) for name in shared})
        for other in self.specs:
            if other.type == kind and other.bottom == loss.bottom[:1] and other.params == params:
                return []
        names = {name for spec in self.specs for name in (spec.name, *(spec.top or []))}
        top = loss.top[1] if loss.top and len(loss.top) > 1 else "prob" if "prob" not in names else loss.name
        spec = loss.replace(
            name=top, type=kind, bottom=loss.bottom[:1], top=[top], include=[], exclude=[], loss_weight=None
        )
        spec = spec.replace(propagate_down=None, param=[])
        spec._params = params
        return [spec]

    def as_input(self, spec: LayerSpec, read: Collection[str]) -> LayerSpec:
        """A source as an Input of the tops that are still read."""
        cls = spec.cls
        if not issubclass(cls, SourceLayer) or spec.name in self.explicit or spec.type == "Input":
            return spec
        tops = spec.top or []
        try:
            source = cls(spec.params, "test", len(tops))
            shapes = source.plan().tops
            info = source.samples()
        except LayerkitError as error:
            field = error.field if isinstance(error, ShapeError) else None
            self.problems.found.append(spec.problem(str(error), *([field] if field else [])))
            return spec
        self.samples[tops[0]] = info
        wanted = [(top, list(shape)) for top, shape in zip(tops, shapes, strict=True) if top in read]
        params = layer_class("Input").Params.model_validate({"shape": [shape for _, shape in wanted]})
        derived = spec.replace(type="Input", top=[top for top, _ in wanted], include=[], exclude=[])
        derived._params = params
        return derived


def _read_names(specs: Sequence[LayerSpec]) -> set[str]:
    return {bottom for spec in specs for bottom in spec.bottom or []}


def _without_unread(specs: list[LayerSpec], read_before: Collection[str], kept: Collection[str]) -> list[LayerSpec]:
    """Drop layers whose tops were read once and are read no more, until none is left."""
    while True:
        read = _read_names(specs)
        stay = [
            spec
            for spec in specs
            if spec.name in kept or any(top in read or top not in read_before for top in spec.top or [])
        ]
        if len(stay) == len(specs):
            return stay
        specs = stay


def as_tree(spec: LayerSpec) -> Map:
    """A layer as a mapping again, for printing; defaults are left out."""
    fields = spec.model_dump(exclude_defaults=True, exclude={"name", "type", "bottom", "top"})
    head = {"name": spec.name, "type": spec.type, "bottom": spec.bottom or None, "top": spec.top or None}
    own = spec.params.model_dump(exclude_defaults=True)
    return Map({key: value for key, value in {**head, **fields, **own}.items() if value is not None})
