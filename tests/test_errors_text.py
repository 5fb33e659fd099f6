"""What is wrong with a text before it is a config: YAML itself, and what layerkit does not take from it."""

from pathlib import Path

import pytest

from layerkit import text
from layerkit.errors import ConfigError

CASES = [
    ("a tab as indentation", "net:\n\tlayers: []\n", ["run.yaml:2:1: a tab, where YAML wants spaces"]),
    ("a tab in front of an item", "net:\n  layers:\n\t- {name: a}\n", ["run.yaml:3:1: a tab, where YAML wants spaces"]),
    ("an empty file", "", ["run.yaml:1:1: the file is empty"]),
    ("only a comment", "# nothing\n", ["run.yaml:1:1: the file is empty"]),
    ("only a document marker", "---\n", ["run.yaml:1:1: the file is empty"]),
    (
        "a list at the top",
        "- a\n- b\n",
        ["run.yaml:1:1: a config is a mapping with 'net:' or 'layers:' at its top, not a list"],
    ),
    (
        "a value at the top",
        "just words\n",
        ["run.yaml:1:1: a config is a mapping with 'net:' or 'layers:' at its top, not a single value"],
    ),
    (
        "a number at the top",
        "3\n",
        ["run.yaml:1:1: a config is a mapping with 'net:' or 'layers:' at its top, not a single value"],
    ),
    (
        "a second document",
        "layers: []\n---\nlayers: []\n",
        ["run.yaml:2:1: a second document ('---'); a file holds one run"],
    ),
    (
        "duplicate keys",
        "layers: []\nname: a\nlayers: []\n",
        ["run.yaml:3:1: the key 'layers' is given twice; the first is in line 1"],
    ),
    (
        "duplicate keys, twice",
        "name: a\nname: b\nlayers:\n  - {name: a, name: b}\n",
        [
            "run.yaml:2:1: the key 'name' is given twice; the first is in line 1",
            "run.yaml:4:15: the key 'name' is given twice; the first is in line 4",
        ],
    ),
    (
        "an alias bomb",
        "a: &a [" + "1," * 100 + "]\nb: &b [" + "*a," * 100 + "]\nc: [" + "*b," * 100 + "]\n",
        ["run.yaml:1:204: more than 100000 values once every alias is expanded"],
    ),
    (
        "a recursive alias",
        "layers: &all [*all]\n",
        ["run.yaml:1:9: this value holds an alias of itself, and so has no end"],
    ),
    ("an unknown alias", "layers: *all\n", ["run.yaml:1:9: there is no anchor '&all' above for this alias"]),
    ("too many values", "layers: [" + "1," * 100_001 + "]\n", ["run.yaml:1:200004: more than 100000 values"]),
    ("too deep", "layers: " + "[" * 61 + "]" * 61 + "\n", ["run.yaml:1:68: nested more than 60 deep"]),
    (
        "a Python object",
        "layers:\n  - !!python/object:os.system {name: a}\n",
        ["run.yaml:2:5: the tag !!python/object:os.system is not allowed; a config holds only plain values"],
    ),
    (
        "a Python name",
        "name: !!python/name:os.system x\n",
        ["run.yaml:1:7: the tag !!python/name:os.system is not allowed; a config holds only plain values"],
    ),
    (
        "a tag of its own",
        "name: !mine x\n",
        ["run.yaml:1:7: the tag !mine is not allowed; a config holds only plain values"],
    ),
    (
        "a tag on a list",
        "layers: !!omap [a]\n",
        ["run.yaml:1:9: the tag !!omap is not allowed; a config holds only plain values"],
    ),
    (
        "a set",
        "layers: !!set {a, b}\n",
        ["run.yaml:1:9: the tag !!set is not allowed; a config holds only plain values"],
    ),
    ("a tag that does not fit", "name: !!int x\n", ["run.yaml:1:7: 'x' does not fit its tag !!int"]),
    (
        "a null that is none",
        "name: !!null x\n",
        ["run.yaml:1:7: the tag !!null is not allowed; a config holds only plain values"],
    ),
    (
        "a merge key",
        "layers:\n  - {<<: {name: a}, type: ReLU}\n",
        ["run.yaml:2:6: merge keys (<<) are not part of YAML 1.2; use 'blocks'"],
    ),
    ("a key that is a list", "? [a, b]\n: 3\n", ["run.yaml:1:3: a key must be plain text"]),
    ("a control character", "name: a\x07b\n", ["run.yaml:1:8: the character U+0007 is not allowed in YAML"]),
    ("a null character", "name: a\n# \x00\n", ["run.yaml:2:3: the character U+0000 is not allowed in YAML"]),
    (
        "a number too large for anything",
        "name: 9223372036854775808\n",
        ["run.yaml:1:7: the whole number 9223372036854775808 is too large"],
    ),
    (
        "a number of too many digits",
        "name: " + "9" * 5000 + "\n",
        ["run.yaml:1:7: '9999999999999999999999999999999999999...' has too many digits"],
    ),
    ("an open brace", "layers: {name: a\n", ["run.yaml:1:9: this is never closed by a '}', or a ',' is missing"]),
    ("an open bracket", "layers: [a, {b: c}\n", ["run.yaml:1:9: this is never closed by a ']', or a ',' is missing"]),
    (
        "an open bracket before a key",
        "layers: [a, b\nname: c\n",
        ["run.yaml:1:9: this is never closed by a ']', or a ',' is missing"],
    ),
    (
        "a bracket of the other kind",
        "layers: [a}\n",
        ["run.yaml:1:9: this is never closed by a ']', or a ',' is missing"],
    ),
    ("a missing value", "layers: [}\n", ["run.yaml:1:10: a value is missing in front of this '}'"]),
    ("an open quote", "name: 'abc\n\n", ["run.yaml:1:7: this quote is never closed"]),
    ("an open double quote", 'name: "abc\n\n', ["run.yaml:1:7: this quote is never closed"]),
    ("two colons", "net: layers: []\n", ["run.yaml:1:12: a ':' where none can be; text that holds ': ' needs quotes"]),
    ("an indented key", "net: {}\n  solver: {}\n", ["run.yaml:2:3: this line is indented unlike those above it"]),
    (
        "a key indented less",
        "net:\n    layers: []\n  name: a\n",
        ["run.yaml:3:3: this line is indented unlike those above it"],
    ),
    (
        "words behind a bracket",
        "net: {} x\n",
        ["run.yaml:1:9: this does not belong here; is a quote or a comma missing?"],
    ),
    ("a key without colon", "name: a\nsolver\nnet: b\n", ["run.yaml:2:1: a ':' is missing behind this key"]),
    ("an @", "name: @home\n", ["run.yaml:1:7: plain text cannot begin with '@'; put it in quotes"]),
    (
        "a backslash in double quotes",
        'name: "C:\\data"\n',
        ["run.yaml:1:11: '\\d' means nothing in double quotes; write '\\\\d', or use single quotes"],
    ),
    (
        "a directive",
        "%YAML 3.0\n---\nname: a\n",
        ["run.yaml:1:1: not valid YAML: found incompatible YAML document (version 1.* is required)"],
    ),
]


