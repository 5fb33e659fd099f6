"""Caffe nets against what OpenCV computes from the same files (tools/record_opencv.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
from layerkit import pycaffe
from layerkit.convert import caffe_in

FOLDER = Path(__file__).with_name("opencv_reference")
NETS = sorted(path.stem for path in FOLDER.glob("*.npz"))
Arrays = dict[str, np.ndarray]


def recorded(name: str) -> tuple[Arrays, Arrays]:
    """What went in, and what OpenCV answered, by blob."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    parts: tuple[Arrays, Arrays] = ({}, {})
    for key, value in arrays.items():
        kind, _, blob = key.partition("/")
        parts[kind == "out"][blob] = value
    return parts


def compare(found: Arrays, wanted: Arrays) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].shape == value.shape, name
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", NETS)
def test_a_converted_net_answers_as_opencv_does(name: str, tmp_path: Path) -> None:
    inputs, wanted = recorded(name)
    out, model = tmp_path / "net.yaml", FOLDER / f"{name}.caffemodel"
    report = caffe_in.convert(FOLDER / f"{name}.prototxt", out, model)
    assert report.lines() == []
    net = lk.Net(out, "test", weights=out.with_suffix(".safetensors"), engine="numpy")
    compare(net.forward(**inputs), wanted)


@pytest.mark.parametrize("name", NETS)
def test_pycaffe_answers_as_opencv_does(name: str) -> None:
    """The same by the engine that is taken where nothing is said."""
    inputs, wanted = recorded(name)
    net = pycaffe.Net(str(FOLDER / f"{name}.prototxt"), str(FOLDER / f"{name}.caffemodel"), pycaffe.TEST)
    compare(net.forward(**inputs), wanted)


def test_the_detector_finds_objects_of_both_classes_and_no_background() -> None:
    found = recorded("ssd")[1]["found"][0, 0]
    assert found.shape == (60, 7)
    assert set(found[:, 1]) == {1, 2}
