"""Shipped configs, mutated: what comes out is a run that works or a clean error, never any other exception."""
# ruff: noqa: E501 (values stand in rows)

from __future__ import annotations

import copy
import math
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerkit import text
from layerkit.errors import ConfigError, LayerkitError
from layerkit.graph import load
from layerkit.net import Net

CONFIGS = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("configs/**/*.yaml")}
BLOCKS = """net:
  blocks:
    unit:
      args: {out: int, slope: {type: float, default: 0.1}, extra: {type: blob, default: data}, filler: xavier}
      layers:
        - {name: fc, type: InnerProduct, bottom: $bottom, num_output: $out, weight_filler: $filler}
        - {name: relu, type: ReLU, bottom: fc, top: fc, negative_slope: $slope}
        - {name: both, type: Concat, bottom: [fc, $extra]}
    pair: {args: {out: 2}, layers: [{block: unit, name: a, out: $out, repeat: 2}, {block: unit, name: b, out: 3}]}
  layers:
    - {name: in, type: Input, top: [data, label], shape: [[4, 3], [4]]}
    - {block: pair, name: p}
    - {block: unit, name: u, out: 5, bottom: p, extra: p/a1}
    - {name: drop, type: Dropout, include: train, bottom: u, top: u}
    - {name: loss, type: SoftmaxWithLoss, bottom: [u, label], param: [], exclude: {phase: predict}}
solver: {base_lr: 0.1, max_iter: 2, lr_policy: multistep, gamma: 0.5, stepvalue: [1, 2], test_state: {stage: a}}
"""
TEXTS = {**CONFIGS, "blocks": BLOCKS}
BOUND = 300_000
"""Elements of all blobs, weights and scratch arrays up to which a net is run."""

VALUES = [
    None, True, False, 0, 1, -1, 7, 10**9, 2**62, 10**30, -(10**30), 0.5, -0.0, 1e-300, 1e308, -1e308, math.nan, math.inf,
    "", " ", "x", "data", "label", "fc1", "1", "1e-3", "ReLU", "relu", "Concat", "Silence", "train", "predict", "../x", "\0",
    "$", "$bottom", "$out", "$$", "a/b", "x" * 300, [], [1], [0, 0], [[]], [[1, 2], [3]], [None], [True], ["data", "data"],
    {}, {"train": 1}, {"train": 1, "test": "x"}, {"tset": 1}, {"type": "gaussian", "std": 1e30}, {"phase": "predict"},
    {"block": "unit", "name": "u2", "out": 2}, {"type": "ReLU"}, {"name": "x", "type": "Slice", "top": ["p", "q"]}, [{}], (1, 2), b"x",
]  # fmt: skip
WORDS = ["name", "type", "bottom", "top", "layers", "net", "solver", "block", "blocks", "include", "param", "axis", "x", "", "train", "<<"]  # fmt: skip


def _paths(tree, path=()):
    if path:
        yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from _paths(value, (*path, key))


def _at(tree, path):
    for step in path:
        tree = tree[step]
    return tree


@st.composite
def mutated_trees(draw):
    tree = text.to_python(text.parse(TEXTS[draw(st.sampled_from(sorted(TEXTS)))]))
    for _ in range(draw(st.integers(1, 3))):
        paths = list(_paths(tree))
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        holder, key = _at(tree, path[:-1]), path[-1]
        match draw(st.sampled_from(["put", "put", "drop", "rename", "repeat", "swap", "wrap", "scale"])):
            case "put":
                holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            case "drop":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(WORDS))] = holder.pop(key)
            case "repeat" if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case "swap":
                other = draw(st.sampled_from(paths))
                if path[: len(other)] != other and other[: len(path)] != path:
                    there = _at(tree, other[:-1])
                    holder[key], there[other[-1]] = there[other[-1]], holder[key]
            case "wrap":
                holder[key] = [holder[key]]
            case "scale" if isinstance(holder[key], (int, float)):
                holder[key] = holder[key] * draw(st.sampled_from([-1, 0, 2, 1000, 10**8, 0.5]))
    return tree


@st.composite
def mutated_texts(draw):
    written = TEXTS[draw(st.sampled_from(sorted(TEXTS)))]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(written)))
        match draw(st.sampled_from(["delete", "insert", "cut line", "repeat line"])):
            case "delete":
                written = written[:at] + written[at + draw(st.integers(1, 4)) :]
            case "insert":
                written = (
                    written[:at]
                    + draw(st.sampled_from([*"{}[]:,'\"&*!|>#%@`-?\t\n \0\x85é", "<<: ", "&a ", "*a"]))
                    + written[at:]
                )
            case "cut line":
                start = written.rfind("\n", 0, at) + 1
                written = written[:start] + written[written.find("\n", at) + 1 or len(written) :]
            case "repeat line":
                start, end = written.rfind("\n", 0, at) + 1, written.find("\n", at) + 1 or len(written)
                written = written[:end] + written[start:end] + written[end:]
    return written + "\n"  # so that it is a text and no path


def _reads_well(error):
    for line in str(error).split("\n"):
        assert line.strip()
        assert "Traceback" not in line


def _works_or_says_why(source):
    try:
        run, graphs = load(source)
    except LayerkitError as error:
        _reads_well(error)
        return
    assert run.name
    for graph in graphs.values():
        size = sum(map(math.prod, graph.shapes.values()))
        for node in graph.nodes:
            size += sum(math.prod(asked.shape) for asked in (*node.plan.weights, *node.plan.scratch))
        if size > BOUND:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers of 1e308 overflow
            try:
                net = Net.from_graph(graph)
                net.forward()
                net.backward()
            except LayerkitError as error:
                _reads_well(error)


bounded = settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@bounded
@given(mutated_trees())
def test_a_mutated_tree_works_or_says_why(tree):
    _works_or_says_why(tree)


@bounded
@given(mutated_texts())
def test_a_mutated_text_works_or_says_why(written):
    _works_or_says_why(written)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_what_is_mutated_works_itself(name):
    assert load(TEXTS[name]).graphs


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_in_every_place_works_or_says_why(value):
    """Without chance: each value once in each place of the text that has blocks."""
    tree = text.to_python(text.parse(BLOCKS))
    for path in list(_paths(tree)):
        mutant = copy.deepcopy(tree)
        _at(mutant, path[:-1])[path[-1]] = value
        try:
            load(mutant, ["train"])
        except LayerkitError as error:
            _reads_well(error)


def test_numbers_that_nobody_could_allocate_do_not_hurt_a_check():
    net = {
        "layers": [
            {"name": "x", "type": "Input", "shape": [10**6, 10**6]},
            {"name": "f", "type": "InnerProduct", "num_output": 10**9},
        ]
    }
    with pytest.raises(ConfigError, match="top 'f' of shape 1000000x1000000000 is too large"):
        load(net)
