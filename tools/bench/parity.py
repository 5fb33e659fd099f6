"""Whether two sides compute the same: loss, probabilities and every weight's gradient, against float64.

Compared is the length of the difference by the length of the reference (the L2 norm), and not element by element: in
float32 a ReLU or a maximum that is nearly a tie goes the other way now and then, which changes few elements by much.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FLOAT32 = 0.01
"""The greatest relative difference that a float32 side may have in any of its results."""
FLOAT64 = 1e-6
"""The greatest between layerkit's float64 and torch's."""


def difference(found: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """The relative L2 distance; infinite where the shapes differ, or where anything is not finite."""
    a, b = np.asarray(found, np.float64), np.asarray(reference, np.float64)
    if a.shape != b.shape or not np.isfinite(a).all():
        return float("inf")
    scale = float(np.linalg.norm(b.ravel()))
    return float(np.linalg.norm((a - b).ravel())) / (scale or 1.0)


def compare(found: Path, reference: Path) -> dict[str, Any]:
    """The differences of the results in two files: loss, probabilities, and the gradient that differs most."""
    with np.load(found) as ours, np.load(reference) as theirs:
        names = set(theirs.files) - {"loss", "probabilities"}
        gradients = {
            name: difference(ours[name], theirs[name]) if name in ours.files else float("inf") for name in names
        }
        worst = max(sorted(gradients), key=gradients.__getitem__)
        return {
            "loss": difference(ours["loss"], theirs["loss"]),
            "probabilities": difference(ours["probabilities"], theirs["probabilities"]),
            "gradient": gradients[worst],
            "worst": worst,
        }


def fault(differences: dict[str, Any], limit: float) -> str | None:
    """What is wrong, in a sentence; None where nothing is."""
    for what in ("loss", "probabilities", "gradient"):
        if not differences[what] <= limit:
            of = f" of {differences['worst']}" if what == "gradient" else ""
            return f"its {what}{of} differs from float64 by {differences[what]:.1e}, more than {limit:.0e}"
    return None
