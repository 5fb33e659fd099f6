"""Phases: include and exclude, values per phase, bottoms that nobody makes, and which phases a run speaks of."""
# ruff: noqa: E501 (a layer stands on one line)

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
from phase_tools import SOURCE, built, names, text_of, trees
from pydantic import BaseModel

from layerkit.errors import ConfigError, Problems
from layerkit.fields import Strict
from layerkit.graph import expand, load, phases_of
from layerkit.graph.phases import absences, select
from layerkit.registry import layer_class, layer_types
from layerkit.spec import PHASES, LayerSpec, NetState, load_run

# -- include and exclude --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "there"),
    [
        ("include: train", ["train 0", "train 3", "train a", "train ab"]),
        ("include: {phase: test}", ["test 0", "test 3", "test a", "test ab"]),
        (
            "include: [train, test]",
            ["train 0", "train 3", "train a", "train ab", "test 0", "test 3", "test a", "test ab"],
        ),
        ("exclude: train", ["test 0", "test 3", "test a", "test ab"]),
        ("exclude: [train, test]", []),
        ("include: {min_level: 1}", ["train 3", "test 3"]),
        ("include: {max_level: 2, phase: train}", ["train 0", "train a", "train ab"]),
        ("include: {min_level: 3, max_level: 3}", ["train 3", "test 3"]),
        ("include: {stage: a}", ["train a", "train ab", "test a", "test ab"]),
        ("include: {stage: [a, b]}", ["train ab", "test ab"]),
        ("include: [{stage: b}, {min_level: 1, phase: test}]", ["train ab", "test 3", "test ab"]),
        ("exclude: {not_stage: a}", ["train a", "train ab", "test a", "test ab"]),
        ("exclude: {stage: a, not_stage: b}", ["train 0", "train 3", "train ab", "test 0", "test 3", "test ab"]),
        ("include: {}", ["train 0", "train 3", "train a", "train ab", "test 0", "test 3", "test a", "test ab"]),
        ("include: []", ["train 0", "train 3", "train a", "train ab", "test 0", "test 3", "test a", "test ab"]),
    ],
)
def test_a_rule(rule, there):
    found = []
    for phase in ("train", "test"):
        for label, level, stages in (("0", 0, ""), ("3", 3, ""), ("a", 0, "a"), ("ab", 0, "ab")):
            made = names(SOURCE, f"{{name: r, type: ReLU, {rule}}}", phase=phase, level=level, stages=stages)
            found += [f"{phase} {label}"] if "r" in made else []
    assert found == there


def test_the_solver_says_level_and_stages():
    layers = text_of(
        SOURCE, "{name: r, type: ReLU, include: {stage: deep, min_level: 1}}", "{name: s, type: TanH, bottom: data}"
    )
    solver = "solver: {base_lr: 1, max_iter: 1, test_interval: 1, test_state: {level: 1, stage: deep}}\n"
    graphs = load(layers + solver).graphs
    assert {phase: len(graph.nodes) for phase, graph in graphs.items()} == {"train": 2, "test": 3, "predict": 3}


# -- values per phase -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("{train: 3, test: 5}", (3, 5, 5)),
        ("{train: 3, test: 5, predict: 7}", (3, 5, 7)),
        ("{predict: 7, train: 3, test: 5}", (3, 5, 7)),
        ("4", (4, 4, 4)),
    ],
)
def test_a_parameter_per_phase(written, values):
    layer = f"{{name: f, type: InnerProduct, num_output: {written}}}"
    assert tuple(trees(SOURCE, layer, phase=phase)["f"]["num_output"] for phase in PHASES) == values


def test_an_absent_phase_has_the_default():
    layer = "{name: r, type: ReLU, negative_slope: {train: 0.3}}"
    slopes = [built(SOURCE, layer, phase=phase).nodes[1].spec.params.negative_slope for phase in PHASES]
    assert slopes == [0.3, 0, 0]


def test_mappings_and_common_fields_per_phase():
    layer = (
        "{name: f, type: InnerProduct, num_output: 2, weight_filler: {train: xavier, test: {type: constant, value: 1}}, "
        "param: {train: [{lr_mult: 0}], test: []}, propagate_down: {train: false}, loss_weight: {test: 3}}"
    )
    train, test = (trees(SOURCE, layer, phase=phase)["f"] for phase in ("train", "test"))
    assert (train["weight_filler"], test["weight_filler"]) == ({"type": "xavier"}, {"value": 1.0})
    assert ("propagate_down" in train, "propagate_down" in test, "loss_weight" in train) == (True, False, False)
    assert test["loss_weight"] == [3.0]


def _models(annotation) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models(field.annotation)
    for inner in get_args(annotation):
        yield from _models(inner)


@pytest.mark.parametrize("kind", layer_types())
def test_no_parameter_has_a_phase_for_a_key(kind):
    """Otherwise its mapping could be taken for one value per phase."""
    for model in (*_models(layer_class(kind).Params), *_models(LayerSpec)):
        assert issubclass(model, Strict)
        assert not set(PHASES).intersection(model.model_fields), model


# -- bottoms that nobody makes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "reasons"),
    [
        (["{name: r, type: ReLU, bottom: x}"], {}),
        (["{name: a, type: ReLU, bottom: data, top: x, include: test}", "{name: r, type: ReLU, bottom: x}"], {"x": "layer 'a', which makes it, is not in phase train"}),
        (["{name: r, type: ReLU, bottom: x, top: x}"], {}),
        (["{name: a, type: ReLU, tpo: x, bottom: data}", "{name: r, type: ReLU, bottom: x, top: x}"], {"x": ""}),
        (["{nmae: a, type: ReLU, bottom: data}", "{name: r, type: ReLU, bottom: a}", "{name: s, type: ReLU, bottom: b}"], {"a": ""}),
        (["{block: none, name: u}", "{name: r, type: Concat, bottom: [u, u/fc, v/fc]}"], {"u": "", "u/fc": ""}),
    ],
)  # fmt: skip
def test_why_a_bottom_is_missing(layers, reasons):
    problems = Problems()
    flat = expand(load_run(text_of(SOURCE, *layers)).net, problems)
    specs, _ = select(flat, NetState("train"), problems)
    assert absences(flat, specs, "train") == reasons


# -- which phases a run speaks of -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "phases"),
    [
        ([SOURCE], ["train"]),
        ([SOURCE, "{name: r, type: ReLU, include: test}"], ["train", "test", "predict"]),
        ([SOURCE, "{name: r, type: ReLU, negative_slope: {train: 1, test: 2}}"], ["train", "test", "predict"]),
        ([SOURCE, "{name: r, type: ReLU, include: predict}"], ["train", "predict"]),
    ],
)
def test_the_phases_of_a_run(layers, phases):
    assert phases_of(load_run(text_of(*layers))) == phases


def test_layers_of_one_name_for_two_phases_may_differ_in_all_but_their_weights():
    two = [
        "{name: f, type: InnerProduct, num_output: 4, bottom: x, include: train}",
        "{name: f, type: Convolution, num_output: 4, kernel_size: 1, bottom: x, include: test}",
    ]
    given = "{name: x, type: Input, shape: [2, 3, 1, 1]}"
    with pytest.raises(
        ConfigError, match=r"4:5: layer 'f' \(Convolution\): the weight 'f.weight' is 4x3x1x1 in phase test"
    ):
        load(text_of(given, *two))
    assert set(load(text_of(given, two[0], two[0].replace("train", "test"))).graphs) == {"train", "test", "predict"}
