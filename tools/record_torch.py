"""Records what PyTorch computes where layerkit and PyTorch have the same layer, for tests that need no PyTorch.

    pip install . torch==2.14.1
    python tools/record_torch.py            # all types
    python tools/record_torch.py GELU CTCLoss

For each row of `torch_reference/` it writes bottoms, weights, tops, the top diffs that were given, and the diffs that
PyTorch's autograd found, all computed in float64 and stored in float32, to `tests/torch_reference/TYPE.npz`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_reference import recordings
from torch_reference.recording import Recording

from layerkit.checks import prepare

FOLDER = Path(__file__).parents[1] / "tests" / "torch_reference"


def record(row: Recording) -> dict[str, Any]:
    """The arrays of one row, by name."""
    lone = prepare(row.case)
    bottoms = [torch.tensor(blob.data) for blob in lone.bottom]
    weights = {name: torch.tensor(blob.data) for name, blob in lone.layer.weights.items()}
    asked = {
        **{f"bottom_diff/{i}": bottoms[i] for i in lone.requests if isinstance(i, int)},
        **{f"weight_diff/{name}": weights[name] for name in lone.requests if isinstance(name, str)},
    }
    for tensor in asked.values():
        tensor.requires_grad_()
    computed = row.compute(bottoms, weights)
    tops: Sequence[Any] = computed if isinstance(computed, (list, tuple)) else [computed]
    top_diffs = [torch.tensor(blob.diff) for blob in lone.top]
    differentiable = [(top, diff) for top, diff in zip(tops, top_diffs, strict=True) if top.requires_grad]
    if differentiable:
        torch.autograd.backward(*map(list, zip(*differentiable, strict=True)))
    about = {"params": dict(row.params), "phase": row.phase}
    return {
        "row": np.array(json.dumps(about)),
        **{f"bottom/{i}": single(bottom) for i, bottom in enumerate(bottoms)},
        **{f"weight/{name}": single(weight) for name, weight in weights.items()},
        **{f"top/{i}": single(top) for i, top in enumerate(tops)},
        **{f"top_diff/{i}": single(diff) for i, diff in enumerate(top_diffs)},
        **{name: single(tensor.grad) for name, tensor in asked.items() if tensor.grad is not None},
    }


def single(tensor: Any) -> Any:
    """A tensor's values in float32."""
    return tensor.detach().numpy().astype("float32")


def main() -> None:
    """Record the types that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*", metavar="TYPE")
    rows = recordings()
    known = sorted({row.type for row in rows})
    wanted = parser.parse_args().types or known
    if unknown := sorted(set(wanted) - set(known)):
        parser.error(f"nothing says how to record {', '.join(unknown)}; known: {', '.join(known)}")
    for name in wanted:
        arrays = {f"{row.name}/{key}": array for row in rows if row.type == name for key, array in record(row).items()}
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
        print(f"{name}: {sum(row.type == name for row in rows)} cases")


if __name__ == "__main__":
    main()
