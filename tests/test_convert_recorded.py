"""Nets of one layer as Caffe text and caffemodel, against what Caffe computed (caffe_reference/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_recorded import FOLDER, ROWS, close, parse

import layerkit as lk
from layerkit import graph
from layerkit.convert import caffe_in, caffe_out, caffemodel
from layerkit.convert.caffemodel import SavedLayer
from layerkit.spec import load_run

WITH_BOTTOMS = [row for row in ROWS if row["bottoms"]]


def recording(row: dict[str, Any]) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{row['type']}.npz") as file:
        return {name.split("/")[1]: file[name] for name in file.files if name.startswith(row["case"] + "/")}


def prototxt(row: dict[str, Any], bottoms: dict[str, np.ndarray]) -> str:
    """The layer behind inputs of its bottoms' shapes."""
    inputs = ""
    for name, array in bottoms.items():
        shape = "".join(f" dim: {size}" for size in array.shape)
        inputs += f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{{shape} }} }} }}\n'
    return inputs + row["layer"]


@pytest.mark.parametrize("row", WITH_BOTTOMS, ids=lambda row: f"{row['type']}-{row['case']}")
def test_a_converted_net_computes_what_caffe_did(tmp_path: Path, row: dict[str, Any]) -> None:
    recorded = recording(row)
    bottoms = {f"b{i}": recorded[f"bottom{i}"] for i in range(row["bottoms"])}
    source, model, out, back = (
        tmp_path / f"net.{suffix}" for suffix in ("prototxt", "caffemodel", "yaml", "back.prototxt")
    )
    source.write_text(prototxt(row, bottoms))
    blobs = tuple(recorded[f"param{i}"] for i in range(row["params"]))
    caffemodel.write(model, "", [SavedLayer("layer", row["type"], blobs=blobs)])
    assert caffe_in.convert(source, out, model if blobs else None).lines() == []
    weights = out.with_suffix(".safetensors") if blobs else None
    net = lk.Net(out, phase=row["phase"].lower(), weights=weights, engine="numpy")
    net.forward(**bottoms)
    for i in range(row["tops"]):
        close(f"top {i}", net.blobs[f"t{i}"].data, recorded[f"top{i}"])
    caffe_out.convert(out, back)
    again = tmp_path / "again.yaml"
    assert caffe_in.convert(back, again).lines() == []
    nodes, wanted = (graph.load(path, ["train"]).graphs["train"].nodes for path in (again, out))
    assert [node.spec.params for node in nodes] == [node.spec.params for node in wanted]


SOLVERS = json.loads((FOLDER / "solvers.json").read_text())


@pytest.mark.parametrize("row", SOLVERS["settings"], ids=lambda row: row["name"])
def test_recorded_solvers_are_converted(tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "tiny.prototxt").write_text(SOLVERS["net"])
    source, out = tmp_path / "solver.prototxt", tmp_path / "run.yaml"
    source.write_text(f'net: "tiny.prototxt" max_iter: {row["steps"]} {row["solver"]}')
    assert caffe_in.convert(source, out).lines() == []
    lk.Solver(out)
    said = {"max_iter": row["steps"], **parse(row["solver"])}
    solver = load_run(out).solver
    for name, value in said.items():
        assert getattr(solver, name) == value, name
