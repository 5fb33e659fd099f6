"""Activations that PyTorch has too."""

from __future__ import annotations

import numpy as np
import torch

from torch_reference.recording import Recording

F = torch.nn.functional
WIDE = np.concatenate(
    [np.linspace(-30, 30, 61), np.linspace(-1, 1, 11) * 0.1, [-1e4, 1e4]]
)  # the kinks at -3, 0, 3 too

RECORDINGS = [
    Recording("GELU", "exact", [(3, 4, 5)], lambda bottoms, weights: F.gelu(bottoms[0])),
    Recording("GELU", "exact wide", [WIDE], lambda bottoms, weights: F.gelu(bottoms[0])),
    Recording(
        "GELU",
        "tanh",
        [(3, 4, 5)],
        lambda bottoms, weights: F.gelu(bottoms[0], approximate="tanh"),
        {"approximate": "TANH"},
    ),
    Recording(
        "GELU",
        "tanh wide",
        [WIDE],
        lambda bottoms, weights: F.gelu(bottoms[0], approximate="tanh"),
        {"approximate": "TANH"},
    ),
    Recording("HardSwish", "plain", [(3, 4, 5)], lambda bottoms, weights: F.hardswish(bottoms[0])),
    Recording("HardSwish", "wide", [WIDE], lambda bottoms, weights: F.hardswish(bottoms[0])),
    Recording("Softplus", "plain", [(3, 4, 5)], lambda bottoms, weights: F.softplus(bottoms[0])),
    Recording("Softplus", "wide", [WIDE], lambda bottoms, weights: F.softplus(bottoms[0])),
    Recording(
        "Softplus",
        "sharp",
        [(3, 4, 5)],
        lambda bottoms, weights: F.softplus(bottoms[0], beta=1.5, threshold=1.0),
        {"beta": 1.5, "threshold": 1},
    ),
    Recording("ReLU6", "plain", [(3, 4, 5)], lambda bottoms, weights: torch.nn.functional.relu6(bottoms[0])),
    Recording("Softmax", "axis 2", [(2, 3, 5)], lambda bottoms, weights: bottoms[0].softmax(2), {"axis": 2}),
]