cases = pytest.mark.parametrize(("written", "sentences"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])


@cases
def test_what_is_said_of_a_file(written, sentences, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(written, encoding="utf-8", newline="")
    with pytest.raises(ConfigError) as caught:
        text.load("run.yaml")
    assert str(caught.value).split("\n") == sentences


@cases
def test_what_is_said_of_a_text(written, sentences):
    with pytest.raises(ConfigError) as caught:
        text.parse(written)
    assert str(caught.value).split("\n") == [sentence.removeprefix("run.yaml:") for sentence in sentences]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"name: caf\xe9\n", "run.yaml:1:10: not UTF-8 text (byte 0xe9); save the file as UTF-8"),
        (b"a: b\n\xff", "run.yaml:2:1: not UTF-8 text (byte 0xff); save the file as UTF-8"),
        (b"#" * 1_000_001, "run.yaml: larger than 1 MB, too large for a config"),
    ],
)
def test_what_is_said_of_bytes(raw, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        text.load("run.yaml")
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("none.yaml", "there is no file 'none.yaml'"),
        ("folder", "cannot read 'folder': Is a directory"),
        ("nul\0", "cannot read 'nul\\x00': embedded null byte"),
        ("x" * 300, f"cannot read '{'x' * 300}': File name too long"),
    ],
)
def test_what_is_said_of_a_path(path, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(ConfigError) as caught:
        text.load(path)
    assert str(caught.value) == sentence


def test_what_is_said_of_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # whoever runs the tests may be allowed to read everything
    with pytest.raises(ConfigError, match=r"cannot read 'run.yaml': Permission denied$"):
        text.load("run.yaml")
