"""Sets of points that are drawn from a seed: two-dimensional classes and surfaces to learn from and to try things on.

All of the well-known browser playground's sets are here, with its shapes, sizes and meaning of `noise`.
"""

from __future__ import annotations
