"""Loops in whole runs: resumed to the bit, saved and loaded, drawn and summed up; and what is wrong, with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_resume import assert_same, everything

import layerkit as lk

RUN = """
name: run
net:
  layers:
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: {train: 50, test: 100}, scale: 0.0625}
    - {name: lines, type: Reshape, bottom: data, shape: [0, 8, 8]}
    - {name: x, type: Permute, order: [1, 0, 2]}
    - name: rnn
      type: Recurrent
      bottom: x
      carry: true
      states: {h: {next: h_new}}
      outputs: {blob: h_new, take: last}
      body:
        - {name: i2h, type: InnerProduct, bottom: x, num_output: 12, weight_filler: xavier}
        - {name: drop, type: Dropout, bottom: i2h, dropout_ratio: 0.3}
        - {name: h2h, type: InnerProduct, bottom: h, num_output: 12, weight_filler: xavier}
        - {name: sum, type: Eltwise, bottom: [drop, h2h]}
        - {name: h_new, type: TanH}
    - {name: fc, type: InnerProduct, num_output: 10, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
solver: {base_lr: 0.1, momentum: 0.9, max_iter: 32, test_interval: 8, display: 0, snapshot: 9}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def test_states_and_generators_of_a_body_are_resumed_to_the_bit(folder: Path) -> None:
    """An epoch of 1437 samples ends in between, with a batch of fewer sequences."""
    whole = lk.Solver(RUN, folder=folder)
    whole.solve()
    other = lk.Solver(RUN, folder=folder / "resumed")
    assert other.restore(folder / "iter_27.state.safetensors") == []
    other.solve()
    assert whole.net.layers["rnn"].state.__dict__["body/h"].any()
    assert_same(everything(other), everything(whole))
    for solver in (whole, other):
        solver.close()


def test_a_snapshot_holds_the_body_and_answers_without_the_file(folder: Path) -> None:
    net = lk.load(str(folder / "iter_27.safetensors"))
    assert net.params["rnn"].names == ("body/i2h.weight", "body/i2h.bias", "body/h2h.weight", "body/h2h.bias")
    images = np.random.default_rng(0).uniform(0, 1, (5, 1, 8, 8))
    first = net.forward(data=images)[net.outputs[0]].copy()
    again = lk.Net(RUN, phase="predict", weights=str(folder / "iter_27.safetensors"))
    np.testing.assert_array_equal(again.forward(data=images)[again.outputs[0]], first)


def test_a_test_net_uses_the_train_net_s_weights(folder: Path) -> None:
    solver = lk.Solver(RUN, folder=folder)
    ours, theirs = solver.net.params["rnn"], solver.test_net.params["rnn"]
    ours["body/h2h.weight"].data[...] = 0.5
    assert (theirs["body/h2h.weight"].data == 0.5).all()
    solver.close()
