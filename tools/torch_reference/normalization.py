"""Normalization layers that PyTorch has too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from torch_reference.recording import Recording, Tensors

F = torch.nn.functional


def layer_norm(axes: int, eps: float = 1e-5) -> Callable[[Tensors, Mapping[str, Any]], Any]:
    """PyTorch's over the last `axes` axes."""
    return lambda bottoms, weights: F.layer_norm(
        bottoms[0], bottoms[0].shape[-axes:], weights.get("scale"), weights.get("bias"), eps
    )


def rms_norm(axes: int, eps: float = 1e-5) -> Callable[[Tensors, Mapping[str, Any]], Any]:
    """PyTorch's over the last `axes` axes."""
    return lambda bottoms, weights: F.rms_norm(bottoms[0], bottoms[0].shape[-axes:], weights.get("scale"), eps)


def group_norm(groups: int, eps: float = 1e-5) -> Callable[[Tensors, Mapping[str, Any]], Any]:
    """PyTorch's with so many groups."""
    return lambda bottoms, weights: F.group_norm(bottoms[0], groups, weights.get("scale"), weights.get("bias"), eps)


def batch_norm(*, training: bool) -> Callable[[Tensors, Mapping[str, Any]], Any]:
    """PyTorch's, whose running statistics are means where layerkit has sums and a divisor."""

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        mean, variance = (weights[name] / weights["scale_factor"] for name in ("mean", "variance"))
        return F.batch_norm(bottoms[0], mean, variance, weights["scale"], weights["bias"], training=training)

    return compute


RECORDINGS = [
    Recording("LayerNorm", "last axis", [(4, 3, 7)], layer_norm(1)),
    Recording("LayerNorm", "from axis 1", [(2, 3, 4, 5)], layer_norm(3, 0.1), {"axis": 1, "eps": 0.1}),
    Recording("LayerNorm", "plain", [(4, 7)], layer_norm(1), {"affine": False}),
    Recording("RMSNorm", "last axis", [(4, 3, 7)], rms_norm(1)),
    Recording("RMSNorm", "from axis 1", [(2, 3, 4, 5)], rms_norm(3, 0.1), {"axis": 1, "eps": 0.1}),
    Recording("RMSNorm", "plain", [(4, 7)], rms_norm(1), {"affine": False}),
    Recording("GroupNorm", "image", [(2, 6, 4, 5)], group_norm(3), {"num_groups": 3}),
    Recording("GroupNorm", "rows", [(3, 8)], group_norm(2, 0.1), {"num_groups": 2, "eps": 0.1}),
    Recording("GroupNorm", "instances", [(2, 3, 5)], group_norm(3), {"num_groups": 3}),
    Recording("GroupNorm", "plain", [(2, 6, 4, 5)], group_norm(2), {"num_groups": 2, "affine": False}),
    Recording("BatchNorm", "affine", [(4, 3, 2, 5)], batch_norm(training=True), {"scale_bias": True}),
    Recording("BatchNorm", "affine rows", [(7, 4)], batch_norm(training=True), {"scale_bias": True}),
    Recording("BatchNorm", "affine test", [(4, 3, 5)], batch_norm(training=False), {"scale_bias": True}, phase="test"),
]
