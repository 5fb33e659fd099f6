"""The predict net, derived from the test net: sources, losses, and what goes with them."""
# ruff: noqa: E501 (a layer stands on one line)

from __future__ import annotations

import pytest
from phase_tools import DIGITS, built, trees

from layerkit import registry
from layerkit.errors import ConfigError
from layerkit.graph import as_tree, load
from layerkit.layer import Layer, LayerParams, Plan, SampleInfo, SourceLayer


@pytest.mark.parametrize(
    ("silenced", "left"),
    [("[rest]", ["rest"]), ("[label, rest]", ["rest"]), ("[label]", None), ("[aside]", None)],
)
def test_what_is_silenced_is_no_output_of_the_predict_net_either(silenced, left):
    layers = [
        "{name: in, type: Data, top: [data, label], dataset: digits, batch_size: 4}",
        "{name: parts, type: Slice, bottom: data, top: [used, rest], axis: 2}",
        "{name: aside, type: TanH, bottom: used}",
        f"{{name: quiet, type: Silence, bottom: {silenced}}}",
        "{name: fc, type: InnerProduct, bottom: used, num_output: 10}",
        "{name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}",
    ]
    made = trees(*layers)
    assert made.get("quiet", {}).get("bottom") == left
    assert ("aside" in made) == (silenced != "[aside]")
    assert made["in"]["top"] == ["data"]


def test_a_source_becomes_an_input_of_what_is_read_and_takes_tests_values():
    graph = built(DIGITS, "{name: f, type: InnerProduct, num_output: 3}", phase="predict")
    assert as_tree(graph.nodes[0].spec) == {"name": "digits", "type": "Input", "top": ["data"], "shape": [[6, 1, 8, 8]]}
    assert graph.samples["data"].shape == [1, 8, 8]
    assert (graph.samples["data"].scale, len(graph.samples["data"].class_names)) == (0.5, 10)


@pytest.mark.parametrize(
    ("loss", "derived"),
    [
        ("{name: loss, type: SoftmaxWithLoss, bottom: [f, label]}", {"name": "prob", "type": "Softmax"}),
        ("{name: loss, type: SoftmaxWithLoss, bottom: [f, label], axis: -1}", {"name": "prob", "type": "Softmax", "axis": -1}),
        ("{name: loss, type: SoftmaxWithLoss, bottom: [f, label], ignore_label: 3, loss_weight: 2, propagate_down: [true, false]}", {"name": "prob", "type": "Softmax"}),
        ("{name: loss, type: SoftmaxWithLoss, bottom: [f, label], top: [loss, p]}", {"name": "p", "type": "Softmax"}),
        ("{name: prob, type: SoftmaxWithLoss, bottom: [f, label]}", {"name": "prob", "type": "Softmax"}),
        ("{name: loss, type: SigmoidCrossEntropyLoss, bottom: [f, target]}", {"name": "prob", "type": "Sigmoid"}),
    ],
)  # fmt: skip
def test_a_loss_becomes_its_activation(loss, derived):
    loss = loss.replace("target", "f")
    found = trees(DIGITS, "{name: f, type: InnerProduct, num_output: 3, bottom: data}", loss)
    assert list(found) == ["digits", "f", derived["name"]]
    name = derived["name"]
    assert found[name] == {"name": name, "type": derived["type"], "bottom": ["f"], "top": [name], **derived}


def test_an_activation_that_is_there_already_is_not_made_again():
    fc, loss = "{name: f, type: InnerProduct, num_output: 3}", "{name: loss, type: SoftmaxWithLoss, bottom: [f, label]}"
    assert list(trees(DIGITS, fc, "{name: p, type: Softmax, bottom: f}", loss)) == ["digits", "f", "p"]
    # of another axis, or of another blob, it is another activation
    assert list(trees(DIGITS, fc, "{name: p, type: Softmax, bottom: f, axis: 0}", loss)) == ["digits", "f", "p", "prob"]
    assert list(trees(DIGITS, fc, "{name: p, type: Softmax, bottom: data}", loss)) == ["digits", "f", "p", "prob"]


def test_two_losses_on_one_blob_make_one_activation_and_on_two_blobs_two():
    fcs = [
        "{name: f, type: InnerProduct, num_output: 3, bottom: data}",
        "{name: g, type: InnerProduct, num_output: 2, bottom: data}",
    ]
    one, two, other = (f"{{name: l{i}, type: SoftmaxWithLoss, bottom: [{b}, label]}}" for i, b in enumerate("ffg"))
    assert list(trees(DIGITS, *fcs, one, two)) == ["digits", "f", "g", "prob"]
    assert list(trees(DIGITS, *fcs, one, other)) == ["digits", "f", "g", "prob", "l2"]


