"""Layers that arrange and combine, as PyTorch has them."""

from __future__ import annotations

from torch.nn.functional import channel_shuffle, pad

from torch_reference.recording import Recording

SIDES = [[1, 2], [3, 0]]
TORCH_SIDES = (3, 0, 1, 2)  # the last axis first

RECORDINGS = [
    Recording(
        "Pad",
        "constant",
        [(2, 3, 4, 5)],
        lambda bottoms, weights: pad(bottoms[0], TORCH_SIDES, value=0.5),
        {"pad": SIDES, "value": 0.5},
    ),
    Recording(
        "Pad",
        "reflect",
        [(2, 3, 4, 5)],
        lambda bottoms, weights: pad(bottoms[0], TORCH_SIDES, "reflect"),
        {"pad": SIDES, "mode": "REFLECT"},
    ),
    Recording(
        "Pad",
        "reflect volume",
        [(2, 3, 2, 4, 3)],
        lambda bottoms, weights: pad(bottoms[0], (2, 1, 3, 1, 1, 1), "reflect"),
        {"pad": [1, [3, 1], [2, 1]], "mode": "REFLECT"},
    ),
    Recording(
        "Pad",
        "edge",
        [(2, 3, 4, 5)],
        lambda bottoms, weights: pad(bottoms[0], TORCH_SIDES, "replicate"),
        {"pad": SIDES, "mode": "EDGE"},
    ),
    Recording(
        "Permute",
        "channels last",
        [(2, 3, 4, 5)],
        lambda bottoms, weights: bottoms[0].permute(0, 2, 3, 1),
        {"order": [0, 2, 3, 1]},
    ),
    Recording(
        "Permute",
        "volume",
        [(2, 3, 4, 5, 6)],
        lambda bottoms, weights: bottoms[0].permute(3, 0, 4, 1, 2),
        {"order": [3, 0, 4]},
    ),
    Recording(
        "ShuffleChannel",
        "three groups",
        [(2, 6, 4, 5)],
        lambda bottoms, weights: channel_shuffle(bottoms[0], 3),
        {"group": 3},
    ),
    Recording(
        "ShuffleChannel",
        "two groups",
        [(2, 6, 4, 5)],
        lambda bottoms, weights: channel_shuffle(bottoms[0], 2),
        {"group": 2},
    ),
    Recording("Tile", "channels", [(2, 3, 4)], lambda bottoms, weights: bottoms[0].repeat(1, 3, 1), {"tiles": 3}),
    Recording(
        "Tile", "rows", [(2, 3, 4)], lambda bottoms, weights: bottoms[0].repeat(2, 1, 1), {"tiles": 2, "axis": 0}
    ),
    Recording(
        "Eltwise",
        "stretched product",
        [(4, 1, 2), (3, 1), (4, 3, 2)],
        lambda bottoms, weights: bottoms[0] * bottoms[1] * bottoms[2],
        {"operation": "PROD", "broadcast": True},
    ),
]
