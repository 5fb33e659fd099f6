"""Numbers and their nouns, by themselves and in messages that count one."""

from __future__ import annotations

import pytest

import layerkit as lk
from layerkit.words import counted, plural


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 samples"), (1, "1 sample"), (2, "2 samples"), (12345, "12,345 samples")]
)
def test_a_noun_follows_its_number(count: int, words: str) -> None:
    assert counted(count, "sample") == words
    assert counted(count, "class", "classes") == words.replace("samples", "classes").replace("sample", "class")
    assert plural(count, "sample") == words.split()[1]


def test_a_net_of_one_layer_and_one_weight_says_so() -> None:
    fields = "num_output: 1, bias_term: false, bottom: data"
    net = lk.Net(f"layers: [{{name: data, type: Input, shape: [2, 1]}}, {{name: fc, type: InnerProduct, {fields}}}]")
    assert repr(net).endswith(": 2 layers, 1 weight>")


def test_a_run_of_one_iteration_says_so(command) -> None:
    answer = command("train", "configs/mlp.yaml", "--set", "solver.max_iter=1", "--set", "solver.test_interval=0")
    assert answer.status == 0
    assert ", 1 iteration, " in answer.out
    assert "finished after 1 iteration in" in answer.out
