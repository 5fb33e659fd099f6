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
from layerkit.spec import elsewhere

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


@pytest.mark.parametrize(
    ("known_elsewhere", "hint"),
    [
        ("Linear", "here it is InnerProduct"),
        ("Conv2d", "here it is Convolution"),
        ("MaxPool2D", "here it is Pooling, with pool: MAX"),
        ("CrossEntropyLoss", "here it is SoftmaxWithLoss"),
        ("relu", "did you mean 'ReLU'?"),
    ],
)
def test_a_type_of_another_framework_is_translated(known_elsewhere, hint):
    (sentence,) = said_of(f"layers:\n  - {{name: x, type: {known_elsewhere}}}\n")
    assert sentence.endswith(f"there is no layer type '{known_elsewhere}'; {hint}")


def test_what_other_frameworks_have_is_translated_to_types_that_there_are():
    assert {ours.split(",")[0] for ours in elsewhere._NAMES} <= {*layer_types()}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("net.prototxt", "layerkit convert FILE -o net.yaml"),
        ("net.onnx", "layerkit convert FILE -o net.yaml"),
        ("net.safetensors", "layerkit draw FILE"),
    ],
)
def test_a_file_that_is_no_config_is_named_as_what_it_is(name, told, tmp_path):
    (tmp_path / name).write_bytes(b"\xff")
    path = str(tmp_path / name)
    (sentence,) = said_of(path)
    assert "not a YAML file" in sentence
    assert sentence.endswith(told.replace("FILE", path))


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("name:mlp\nnet: {layers: []}\n", "1:5"),
        ("name:mlp  # a comment\n\nnet:\n  layers: []\n", "1:5"),
        ("name: mlp\nnet:\n  layers:\n    - name:x\n      type: Input\n", "4:11"),
    ],
)
def test_a_key_without_a_space_behind_its_colon_is_told_so(written, place):
    assert said_of(written) == [f"{place}: a space is missing behind this ':'"]


def test_an_unknown_type_unlike_any_is_told_where_they_are_listed():
    (sentence,) = said_of("layers:\n  - {name: x, type: Wheel}\n")
    assert sentence == "2:21: layer 'x' (Wheel): there is no layer type 'Wheel'; layerkit layers lists them"


def test_numbers_of_numpy_and_tuples_serve_in_a_dict():
    np = pytest.importorskip("numpy")
    net = {"layers": [{"name": "x", "type": "Input", "shape": (np.int64(4), 3)}]}
    assert load(net).graphs["train"].outputs == ["x"]


def test_a_dict_that_holds_itself_is_refused():
    tree = {}
    tree["net"] = tree
    assert said_of(tree) == ["nested more than 60 deep"]
