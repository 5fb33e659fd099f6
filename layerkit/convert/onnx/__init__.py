"""ONNX out and in: a net with its weights as a model for other runtimes, and their models as nets."""

from layerkit.convert.onnx.exporting import export

__all__ = ["export"]
