"""Whether both sides read the same: image by image where nothing is drawn, and on average where something is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.data.rows import Row

ON_AVERAGE = 0.1
"""How far the means and standard deviations of random rows may lie apart, in standard deviations: a few hundred images,
turned and cut by chance, do not come closer.
"""


def fault(row: Row, ours: Path, theirs: Path) -> str | None:
    """What differs between the files of two sides' `look`, in a sentence; None where nothing does."""
    with np.load(ours) as a, np.load(theirs) as b:
        if a["data"].shape != b["data"].shape or a["data"].dtype != b["data"].dtype:
            return f"its batches are {a['data'].dtype} {a['data'].shape}, torch's {b['data'].dtype} {b['data'].shape}"
        if not np.array_equal(a["label"], b["label"]):
            return "its labels are not torch's"
        if row.random:
            off = max(float(np.max(np.abs(a[what] - b[what]) / b["std"])) for what in ("mean", "std"))
            limit, unit = ON_AVERAGE, "standard deviations on average"
        else:
            off = float(np.max(np.abs(a["data"] - b["data"])))
            limit, unit = row.off_by, "at most"
        return None if off <= limit else f"its values differ from torch's by {off:.2g} {unit}, more than {limit:.2g}"
