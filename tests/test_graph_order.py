"""Versions of in-place blobs, and layers in any order."""

from __future__ import annotations

import itertools
import random

import pytest

from layerkit.blob import Blob
from layerkit.errors import ConfigError
from layerkit.graph import Ref, load

SOURCE = "{name: in, type: Input, top: data, shape: [2, 4]}"


def built(*layers, phase="train"):
    return load("layers:\n" + "".join(f"  - {layer}\n" for layer in layers), [phase]).graphs[phase]


def names(graph):
    return [node.name for node in graph.nodes]


def reads(graph):
    return {node.name: [tuple(ref) for ref in node.bottoms] for node in graph.nodes}


CHAIN = [
    SOURCE,
    "{name: a, type: ReLU, bottom: data}",
    "{name: b, type: Sigmoid, bottom: data}",
    "{name: c, type: Concat, bottom: [a, b]}",
    "{name: d, type: Silence, bottom: c}",
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(5))))
def test_layers_may_stand_in_any_order(order):
    graph = built(*(CHAIN[i] for i in order))
    position = {name: i for i, name in enumerate(names(graph))}
    assert position["in"] < min(position["a"], position["b"])
    assert max(position["a"], position["b"]) < position["c"] < position["d"]
    assert (position["a"] < position["b"]) == (order.index(1) < order.index(2))  # as written, where both may go


def test_what_is_in_order_stays_as_written():
    layers = [SOURCE, *(f"{{name: x{i}, type: ReLU, bottom: data}}" for i in range(20))]
    assert names(built(*layers)) == ["in", *(f"x{i}" for i in range(20))]
    random.Random(0).shuffle(layers)
    written = [layer.split(",")[0].removeprefix("{name: ") for layer in layers if layer != SOURCE]
    assert names(built(*layers)) == ["in", *written]


def test_a_layer_waits_only_as_long_as_it_must():
    late = "{name: late, type: ReLU, bottom: b}"
    assert names(built(SOURCE, late, "{name: a, type: ReLU, bottom: data}", "{name: b, type: ReLU, bottom: data}")) == [
        "in",
        "a",
        "b",
        "late",
    ]


# -- in-place -------------------------------------------------------------------------------------------------------


def test_in_place_layers_make_versions_in_written_order_and_others_read_the_last():
    graph = built(
        "{name: early, type: Silence, bottom: x}",
        SOURCE,
        "{name: x, type: ReLU, bottom: data}",
        "{name: first, type: ReLU, bottom: x, top: x}",
        "{name: between, type: Sigmoid, bottom: x}",
        "{name: second, type: TanH, bottom: x, top: x}",
    )
    assert reads(graph) == {
        "in": [],
        "x": [("data", 0)],
        "first": [("x", 0)],
        "second": [("x", 1)],
        "early": [("x", 2)],
        "between": [("x", 2)],
    }
    assert graph.last["x"] == Ref("x", 2)
    assert graph.outputs == ["between"]


def test_in_place_layers_may_stand_above_what_they_change():
    graph = built("{name: r, type: ReLU, bottom: x, top: x}", SOURCE, "{name: x, type: ReLU, bottom: data}")
    assert names(graph) == ["in", "x", "r"]
    assert graph.outputs == ["x"]


def test_an_input_can_be_changed_in_place():
    graph = built(SOURCE, "{name: r, type: ReLU, bottom: data, top: data}", "{name: s, type: Silence, bottom: data}")
    assert reads(graph)["s"] == [("data", 1)]
    assert graph.inputs == ["data"]


def test_a_layer_that_reads_a_blob_twice_is_in_place_in_both():
    graph = built(SOURCE, "{name: e, type: Eltwise, bottom: [data, data], top: data}")
    assert reads(graph)["e"] == [("data", 0), ("data", 0)]
    assert graph.nodes[1].tops == (Ref("data", 1),)


def test_one_of_several_tops_can_be_in_place():
    graph = built(
        SOURCE, "{name: p, type: Slice, bottom: data, top: [data, rest]}", "{name: s, type: ReLU, bottom: data}"
    )
    assert graph.nodes[1].tops == (Ref("data", 1), Ref("rest", 0))
    assert reads(graph)["s"] == [("data", 1)]


@pytest.mark.parametrize(
    ("layers", "cycle"),
    [
        (["{name: a, type: ReLU, bottom: a}"], None),
        (["{name: a, type: ReLU, bottom: b}", "{name: b, type: ReLU, bottom: a}"], "a -> b -> a"),
        (
            [
                "{name: c, type: ReLU, bottom: b}",
                "{name: a, type: Concat, bottom: [data, c]}",
                "{name: b, type: ReLU, bottom: a}",
                "{name: below, type: ReLU, bottom: c}",
            ],
            "c -> a -> b -> c",
        ),
        (
            [
                "{name: x, type: Concat, bottom: [data, y]}",
                "{name: r, type: ReLU, bottom: x, top: x}",
                "{name: y, type: ReLU, bottom: x}",
            ],
            "x -> r -> y -> x",
        ),
    ],
)
def test_a_cycle_is_spelt_out(layers, cycle):
    with pytest.raises(ConfigError) as caught:
        built(SOURCE, *layers)
    said = "no layer makes the bottom" if cycle is None else f"in a cycle: {cycle}"
    assert said in str(caught.value)
    assert len(caught.value.problems) == 1


def test_names_may_come_again_in_another_phase():
    layers = [
        "{name: data, type: Input, shape: [2, 4], include: train}",
        "{name: data, type: Input, shape: [3, 4], include: test}",
        "{name: r, type: ReLU}",
    ]
    assert built(*layers).shapes[Ref("r")] == (2, 4)
    assert built(*layers, phase="test").shapes[Ref("r")] == (3, 4)


def test_blobs_that_nobody_reads_are_outputs():
    graph = built(SOURCE, "{name: p, type: Slice, bottom: data, top: [a, b]}", "{name: s, type: Silence, bottom: a}")
    assert graph.outputs == ["b"]


def test_building_a_graph_makes_no_blob(monkeypatch):
    monkeypatch.setattr(Blob, "__init__", lambda *args, **options: pytest.fail("a blob was made"))
    graph = built(SOURCE, "{name: f, type: InnerProduct, num_output: 1000000000, bottom: data}")
    assert graph.shapes[Ref("f")] == (2, 10**9)
