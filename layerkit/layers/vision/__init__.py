"""Layers over spatial axes: convolution, pooling and their relatives."""
