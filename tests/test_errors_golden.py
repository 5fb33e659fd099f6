"""Golden error texts: each case of tests/golden/*.txt is a config and, in lines that begin with run.yaml, what is said.

A file gives them exactly, a text the same less the file's name, and a dict the same less every place.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from layerkit import text
from layerkit.errors import ConfigError
from layerkit.graph import load
from layerkit.registry import layer_types

PLACE = re.compile(r"^run\.yaml:\d+:\d+: | \(the other at run\.yaml:\d+:\d+\)| used at run\.yaml:\d+:\d+")


def _cases():
    for path in sorted(Path(__file__).with_name("golden").glob("*.txt")):
        for case in path.read_text(encoding="utf-8").split("\n=== ")[1:]:
            name, *lines = case.rstrip("\n").split("\n")
            said = [line for line in lines if line.startswith("run.yaml:")]
            written = "\n".join(lines[: len(lines) - len(said)]) + "\n"
            yield pytest.param(written, said, id=f"{path.stem}: {name}")


golden = pytest.mark.parametrize(("written", "sentences"), list(_cases()))


def said_of(source):
    with pytest.raises(ConfigError) as caught:
        load(source)
    assert str(caught.value).split("\n") == [str(problem) for problem in caught.value.problems]
    return [str(problem) for problem in caught.value.problems]


@golden
def test_what_is_said_of_a_file(written, sentences, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(written, encoding="utf-8")
    assert sentences
    assert said_of("run.yaml") == sentences


@golden
def test_what_is_said_of_a_text(written, sentences):
    assert said_of(written) == [sentence.replace("run.yaml:", "") for sentence in sentences]


@golden
def test_what_is_said_of_a_dict(written, sentences):
    tree = text.to_python(text.parse(written))
    assert sorted(said_of(tree)) == sorted(PLACE.sub("", sentence) for sentence in sentences)


def test_an_unknown_type_unlike_any_lists_them_all():
    (sentence,) = said_of("layers:\n  - {name: x, type: Wheel}\n")
    assert sentence == f"2:21: layer 'x' (Wheel): there is no layer type 'Wheel'; there are: {', '.join(layer_types())}"


def test_numbers_of_numpy_and_tuples_serve_in_a_dict():
    np = pytest.importorskip("numpy")
    net = {"layers": [{"name": "x", "type": "Input", "shape": (np.int64(4), 3)}]}
    assert load(net).graphs["train"].outputs == ["x"]


def test_a_dict_that_holds_itself_is_refused():
    tree = {}
    tree["net"] = tree
    assert said_of(tree) == ["nested more than 60 deep"]
