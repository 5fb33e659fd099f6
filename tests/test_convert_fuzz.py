"""Mutated prototxts through the whole conversion: each is converted or refused, and what is written can be read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzz_tools import mutated
from test_convert import LENET
from test_convert_solver import NETS

import layerkit as lk
from layerkit import text
from layerkit.convert.caffe_in import to_yaml
from layerkit.convert.report import Report

OLD = """
name: "old" input: "data" input_dim: 2 input_dim: 3 input_dim: 8 input_dim: 9
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  weight_decay: 0 param: "w" convolution_param { num_output: 4 kernel_h: 3 kernel_w: 1 } }
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "conv" top: "pad" }
layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "pad" top: "pool" }
layers { name: "bn" type: BN bottom: "pool" top: "bn" bn_param { scale_filler { type: "constant" value: 1 } } }
layers { name: "prob" type: SOFTMAX bottom: "bn" top: "prob" include { phase: TEST stage: "x" } }
"""
NEW = """
layer { name: "data" type: "Data" top: "data" data_param { source: "x" backend: LMDB force_encoded_color: true } }
layer { name: "r.1" type: "Reshape" bottom: "data" top: "r" reshape_param { shape { dim: 0 dim: -1 } } }
layer { name: "p" type: "PriorBox" bottom: "r" bottom: "data" top: "p" prior_box_param { min_size: [3, 4] step: 8 } }
layer { name: "i" type: "Interp" bottom: "p" top: "i" interp_param { height: 0 zoom_factor: 2 } loss_weight: 0.5 }
layer { name: "x" type: "Mystery" bottom: "i" top: "x" mystery_param { a { b: [1, 2] } c: WORD } }
"""


@pytest.mark.parametrize(
    "whole", [LENET, OLD, NEW, NETS.format(more='type: "Adam" clip_gradients: 3 stepvalue: [2, 3]')]
)
def test_mutated_prototxts(tmp_path: Path, whole: str) -> None:
    path, draw = tmp_path / "net.prototxt", random.Random(whole)
    converted = 0
    for _ in range(60):
        path.write_bytes(mutated(whole.encode(), draw))
        report = Report()
        try:
            written, _ = to_yaml(path, report)
        except lk.ConfigError:
            continue
        converted += 1
        assert all("\n" not in line for line in report.lines())
        text.parse(written)  # it is YAML, whatever else may be wrong with it
    assert converted > 5
