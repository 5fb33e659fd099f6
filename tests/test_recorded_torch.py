"""Layers against what PyTorch computed (tools/record_torch.py); PyTorch itself is not needed."""

import json
from pathlib import Path

import numpy as np
import pytest

from layerkit.checks import Case, prepare

FOLDER = Path(__file__).with_name("torch_reference")
ERROR = 2e-6  # of an array's largest magnitude: computed in float64 on both sides, stored in float32


def read():
    """(type, case) -> its arrays."""
    found = {}
    for path in sorted(FOLDER.glob("*.npz")):
        with np.load(path) as file:
            for key in file.files:
                case, _, name = key.partition("/")
                found.setdefault((path.stem, case), {})[name] = file[key]
    return found


RECORDED = read()


def numbered(arrays, what):
    """What is recorded as `what/0`, `what/1` and so on."""
    return [arrays[f"{what}/{i}"] for i in range(sum(name.startswith(f"{what}/") for name in arrays))]


@pytest.mark.parametrize(("name", "case"), RECORDED, ids=lambda part: part)
def test_agrees_with_pytorch(name, case):
    arrays = RECORDED[name, case]
    about = json.loads(arrays["row"].item())
    weights = {key.removeprefix("weight/"): array for key, array in arrays.items() if key.startswith("weight/")}
    tops, top_diffs = numbered(arrays, "top"), numbered(arrays, "top_diff")
    row = Case(
        name,
        case,
        numbered(arrays, "bottom"),
        about["params"],
        phase=about["phase"],
        num_tops=len(tops),
        weights=weights,
        no_formula="compared with a recording",
    )
    with prepare(row) as lone:
        assert set(lone.layer.weights.names) == set(weights)
        for i, (got, want) in enumerate(zip(lone.forward().values(), tops, strict=True)):
            close(f"top {i}", got, want)
        for blob, diff in zip(lone.top, top_diffs, strict=True):
            blob.diff[...] = diff
        wanted = {
            int(key.removeprefix("bottom_diff/"))
            if key.startswith("bottom")
            else key.removeprefix("weight_diff/"): array
            for key, array in arrays.items()
            if key.startswith(("bottom_diff/", "weight_diff/"))
        }
        assert set(wanted) == set(lone.requests)
        for (label, got), want in zip(lone.backward(list(wanted)).items(), wanted.values(), strict=True):
            close(label, got, want)


def close(label, got, want):
    assert got.shape == want.shape, label
    np.testing.assert_allclose(got, want, rtol=0, atol=ERROR * np.max(np.abs(want), initial=0), err_msg=label)
