"""Protobuf's text format: every way to write a value, places of faults, and files that are damaged."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from fuzz_tools import mutated

import layerkit as lk
from layerkit.convert import prototxt, schema
from layerkit.errors import Problems


def read(text: str, kind: str = "NetParameter") -> dict[str, Any]:
    """The message as Caffe's message `kind`; nothing may be wrong with it."""
    problems = Problems()
    fields = schema.read(prototxt.parse(text).message, kind, problems)
    problems.check()
    return fields


def faults(text: str, kind: str = "NetParameter") -> list[str]:
    """What is wrong with the values of a text whose syntax is right."""
    problems = Problems()
    schema.read(prototxt.parse(text, "net.prototxt").message, kind, problems)
    return [str(problem) for problem in problems.found]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"plain"', "plain"),
        ("'single \"quoted\"'", 'single "quoted"'),
        ('"a" \'b\'\n  # a comment between\n "c"', "abc"),
        (r'"\a\b\f\n\r\t\v\\\'\"\?"', "\a\b\f\n\r\t\v\\'\"?"),
        (r'"\101\x42\x4a\7"', "ABJ\a"),
        (r'"\303\251 é \u00e9 \U0001F600"', "é é é \U0001f600"),
        ('""', ""),
        ('"# no comment"', "# no comment"),
    ],
)
def test_strings(written: str, text: str) -> None:
    assert read(f"name: {written} # and so on") == {"name": text}


@pytest.mark.parametrize(
    ("written", "value"),
    [("7", 7), ("-7", -7), ("- 7", -7), ("0", 0), ("0x1F", 31), ("-0X10", -16), ("010", 8), ("2147483647", 2**31 - 1)],
)
def test_whole_numbers(written: str, value: int) -> None:
    assert read(f"level: {written}", "NetState") == {"level": value}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0.5", 0.5), (".5", 0.5), ("5.", 5), ("1.f", 1), ("2F", 2), ("1e-3", 0.001), ("1.5E+2f", 150), ("-3", -3),
        ("inf", float("inf")), ("-inf", -float("inf")), ("Infinity", float("inf")), ("0.05000000074505806", 0.05),
        ("0.1", 0.1), ("1e30", 1e30), ("3", 3),
    ],
)  # fmt: skip
def test_floats(written: str, value: float) -> None:
    assert read(f"base_lr: {written}", "SolverParameter") == {"base_lr": value}


def test_a_float_that_is_no_number() -> None:
    (value,) = read("base_lr: nan", "SolverParameter").values()
    assert value != value


@pytest.mark.parametrize("written", ["true", "True", "t", "1", "false", "False", "f", "0"])
def test_booleans(written: str) -> None:
    assert read(f"force_backward: {written}") == {"force_backward": written in ("true", "True", "t", "1")}


@pytest.mark.parametrize("written", ["AVE", "1", "0x1"])
def test_enumerations_by_name_and_number(written: str) -> None:
    assert read(f"pool: {written}", "PoolingParameter") == {"pool": "AVE"}


@pytest.mark.parametrize(
    "text",
    [
        "input_shape { dim: 1 dim: 3 } input_shape { dim: 2 }",
        "input_shape: < dim: [1, 3] > input_shape: { dim: [2] }",
        "input_shape: [{ dim: 1, dim: 3 }, < dim: 2; >];",
        "input_shape{dim:1;dim:3,};input_shape{dim:2}",
    ],
)
def test_repeated_messages(text: str) -> None:
    assert read(text) == {"input_shape": [{"dim": [1, 3]}, {"dim": [2]}]}


def test_an_empty_list_and_an_empty_message() -> None:
    assert read("input: [] layer {}") == {"layer": [{}]}


def test_fields_that_nobody_knows_are_kept_with_their_types_guessed() -> None:
    found = read('layer { new_param { a: 1 a: 2.5 b: true c: WORD d: "text" e { f: -0x2 } [x.y/z]: 3 } }')
    inside = {"a": [1, 2.5], "b": True, "c": "WORD", "d": "text", "e": {"f": -2}, "[x.y/z]": 3}
    assert found["layer"][0] == {"new_param": inside}
    assert found["layer"][0].unknown == {"new_param"}


