"""Every registered type against numbers recorded from BVLC Caffe (caffe_reference/README.md)."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from layerkit.checks import Case, prepare
from layerkit.registry import layer_types

FOLDER = Path(__file__).with_name("caffe_reference")
ROWS = [row for row in json.loads((FOLDER / "cases.json").read_text()) if row["type"] in layer_types()]
NOT_SOLVERS = [path.stem for path in FOLDER.glob("*.npz") if path.stem != "solvers"]

OWN_FIELDS = {"name", "type", "bottom", "top", "loss_weight", "propagate_down"}
ERROR = 1e-4  # of an array's largest magnitude; the recordings are float32


def parse(text):
    """Protobuf text (`key: value` and `key { ... }`) as nested dicts; repeated keys become lists."""
    tokens = iter(re.findall(r"'[^']*'|[{}]|[^\s{}:']+", text))

    def message():
        found = {}
        for key in tokens:
            if key == "}":
                break
            value = next(tokens)
            value = message() if value == "{" else scalar(value)
            if key in found:
                found[key] = [*(found[key] if isinstance(found[key], list) else [found[key]]), value]
            else:
                found[key] = value
        return found

    return message()


def scalar(token):
    if token in ("true", "false"):
        return token == "true"
    try:
        return json.loads(token)
    except ValueError:
        return token.strip("'")


def flat(layer):
    """The type's own parameters: what stands in its `*_param { }` blocks, side by side."""
    params = {}
    for key, value in layer.items():
        if key.endswith("_param"):
            params.update({name: plain(each) for name, each in value.items()})
        else:
            assert key in OWN_FIELDS, key
    return params


def plain(value):
    """A shape `{dim: 2, dim: 3}`, or a list of shapes, as plain lists; anything else as it is."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict) and set(value) <= {"dim"}:
        dims = value.get("dim", [])
        return dims if isinstance(dims, list) else [dims]
    return value


def ran_backward(row):
    """Whether the recorded diffs are Caffe's. It did not run backward where a bottom has no gradient (labels)."""
    return row["backward"] and 0 < row["bottoms"] == len(row["bottom_diffs"])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['type']}-{row['case']}")
def test_agrees_with_caffe(row):
    with np.load(FOLDER / f"{row['type']}.npz") as file:
        recorded = {name.split("/")[1]: file[name] for name in file.files if name.startswith(row["case"] + "/")}

    def case(weights):
        return Case(
            row["type"],
            row["case"],
            [recorded[f"bottom{i}"] for i in range(row["bottoms"])],
            flat(parse(row["layer"])["layer"]),
            phase=row["phase"].lower(),
            num_tops=row["tops"],
            weights=weights,
            no_formula="compared with a recording",
        )

    names = [weight.name for weight in prepare(case({})).plan.weights]
    assert len(names) == row["params"]
    lone = prepare(case({name: recorded[f"param{i}"] for i, name in enumerate(names)}), np.float32)
    for i, top in enumerate(lone.forward().values()):
        close(f"top {i}", top, recorded[f"top{i}"])
    for i, name in enumerate(names):
        if f"param_after{i}" in recorded:
            close(f"{name} after forward", lone.layer.weights[i].data, recorded[f"param_after{i}"])
    if not ran_backward(row):
        return
    for i, top in enumerate(lone.top):
        top.diff[...] = recorded[f"top_diff{i}"]
    asked = [*row["bottom_diffs"], *(name for i, name in enumerate(names) if f"param_diff{i}" in recorded)]
    wanted = [recorded[f"bottom_diff{i}"] for i in row["bottom_diffs"]]
    wanted += [recorded[f"param_diff{i}"] for i in range(len(names)) if f"param_diff{i}" in recorded]
    for (label, got), want in zip(lone.backward(asked).items(), wanted, strict=True):
        close(label, got, want)


def close(label, got, want):
    assert got.shape == want.shape, label
    np.testing.assert_allclose(got, want, rtol=0, atol=ERROR * np.max(np.abs(want), initial=0), err_msg=label)


@pytest.mark.parametrize("name", NOT_SOLVERS)
def test_every_recording_is_used(name):
    assert name in {row["type"] for row in ROWS}


def test_recordings_without_a_backward_pass_hold_no_gradient():
    """So that a better recording is not passed over: then `ran_backward` must say so."""
    for row in ROWS:
        if row["type"] == "HingeLoss":
            continue  # Caffe's forward pass works in the bottom's diff
        with np.load(FOLDER / f"{row['type']}.npz") as file:
            diffs = [file[name] for name in file.files if re.match(rf"{row['case']}/(bottom|param)_diff", name)]
        assert ran_backward(row) or not any(diff.any() for diff in diffs), row


def test_statistics_after_forward_are_recorded():
    with np.load(FOLDER / "BatchNorm.npz") as file:
        before, after = ([name for name in file.files if f"/param{kind}" in name] for kind in ("0", "_after0"))
        assert len(before) == len(after)
        assert any((file[one] != file[other]).any() for one, other in zip(before, after, strict=True))


def test_parser():
    assert parse("layer { type: 'A' x_param { on: true s: MAX k: 3 k: 4 e: 1e-4 f { v: -0.5 } } }") == {
        "layer": {"type": "A", "x_param": {"on": True, "s": "MAX", "k": [3, 4], "e": 1e-4, "f": {"v": -0.5}}}
    }


def test_shapes_become_lists():
    text = "p_param { shape { dim: 2 dim: 3 } shape { dim: 4 } shape { } filler { type: 'msra' } k: 1 k: 2 }"
    assert flat(parse(text)) == {"shape": [[2, 3], [4], []], "filler": {"type": "msra"}, "k": [1, 2]}
