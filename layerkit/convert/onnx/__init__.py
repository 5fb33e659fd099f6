"""ONNX out and in: a net with its weights as a model for other runtimes, and their models as nets."""

from layerkit.convert.onnx.exporting import export
from layerkit.convert.onnx.reading import read

__all__ = ["export", "read"]
