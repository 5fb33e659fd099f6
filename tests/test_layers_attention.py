"""Attention, Embed, MatMul and CTCLoss: what they refuse, in which words; exact values, and a few properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from net_tools import check_gradients, fill, make
from pydantic import ValidationError

from layerkit.checks import Case, prepare
from layerkit.errors import DataError, ShapeError
from layerkit.registry import layer_class

TWO = {"num_heads": 2}
EMBED = {"num_output": 3, "input_dim": 4}


@pytest.mark.parametrize(
    ("kind", "params", "bottoms", "field", "message"),
    [
        (
            "MultiHeadAttention",
            {"num_heads": 4},
            [(2, 5, 6)],
            "num_heads",
            "num_heads 4 does not divide the 6 channels",
        ),
        ("MultiHeadAttention", TWO, [(5, 6)], "bottom", r"\(batch, places, channels\)"),
        ("MultiHeadAttention", TWO, [(2, 5, 6), (3, 5)], "bottom", "a mask for keys 2x5x6 is 2x5, not 3x5"),
        ("MultiHeadAttention", TWO, [(2, 5, 6), (2, 4, 6), (2, 5)], "bottom", "is 2x4, not 2x5"),
        ("MultiHeadAttention", TWO, [(2, 5, 6), (2, 4, 6), (2, 3, 6)], "bottom", "keys 2x4x6 and values 2x3x6"),
        ("MultiHeadAttention", TWO, [(2, 5, 6), (3, 4, 6)], "bottom", "their batch that of bottom 0, 2x5x6"),
        ("MultiHeadAttention", TWO, [(2, 5, 6)] * 4, "bottom", "the last of 4 bottoms must be a mask"),
        (
            "MultiHeadAttention",
            {**TWO, "causal": True},
            [(2, 5, 6), (2, 4, 6)],
            "causal",
            "as many keys as there are queries, but 4 are not 5",
        ),
        ("PositionalEmbedding", {"max_length": 4}, [(2, 5, 6)], "max_length", "of 5 is longer than max_length 4"),
        ("PositionalEmbedding", {"kind": "SINUSOIDAL"}, [(5,)], "bottom", "not 5"),
        ("MatMul", {}, [(3, 4), (5, 6)], "bottom", "are 3x4 and 5x6, which have no product: bottom 0 is 3x4"),
        ("MatMul", {"transpose_a": True}, [(3, 4), (4, 6)], "bottom", "are 4x3 and 4x6"),
        ("MatMul", {}, [(4,), (4, 6)], "bottom", "bottom 0 must have at least two axes, not 4"),
        ("MatMul", {}, [(2, 3, 4), (5, 4, 6)], "bottom", "axes before the last two do not fit together"),
        ("CTCLoss", {}, [(5, 2, 3), (3, 4)], "bottom", "not 5x2x3 and 3x4"),
        ("CTCLoss", {}, [(5, 2), (2, 4)], "bottom", "must be"),
        ("CTCLoss", {"blank": 3}, [(5, 2, 3), (2, 4)], "blank", r"blank 3 is none of the classes 0\.\.2"),
        ("CTCLoss", {}, [(5, 2, 3), (2, 4), (3,)], "bottom", "bottom 2 must be 2 lengths, not 3"),
        ("CTCLoss", {}, [(5, 2, 3), (2, 4), (2,), (2, 1)], "bottom", "bottom 3 must be 2 lengths, not 2x1"),
    ],
)
def test_plan_refuses(kind, params, bottoms, field, message):
    layer = layer_class(kind)(layer_class(kind).Params.model_validate(params))
    with pytest.raises(ShapeError, match=message) as caught:
        layer.plan(*bottoms)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("MultiHeadAttention", {}, "required"),
        ("MultiHeadAttention", {"num_heads": 0}, "greater than 0"),
        ("MultiHeadAttention", {"num_heads": 1, "dropout_ratio": 1}, "less than 1"),
        ("PositionalEmbedding", {}, "a learned table needs max_length"),
        ("PositionalEmbedding", {"kind": "SINUSOIDAL", "weight_filler": "xavier"}, "SINUSOIDAL has no weight"),
        ("PositionalEmbedding", {"kind": "rotary"}, "'LEARNED' or 'SINUSOIDAL'"),
        ("Embed", {"num_output": 3}, "required"),
        ("Embed", {"num_output": 3, "input_dim": 0}, "greater than 0"),
        ("CTCLoss", {"blank": -1}, "greater than or equal to 0"),
        ("CTCLoss", {"normalization": "VALID"}, "'BATCH_SIZE', 'LENGTH' or 'NONE'"),
    ],
)
def test_parameters_refuse(kind, params, message):
    with pytest.raises(ValidationError, match=message):
        layer_class(kind).Params.model_validate(params)


def lone(kind, bottoms, params, **more):
    return prepare(Case(kind, "values", [np.array(each, float) for each in bottoms], params, no_formula="-", **more))


def refused(kind, bottoms, params):
    """What a forward pass says; nothing is written to the tops then."""
    row = lone(kind, bottoms, params)
    for top in row.top:
        top.data[...] = 7
    with pytest.raises(DataError) as caught:
        row.layer.forward(row.bottom, row.top)
    assert all((top.data == 7).all() for top in row.top)
    return str(caught.value)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0, 3], [1, 4]], "input 4 at position (1, 1) is outside 0..3; input_dim is 4"),
        ([[0, -1], [1, 2]], "input -1 at position (0, 1) is outside 0..3; input_dim is 4"),
        ([[0, 1], [1.5, 2]], "input 1.5 at position (1, 0) is not a whole number; input_dim is 4"),
        ([[0, np.nan], [1, 2]], "input nan at position (0, 1) is not a whole number; input_dim is 4"),
        ([[0, np.inf], [1, 2]], "input inf at position (0, 1) is not a whole number; input_dim is 4"),
    ],
)
def test_embed_names_what_is_no_row(x, message):
    assert refused("Embed", [x], EMBED) == message


def test_embed_without_inputs_has_no_gradient():
    row = lone("Embed", [np.zeros((0, 2))], EMBED)
    assert row.forward()["top 0"].shape == (0, 2, 3)
    assert not any(diff.any() for diff in row.backward(row.requests).values())


# -- attention -------------------------------------------------------------------------------------------------------


def test_a_causal_place_does_not_see_the_future():
    row = lone("MultiHeadAttention", [np.random.default_rng(0).normal(size=(1, 5, 4))], {**TWO, "causal": True})
    before = row.forward()["top 0"]
    row.bottom[0].data[0, 3] += 1
    changed = (row.forward()["top 0"] != before).any(axis=(0, 2))
    assert changed.tolist() == [False, False, False, True, True]


def test_padding_is_not_seen_and_has_no_gradient_but_its_own():
    x = np.random.default_rng(0).normal(size=(1, 5, 4))
    row = lone("MultiHeadAttention", [x, x, [[0, 0, 1, 0, 1]]], TWO)
    row.forward()
    keys = row.backward(row.requests)["the diff of bottom 1"]
    assert keys.any(axis=(0, 2)).tolist() == [True, True, False, True, False]


def test_a_place_that_sees_nothing_gets_the_last_bias():
    row = lone("MultiHeadAttention", [np.ones((1, 2, 4)), [[1, 1]]], TWO)
    y = row.forward()["top 0"]
    np.testing.assert_allclose(y[0], [row.layer.weights.out_proj_bias.data] * 2)
    diffs = row.backward(row.requests)
    assert not diffs["the diff of bottom 0"].any()


def test_huge_scores_do_not_overflow():
    row = lone("MultiHeadAttention", [np.eye(4)[None] * 1e4], TWO)
    assert np.isfinite(row.forward()["top 0"]).all()
    assert all(np.isfinite(diff).all() for diff in row.backward(row.requests).values())


def test_dropout_keeps_the_mean_and_differs_from_pass_to_pass():
    x = np.random.default_rng(0).normal(size=(1, 6, 4))
    row = lone("MultiHeadAttention", [x], {**TWO, "dropout_ratio": 0.25})
    plain = lone("MultiHeadAttention", [x], TWO)
    want = plain.forward()["top 0"]
    row.forward()
    draws = []
    for _ in range(3000):
        row.layer.forward(row.bottom, row.top)
        draws.append(row.top[0].data.copy())
    assert (draws[0] != draws[1]).any()
    error = np.std(draws, axis=0) / math.sqrt(len(draws))
    assert (abs(np.mean(draws, axis=0) - want) < 5 * error).all()


def test_the_filler_of_attention_is_xaviers_unless_a_file_says_otherwise():
    cls = layer_class("MultiHeadAttention")
    assert {weight.filler.type for weight in cls(cls.Params(num_heads=2)).plan((2, 5, 6)).weights} == {
        "xavier",
        "constant",
    }


def test_a_block_of_a_transformer_has_right_gradients():
    net = make(
        """
