"""Attention and the linear layers that PyTorch has too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.func import functional_call

from torch_reference.recording import Recording, Tensors

MASK = np.array([[0, 0, 1, 0, 1], [0, 1, 0, 0, 1]])  # every query of a causal one sees something


def attention(*, causal: bool = False, masked: bool = False, bias: bool = True) -> Callable[..., Any]:
    """torch.nn.MultiheadAttention with the layer's weights, which have its names but for underscores."""

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        *given, mask = bottoms if masked else (*bottoms, None)
        x, keys, values = given[0], given[min(1, len(given) - 1)], given[-1]
        channels = x.shape[-1]
        module = torch.nn.MultiheadAttention(
            channels, 2, bias=bias, batch_first=True, kdim=keys.shape[-1], vdim=values.shape[-1], dtype=x.dtype
        )
        named = {name.replace("out_proj_", "out_proj."): tensor for name, tensor in weights.items()}
        later = torch.ones(x.shape[1], keys.shape[1]).triu(1).bool() if causal else None
        hidden = None if mask is None else mask.bool()
        y, _ = functional_call(
            module, named, (x, keys, values), {"key_padding_mask": hidden, "attn_mask": later, "need_weights": True}
        )
        return y

    return compute


def attend(name: str, *bottoms: Any, **params: Any) -> Recording:
    masked = len(bottoms) > 1 and len(np.shape(bottoms[-1])) == 2
    causal, bias = params.get("causal", False), params.get("bias_term", True)
    return Recording(
        "MultiHeadAttention",
        name,
        bottoms,
        attention(causal=causal, masked=masked, bias=bias),
        {"num_heads": 2, **params},
    )


def embed(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
    return torch.nn.functional.embedding(bottoms[0].long(), weights["weight"])


RECORDINGS = [
    attend("plain", (2, 5, 6)),
    attend("causal", (2, 5, 6), causal=True),
    attend("padding", (2, 5, 6), MASK),
    attend("causal, padding, no bias", (2, 5, 6), MASK, causal=True, bias_term=False),
    attend("cross", (2, 3, 6), (2, 5, 6), MASK),
    attend("cross, other channels", (2, 3, 6), (2, 5, 4), (2, 5, 7)),
    Recording(
        "Embed",
        "plain",
        [np.array([[1, 5, 0], [5, 5, 2]])],
        embed,
        {"num_output": 3, "input_dim": 6, "bias_term": False},
    ),
    Recording("MatMul", "batch", [(2, 4, 3), (2, 3, 5)], lambda bottoms, weights: torch.matmul(*bottoms)),
    Recording(
        "MatMul",
        "stretched, turned",
        [(2, 1, 3, 4), (6, 5, 3)],
        lambda bottoms, weights: torch.matmul(bottoms[0].mT, bottoms[1].mT),
        {"transpose_a": True, "transpose_b": True},
    ),
]
