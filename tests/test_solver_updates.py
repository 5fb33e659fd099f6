"""One update of the solver, by hand: momentum, decay, clipping, iter_size, frozen weights, and its memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from rule_tools import spec
from solver_tools import digits, tiny

import layerkit as lk
from layerkit.updaters import Updater


def gradient(solver: lk.Solver) -> Any:
    solver.net.forward()
    solver.net.backward()
    return solver.net.flat.diff.copy()


def test_momentum_l2_and_multipliers_by_hand() -> None:
    solver = tiny([{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}], momentum=0.9, weight_decay=0.1)
    w = solver.net.flat.data
    rate = np.repeat([0.5, 1.0], [6, 2])
    decay = np.repeat([0.1, 0.0], [6, 2])
    velocity = np.zeros(8)
    for _ in range(3):
        velocity = 0.9 * velocity + rate * (gradient(solver) + decay * w)
        wanted = w - velocity
        solver.step()
        np.testing.assert_allclose(w, wanted)
    np.testing.assert_allclose(solver.updater.history["momentum"], velocity)


def test_l1_decay_by_hand() -> None:
    solver = tiny(weight_decay=0.1, regularization_type="L1")
    w = solver.net.flat.data
    w[0] = 0  # the sign of 0 is 0
    wanted = w - 0.5 * (gradient(solver) + 0.1 * np.sign(w))
    solver.step()
    np.testing.assert_allclose(w, wanted)


@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_clipping_bounds_the_norm_of_all_gradients_together(limit: float) -> None:
    solver = tiny(clip_gradients=limit)
    w = solver.net.flat.data
    g = gradient(solver)
    wanted = w - 0.5 * g * min(1, limit / np.linalg.norm(g))
    solver.step()
    np.testing.assert_allclose(w, wanted)


def test_iter_size_averages_batches_and_clips_their_sum_as_caffe_does() -> None:
    solver, once = tiny(iter_size=3), tiny()
    solver.step()
    once.step()
    np.testing.assert_allclose(solver.net.flat.data, once.net.flat.data)
    clipped = tiny(iter_size=3, clip_gradients=0.01)
    w, g = clipped.net.flat.data, gradient(clipped)
    wanted = w - 0.5 * g * 0.01 / np.linalg.norm(3 * g)
    clipped.step()
    np.testing.assert_allclose(w, wanted)


def test_iter_size_is_as_good_as_a_greater_batch() -> None:
    parts, whole = digits(iter_size=4, momentum=0.9), digits(momentum=0.9)
    whole = lk.Solver(whole.run.resolved(), overrides=["net.layers.digits.batch_size.train=64"])
    parts.step(3)
    whole.step(3)
    np.testing.assert_allclose(parts.net.flat.data, whole.net.flat.data, atol=1e-5)


def test_frozen_weights_stay_and_neighbours_of_equal_multipliers_share_a_chunk() -> None:
    solver = tiny([{"lr_mult": 0}, {"lr_mult": 1}], momentum=0.9, weight_decay=0.1)
    frozen = solver.net.params["fc"].weight.data.copy()
    solver.step(3)
    np.testing.assert_array_equal(solver.net.params["fc"].weight.data, frozen)
    assert len(solver.updater._chunks) == 1
    assert len(tiny().updater._chunks) == 1
    assert len(tiny([{"lr_mult": 1}, {"lr_mult": 2}]).updater._chunks) == 2


def test_weights_updated_in_small_chunks_are_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"momentum": 0.9, "weight_decay": 0.01, "iter_size": 2, "clip_gradients": 1.0}
    whole = digits(**fields)
    monkeypatch.setattr("layerkit.updaters.base.CHUNK", 7)
    parts = digits(**fields)
    assert len(whole.updater._chunks) == 1
    assert len(parts.updater._chunks) > parts.net.flat.data.size // (7 * parts.updater.engine.blend_factor)
    whole.step(3)
    parts.step(3)
    np.testing.assert_array_equal(parts.net.flat.data, whole.net.flat.data)
    np.testing.assert_array_equal(parts.updater.history["momentum"], whole.updater.history["momentum"])


def test_an_update_takes_no_memory() -> None:
    layers = [
        {"name": "x", "type": "Input", "shape": [1, 1000]},
        {"name": "fc", "type": "InnerProduct", "num_output": 1000},
        {"name": "loss", "type": "EuclideanLoss", "bottom": ["fc", "x"]},
    ]
    fields = {"momentum": 0.9, "weight_decay": 0.1, "clip_gradients": 1.0, "iter_size": 2}
    solver = lk.Solver({"net": {"layers": layers}, "solver": {"base_lr": 0.1, "max_iter": 1, **fields}})
    solver.step(2)
    tracemalloc.start()
    solver.updater.update(0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000  # the weights are 4 MB


def test_a_rule_that_does_nothing_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Updater does not say how it updates"):
        Updater(spec(), tiny().net.flat).update(0.1)
