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
    "states": "and a loop's states",
    "results": "and a formula's results",
    "weights": "and its weights",
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


def _new_keys():
    """Each config with the keys that no smaller config has: a large net says the same in layer after layer."""
    told = set()
    for path in sorted(CONFIGS, key=lambda path: path.stat().st_size):
        written = path.read_text(encoding="utf-8")
        new = {}
        for word, mark, beside in _keys(yaml.compose(written)):
            if word not in told:
                new.setdefault(word, (mark, beside))
        told |= new.keys()
        yield pytest.param(written, new, id=path.stem)


@pytest.mark.parametrize(("written", "keys"), list(_new_keys()))
def test_a_typo_in_a_key_is_one_sentence(written, keys):
    for word, (mark, beside) in keys.items():
        for typo in sorted({*_typos(word)} - {word, "", *beside}):
            text = written[: mark.index] + typo + written[mark.index + len(word) :]
            with pytest.raises(ConfigError) as caught:
                load(text)
            said = str(caught.value)
            assert said.count("\n") == 0, said
            assert re.match(rf"{mark.line + 1}:\d+: ", said), (typo, said)
            assert f"'{typo}'" in said
            assert "did you mean" in said, said


def test_there_are_keys_of_every_kind():
    words = {word for _, keys in ([*param.values] for param in _new_keys()) for word in keys}
    assert len(words) > 60
    assert words >= {"name", "layers", "kernel_size", "weight_filler", "std", "lr_mult", "solver", "base_lr"}