- {name: data, type: Input, top: [x, mask, label], shape: [[2, 5], [2, 5], [2, 5]]}
- {name: embed, type: Embed, bottom: x, input_dim: 2, num_output: 6}
- {name: places, type: PositionalEmbedding, max_length: 7}
- {name: attention, type: MultiHeadAttention, bottom: [places, mask], num_heads: 3, causal: true}
- {name: sum, type: Eltwise, bottom: [places, attention]}
- {name: again, type: MatMul, bottom: [sum, sum], transpose_b: true}
- {name: scores, type: InnerProduct, num_output: 2, axis: 2}
- {name: loss, type: SoftmaxWithLoss, bottom: [scores, label], axis: 2}
"""
    )
    fill(net)
    net.blobs["x"].data[...] = [[0, 1, 1, 0, 1], [1, 1, 0, 0, 0]]
    net.blobs["mask"].data[...] = [[0, 0, 0, 1, 1], [1, 0, 0, 0, 0]]
    check_gradients(net)


# -- CTC -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("others", "params", "message"),
    [
        ([[[1, 3], [2, 1]]], {}, "label 3 at position (0, 1) is outside 0..2"),
        ([[[1, 2], [-2, 1]]], {}, "label -2 at position (1, 0) is outside 0..2"),
        ([[[1, 2], [2, 0]]], {}, "label 0 at position (1, 1) is the blank"),
        ([[[1, 2], [1.5, 1]]], {}, "label 1.5 at position (1, 0) is not a whole number"),
        ([[[1, np.nan], [1, 1]]], {}, "label nan at position (0, 1) is not a whole number"),
        ([[[1, -1], [1, 1]], [5, 5], [2, 2]], {}, "label -1 at position (0, 1) is outside 0..2"),
        ([[[1, 2], [2, 1]], [5, 6]], {}, "sequence 1 cannot have 6 steps; there are at most 5"),
        ([[[1, 2], [2, 1]], [5, -1]], {}, "sequence 1 cannot have -1 steps; there are at most 5"),
        ([[[1, 2], [2, 1]], [5, 5], [2.5, 2]], {}, "sequence 0 cannot have 2.5 labels; there are at most 2"),
        ([[[1, 2], [2, 1]], [5, 5], [2, 3]], {}, "sequence 1 cannot have 3 labels; there are at most 2"),
    ],
)
def test_ctc_names_what_cannot_be(others, params, message):
    assert refused("CTCLoss", [np.zeros((5, 2, 3)), *others], params) == message


def test_what_cannot_be_aligned_has_an_infinite_loss_and_no_gradient():
    labels = [[1, 1, 2], [2, 1, -1]]  # the first needs four steps
    for zero, want in ((False, math.inf), (True, None)):
        row = lone("CTCLoss", [np.zeros((3, 2, 3)), labels], {"zero_infinity": zero, "normalization": "NONE"})
        loss = row.forward()["top 0"]
        assert loss == want if want else loss == pytest.approx(3 * math.log(3) - math.log(5))
        row.top[0].diff[...] = 1
        dx = row.backward([0])["the diff of bottom 0"]
        assert not dx[:, 0].any()
        assert dx[:, 1].any()


def test_ctc_of_extreme_scores_is_exact():
    x = np.full((3, 1, 3), -1e4)
    x[[0, 1, 2], 0, [1, 0, 1]] = 1e4
    row = lone("CTCLoss", [x, [[1, 1]]], {})
    assert row.forward()["top 0"] == 0
    assert lone("CTCLoss", [x, [[2, 1]]], {}).forward()["top 0"] == pytest.approx(2e4)


@pytest.mark.parametrize(("steps", "count"), [(0, 2), (4, 0)])
def test_ctc_without_steps_or_sequences(steps, count):
    row = lone("CTCLoss", [np.zeros((steps, count, 3)), np.full((count, 2), -1.0)], {})
    assert row.forward()["top 0"] == 0
    assert row.backward([0])["the diff of bottom 0"].shape == (steps, count, 3)
