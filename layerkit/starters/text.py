"""The family for texts: a recurrent net that tells what comes next."""

from __future__ import annotations

from layerkit.errors import UsageError
from layerkit.starters.facts import Facts
from layerkit.starters.model import Model


def rnn(facts: Facts) -> Model:
    """A GRU over windows of a text."""
    if facts.task != "text":
        raise UsageError(f"the model family 'rnn' needs a text, but has {facts.words}")
    layers = _LAYERS.format(facts=facts, width=64 if facts.classes < 1000 else 128)
    return Model("A recurrent net that continues a text,", layers, 0.005, clip=True)


_LAYERS = """\
    # Recurrent layers take time first: (steps, rows).
    - {{name: steps, type: Permute, bottom: data, order: [1, 0]}}
    - {{name: answer, type: Permute, bottom: label, order: [1, 0]}}

    # `cont` tells where a sequence begins: 0 at the first step of each window, 1 at the others.
    - {{name: begin, type: Slice, bottom: steps, top: [first, others], axis: 0, slice_point: 1}}
    - {{name: marks, type: Expression, bottom: [first, others], top: [zeros, ones],
       results: {{zeros: "0 * first", ones: "1 + 0 * others"}}}}
    - {{name: cont, type: Concat, bottom: [zeros, ones], axis: 0}}

    # A row of {width} numbers for each of the {facts.classes:,} characters or words; the GRU reads them step by step.
    - {{name: embed, type: Embed, bottom: steps, input_dim: {facts.classes}, num_output: {width}, bias_term: false,
       weight_filler: {{type: gaussian, std: 0.1}}}}
    - {{name: gru, type: GRU, bottom: [embed, cont], num_output: 128, weight_filler: xavier}}

    # A score at each step for each character or word that could be next.
    - {{name: scores, type: InnerProduct, bottom: gru, num_output: {facts.classes}, axis: 2, weight_filler: xavier}}
    - {{name: loss, type: SoftmaxWithLoss, bottom: [scores, answer], axis: 2}}
    - {{name: accuracy, type: Accuracy, bottom: [scores, answer], axis: 2, include: test}}
"""
