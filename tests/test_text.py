"""YAML by the rules of its 1.2 core schema, places of values, and writing."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from layerkit import text
from layerkit.errors import Mark
from layerkit.text import Map, Seq, dump, mark_of, parse, parse_value

# -- what plain words are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("1e3", 1000.0),
        ("-2.5e+4", -25000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("+7", 7),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("true", True),
        ("False", False),
        ("NULL", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("+.INF", math.inf),
    ],
)
def test_a_value(written, value):
    found = parse_value(f"a: {written}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_a_float():
    assert all(math.isnan(parse_value(word)) for word in (".nan", ".NaN", ".NAN"))


@pytest.mark.parametrize(
    "word",
    [
        *("on", "off", "yes", "no", "y", "n", "On", "NO", "tRUE", "nuLL", "none", "None"),
        *("1_000", "0b11", "0o8", "0xg", "1:30", "12:30:45", "2001-01-01", "2001-01-01 10:00:00"),
        *("1e", "e3", ".", "-", "+", "1.2.3", "--1", ".e3", "-.nan", "inf", "nan", "=", "1e3x"),
    ],
)
def test_a_word_is_a_string(word):
    assert parse_value(f"[ '', {word} ]") == ["", word] if word != "-" else True
    assert parse_value(f"a: {word}\n") == {"a": word} if word != "-" else True


def test_keys_are_strings_whatever_they_look_like():
    assert parse_value("{1: a, true: b, ~: c, 1e3: d}") == {"1": "a", "true": "b", "~": "c", "1e3": "d"}


def test_tags_of_the_core_schema_may_be_written():
    assert parse_value("[!!str 1, !!int '2', !!float 3, !!bool 'true', !!null '']") == ["1", 2, 3.0, True, None]


def test_aliases_are_values_of_their_own():
    tree = parse("a: &x {b: [1]}\nc: *x\n")
    assert tree == {"a": {"b": [1]}, "c": {"b": [1]}}
    tree["c"]["b"][0] = 2
    assert tree["a"]["b"] == [1]


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: a\r\nlayers:\r\n  - {name: x}\r\n")
    assert text.load(path) == {"name": "a", "layers": [{"name": "x"}]}


def test_as_much_as_is_allowed():
    deep = "[" * (text.MAX_DEPTH - 1) + "]" * (text.MAX_DEPTH - 1)
    assert parse(f"a: {deep}\n")["a"]
    assert parse(f"a: {2**63 - 1}\n")["a"] == 2**63 - 1
    assert parse_value(f"-{2**63 - 1}") == -(2**63) + 1


# -- places ---------------------------------------------------------------------------------------------------------

TREE = parse("net:\n  layers:\n    - {name: a, top: [x, y]}\n    - name: b\nname: t\n", "f.yaml")


@pytest.mark.parametrize(
    ("path", "place", "key_place"),
    [
        ((), "1:1", "1:1"),
        (("net",), "2:3", "1:1"),
        (("net", "layers"), "3:5", "2:3"),
        (("net", "layers", 0), "3:7", "3:7"),
        (("net", "layers", 0, "name"), "3:14", "3:8"),
        (("net", "layers", 0, "top", 1), "3:26", "3:26"),
        (("net", "layers", 1, "name"), "4:13", "4:7"),
        (("name",), "5:7", "5:1"),
        (("net", "layers", 1, "type"), "4:7", "4:7"),  # not there: what is around it
        (("net", "layers", 7), "3:5", "3:5"),
        (("name", "x"), "5:7", "5:7"),
    ],
)
def test_the_place_of_a_value_and_of_its_key(path, place, key_place):
    assert str(mark_of(TREE, path)) == f"f.yaml:{place}"
    assert str(mark_of(TREE, path, key=True)) == f"f.yaml:{key_place}"


def test_what_python_gives_has_no_places():
    tree = text.from_python({"a": [{"b": 1}], 2: (3, 4)})
    assert tree == {"a": [{"b": 1}], "2": [3, 4]}
    assert isinstance(tree, Map)
    assert isinstance(tree["a"], Seq)
    assert mark_of(tree, ("a", 0, "b")) is None
    assert mark_of(3, ("a",)) is None


def test_a_mark_names_its_file_where_it_has_one():
    assert [str(Mark(*parts)) for parts in (("f", 1, 2), (None, 1, 2), ("--set a=b", 0, 0))] == [
        "f:1:2",
        "1:2",
        "--set a=b",
    ]


def test_a_copy_without_keys_keeps_the_places_of_the_others():
    (layer, _) = TREE["net"]["layers"]
    assert layer.without("top") == {"name": "a"}
    assert layer.without("top").value_marks["name"] == layer.value_marks["name"]
    assert layer == {"name": "a", "top": ["x", "y"]}


# -- writing --------------------------------------------------------------------------------------------------------

WORDS = ["1e-3", "on", "no", "010", "0o17", "0x1F", "1_000", "true", "null", "~", "", " ", "a: b", "- a", "#", "a #b", "'", '"', "\n", "a\nb", "2001-01-01", "1:30", "=", "<<", "é", "日本", "\u2028", "\x85", "\ufeff", "\x1b", "😀", "*a", "&a", "!a", "%", "@", "`", "{}", "[a", "a,b", "?", "-", ".nan", ".5", "1e3", "x" * 300]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("word", WORDS)
def test_a_string_stays_a_string(word):
    tree = {"key": word, "list": [word], word or "k": 1}
    assert parse_value(dump(tree)) == tree
    assert yaml.safe_load(dump({"key": word})) == {"key": word}  # for readers of YAML 1.1 too


SCALARS = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False) | st.text()
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8)  # fmt: skip  # noqa: E501


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(TREES)
def test_what_is_written_is_read_again(tree):
    assert _typed(parse_value(dump({"a": tree}))["a"]) == _typed(tree)


def _typed(tree):
    if isinstance(tree, dict):
        return {key: _typed(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_typed(value) for value in tree]
    return type(tree).__name__, tree


def test_short_mappings_stand_on_one_line_in_their_own_order():
    shared = {"type": "xavier"}
    tree = {"net": {"layers": [{"name": "b", "type": "ReLU"}, {"name": "a", "f": shared, "g": shared}]}, "a": 1}
    assert dump(tree).splitlines() == [
        "net:",
        "  layers:",
        "  - {name: b, type: ReLU}",
        "  - name: a",
        "    f: {type: xavier}",
        "    g: {type: xavier}",
        "a: 1",
    ]
