"""Blocks expanded and defaults filled in: what comes out is a flat list of layers."""

from __future__ import annotations

import time
from collections import OrderedDict

import pytest

from layerkit import text
from layerkit.errors import ConfigError, Problems
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
    assert wiring(["{block: unit, name: u, out: 2}", "{name: last, type: Softmax}"]) == {
        "u/fc": (["data"], ["u/fc"]),
        "u/relu": (["u/fc"], ["u/relu"]),
        "last": (["u/relu"], ["last"]),
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
    assert wiring(["{block: pair, name: p, out: 2}", "{name: last, type: ReLU, bottom: p}"]) == {
        "p/a/fc": (["data"], ["p/a/fc"]),
        "p/a/relu": (["p/a/fc"], ["p/a/relu"]),
        "p/b/fc": (["p/a/relu"], ["p/b/fc"]),
        "p/b/relu": (["p/b/fc"], ["p/b/relu"]),
        "last": (["p/b/relu"], ["last"]),
    }


def test_repeat_numbers_the_copies_and_chains_them():
    made = wiring(["{block: unit, name: u, out: 2, repeat: 3}", "{name: last, type: Concat, bottom: [u, u1, u2/fc]}"])
    assert list(made) == ["u1/fc", "u1/relu", "u2/fc", "u2/relu", "u3/fc", "u3/relu", "last"]
    assert made["u2/fc"] == (["u1/relu"], ["u2/fc"])
    assert made["last"][0] == ["u3/relu", "u1/relu", "u2/fc"]


def test_include_of_a_use_holds_for_all_its_layers():
    trees = flat(["{block: pair, name: p, out: 2, include: train, repeat: 1}", "{block: act, name: a}"])
    assert [tree.get("include") for tree in trees] == ["train"] * 4 + [None] * 2
    trees = flat(["{block: act, name: a, exclude: {stage: [fast]}}"])
    assert [tree.get("exclude") for tree in trees] == [{"stage": ["fast"]}] * 2
    layers = ["{block: unit, name: u, out: 2, include: test}", "{name: out, type: Softmax, bottom: data}"]
    graphs = load(f"net:{BLOCKS}" + "".join(f"    - {layer}\n" for layer in layers), ["train", "test"]).graphs
    assert [len(graphs[phase].nodes) for phase in ("train", "test")] == [2, 4]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "{block: act, name: a, include: trian}",
            "23:38: layer 'a/relu' (ReLU): include must be one of train, test, predict",
        ),
        (
            "{block: act, name: a, include: test, exclude: train}",
            "use of block 'act': has both 'include' and 'exclude'",
        ),
        (
            "{block: outer, name: o, include: test}",
            "layer 'o/x' (ReLU): the use of a block around it has 'include', so 'exclude' cannot stand here",
        ),
    ],
)
def test_a_rule_of_a_use_that_cannot_be(layer, message):
    blocks = BLOCKS.replace("    act:", "    outer: {layers: [{name: x, type: ReLU, exclude: train}]}\n    act:")
    with pytest.raises(ConfigError) as caught:
        load(f"net:{blocks}    - {layer}\n", ["train"])
    assert message in str(caught.value)


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
            "{name: last, type: Softmax}",
        ]
    )
    assert made["drop"] == (["u/relu"], ["u/relu"])
    assert made["last"][0] == ["u/relu"]


def test_a_layer_may_name_what_lies_inside_a_use():
    made = wiring(["{block: pair, name: p, out: 2}", "{name: last, type: Concat, bottom: [p/a/fc, p/b]}"])
    assert made["last"][0] == ["p/a/fc", "p/b/relu"]


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


# -- what grows ---------------------------------------------------------------------------------------------------


def nested(levels, kind, grown):
    """A net of blocks inside blocks, each of which hands its argument on, grown."""
    lines = ["net:", "  blocks:"]
    for i in range(levels):
        inner = f"{{block: b{i + 1}, name: n, a: {grown}}}" if i < levels - 1 else "{name: r, type: ReLU}"
        lines.append(f"    b{i}: {{args: {{a: {kind}}}, layers: [{inner}]}}")
    given = "[x, x]" if kind == "list" else "xx"
    lines += [
        "  layers:",
        "    - {name: data, type: Input, shape: [1]}",
        f"    - {{block: b0, name: n, a: {given}}}",
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("kind", "grown", "said"),
    [
        ("str", "$a$a", "block 'b12': a text of more than 10000 characters once its arguments are put in"),
        ("list", "[$a, $a]", "net: more than 100000 values in lists and mappings once every block is expanded"),
        ("list", "[[[[[[[[$a]]]]]]]]", "net: values nested more than 60 deep once every block is expanded"),
    ],
)
def test_an_argument_that_grows_from_block_to_block_is_bounded(kind, grown, said):
    started = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        load(nested(30, kind, grown))
    assert time.perf_counter() - started < 5
    (problem,) = caught.value.problems
    assert str(problem).split(": ", 1)[1].startswith(said + " (in block ")


def test_many_arguments_in_one_text_are_bounded():
    block = f"net:\n  blocks:\n    b: {{args: {{a: str}}, layers: [{{name: r, type: ReLU, top: {'$a' * 300_000}}}]}}\n"
    with pytest.raises(ConfigError, match="a text of more than 10000 characters once its arguments are put in"):
        load(f"{block}  layers:\n    - {{block: b, name: n, a: {'x' * 9000}}}\n")


def test_a_name_is_bounded_together_with_the_names_of_its_blocks():
    net = nested(30, "str", "$a").replace("name: n", f"name: {'n' * 100}")
    with pytest.raises(ConfigError, match=r"use of block 'b9': name is longer than 1000 characters: 'nnn.*\.\.\. "):
        load(net)


def test_what_does_not_grow_may_be_handed_on():
    assert load(nested(30, "str", "$a")).graphs["train"].outputs == ["/".join("n" * 30) + "/r"]
    assert len(load(nested(30, "list", "$a")).graphs["train"].nodes) == 2
