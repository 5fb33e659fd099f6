"""Starters: a run in YAML for samples that one has, written by what their headers and some of them say.

    look(source) -> Facts        what is known of the samples
    write(facts, model, name)    the text of a file that trains at once

A model family is a function from facts to the text of its layers; what all have in common, the layer that reads the
samples and the solver, is written in one place each.
"""

from __future__ import annotations

from layerkit.errors import UnknownNameError
from layerkit.starters.facts import Facts, look
from layerkit.starters.images import cnn, resnet
from layerkit.starters.model import Model
from layerkit.starters.reading import reading
from layerkit.starters.solver import solver
from layerkit.starters.text import rnn
from layerkit.starters.vectors import linear, mlp, regression

__all__ = ["MODELS", "Facts", "look", "suggest", "write"]

MODELS = {
    "linear": linear,
    "mlp": mlp,
    "cnn": cnn,
    "resnet": resnet,
    "regression": regression,
    "rnn": rnn,
}
"""Family -> what writes its layers."""


def suggest(facts: Facts) -> str:
    """The family that suits samples if nobody names one."""
    if facts.task != "classes":
        return {"numbers": "regression", "text": "rnn"}[facts.task]
    return "cnn" if facts.is_image else "mlp"


def write(facts: Facts, model: str, name: str, first_lines: str) -> str:
    """The text of a run for these samples, which begins with `first_lines`.

    Raises UnknownNameError for a family that does not exist, UsageError for one that does not suit the samples.
    """
    if model not in MODELS:
        raise UnknownNameError("model family", model, MODELS)
    made: Model = MODELS[model](facts)
    blocks = f"  blocks:\n{made.blocks}\n" if made.blocks else ""
    title = f"# {made.about} for {facts.words}."
    return f"""\
{first_lines}{title}
#
#     layerkit train {name}.yaml
#
# Written for these samples. Everything may be changed, and this tells what does not fit then:
#
#     layerkit check {name}.yaml

name: {name}

net:
{blocks}  layers:
{reading(facts, made)}
{made.layers}
{solver(facts, made)}
# To try next:
#     layerkit summary {name}.yaml                                    layers, shapes, weights, costs
#     layerkit train {name}.yaml --find-lr                            which base_lr suits
#     layerkit train {name}.yaml --set solver.base_lr={made.rate / 3:.2g}
"""
