"""Blocks expanded and defaults filled in: what comes out is a flat list of layers."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from layerkit import text
from layerkit.errors import Problems
from layerkit.graph import expand, load
from layerkit.spec import load_run

BLOCKS = """
  blocks:
    unit:
      args:
        out: int
        slope: 0.5
        filler: {type: any, default: {type: xavier}}
        also: {type: blob, default: null}
        fields: {type: list, default: []}
      layers:
        - {name: fc, type: InnerProduct, bottom: $bottom, num_output: $out, weight_filler: $filler}
        - {name: relu, type: ReLU, negative_slope: $slope}
    pair:
      args: {out: int}
      layers:
        - {block: unit, name: a, out: $out}
        - {block: unit, name: b, out: 3}
    join: {args: {with: blob}, layers: [{name: sum, type: Eltwise, bottom: [$bottom, $with]}]}
    act: {layers: [{type: ReLU}, {type: ReLU}]}
  layers:
    - {name: in, type: Input, top: data, shape: [4, 3]}
"""


def flat(layers, blocks=BLOCKS):
    """The layers after Input: name, bottoms and tops, and the rest."""
    net = f"net:{blocks}{''.join(f'    - {layer}{chr(10)}' for layer in layers)}"
    problems = Problems()
    layers = expand(load_run(net).net, problems)
    assert not problems.found
    return [each.tree for each in layers[1:]]


def wiring(layers, blocks=BLOCKS):
    return OrderedDict((tree["name"], (tree["bottom"], tree["top"])) for tree in flat(layers, blocks))


# -- blocks ---------------------------------------------------------------------------------------------------------


def test_a_use_puts_its_name_in_front():
    assert wiring(["{block: unit, name: u, out: 2}", "{name: end, type: Softmax}"]) == {
        "u/fc": (["data"], ["u/fc"]),
        "u/relu": (["u/fc"], ["u/relu"]),
        "end": (["u/relu"], ["end"]),
    }


def test_arguments_have_defaults_and_any_type():
    fc, relu = flat(["{block: unit, name: u, out: 2}"])
    assert (fc["num_output"], fc["weight_filler"], relu["negative_slope"]) == (2, {"type": "xavier"}, 0.5)
    fc, relu = flat(["{block: unit, name: u, out: 7, slope: 1, filler: msra}"])
    assert (fc["num_output"], fc["weight_filler"], relu["negative_slope"]) == (7, "msra", 1)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("int", "3"),
        ("float", "3"),
        ("float", "0.5"),
        ("bool", "true"),
        ("str", "word"),
        ("list", "[1, a]"),
        ("blob", "data"),
        ("any", "{a: [1]}"),
        ("{type: int}", "3"),
        ("{type: int, default: 2}", "3"),
        ("2", "3"),
        ("0.5", "3"),
        ("true", "false"),
        ("word", "other"),
        ("[1]", "[]"),
        ("null", "{a: 1}"),
        ("{a: 1}", "3"),
    ],
)
def test_a_declaration_accepts_values_of_its_type(declared, value):
    blocks = f"\n  blocks: {{b: {{args: {{arg: {declared}}}, layers: [{{name: r, type: ReLU, x: $arg}}]}}}}\n  layers:\n    - {{name: in, type: Input, top: data, shape: [1]}}\n"  # fmt: skip  # noqa: E501
    (tree,) = flat([f"{{block: b, name: u, arg: {value}}}"], blocks)
    assert tree["x"] == text.parse_value(value)


def test_an_argument_stands_alone_or_inside_a_text():
    blocks = """
  blocks:
    b:
      args: {n: 2, flag: true, kinds: [MAX, AVE]}
      layers: [{name: p$n-$flag, type: Pooling, pool: $kinds, x: {y: [$n, $$n, a$$b, $]}}]
  layers:
    - {name: in, type: Input, top: data, shape: [1]}
"""
    (tree,) = flat(["{block: b, name: u}"], blocks)
    assert tree["name"] == "u/p2-true"
    assert tree["pool"] == ["MAX", "AVE"]
    assert tree["x"] == {"y": [2, "$n", "a$b", "$"]}


def test_blocks_nest():
    assert wiring(["{block: pair, name: p, out: 2}", "{name: end, type: ReLU, bottom: p}"]) == {
        "p/a/fc": (["data"], ["p/a/fc"]),
        "p/a/relu": (["p/a/fc"], ["p/a/relu"]),
        "p/b/fc": (["p/a/relu"], ["p/b/fc"]),
        "p/b/relu": (["p/b/fc"], ["p/b/relu"]),
        "end": (["p/b/relu"], ["end"]),
    }


def test_repeat_numbers_the_copies_and_chains_them():
    made = wiring(["{block: unit, name: u, out: 2, repeat: 3}", "{name: end, type: Concat, bottom: [u, u1, u2/fc]}"])
    assert list(made) == ["u1/fc", "u1/relu", "u2/fc", "u2/relu", "u3/fc", "u3/relu", "end"]
    assert made["u2/fc"] == (["u1/relu"], ["u2/fc"])
    assert made["end"][0] == ["u3/relu", "u1/relu", "u2/fc"]


def test_repeat_1_is_numbered_too():
    assert list(wiring(["{block: act, name: u, repeat: 1}"])) == ["u1/relu", "u1/relu2"]


def test_a_use_reads_the_layer_above_or_its_bottom():
    made = wiring(
        ["{name: a, type: ReLU}", "{block: unit, name: u, out: 2}", "{block: unit, name: v, out: 2, bottom: a}"]
    )
    assert made["u/fc"][0] == ["a"]
    assert made["v/fc"][0] == ["a"]


def test_a_use_stands_for_its_output_wherever_it_is_named():
    made = wiring(
        [
            "{name: early, type: ReLU, bottom: u}",
            "{block: join, name: j, bottom: u, with: v}",
            "{block: unit, name: u, out: 2, bottom: data}",
            "{block: unit, name: v, out: 2, bottom: [data]}",
        ]
    )
    assert made["early"][0] == ["u/relu"]
    assert made["j/sum"][0] == ["u/relu", "v/relu"]


def test_in_place_on_a_use_is_in_place_on_its_output():
    made = wiring(
        [
            "{block: unit, name: u, out: 2}",
            "{name: drop, type: Dropout, bottom: u, top: u}",
            "{name: end, type: Softmax}",
        ]
    )
    assert made["drop"] == (["u/relu"], ["u/relu"])
    assert made["end"][0] == ["u/relu"]


def test_a_layer_may_name_what_lies_inside_a_use():
    made = wiring(["{block: pair, name: p, out: 2}", "{name: end, type: Concat, bottom: [p/a/fc, p/b]}"])
    assert made["end"][0] == ["p/a/fc", "p/b/relu"]


def test_names_inside_hide_those_outside():
    blocks = """
  blocks:
    b:
      layers:
        - {name: one, type: ReLU, bottom: data}
        - {name: two, type: Concat, bottom: [one, three, other], top: three}
  layers:
    - {name: in, type: Input, top: [data, one, other], shape: [1, 2]}
