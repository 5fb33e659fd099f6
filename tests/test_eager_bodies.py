"""Layers with bodies on a tape: weights that calls share, written down as a net that computes the same to the bit."""

import numpy as np
import pytest
from eager_tools import X, expect_same_net, wrong

import layerkit as lk
import layerkit.eager as F  # noqa: N812 - as in the guide
from layerkit.text import WIDTH

SEQUENCES = np.random.default_rng(3).normal(size=(5, 2, 4))
PRODUCT = {"type": "InnerProduct", "num_output": 4, "weight_filler": "xavier"}
CELL = [
    {"name": "i2h", "bottom": "x", **PRODUCT, "param": [{"lr_mult": 2}, {"lr_mult": 0}]},
    {"name": "h2h", "bottom": "h", **PRODUCT, "param": {"decay_mult": 0.5}},
    {"name": "h_new", "type": "Expression", "bottom": ["i2h", "h2h"], "expr": "tanh(i2h + h2h)"},
]
LOOP = {"states": {"h": {"next": "h_new", "start": "learned"}}, "outputs": "h_new", "inputs": ["x"], "body": CELL}


def test_a_loop_called_twice_is_written_down_with_names_in_its_body():
    loop = F.Recurrent(name="loop", **LOOP)
    with F.Tape(dtype="float64") as tape:
        F.reduction(loop(loop(SEQUENCES)), loss_weight=1)
    assert {*tape.params} == {
        "loop.h_start",
        *(f"loop.body/{name}" for name in ("i2h.weight", "h2h.weight", "h2h.bias")),
    }
    net = expect_same_net(tape)
    assert len(net.flat.slots) == 5
    lines = tape.to_yaml().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "      - {name: h_new, type: Expression, bottom: [i2h, h2h], expr: tanh(i2h + h2h)}" in lines
    assert net.params["loop_2"]["body/h2h.weight"].data.base is net.params["loop"]["body/h2h.weight"].data.base
    written = next(each for each in tape.to_dict()["layers"] if each["name"] == "loop_2")
    assert written["param"] == [{"name": "loop.h_start"}]
    assert written["body"][1]["param"] == [
        {"decay_mult": 0.5, "name": "loop.body/h2h.weight"}, {"name": "loop.body/h2h.bias"}
    ]  # fmt: skip


def test_bodies_in_bodies_and_both_of_a_cond():
    """Each sample goes through a product or, again and again, through a loop; the whole choice is made twice."""
    again = {"name": "y", "type": "Repeat", "bottom": "x", "states": {"v": {"next": "w", "start": "x"}}, "outputs": "w"}
    again |= {"times": 3, "body": [{"name": "w", "bottom": "v", **PRODUCT}]}
    choice = F.Cond(
        name="choice", condition="c", by="sample", outputs="y", inputs=["x", "c"],
        then=[{"name": "y", "bottom": "x", **PRODUCT}], otherwise=[again],
    )  # fmt: skip
    with F.Tape(dtype="float64") as tape:
        y = choice(choice(X[:, :4], [1, 0, 0, 1]), [0, 0, 1, 1])
        F.reduction(y, loss_weight=1)
    assert [*tape.params] == [
        *("choice.then/y.weight", "choice.then/y.bias"),
        *("choice.otherwise/y.body/w.weight", "choice.otherwise/y.body/w.bias"),
    ]
    assert len(expect_same_net(tape).flat.slots) == 4


def test_a_body_that_names_its_weights_itself():
    named = [{**CELL[0], "param": [{"name": "one.body/i2h.weight"}]}, CELL[1], CELL[2]]
    with F.Tape(dtype="float64") as tape:
        h = F.recurrent(SEQUENCES, name="one", **{**LOOP, "body": named})
        F.reduction(F.recurrent(h, name="other", **{**LOOP, "body": named}), loss_weight=1)
    assert len(expect_same_net(tape).flat.slots) == 9  # of the five weights of each, one is the other's


def test_param_may_be_one_mapping():
    fc = F.InnerProduct(num_output=5, name="fc", param={"lr_mult": 0.5})
    with F.Tape(dtype="float64") as tape:
        F.reduction(fc(fc(X)), loss_weight=1)
    assert expect_same_net(tape).graph.nodes[-2].params[0].lr_mult == 0.5


OF_A_BLOCK = {
    "blocks": {"two": {"layers": [CELL[0]]}},
    "body": [{"block": "two", "name": "b"}, CELL[1], {**CELL[2], "bottom": ["b/i2h", "h2h"]}],
}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"bidirectional": True}, "'body' is not written out as a list of layers of its own"),
        (OF_A_BLOCK, "layer 'b/i2h' of 'body' comes from a block"),
    ],
)
def test_what_yaml_cannot_say(changes, why):
    loop = F.Recurrent(name="loop", **{**LOOP, **changes})
    with F.Tape() as tape:
        loop(SEQUENCES)
        loop(2 * SEQUENCES)
    wrong(tape.to_yaml, lk.UsageError, r"layer 'loop' \(Recurrent\) shares a weight inside its body.*" + why)
