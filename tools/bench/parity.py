"""Whether two sides compute the same: loss, probabilities and every weight's gradient, against float64.

Compared is the length of the difference by the length of the reference (the L2 norm), and not element by element: in
float32 a ReLU or a maximum that is nearly a tie goes the other way now and then, which changes few elements by much.
In a net of many layers this alone makes up a few hundredths of a gradient, in layerkit as in torch. A gradient
that is nothing but rounding (of a shift that the next batch normalization takes away) is compared with `LEAST`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FLOAT32 = {"loss": 1e-5, "probabilities": 1e-4, "gradient": 0.1}
"""The greatest relative differences that a float32 side may have."""
FLOAT64 = {"loss": 1e-12, "probabilities": 1e-10, "gradient": 1e-8}
"""The greatest between layerkit's float64 and torch's."""
LEAST = 1e-3
"""A gradient counts as at least this long, by the longest of all weights' gradients."""


def difference(found: npt.ArrayLike, reference: npt.ArrayLike, least: float = 0.0) -> float:
    """The L2 distance by the reference's length, or by `least` if that is longer; infinite where shapes differ or
    anything is not finite.
    """
    a, b = np.asarray(found, np.float64), np.asarray(reference, np.float64)
    if a.shape != b.shape or not np.isfinite(a).all():
        return float("inf")
    return _length(a - b) / (max(_length(b), least) or 1.0)


def _length(array: npt.NDArray[Any]) -> float:
    return float(np.linalg.norm(array.ravel()))


def compare(found: Path, reference: Path) -> dict[str, Any]:
    """The differences of the results in two files: loss, probabilities, and the gradient that differs most."""
    with np.load(found) as ours, np.load(reference) as theirs:
        names = sorted(set(theirs.files) - {"loss", "probabilities"})
        least = LEAST * max(_length(theirs[name]) for name in names)
        gradients = {
            name: difference(ours[name], theirs[name], least) if name in ours.files else float("inf") for name in names
        }
        worst = max(names, key=gradients.__getitem__)
        return {
            "loss": difference(ours["loss"], theirs["loss"]),
            "probabilities": difference(ours["probabilities"], theirs["probabilities"]),
            "gradient": gradients[worst],
            "worst": worst,
        }


def fault(differences: dict[str, Any], limits: dict[str, float]) -> str | None:
    """What is wrong, in a sentence; None where nothing is."""
    for what, limit in limits.items():
        if not differences[what] <= limit:
            of = f" of {differences['worst']}" if what == "gradient" else ""
            return f"its {what}{of} differs from float64 by {differences[what]:.1e}, more than {limit:.0e}"
    return None
