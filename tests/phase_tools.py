"""What the tests of phases share: layers as lines of text, and the nets that are built of them."""

from __future__ import annotations

from layerkit.graph import as_tree, build
from layerkit.spec import load_run

SOURCE = "{name: in, type: Input, top: data, shape: [2, 4]}"
DIGITS = "{name: digits, type: Data, top: [data, label], dataset: digits, batch_size: {train: 4, test: 6}, scale: 0.5}"


def text_of(*layers):
    return "layers:\n" + "".join(f"  - {layer}\n" for layer in layers)


def built(*layers, phase="train", level=0, stages=()):
    return build(load_run(text_of(*layers)).net, phase, level, stages)


def trees(*layers, phase="predict"):
    return {node.name: dict(as_tree(node.spec)) for node in built(*layers, phase=phase).nodes}


def names(*layers, **state):
    return [node.name for node in built(*layers, **state).nodes]
