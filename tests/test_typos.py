"""A typo in any key that a shipped config has gives one sentence with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from layerkit.errors import ConfigError
from layerkit.graph import load

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(FOLDER.rglob("*.yaml"))

FREE = {
    "args": "the arguments of a block have the names that their author gives them",
    "blocks": "so have blocks",
}
"""Mappings whose keys are free; a typo there shows where the right name is used."""


def _keys(node, inside=""):
    """Every key of a YAML text that is not free: its text and place, and the mapping that it stands in."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if inside not in FREE:
                yield key.value, key.start_mark, {other.value for other, _ in node.value}
            yield from _keys(value, key.value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _keys(item, "")


def _typos(word):
    """A letter dropped, two letters swapped, a letter doubled."""
    last = len(word) - 1
    yield word[1:]
    yield word[: last // 2] + word[last // 2 + 1 :]
    for i in (0, last // 2):
        yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    yield word[: last // 2] + word[last // 2] * 2 + word[last // 2 + 1 :]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_typo_in_a_key_is_one_sentence(path):
    written = path.read_text(encoding="utf-8")
    keys = list(_keys(yaml.compose(written)))
    assert len(keys) > 10
    told = set()
    for word, mark, beside in keys:
        if word in told:  # a large net says the same keys in layer after layer
            continue
        told.add(word)
        for typo in sorted({*_typos(word)} - {word, "", *beside}):
            text = written[: mark.index] + typo + written[mark.index + len(word) :]
            with pytest.raises(ConfigError) as caught:
                load(text)
            said = str(caught.value)
            assert said.count("\n") == 0, said
            assert re.match(rf"{mark.line + 1}:\d+: ", said), (typo, said)
            assert f"'{typo}'" in said
            assert "did you mean" in said, said
