"""The package onnx, which only this converter needs, and the versions of its format that are written."""

from __future__ import annotations

from typing import Any

from layerkit.datasets.optional import need

OPSET = 24
"""The version of ONNX's operators that models are written in: that of onnx 1.19, which runtimes of 2026 read."""
IR_VERSION = 12
"""The version of the file format that goes with it."""


def onnx(what: str = "ONNX") -> Any:
    """The module. Raises DataError, with the command that installs it, where it is not there."""
    return need("onnx", "onnx", what, extra="onnx")
