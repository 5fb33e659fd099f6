"""The nets of Caffe's solvers as one: what all have alike is there always, the rest in its phase, or test, alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerkit.convert import net as nets
from layerkit.convert import old, prototxt
from layerkit.convert.net import Net
from layerkit.convert.report import Report
from layerkit.convert.schema import Fields, read
from layerkit.errors import ConfigError, Problem, Problems
from layerkit.text import Map, Seq

NAMES = ("net", "net_param", "train_net", "train_net_param", "test_net", "test_net_param")
"""The fields of a solver that hold or name nets."""


@dataclass
class _Found:
    """A net that a solver holds or names, and its layers as they are written."""

    net: Net
    written: list[Fields]

    def within(self, phase: str, state: Mapping[str, Any]) -> list[Map]:
        """The layers that a net of this phase and state has, without the rules that said so."""
        level, stages = int(state.get("level", 0)), list(state.get("stage", ()))
        return [
            layer.without("include", "exclude")
            for layer, written in zip(self.net.layers, self.written, strict=True)
            if is_within(written, phase, level, stages)
        ]


def convert(fields: Fields, folder: Path, report: Report) -> tuple[Net, Seq | None]:
    """The net of a solver, and the states of its test nets where they must be others than the solver says.

    Raises ConfigError where there is no net to be found.
    """
    shared = list(_of(fields, ("net_param", "net"), folder, report))
    train = list(_of(fields, ("train_net_param", "train_net"), folder, report)) or shared
    own = list(_of(fields, ("test_net_param", "test_net"), folder, report))
    if not train:
        raise ConfigError([*report.problems.found, Problem("the solver names no net to train", mark=fields.mark)])
    given: Sequence[Map] = fields.get("test_state", ())
    further = max(len(fields.get("test_iter", ())), len(given)) - len(own) if shared else 0
    tests = own + shared * max(0, further)
    states = [given[i] if i < len(given) else Map() for i in range(len(tests))]
    if len(tests) < 2:
        return (_joined_pair(train[0].net, own[0].net) if own else train[0].net), None
    if not own:
        return train[0].net, _told_apart(states)
    names = _stages(states)
    present = {"train": train[0].within("TRAIN", fields.get("train_state", {}))}
    present |= {name: test.within("TEST", state) for name, test, state in zip(names, tests, states, strict=True)}
    joined = _joined(present)
    return _like(train[0].net, joined, [each.net for each in own]), Seq([Map({"stage": name}) for name in names])


def is_within(layer: Fields, phase: str, level: int, stages: Collection[str]) -> bool:
    """Whether a layer's rules let it into a net of this phase (`TRAIN` or `TEST`), level and stages."""
    if "include" in layer:
        return any(_meets(rule, phase, level, stages) for rule in layer["include"])
    return not any(_meets(rule, phase, level, stages) for rule in layer.get("exclude", ()))


def _meets(rule: Fields, phase: str, level: int, stages: Collection[str]) -> bool:
    """Whether a state is one that a rule speaks of. Source: Caffe's Net::StateMeetsRule."""
    return (
        rule.get("phase", phase) == phase
        and rule.get("min_level", level) <= level <= rule.get("max_level", level)
        and set(rule.get("stage", ())) <= set(stages)
        and set(rule.get("not_stage", ())).isdisjoint(stages)
    )


# -- finding nets ------------------------------------------------------------------------------------------------------


def _of(fields: Fields, names: tuple[str, ...], folder: Path, report: Report) -> Iterator[_Found]:
    """The nets that these fields hold or name."""
    for name in names:
        values = fields.get(name, Seq())
        for value in values if isinstance(values, Seq) else [values]:
            if isinstance(value, Fields):
                yield _Found(nets.convert_fields(value, report), old.layers(value, Problems()))
            else:
                path = found_file(value, folder)
                if path is None:
                    problem = Problem(f"there is no file {value!r}, neither here nor beside the solver", name,
                                      fields.value_marks.get(name))  # fmt: skip
                    raise ConfigError([*report.problems.found, problem])
                text = prototxt.load(path)
                inside = read(text.message, "NetParameter", report.problems)
                net = nets.convert_fields(inside, report)
                nets.place_comments(net, dict(text.comments))
                yield _Found(net, old.layers(inside, Problems()))