def test_other_losses_and_metrics_go():
    layers = [
        DIGITS,
        "{name: f, type: InnerProduct, num_output: 64}",
        "{name: loss, type: EuclideanLoss, bottom: [f, flat]}",
    ]
    layers += ["{name: flat, type: Flatten, bottom: data}", "{name: accuracy, type: Accuracy, bottom: [f, label]}"]
    assert list(trees(*layers, "{name: p, type: Sigmoid, bottom: data}")) == ["digits", "p"]
    assert list(trees(*layers)) == ["digits", "f"]  # `flat` fed only the loss; without f there would be nothing


def test_what_fed_only_those_goes_and_what_else_is_read_stays():
    layers = [
        DIGITS,
        "{name: f, type: InnerProduct, num_output: 10, bottom: data}",
        "{name: scaled, type: Power, bottom: f, scale: 2}",
        "{name: again, type: Power, bottom: scaled, scale: 2}",
        "{name: accuracy, type: Accuracy, bottom: [again, label]}",
        "{name: half, type: Power, bottom: label, scale: 0.5}",
        "{name: quiet, type: Silence, bottom: half}",
        "{name: part, type: Slice, bottom: f, top: [kept, dropped]}",
        "{name: loss, type: SoftmaxWithLoss, bottom: [dropped, label]}",
    ]
    assert list(trees(*layers)) == ["digits", "f", "part", "prob"]


def test_what_reads_what_is_gone_goes_too():
    layers = [
        DIGITS,
        "{name: f, type: InnerProduct, num_output: 10, bottom: data}",
        "{name: loss, type: EuclideanLoss, bottom: [f, f], loss_weight: 0}",
        "{name: root, type: Power, bottom: loss, power: 0.5}",
        "{name: more, type: Power, bottom: root}",
    ]
    assert list(trees(*layers)) == ["digits", "f"]


def test_an_inputs_label_goes_but_not_what_nobody_read_before():
    given = "{name: in, type: Input, top: [x, y, z], shape: [[2, 3], [2], [5]]}"
    found = trees(given, "{name: loss, type: SoftmaxWithLoss, bottom: [x, y]}")
    assert found["in"] == {"name": "in", "type": "Input", "top": ["x", "z"], "shape": [[2, 3], [5]]}
    assert list(trees("{name: x, type: Input, shape: [2, 3]}", "{name: y, type: Input, shape: [2]}", "{name: loss, type: SoftmaxWithLoss, bottom: [x, y]}")) == ["x", "prob"]  # fmt: skip


def test_in_place_layers_stay():
    found = built(DIGITS, "{name: f, type: InnerProduct, num_output: 3}", "{name: r, type: ReLU, bottom: f, top: f}", "{name: loss, type: SoftmaxWithLoss, bottom: [f, label]}", phase="predict")  # fmt: skip
    assert [node.name for node in found.nodes] == ["digits", "f", "r", "prob"]
    assert found.nodes[3].bottoms[0].version == 1


def test_a_layer_that_is_only_for_training_or_not_for_use_is_not_there():
    layers = [DIGITS, "{name: f, type: InnerProduct, num_output: 3}"]
    layers += [
        "{name: drop, type: Dropout, bottom: f, top: f, include: train}",
        "{name: t, type: TanH, bottom: f, include: test}",
    ]
    layers += ["{name: s, type: Sigmoid, bottom: f, exclude: predict}"]
    assert list(trees(*layers)) == ["digits", "f", "t"]


def test_a_rectifier_in_place_is_no_reader_that_keeps_what_only_a_loss_read():
    layers = [
        "{name: in, type: Input, top: [data, target], shape: [[2, 4], [2, 3]]}",
        "{name: f, type: InnerProduct, bottom: data, num_output: 5}",
        "{name: r, type: ReLU, bottom: f, top: f}",
        "{name: g, type: InnerProduct, bottom: f, num_output: 3}",
        "{name: loss, type: EuclideanLoss, bottom: [g, target]}",
    ]
    graph = built(*layers, phase="predict")
    assert (graph.inputs, graph.outputs) == (["data"], ["g"])
    in_place = [*layers[:4], "{name: s, type: ReLU, bottom: g, top: g}", layers[4]]
    assert [node.name for node in built(*in_place, phase="predict").nodes] == ["in", "f", "r", "g", "s"]


