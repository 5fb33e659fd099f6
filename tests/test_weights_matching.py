"""Starting from another net's weights: what is loaded, skipped, missing or of another shape; what `strict` allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from command_tools import in_terminal, visible

import layerkit as lk
from layerkit import arrayfile, snapshot

MLP = "configs/mlp.yaml"
ONE_STEP = ["--set", "solver.max_iter=1", "--set", "solver.test_interval=0", "--set", "solver.base_lr=0"]

OLD = """
layers:
- {name: x, type: Input, shape: [2, 3]}
- {name: fc1, type: InnerProduct, num_output: 5, weight_filler: xavier}
- {name: fc2, type: InnerProduct, num_output: 7, weight_filler: xavier}
"""
NEW = OLD.replace("name: fc2, type: InnerProduct, num_output: 7", "name: answer, type: InnerProduct, num_output: 2")
WIDER = OLD.replace("num_output: 7", "num_output: 9")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The snapshot of a net OLD."""
    snapshot.save_weights(tmp_path / "old.safetensors", lk.Net(OLD, seed=3))
    return tmp_path / "old.safetensors"


def values(net: lk.Net) -> dict[str, np.ndarray]:
    return {key: array.copy() for key, array in net.flat.arrays().items()}


def refused(call: Any) -> str:
    with pytest.raises(lk.LayerkitError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


# -- in Python -----------------------------------------------------------------------------------------------------


def test_what_agrees_by_name_is_loaded_and_the_rest_stays(old: Path) -> None:
    net = lk.Net(NEW, seed=1)
    before, saved = values(net), arrayfile.load(old)[0]
    found = net.load_weights(old, strict=False)
    assert found.loaded == ["fc1.weight", "fc1.bias"]
    assert found.missing == ["answer.weight", "answer.bias"]
    assert sorted(found.skipped) == ["fc2.bias", "fc2.weight"]
    assert found.misshapen == []
    after = values(net)
    for name in found.loaded:
        np.testing.assert_array_equal(after[name], saved[name])
    for name in found.missing:
        np.testing.assert_array_equal(after[name], before[name])


def test_the_table_lists_the_nets_weights_in_order_and_then_what_is_skipped(old: Path) -> None:
    found = lk.Net(NEW).flat.match({**arrayfile.load(old)[0], "fc1.bias": np.zeros(4)}, "old.safetensors")
    assert str(found).splitlines() == [
        "weight         in old.safetensors  in the net",
        "fc1.weight     5x3                 5x3         loaded",
        "fc1.bias       4                   5           wrong shape",
        "answer.weight                      2x5         missing",
        "answer.bias                        2           missing",
        *(f"{name:<15}{shape:<32}skipped" for name, shape in sorted([("fc2.weight", "7x5"), ("fc2.bias", "7")])),
        "1 of 4 weights from old.safetensors; 2 missing, 2 skipped",
    ]


@pytest.mark.parametrize("strict", [None, True, False])
def test_another_shape_is_always_an_error_and_nothing_is_changed(old: Path, strict: bool | None) -> None:
    net = lk.Net(WIDER, seed=1)
    before = values(net)
    text = refused(lambda: net.load_weights(old, strict=strict))
    hint = "; to train layer 'fc2' afresh, give it another name" if strict is False else ""
    assert text == f"{old}: 'fc2.weight' is 7x5, but the net's is 9x5{hint}"
    for name, array in values(net).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_missing_weight_is_an_error_unless_not_strict(old: Path) -> None:
    for strict in (None, True):
        net = lk.Net(NEW, seed=1)
        before = values(net)
        assert refused(lambda net=net, strict=strict: net.load_weights(old, strict)).startswith(
            f"{old} has no weight 'answer.weight'"
        )
        np.testing.assert_array_equal(values(net)["fc1.weight"], before["fc1.weight"])
        assert "has no weight 'answer.weight'" in refused(lambda strict=strict: lk.Net(NEW, weights=old, strict=strict))
    assert lk.Net(NEW, weights=old, strict=False).params["fc1"].weight.data.any()


def test_a_weight_too_many_is_an_error_only_if_strict(old: Path) -> None:
    shorter = OLD[: OLD.index("- {name: fc2")]
    assert refused(lambda: lk.Net(shorter, weights=old, strict=True)) == (
        f"{old} has a weight 'fc2.bias', which the net has not; strict allows no others"
    )
    for strict in (None, False):
        assert sorted(lk.Net(shorter).load_weights(old, strict).skipped) == ["fc2.bias", "fc2.weight"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_weights_may_come_from_another_program(tmp_path: Path, suffix: str) -> None:
    arrays = values(lk.Net(OLD, seed=4))
    path = tmp_path / f"foreign{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        safetensors.numpy.save_file(arrays, path, metadata={"format": "np"})
    net = lk.Net(OLD, weights=path, strict=True)
    np.testing.assert_array_equal(net.params["fc2"].weight.data, arrays["fc2.weight"])
    assert "not a layerkit snapshot" in refused(lambda: lk.load(path)) or suffix == ".npz"


SHARED = """
layers:
- {name: x, type: Input, shape: [2, 3]}
- {name: a, type: InnerProduct, bottom: x, num_output: 3, bias_term: false, param: {name: w}, include: train}
- {name: b, type: InnerProduct, bottom: x, num_output: 3, bias_term: false, param: {name: w}}
"""


def test_a_shared_weight_counts_once_whatever_name_it_stands_under(tmp_path: Path) -> None:
    path = tmp_path / "shared.safetensors"
    snapshot.save_weights(path, lk.Net(SHARED))
    for phase, name in (("train", "a.weight"), ("test", "b.weight")):
        found = lk.Net(SHARED, phase).load_weights(path, strict=True)
        assert (found.loaded, found.skipped) == ([name], [])
    both = {"a.weight": np.ones((3, 3)), "b.weight": np.ones((3, 3))}  # as Caffe stores it
    assert lk.Net(SHARED).load_weights(both, strict=True).loaded == ["a.weight"]


def test_a_solver_starts_from_weights(folder: Path) -> None:
    first = lk.Solver(MLP)
    first.step(2)
    path = first.snapshot(folder / "first")
    text = Path(MLP).read_text().replace("fc2", "answer")
    second = lk.Solver(text, weights=path)
    np.testing.assert_array_equal(second.net.params["fc1"].weight.data, first.net.params["fc1"].weight.data)
    assert "has no weight 'answer.weight'" in refused(lambda: lk.Solver(text, weights=path, strict=True))


# -- on the command line -------------------------------------------------------------------------------------------


def saved_weights(name: str, **changes: np.ndarray | None) -> None:
    """An .npz of the weights of configs/mlp.yaml, with some others, or without those that are None."""
    arrays = {**values(lk.Net(MLP, seed=9)), **{key.replace("__", "."): array for key, array in changes.items()}}
    np.savez(name, **{key: array for key, array in arrays.items() if array is not None})


def test_fine_tuning_prints_a_table(command) -> None:
    saved_weights("old.npz", fc2__bias=None, ip__weight=np.zeros((3, 4)))
    answer = command("train", MLP, *ONE_STEP, "--weights", "old.npz")
    assert answer.status == 0
    assert answer.out.splitlines()[:6] == [
        "weight      in old.npz  in the net",
        "fc1.weight  128x64      128x64      loaded",
        "fc1.bias    128         128         loaded",
        "fc2.weight  10x128      10x128      loaded",
        "fc2.bias                10          missing",
        "ip.weight   3x4                     skipped",
    ]
    assert answer.err == "3 of 4 weights from old.npz; 1 missing, 1 skipped\n"
    started = arrayfile.load("runs/mlp/iter_1.safetensors")[0]
    np.testing.assert_array_equal(started["fc1.weight"], np.load("old.npz")["fc1.weight"])


def test_quiet_prints_no_table(command) -> None:
    saved_weights("old.npz")
    assert command("train", MLP, *ONE_STEP, "--weights", "old.npz", "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fc2__bias": None}, "old.npz has no weight 'fc2.bias'; did you mean 'fc1.bias'?\n"),
        (
            {"ip__weight": np.zeros(3)},
            "old.npz has a weight 'ip.weight', which the net has not; strict allows no others\n",
        ),
        ({"fc2__bias": np.zeros(3)}, "old.npz: 'fc2.bias' is 3, but the net's is 10; to train layer 'fc2' afresh, "),
    ],
)
def test_strict_makes_every_difference_an_error(command, changes, sentence) -> None:
    saved_weights("old.npz", **changes)
    answer = command("train", MLP, *ONE_STEP, "--weights", "old.npz", "--strict")
    assert answer.status == 2
    assert sentence in answer.err
    assert "fc2.bias" in answer.out  # the table says where
    assert not Path("runs").exists()


