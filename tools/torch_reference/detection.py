"""What object detectors need and PyTorch has too: one loss."""

from __future__ import annotations

from typing import Any

import torch

from torch_reference.recording import Recording


def smooth_l1(sigma: float) -> Any:
    """Caffe's sum over elements, per sample; PyTorch's beta is where the squared part ends."""

    def compute(bottoms: Any, weights: Any) -> Any:
        a, b = bottoms
        return torch.nn.functional.smooth_l1_loss(a, b, reduction="sum", beta=1 / sigma**2) / len(a)

    return compute


RECORDINGS = [
    Recording("SmoothL1Loss", "plain", [(4, 3, 5)] * 2, smooth_l1(1.0)),
    Recording("SmoothL1Loss", "sigma", [(2, 4, 5, 3)] * 2, smooth_l1(3.0), {"sigma": 3.0}),
]
