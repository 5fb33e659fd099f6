"""Batches made ahead: while the net computes, threads or processes read and transform what it wants next.

It knows no dataset and no layer. A `Maker` makes the batch that begins at a position of its stream, a pure function of
that position; `Batches` hands batches out in whatever order they are asked for. So prefetching can change only when a
batch is made, never what is in it.
"""

from __future__ import annotations

from layerkit.datasets.prefetch.batches import Batches, Kind
from layerkit.datasets.prefetch.maker import Buffers, Made, Maker

__all__ = ["Batches", "Buffers", "Kind", "Made", "Maker"]