def test_comments_that_stand_alone_are_kept_by_line() -> None:
    text = prototxt.parse("# one\nname: 'x' # two\n  # three  \nlayer {\n#four\n}")
    assert text.comments == {1: "# one", 3: "# three", 5: "#four"}
    assert text.message.fields[1].value.last_line == 6


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name 'x'", "1:6: ':' or '{' behind 'name' should come here, but \"'x'\" does"),
        ("name:", "1:6: a value should come here, but the file ends"),
        ("name: }", "1:7: a value should come here, but '}' does"),
        ("layer {\n  name: 'x'\n", "3:1: the file ends, but the message that begins at 1:7 has no '}'"),
        ("layer { name: 'x' >", "1:19: a field's name should come here, but '>' does"),
        ("}", "1:1: a field's name should come here, but '}' does"),
        ("name: 'x\ny'", "1:7: a string without its closing ' on the line"),
        ("name: 'a\\q'", "1:9: a string has no escape '\\\\q'"),
        ("name: '\\x'", "1:8: a string has no escape '\\\\x'"),
        ("name: '\\777'", "1:8: a string has no escape '\\\\777'"),
        ("name: '\\U00110000'", "1:8: a string has no escape '\\\\U00110000'"),
        ("name: '\\uD800'", "1:8: a string has no escape '\\\\uD800'"),
        ("name: '\\377'", "1:7: this string is not UTF-8 text"),
        ("name: 'caf\ufffd'", "1:7: this string is not UTF-8 text; save the file as UTF-8"),
        ("input_dim: 12abc", "1:12: '12abc' is no number"),
        ("input_dim: 1.2.3", "1:12: '1.2.3' is no number"),
        ("input: ['a' 'b', 'c' d]", "1:22: ',' or ']' should come here, but 'd' does"),
        ("input_dim: -x", "1:13: a number should come here, but 'x' does"),
        ("[a.b", "1:5: ']' should come here, but the file ends"),
        ("name: @", "1:7: '@' has no meaning here"),
        ("a{" * 70, "1:122: nested more than 60 deep"),
    ],
)  # fmt: skip
def test_faults_of_syntax_are_placed(text: str, fault: str) -> None:
    with pytest.raises(lk.ConfigError) as error:
        prototxt.parse(text, "net.prototxt")
    assert str(error.value) == f"net.prototxt:{fault}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name: 3", "1:7: name must be a string in quotes, not '3'"),
        ("input_dim: 'x'", "1:12: input_dim must be a whole number, not 'x'"),
        ("input_dim: 2147483648", "1:12: input_dim must be a whole number, not '2147483648'"),
        ("input_dim: 08", "1:12: input_dim must be a whole number, not '08'"),
        ("force_backward: yes", "1:17: force_backward must be true or false, not 'yes'"),
        ("layer {\n loss_weight: 0x10 }", "2:15: loss_weight must be a number, not '0x10'"),
        ("layer: 5", "1:8: layer must be a message in braces, not '5'"),
        ("name { }", "1:6: name must be a string in quotes, not a message in braces"),
        ("name: 'a'\nname: 'b'", "2:1: name is given twice, but is no list; leave one out"),
        (
            "layer { pooling_param { pool: AV } }",
            "1:31: pool must be one of MAX, AVE, STOCHASTIC, not 'AV'; did you mean 'AVE'?",
        ),
    ],
)
def test_faults_of_values_are_placed(text: str, fault: str) -> None:
    assert faults(text) == [f"net.prototxt:{fault}"]


def test_unknown_fields_are_said_with_the_nearest_one() -> None:
    fields = schema.read(prototxt.parse("\n base_lr: 1 gama: 2", "s.prototxt").message, "SolverParameter", Problems())
    (problem,) = schema.unknown_fields(fields)
    assert str(problem) == "s.prototxt:2:13: SolverParameter has no field 'gama'; did you mean 'gamma'?"


def test_the_table_agrees_with_itself() -> None:
    known = schema.table()
    scalars = {"string", "bytes", "bool", "float", "double", "int32", "int64", "uint32", "uint64"}
    for name, message in known.messages.items():
        for field, each in message.items():
            assert each.type in scalars | set(known.messages) | set(known.enums), (name, field)
            if each.type in known.enums and each.default:
                assert each.default in known.enums[each.type], (name, field)
        own = [each.number for each in message.values() if not each.branch]
        assert len(set(own)) == len(own), name


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"\xef\xbb\xbfname: 'x' # \xb0\xa1 in another encoding\r\n")
    assert prototxt.load(path).message.fields[0].value.text == "x"
    with pytest.raises(lk.ConfigError, match="there is no file"):
        prototxt.load(tmp_path / "none.prototxt")
    with pytest.raises(lk.ConfigError, match="cannot read"):
        prototxt.load(tmp_path)
    path.write_bytes(b"#" * (prototxt.MAX_BYTES + 1))
    with pytest.raises(lk.ConfigError, match="larger than 5 MB"):
        prototxt.load(path)


def test_a_text_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prototxt, "MAX_VALUES", 9)
    assert len(prototxt.parse("a:1 " * 9).message.fields) == 9
    with pytest.raises(lk.ConfigError, match="1:37: more than 9 values"):
        prototxt.parse("a:1 " * 10)


WHOLE = b"""
# a net
name: "x" input: 'data' input_shape { dim: [1, 3, 8] }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" param { lr_mult: 1.5 }
  convolution_param < num_output: 0x4 weight_filler { type: "xa" "vier" } > include { phase: TEST } }
"""


def test_mutated_texts_are_read_or_refused_in_one_sentence() -> None:
    draw, refused = random.Random(0), 0
    for _ in range(400):
        text = mutated(WHOLE, draw).decode(errors="replace")
        try:
            faults(text)
        except lk.ConfigError as error:
            refused += 1
            sentence = str(error)
            if "\n" in sentence or len(sentence) > 300:
                pytest.fail(sentence)
    assert refused > 100