"""
    assert wiring(["{block: b, name: u}"], blocks) == {
        "u/one": (["data"], ["u/one"]),
        "u/two": (["u/one", "u/three", "other"], ["u/three"]),
    }


def test_a_blob_argument_is_looked_up_outside():
    blocks = """
  blocks:
    inner: {args: {x: blob}, layers: [{name: one, type: ReLU, bottom: $x}]}
    outer:
      args: {x: blob}
      layers:
        - {name: one, type: ReLU, bottom: data}
        - {block: inner, name: i, x: one}
        - {block: inner, name: k, x: $x}
  layers:
    - {name: in, type: Input, top: data, shape: [1, 2]}
    - {name: one, type: ReLU}
"""
    made = wiring(["{block: outer, name: o, x: one}"], blocks)
    assert made["o/i/one"][0] == ["o/one"]
    assert made["o/k/one"][0] == ["one"]


def test_weights_are_shared_across_uses():
    shared = "- {name: fc, type: InnerProduct, bottom: data, num_output: 2, param: {name: w}}"
    net = f"net:\n  blocks:\n    b:\n      layers:\n        {shared}\n  layers:\n    - {{name: in, type: Input, top: data, shape: [4, 3]}}\n    - {{block: b, name: u}}\n    - {{block: b, name: v}}\n"  # fmt: skip  # noqa: E501
    nodes = load(net).graphs["train"].nodes
    assert [(node.name, node.spec.param[0].name) for node in nodes[1:]] == [("u/fc", "w"), ("v/fc", "w")]


def test_a_layer_knows_the_blocks_it_came_from():
    run = load_run(f"net:{BLOCKS}    - {{block: pair, name: p, out: 2}}\n")
    inner = expand(run.net, Problems())[1]
    assert [str(use) for use in inner.uses] == ["in block 'unit' used at 16:11", "in block 'pair' used at 22:7"]
    assert inner.prefix == "p/a/"


def test_expanding_leaves_the_net_as_it_was():
    run = load_run(f"net:{BLOCKS}    - {{block: pair, name: p, out: 2}}\n    - {{name: e, type: ReLU, bottom: p}}\n")
    before = run.resolved()
    assert [each.tree for each in expand(run.net, Problems())] == [each.tree for each in expand(run.net, Problems())]
    assert run.resolved() == before


# -- defaults -------------------------------------------------------------------------------------------------------


def test_the_default_bottom_is_the_nearest_layer_above_that_is_no_loss_or_metric():
    made = wiring(
        [
            "{name: a, type: ReLU, top: [first]}",
            "{name: two, type: Slice, bottom: data, top: [x, y]}",
            "{name: loss, type: EuclideanLoss, bottom: [x, y]}",
            "{name: accuracy, type: Accuracy, bottom: [x, y]}",
            "{name: quiet, type: Silence, bottom: y}",
            "{name: b, type: ReLU}",
            "{name: more, type: Input, shape: [1]}",
            "{name: c, type: ReLU}",
        ]
    )
    assert made["b"] == (["x"], ["b"])
    assert made["c"] == (["more"], ["c"])
    assert made["quiet"] == (["y"], [])
    assert made["more"] == ([], ["more"])


def test_defaults_go_by_written_order_whatever_the_phase():
    made = wiring(["{name: d, type: Dropout, include: train}", "{name: e, type: ReLU, include: train}"])
    assert made["e"][0] == ["d"]


def test_a_made_up_name_is_the_type_and_a_number_where_that_is_taken():
    made = wiring(
        [
            "{type: ReLU}",
            "{type: ReLU}",
            "{name: relu3, type: ReLU}",
            "{type: ReLU}",
            "{type: TanH, top: relu5}",
            "{type: ReLU}",
        ]
    )
    assert list(made) == ["relu", "relu2", "relu3", "relu4", "tanh", "relu6"]


def test_a_single_name_and_a_list_are_the_same():
    assert wiring(["{name: a, type: ReLU, bottom: data, top: x}"]) == wiring(
        ["{name: a, type: ReLU, bottom: [data], top: [x]}"]
    )


def test_an_empty_bottom_is_no_bottom():
    assert wiring(["{name: a, type: Input, bottom: [], shape: [1]}"])["a"] == ([], ["a"])
