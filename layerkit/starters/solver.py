"""How a starter is trained."""

from __future__ import annotations

from layerkit.starters.facts import Facts
from layerkit.starters.model import Model
from layerkit.words import counted


def solver(facts: Facts, model: Model) -> str:
    """The text of the solver."""
    every = max(1, facts.epochs // 10)
    epochs = counted(every, "epoch")
    clip = "  clip_gradients: 1       # one steep place would undo what was learned\n" if model.clip else ""
    return f"""\
solver:
  type: AdamW             # takes steps of about base_lr, however large the gradients are
  base_lr: {model.rate}
  momentum: 0.9
  weight_decay: 0.01      # pulls weights that nothing else holds towards 0
  lr_policy: cosine       # the rate falls to 0 towards the end
{clip}  max_epochs: {facts.epochs}
  test_interval: {epochs}
  snapshot: {epochs}
  keep_last: 2            # older snapshots are deleted
  keep_best: true         # best.safetensors has the weights of the best test
"""
