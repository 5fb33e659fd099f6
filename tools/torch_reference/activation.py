"""Activations that PyTorch has too."""

from __future__ import annotations

import torch

from torch_reference.recording import Recording

RECORDINGS = [
    Recording("ReLU6", "plain", [(3, 4, 5)], lambda bottoms, weights: torch.nn.functional.relu6(bottoms[0])),
    Recording("Softmax", "axis 2", [(2, 3, 5)], lambda bottoms, weights: bottoms[0].softmax(2), {"axis": 2}),
]