def found_file(given: str, folder: Path) -> Path | None:
    """A net's file: as given, or below the solver's folder or one above it, with or without the folders in front.

    Caffe takes paths from where it is started, which is mostly the root of its sources.
    """
    parts = Path(given).parts
    tails = [Path(*parts[i:]) for i in range(len(parts)) if parts[i] != "/"]
    around = [folder.absolute(), *folder.absolute().parents]
    places = [Path(given), *(place / Path(given) for place in around), *(folder / tail for tail in tails)]
    return next((place for place in places if place.is_file()), None)


# -- one net of two: rules that speak of stages and levels stay --------------------------------------------------------


def _joined_pair(train: Net, test: Net) -> Net:
    return _like(train, _joined({"train": _in_phase(train, "train"), "test": _in_phase(test, "test")}), [test])


def _in_phase(net: Net, phase: str) -> list[Map]:
    """The layers that a net has in its phase, those rules left out that say only so."""
    kept = []
    for layer in net.layers:
        rule = layer.get("include")
        if not isinstance(rule, str) or rule == phase:
            kept.append(layer.without("include") if rule == phase else layer.without())
    return kept


# -- one net of many: each test net is told by a stage ----------------------------------------------------------------


def _told_apart(states: Sequence[Map]) -> Seq | None:
    """The states of several tests by one net, each with a stage of its own; None where they differ anyway."""
    said = [(state.get("level", 0), tuple(state.get("stage", ()))) for state in states]
    if len(set(said)) == len(said):
        return None
    names = _stages([Map()] * len(states))
    return Seq([
        Map({**({"level": level} if level else {}), "stage": [*stages, name] if stages else name})
        for (level, stages), name in zip(said, names, strict=True)
    ])  # fmt: skip


def _stages(states: Sequence[Map]) -> list[str]:
    """A stage for each test net that no other has: one that its state names, or `test0`, `test1` ..."""
    named = [stage for state in states for stage in set(state.get("stage", ()))]
    only = [[stage for stage in state.get("stage", ()) if named.count(stage) == 1] for state in states]
    return [own[0] if own else f"test{i}" for i, own in enumerate(only)]


def _joined(present: Mapping[str, list[Map]]) -> list[Map]:
    """The layers of all nets, those of `train` first: each once, with a rule of where it is unless it is everywhere."""
    layers: list[Map] = []
    where: dict[int, list[str]] = {}
    for name, wanted in present.items():
        at = 0
        for layer in wanted:
            rest = enumerate(layers[at:], at)
            same = next((i for i, other in rest if other == layer and name not in where[id(other)]), None)
            if same is None:
                layers.insert(at, layer)
                where[id(layer)] = []
            at = (at if same is None else same) + 1
            where[id(layers[at - 1])].append(name)
    found = {id(layer): _rule(where[id(layer)], list(present)) for layer in layers}
    for layer in layers:
        if found[id(layer)] is not None:
            layer.setdefault("include", found[id(layer)])
    return layers


def _rule(here: Sequence[str], nets_: Sequence[str]) -> Any:
    """The rule of a layer that is in these nets, of all that there are; None for one that is in all."""
    tests = [name for name in here if name != "train"]
    if len(tests) == len(nets_) - 1:
        return None if "train" in here else "test"
    rules = [*(["train"] if "train" in here else []), *({"phase": "test", "stage": name} for name in tests)]
    return rules[0] if len(rules) == 1 else rules


def _like(train: Net, layers: list[Map], tests: Sequence[Net]) -> Net:
    """A net of these layers that is called and commented like the net to train."""
    waiting = {layer.mark: train.before.get(i, []) for i, layer in enumerate(train.layers)}
    before = {i: waiting.pop(layer.mark, []) for i, layer in enumerate(layers)}
    renamed = {key: value for net in (*tests, train) for key, value in net.renamed.items()}
    name = next((net.name for net in (train, *tests) if net.name), "")
    return Net(name, layers, train.force_backward, before, train.heading, renamed)