def test_strict_allows_weights_that_agree_and_that_lie_in_several_files(command) -> None:
    saved_weights("all.npz")
    saved_weights("one.npz", fc2__bias=None, fc2__weight=None)
    saved_weights("two.npz", fc1__bias=None, fc1__weight=None)
    for files in ("all.npz", "one.npz,two.npz"):
        assert command("train", MLP, *ONE_STEP, "--weights", files, "--strict").status == 0
    answer = command("train", MLP, *ONE_STEP, "--weights", "one.npz", "--strict")
    assert (answer.status, "has no weight 'fc2.weight'" in answer.err) == (2, True)


def test_weights_and_resume_exclude_each_other(command) -> None:
    answer = command("train", MLP, "--resume", "--weights", "w.npz")
    assert answer == (2, "", "give one of --resume, --snapshot and --weights\n")


def test_a_test_skips_what_only_the_train_net_has(command) -> None:
    saved_weights("more.npz", aux__weight=np.zeros((2, 2)))
    assert command("test", MLP, "--weights", "more.npz").status == 0
    saved_weights("less.npz", fc2__bias=None)
    assert command("test", MLP, "--weights", "less.npz").err.startswith("less.npz has no weight 'fc2.bias'")


def test_the_table_folds_in_a_terminal_and_is_never_cut(folder: Path) -> None:
    long = "a_long_name" * 6
    saved_weights("old.npz", **{f"{long}__weight": np.zeros((3, 4))})
    status, written = in_terminal(folder, 40, "train", MLP, *ONE_STEP, "--weights", "old.npz")
    assert status == 0
    rows = visible(written[: written.index("4 of 4 weights")])
    assert max(map(len, rows)) <= 40
    assert "".join(row.partition(" ")[0] for row in rows).endswith(f"{long}.weight")
