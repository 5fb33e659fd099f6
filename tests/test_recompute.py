"""`recompute`: less memory, the same bits in every gradient, and states as if nothing had been repeated."""

from __future__ import annotations

import net_tools
import numpy as np
import pytest
from test_net_random import layers

import layerkit as lk
from layerkit.graph import load

assert net_tools.TestWalk.__name__ in lk.layer_types()  # it has state and draws

BLOCKS = """
blocks:
  stage:
    recompute: RECOMPUTE
    args: {out: int}
    layers:
      - {name: conv, type: Convolution, bottom: $bottom, num_output: $out, kernel_size: 3, pad: 1,
         weight_filler: xavier}
      - {name: bn, type: BatchNorm}
      - {name: scale, type: Scale, bias_term: true}
      - {name: relu, type: ReLU}
      - {name: walk, type: TestWalk, size: 0.1}
      - {name: drop, type: Dropout, dropout_ratio: 0.3}
      - {name: pool, type: Pooling, kernel_size: 2, stride: 1}
layers:
  - {name: data, type: Input, top: [data, label], shape: [[8, 3, 12, 10], [8]]}
  - {block: stage, name: one, bottom: data, out: 8}
  - {block: stage, name: two, repeat: 2, out: 8}
  - {name: sum, type: Eltwise, bottom: [two1, two1]}
  - {block: stage, name: three, out: 8}
  - {name: fc, type: InnerProduct, num_output: 4, weight_filler: xavier}
  - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
"""


def train(net: lk.Net, passes: int = 3) -> list[np.ndarray]:
    """Everything that a few updates leave behind."""
    rng = np.random.default_rng(0)
    shapes = {name: net.blobs[name].shape for name in net.inputs}
    found = []
    for i in range(passes):
        given = {
            name: rng.integers(0, 4, shape) if name == "label" else rng.normal(size=shape)
            for name, shape in shapes.items()
        }
        net.forward(**given)
        net.backward(accumulate=i == 2)
        found += [np.array(net.loss), net.flat.diff.copy()]
        net.flat.data[...] -= 0.01 * net.flat.diff
    found += [array.copy() for array in net.flat.arrays().values()]
    for _, node in net.nodes():
        found += [getattr(node.layer.state, state.name).copy() for state in node.plan.state]
        found += [np.array(node.layer.rng.random()) for _ in range(node.plan.random)]
    return found


@pytest.mark.parametrize("engine", ["numpy", "auto"])
@pytest.mark.parametrize("of", ["a block", "the net"])
def test_the_same_bits_in_less_memory(of, engine):
    plain = BLOCKS.replace("RECOMPUTE", "false")
    text = BLOCKS.replace("RECOMPUTE", "true") if of == "a block" else f"recompute: true{plain}"
    nets = [lk.Net(source, engine=engine, keep=()) for source in (plain, text)]
    kept = lk.Net(plain, engine=engine)
    assert len(nets[1].graph.segments) >= 20
    results = [train(net) for net in (*nets, kept)]
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            if result is not results[2] or engine == "numpy":  # with all kept, fewer layers are joined
                np.testing.assert_array_equal(a, b)
    assert nets[1].bytes["blobs"] < 0.8 * nets[0].bytes["blobs"]


def test_where_everything_is_kept_nothing_is_repeated():
    text = BLOCKS.replace("RECOMPUTE", "true")
    nets = [lk.Net(text, engine="numpy"), lk.Net(text, engine="numpy", keep=())]
    for a, b in zip(train(nets[0]), train(nets[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not nets[0]._store.layout.again
    assert list(nets[1]._store.layout.again) == ["one", "two1", "two2", "three"]


@pytest.mark.parametrize("seed", range(16))
def test_random_nets(seed):
    text = f"layers:\n{layers(seed)}"
    nets = [lk.Net(source, dtype="float64", keep=()) for source in (text, f"recompute: true\n{text}")]
    weights = {key: np.random.default_rng(1).uniform(-1, 1, a.shape) for key, a in nets[0].flat.arrays().items()}
    for net in nets:
        net.load_weights(weights)
    for a, b in zip(train(nets[0]), train(nets[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_outermost_block_that_says_so_counts():
    text = """
blocks:
  inner: {recompute: true, layers: [{name: a, type: ReLU, bottom: $bottom}, {name: b, type: TanH}]}
  outer: {recompute: true, layers: [{block: inner, name: i, bottom: $bottom}, {block: inner, name: j}]}
  plain: {layers: [{block: inner, name: i, bottom: $bottom}, {name: c, type: ReLU}]}
layers:
  - {name: data, type: Input, shape: [2, 3]}
  - {block: outer, name: x, bottom: data}
  - {block: plain, name: y}
  - {name: loss, type: EuclideanLoss, bottom: [y, data]}
"""
    graph = load(text, ["train"]).graphs["train"]
    found = {graph.nodes[i].name: segment for i, segment in graph.segments.items()}
    assert found == {"x/i/a": "x", "x/i/b": "x", "x/j/a": "x", "x/j/b": "x", "y/i/a": "y/i", "y/i/b": "y/i"}