def test_what_says_include_predict_wins():
    layers = [
        DIGITS,
        "{name: given, type: Input, top: data, shape: [1, 1, 8, 8], include: predict}",
        "{name: f, type: InnerProduct, num_output: 3, bottom: data}",
        "{name: loss, type: EuclideanLoss, bottom: [f, f], include: [test, predict]}",
        "{name: hinge, type: Sigmoid, bottom: f, include: predict}",
        "{name: xent, type: SigmoidCrossEntropyLoss, bottom: [f, f]}",
    ]
    found = trees(*layers)
    assert list(found) == ["given", "f", "loss", "hinge"]
    assert found["given"]["shape"] == [1, 1, 8, 8]


def test_two_sources_become_two_inputs():
    other = "{name: more, type: Data, top: [x, y], dataset: digits, batch_size: 6, scale: 2}"
    layers = [
        DIGITS,
        other,
        "{name: j, type: Concat, bottom: [data, x]}",
        "{name: loss, type: EuclideanLoss, bottom: [label, y]}",
    ]
    graph = built(*layers, phase="predict")
    assert graph.inputs == ["data", "x"]
    assert {name: info.scale for name, info in graph.samples.items()} == {"data": 0.5, "x": 2.0}


def test_a_source_that_cannot_be_described_is_an_error_of_the_layer():
    with pytest.raises(ConfigError, match=r"2:71: layer 'd' \(Data\): mean_value has 3 values, .*"):
        built("{name: d, type: Data, dataset: digits, batch_size: 2, mean_value: [1, 2, 3]}", phase="predict")


@pytest.fixture
def types(monkeypatch):
    """Two types for a test: a layer that makes data of itself, and a source."""

    class DummyData(Layer):
        class Params(LayerParams):
            """None."""

        bottoms = (0, 0)

        def plan(self, *bottoms):
            return Plan(tops=[(2, 3)])

    class Stream(SourceLayer):
        class Params(LayerParams):
            """None."""

        def plan(self, *bottoms):
            return Plan(tops=[(2, 3)] * self.num_tops)

        def samples(self):
            return SampleInfo(shape=[3])

    monkeypatch.setattr(registry, "_types", {**registry._types, "DummyData": DummyData, "Stream": Stream})


def test_only_sources_become_inputs(types):
    found = trees(
        "{name: d, type: DummyData}", "{name: s, type: Stream, top: [a, b]}", "{name: c, type: Concat, bottom: [d, a]}"
    )
    assert {name: tree["type"] for name, tree in found.items()} == {"d": "DummyData", "s": "Input", "c": "Concat"}
    assert found["s"]["top"] == ["a"]


def test_a_source_alone_keeps_its_tops(types):
    assert trees("{name: s, type: Stream, top: [a, b]}")["s"]["top"] == ["a", "b"]


def test_a_derived_net_is_a_net():
    layers = [
        DIGITS,
        "{name: f, type: InnerProduct, num_output: 3}",
        "{name: loss, type: SoftmaxWithLoss, bottom: [f, label]}",
    ]
    derived = list(trees(*layers).values())
    assert [
        dict(as_tree(node.spec)) for node in load({"layers": derived}, ["predict"]).graphs["predict"].nodes
    ] == derived


def test_an_activation_that_only_a_metric_reads_stays():
    layers = [
        DIGITS,
        "{name: f, type: InnerProduct, num_output: 10, bottom: data}",
        "{name: prob, type: Softmax, bottom: f}",
        "{name: loss, type: SoftmaxWithLoss, bottom: [f, label]}",
        "{name: acc, type: Accuracy, bottom: [prob, label]}",
    ]
    assert list(trees(*layers)) == ["digits", "f", "prob"]


def test_where_only_a_metric_is_there_what_it_reads_is_the_answer():
    layers = [
        DIGITS,
        "{name: f, type: InnerProduct, num_output: 10, bottom: data}",
        "{name: loss, type: SoftmaxWithLoss, bottom: [f, label], include: train}",
        "{name: acc, type: Accuracy, bottom: [f, label], include: test}",
    ]
    assert list(trees(*layers)) == ["digits", "f"]
    assert built(*layers, phase="predict").outputs == ["f"]
