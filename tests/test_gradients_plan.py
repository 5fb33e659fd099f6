"""What a backward pass computes: what somebody needs, and what the loss or the seeds reach, and nothing else."""

from __future__ import annotations

import pytest

import layerkit as lk
from layerkit.graph import Ref, load, loss_seeds

LAYERS = {
    "in": "type: Input, top: [data, label], shape: [[4, 3], [4]]",
    "f1": "type: InnerProduct, num_output: 5, bottom: data",
    "r1": "type: ReLU, bottom: f1",
    "f2": "type: InnerProduct, num_output: 2, bottom: r1",
    "loss": "type: SoftmaxWithLoss, bottom: [f2, label]",
    "acc": "type: Accuracy, bottom: [f2, label]",
    "side": "type: InnerProduct, num_output: 2, bottom: f1",
}


def steps(seeds=None, inputs=False, head="", **more):
    """What runs backward: layer -> which bottoms get gradients, and which weights. `more` is added to layers."""
    layers = "".join(f"  - {{name: {name}, {fields}{more.get(name, '')}}}\n" for name, fields in LAYERS.items())
    graph = load(f"{head}layers:\n{layers}", ["train"]).graphs["train"]
    found = graph.backward(None if seeds is None else [Ref(seed) for seed in seeds], inputs)
    assert [step.node for step in found] == sorted((step.node for step in found), reverse=True)
    return {graph.nodes[step.node].name: (step.propagate_down, sorted(step.asked)) for step in found}


BOTH = ["bias", "weight"]


def test_from_the_loss_to_every_weight_and_no_further():
    assert steps() == {
        "loss": ((True, False), []),
        "f2": ((True,), BOTH),
        "r1": ((True,), []),
        "f1": ((False,), BOTH),
    }


def test_weights_with_lr_mult_0_are_not_asked_for():
    assert steps(f2=", param: [{lr_mult: 0}]")["f2"] == ((True,), ["bias"])
    assert steps(f2=", param: [{lr_mult: 0}, {lr_mult: 0}]")["f2"] == ((True,), [])


def test_below_the_last_weight_that_learns_nothing_is_computed():
    frozen = ", param: [{lr_mult: 0}, {lr_mult: 0}]"
    assert steps(f1=frozen) == {"loss": ((True, False), []), "f2": ((False,), BOTH)}
    assert steps(f1=frozen, f2=frozen) == {}


def test_propagate_down_false_stops_the_gradient():
    assert steps(f2=", propagate_down: false") == {"loss": ((True, False), []), "f2": ((False,), BOTH)}
    assert steps(loss=", propagate_down: [false, false]") == {}


def test_propagate_down_true_asks_for_a_gradient_that_nobody_needs():
    assert steps(f1=", propagate_down: true")["f1"] == ((True,), BOTH)
    frozen = ", param: [{lr_mult: 0}, {lr_mult: 0}]"
    assert steps(f1=f"{frozen}, propagate_down: true")["f1"] == ((True,), [])
    assert steps(r1=", propagate_down: true", f1=frozen)["r1"] == ((True,), [])


@pytest.mark.parametrize("way", [{"inputs": True}, {"head": "force_backward: true\n"}])
def test_gradients_of_the_inputs(way):
    assert steps(**way)["f1"] == ((True,), BOTH)
    assert steps(**way, f1=", param: [{lr_mult: 0}, {lr_mult: 0}]")["f1"] == ((True,), [])


def test_what_the_loss_does_not_reach_is_not_run():
    assert "side" not in steps()
    assert "acc" not in steps(inputs=True)


def test_a_loss_weight_makes_any_top_a_loss():
    found = steps(side=", loss_weight: 0.5")
    assert found["side"] == ((True,), BOTH)
    assert steps(loss=", loss_weight: 0") == {}


def test_from_seeds_instead_of_the_loss():
    assert steps(["side"]) == {"side": ((True,), BOTH), "f1": ((False,), BOTH)}
    assert list(steps(["r1"])) == ["r1", "f1"]
    assert list(steps(["f2", "side"])) == ["side", "f2", "r1", "f1"]
    assert steps(["label"]) == {}
    assert steps([]) == {}


def test_the_tops_with_a_loss_weight_are_the_seeds():
    layers = "layers:\n  - {name: in, type: Input, top: [x, y], shape: [[4, 3], [4]]}\n"
    graph = load(
        layers + "  - {name: l, type: SoftmaxWithLoss, bottom: [x, y], top: [l, p], loss_weight: [2, 1]}\n"
    ).graphs["train"]
    assert loss_seeds(graph.nodes) == {Ref("l"), Ref("p")}
    graph = load(layers + "  - {name: l, type: SoftmaxWithLoss, bottom: [x, y], top: [l, p]}\n").graphs["train"]
    assert loss_seeds(graph.nodes) == {Ref("l")}


def test_gradients_follow_versions_of_an_in_place_blob():
    layers = """layers:
  - {name: in, type: Input, top: x, shape: [4, 3]}
  - {name: f, type: InnerProduct, num_output: 2, bottom: x, top: x}
  - {name: g, type: ReLU, bottom: x, top: x}
  - {name: l, type: EuclideanLoss, bottom: [x, x]}
"""
    graph = load(layers).graphs["train"]
    assert [(step.node, step.propagate_down) for step in graph.backward(None)] == [
        (3, (True, True)),
        (2, (True,)),
        (1, (False,)),
    ]


@pytest.mark.parametrize("kind", ["Accuracy", "ArgMax", "Threshold"])
def test_a_loss_weight_on_what_has_no_gradient_is_refused(kind):
    bottom = "[x, label]" if kind == "Accuracy" else "x"
    layers = [
        "{name: in, type: Input, top: [x, label], shape: [[4, 3], [4]]}",
        f"{{name: odd, type: {kind}, bottom: {bottom}, loss_weight: 1}}",
    ]
    with pytest.raises(lk.ConfigError, match=rf"3:\d+: layer 'odd' \({kind}\): has no gradient, so a loss_weight"):
        lk.Net("layers:\n" + "".join(f"  - {layer}\n" for layer in layers))
    lk.Net("layers:\n" + "".join(f"  - {layer}\n" for layer in layers).replace("loss_weight: 1", "loss_weight: 0"))
