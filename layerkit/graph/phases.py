"""Which layers are there in a phase, and the predict phase that is derived from the test net."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from layerkit.errors import LayerkitError, Problems
from layerkit.graph.blocks import Flat
from layerkit.graph.node import make_layer
from layerkit.layer import SourceLayer
from layerkit.registry import layer_class
from layerkit.samples import SampleInfo
from layerkit.spec import LayerSpec, NetState, read_layer
from layerkit.text import Map


def select(flat: Sequence[Flat], state: NetState, problems: Problems) -> tuple[list[LayerSpec], dict[str, SampleInfo]]:
    """The layers of a phase in written order; in predict also what is known of the samples, by input blob.

    Layers that are wrong are left out and marked as faulty.
    """
    specs = _read(flat, state, problems)
    if state.phase != "predict":
        return [spec for spec in specs if spec.present(state)], {}
    if any(each.faulty for each in flat):
        return [], {}  # what is wrong is said already, and a derived net would only say more of the same
    test = replace(state, phase="test")
    explicit = {
        spec.name for spec in specs if any(rule.phase == "predict" for rule in spec.include) and spec.present(state)
    }
    banned = {spec.name for spec in specs if any(rule.phase == "predict" for rule in spec.exclude)}
    present = [spec for spec in specs if spec.name in explicit or (spec.present(test) and spec.name not in banned)]
    return _Derivation(present, explicit, test, problems).run()


def absences(flat: Sequence[Flat], specs: Sequence[LayerSpec], phase: str) -> dict[str, str]:
    """Why none of `specs` makes some of their bottoms, by name; "" where a faulty layer may have been meant to."""
    reasons: dict[str, str] = {}
    present = {spec.name for spec in specs}
    made = {top for spec in specs for top in spec.top or [] if top not in (spec.bottom or ())}
    for name in sorted(_read_names(specs) - made):
        makers = [each.tree["name"] for each in flat if name in each.tree["top"] and not each.faulty]
        makers = [maker for maker in makers if maker not in present]
        if any(each.faulty and each.may_make(name) for each in flat):
            reasons[name] = ""
        elif makers:
            reasons[name] = f"layer {makers[0]!r}, which makes it, is not in phase {phase}"
    return reasons


def _read(flat: Sequence[Flat], state: NetState, problems: Problems) -> list[LayerSpec]:
    read: list[tuple[Flat, LayerSpec]] = []
    for each in flat:
        spec = None if each.faulty else read_layer(each.tree, state.phase, each.uses, problems)
        if spec is None:
            each.faulty = True
        else:
            read.append((each, spec))
    specs = [spec for _, spec in read]
    for each, spec in read:
        if each.default_bottom and (phase := _lacks_bottom(spec, specs, state)):
            above = (spec.bottom or [""])[0]
            message = f"has no 'bottom', and what stands above, {above!r}, is not there in phase {phase}; name one"
            problems.found.append(spec.problem(message))
            each.faulty = True
    return [spec for each, spec in read if not each.faulty]


def _lacks_bottom(spec: LayerSpec, specs: Sequence[LayerSpec], state: NetState) -> str | None:
    """A phase in which a layer is there, but none of those that make its first bottom."""
    makers = [other for other in specs if other is not spec and set(other.top or ()).intersection(spec.bottom or ())]
    for phase in ("train", "test"):
        here = replace(state, phase=phase)
        if makers and spec.present(here) and not any(maker.present(here) for maker in makers):
            return phase
    return None


class _Derivation:
    """Turns the test net's layers into the predict net's.

    Sources become Input; losses become their activation, unless it is there already, or go; metrics go; so does what
    fed only those (unless it is all that the net computes), and what reads what is gone. A layer that says
    `include: predict` stays as it is and wins over a derived one.
    """

    def __init__(self, specs: list[LayerSpec], explicit: Collection[str], state: NetState, problems: Problems):
        self.specs = specs
        self.explicit = explicit
        self.state = state
        self.problems = problems
        self.samples: dict[str, SampleInfo] = {}
        self.wanted = set(explicit)  # names of layers that stay though nobody reads them

    def run(self) -> tuple[list[LayerSpec], dict[str, SampleInfo]]:
        kept: list[LayerSpec] = []
        for spec in self.specs:
            if spec.name in self.explicit:
                kept.append(spec)
            elif spec.cls.loss:
                kept += self.activation(spec, kept)
            elif not spec.cls.metric and spec.top:
                kept.append(spec)
        read_before = _read_by_others(self.specs)
        kept = self.without_orphans(kept)
        pruned = _without_unread(kept, read_before, self.wanted)
        for measure in ("loss", "metric"):
            if any(spec.bottom for spec in pruned):
                break  # otherwise nothing is computed any more, so what was measured is the answer
            measures = [spec for spec in self.specs if getattr(spec.cls, measure) and spec.bottom]
            answers = {answer for spec in measures for answer in (spec.bottom or [])[: spec.cls.predict_bottoms]}
            answering = _without_unread(kept, read_before - answers, self.wanted)
            pruned = answering if _read_names(answering) <= _made_names(answering) else pruned
        given = {top for spec in self.specs if spec.name in self.explicit for top in spec.top or []}
        read = _read_names(pruned)
        inputs = ((spec, {*read, *self.unread_by_all(spec)} - given) for spec in pruned)
        derived = [self.as_input(spec, tops) for spec, tops in inputs if self.is_wanted(spec, tops, given)]
        return [*derived, *self.silences(derived)], self.samples

    def silences(self, derived: Sequence[LayerSpec]) -> list[LayerSpec]:
        """The Silences of what is still made, so that it is no output here either."""
        unread = _made_names(derived) - _read_by_others(derived)
        found = []
        for spec in self.specs:
            silent = [bottom for bottom in spec.bottom or [] if bottom in unread]
            if silent and spec.cls.tops == (0, 0) and not spec.cls.uses_files and spec.name not in self.explicit:
                found.append(spec.replace(bottom=silent, propagate_down=None, include=[], exclude=[]))
        return found

    def is_wanted(self, spec: LayerSpec, wanted: Collection[str], given: Collection[str]) -> bool:
        """Whether a layer is not a source in whose place explicit layers give all that is wanted of it."""
        tops = spec.top or []
        replaced = spec.name not in self.explicit and not spec.bottom and not set(given).isdisjoint(tops)
        return not replaced or not set(wanted).isdisjoint(tops)

    def without_orphans(self, kept: list[LayerSpec]) -> list[LayerSpec]:
        """The layers that do not read what went away, directly or not; explicit ones stay."""
        made_before = _made_names(self.specs)
        while True:
            lost = made_before - _made_names(kept)
            stay = [spec for spec in kept if spec.name in self.explicit or lost.isdisjoint(spec.bottom or ())]
            if len(stay) == len(kept):
                return stay
            kept = stay

    def unread_by_all(self, spec: LayerSpec) -> list[str]:
        """An Input's tops that the test net did not read either: whoever wrote them wants them."""
        read_before = _read_names(self.specs)
        return [top for top in spec.top or [] if spec.type == "Input" and top not in read_before]

    def activation(self, loss: LayerSpec, kept: list[LayerSpec]) -> list[LayerSpec]:
        """The activation that takes a loss's place, or nothing."""
        kind = loss.cls.predict_type
        if kind is None or not loss.bottom:
            return []
        cls = layer_class(kind)
        shared = set(cls.Params.model_fields) & loss.params.model_fields_set
        params = cls.Params(**{name: getattr(loss.params, name) for name in shared})
        for other in (*self.specs, *kept):
            if other.type == kind and other.bottom == loss.bottom[:1] and other.params == params:
                self.wanted.add(other.name)
                return []
        names = {name for spec in (*self.specs, *kept) for name in (spec.name, *(spec.top or []))}
        top = loss.top[1] if loss.top and len(loss.top) > 1 else "prob" if "prob" not in names else loss.name
        spec = loss.replace(
            name=top, type=kind, bottom=loss.bottom[:1], top=[top], include=[], exclude=[], loss_weight=None
        )
        spec = spec.replace(propagate_down=None, param=[])
        spec._params = params
        self.wanted.add(spec.name)
        return [spec]

    def as_input(self, spec: LayerSpec, wanted: Collection[str]) -> LayerSpec:
        """A source, or an Input of more than is wanted, as an Input of the tops that are wanted."""
        cls, tops = spec.cls, spec.top or []
        source = issubclass(cls, SourceLayer) or (spec.type == "Python" and not spec.bottom)
        if spec.name in self.explicit or not (source or (spec.type == "Input" and not set(tops).issubset(wanted))):
            return spec
        layer = make_layer(spec, self.state)
        try:
            shapes = layer.plan().tops
            if isinstance(layer, SourceLayer):
                self.samples[tops[0]] = layer.samples()
        except LayerkitError as error:
            self.problems.found.append(spec.problem(str(error), *([error.field] if error.field else [])))
            return spec
        every = [(top, list(shape)) for top, shape in zip(tops, shapes, strict=False)]
        kept = [(top, shape) for top, shape in every if top in wanted] or every
        params = layer_class("Input").Params.model_validate({"shape": [shape for _, shape in kept]})
        derived = spec.replace(type="Input", top=[top for top, _ in kept], include=[], exclude=[])
        derived._params = params
        return derived


def _read_names(specs: Sequence[LayerSpec]) -> set[str]:
    return {bottom for spec in specs for bottom in spec.bottom or []}


def _read_by_others(specs: Sequence[LayerSpec]) -> set[str]:
    """The names that are read by more than layers that work on them in place, which only add a version."""
    return {bottom for spec in specs for bottom in spec.bottom or [] if bottom not in (spec.top or [])}


def _made_names(specs: Sequence[LayerSpec]) -> set[str]:
    return {top for spec in specs for top in spec.top or []}


def _without_unread(specs: list[LayerSpec], read_before: Collection[str], kept: Collection[str]) -> list[LayerSpec]:
    """Drop layers whose tops were read once and are read no more, until none is left."""
    while True:
        read = _read_by_others(specs)
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
