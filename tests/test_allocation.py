"""A training step works in the memory that the net took at set-up: layers take what they need through their plans."""

import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest

import layerkit as lk
from layerkit import engines
from layerkit.magnitudes import l2_norm

SMALL = 8192
"""Bytes that one layer may take for a while: views, small objects, a few numbers for each sample or channel."""

MLP = """
net:
  layers:
    - {name: data, type: Input, top: [data, label], shape: [[64, 784], [64]]}
    - {name: fc1, type: InnerProduct, bottom: data, num_output: 500, weight_filler: xavier}
    - {name: relu1, type: ReLU}
    - {name: fc2, type: InnerProduct, num_output: 300, weight_filler: xavier}
    - {name: relu2, type: ReLU}
    - {name: fc3, type: InnerProduct, num_output: 10, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc3, label]}
"""
LENET = """
net:
  layers:
    - {name: data, type: Input, top: [data, label], shape: [[64, 1, 28, 28], [64]]}
    - {name: conv1, type: Convolution, bottom: data, num_output: 20, kernel_size: 5, weight_filler: xavier}
    - {name: pool1, type: Pooling, kernel_size: 2, stride: 2}
    - {name: conv2, type: Convolution, num_output: 50, kernel_size: 5, weight_filler: xavier}
    - {name: pool2, type: Pooling, kernel_size: 2, stride: 2}
    - {name: ip1, type: InnerProduct, num_output: 500, weight_filler: xavier}
    - {name: relu1, type: ReLU, top: ip1}
    - {name: ip2, type: InnerProduct, num_output: 10, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [ip2, label]}
"""
SOLVER = """
solver: {base_lr: 0.01, momentum: 0.9, weight_decay: 0.0005, max_iter: 10, display: 0}
"""


def taken(call: Callable[[], object]) -> int:
    """The most bytes that `call` holds at a time beyond those that were held before it."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    call()
    return tracemalloc.get_traced_memory()[1] - before


@pytest.fixture
def tracing() -> Iterator[None]:
    """Memory is traced; the fixed buffers through which numpy converts and broadcasts are made too small to matter."""
    before = np.setbufsize(64)
    tracemalloc.start()
    yield
    tracemalloc.stop()
    np.setbufsize(before)


@pytest.mark.parametrize("layers", [MLP, LENET], ids=["mlp", "lenet"])
def test_a_layers_own_code_takes_no_memory(layers: str, tracing: None) -> None:
    solver = lk.Solver(layers + SOLVER, engine="numpy")
    solver.net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=solver.net.blobs["data"].shape)
    solver.step(3)
    steps = {
        **{f"forward of {name}": partial(solver.net.forward, start=name, end=name) for name in solver.net.layers},
        **{f"backward of {name}": partial(solver.net.backward, start=name, end=name) for name in solver.net.layers},
        "update": partial(solver.updater.update, 0.01),
    }
    for step in steps.values():
        step()
    assert {name: bytes for name, step in steps.items() if (bytes := taken(step)) > SMALL} == {}


def test_the_norms_of_a_display_take_no_memory(tracing: None) -> None:
    solver = lk.Solver(MLP + SOLVER, engine="numpy", overrides=["solver.display=1"])
    solver.step(2)
    assert taken(partial(l2_norm, solver.net.flat.values)) < 2048  # the weights are 2 MB
    solver.step(2)
    assert taken(partial(solver.step, 1)) < 8 * SMALL


@pytest.mark.parametrize("engine", engines.names())
@pytest.mark.parametrize("layers", [MLP, LENET], ids=["mlp", "lenet"])
def test_a_whole_training_step_takes_no_memory(layers: str, engine: str, tracing: None) -> None:
    if engines.missing(engine) is not None:
        pytest.skip(f"{engine} cannot run here: {engines.missing(engine)}")
    solver = lk.Solver(layers + SOLVER, engine=engine, keep=())
    solver.step(3)
    assert max(taken(partial(solver.step, 1)) for _ in range(3)) < 2 * SMALL
