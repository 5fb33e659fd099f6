"""Model: what a family writes for some samples."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """The text of a net's layers behind the one that reads samples, and what else depends on the family."""

    about: str
    """What it is, as the beginning of a sentence."""
    layers: str
    """Indented by four."""
    rate: float
    """A learning rate for Adam."""
    blocks: str = ""
    """Indented by four; empty where it needs none."""
    clip: bool = False
    """Whether steep gradients are to be made shorter."""
    mirror: bool = False
    """Whether half of the images are mirrored in training, where they are photographs."""
