"""Protobuf's wire format and Caffe's Datum and BlobProto in it, against bytes written out by hand."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_tools import mutated

import layerkit as lk
from layerkit import wire
from layerkit.datasets.files import blobproto, datum
from layerkit.wire import Message, WireError

PIXELS = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)


def key(number: int, kind: int) -> bytes:
    """The tag of a field whose number is below 16: one byte."""
    return bytes([number << 3 | kind])


def test_the_examples_of_the_encodings_description() -> None:
    assert Message(b"\x08\x96\x01").integer(1) == 150
    assert Message(b"\x12\x07testing").text(2) == "testing"
    assert next(Message(b"\x1a\x03\x08\x96\x01").messages(3)).integer(1) == 150
    assert Message(b"\x32\x06\x03\x8e\x02\x9e\xa7\x05").integers(6) == [3, 270, 86942]
    assert wire.varint(1, 150) == b"\x08\x96\x01"
    assert wire.data(2, "testing") == b"\x12\x07testing"
    assert wire.integers(6, [3, 270, 86942]) == b"\x32\x06\x03\x8e\x02\x9e\xa7\x05"


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -(2**63)])
def test_integers_come_back(value: int) -> None:
    assert Message(wire.varint(1000, value)).integer(1000) == value
    assert Message(wire.integers(3, [value, 7, value])).integers(3) == [value, 7, value]


def test_of_a_field_that_is_no_list_the_last_one_counts() -> None:
    message = Message(wire.varint(1, 5) + wire.data(2, "a") + wire.varint(1, 6) + wire.data(2, "b"))
    assert (message.integer(1), message.text(2), message.texts(2)) == (6, "b", ["a", "b"])


def test_what_is_not_there_is_the_default() -> None:
    message = Message(b"")
    assert 1 not in message
    assert (message.integer(1, 7), message.flag(1, True), message.text(1, "x"), message.data(1)) == (7, True, "x", b"")
    assert (message.integers(1), message.texts(1), list(message.messages(1))) == ([], [], [])
    assert (message.floats(1).shape, message.doubles(1).dtype) == ((0,), np.dtype(np.float64))


def test_unpacked_and_packed_floats_mix() -> None:
    values = np.linspace(-1, 1, 70_001, dtype=np.float32)
    single = [key(5, 5) + struct.pack("<f", value) for value in values]
    content = b"".join(single[:3]) + wire.varint(1, 9) + b"".join(single[3:69_000]) + wire.floats(5, values[69_000:])
    message = Message(content)
    np.testing.assert_array_equal(message.floats(5), values)
    assert message.integer(1) == 9
    assert message.floats(5).flags.writeable


def test_unpacked_doubles_of_a_field_with_a_long_tag() -> None:
    values = [0.1, -2.0, 1e300]
    content = b"".join(b"\xc1\x3e" + struct.pack("<d", value) for value in values)  # 1000 << 3 | 1
    np.testing.assert_array_equal(Message(content).doubles(1000), values)


def test_millions_of_unpacked_floats_are_read_at_once() -> None:
    table = np.zeros((2_000_000, 5), np.uint8)
    table[:, 0] = key(5, 5)[0]
    table[:, 1:] = np.arange(len(table), dtype="<f4").reshape(-1, 1).view(np.uint8)
    np.testing.assert_array_equal(Message(table.tobytes()).floats(5), np.arange(len(table), dtype=np.float32))


BROKEN = {
    "a varint without an end": (b"\x08\x80\x80", "it ends within a number"),
    "a varint of 11 bytes": (b"\x08" + b"\x80" * 10 + b"\x01", "a number in it is longer than 10 bytes"),
    "a length beyond the end": (b"\x12\x7fabc", "it ends within field 2 of a message, which has 127 bytes"),
    "an absurd length": (b"\x12" + b"\xff" * 9 + b"\x01", "it ends within field 2 of a message"),
    "a group": (b"\x0b\x0c", "at byte 0 of a message in it there is no field"),
    "field 0": (b"\x00\x01", "at byte 0 of a message in it there is no field"),
    "kind 7": (b"\x08\x01\x0f", "at byte 2 of a message in it there is no field"),
    "too few bytes for a float": (b"\x0d\x00\x00", "it ends within field 1 of a message"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bytes_are_refused(name: str) -> None:
    content, sentence = BROKEN[name]
    with pytest.raises(WireError, match=sentence):
        Message(content)


@pytest.mark.parametrize(
    ("content", "ask", "sentence"),
    [
        (wire.data(1, "x"), lambda m: m.integer(1), "it ends within a number|lists no numbers|should hold"),
        (wire.data(1, ""), lambda m: m.integer(1), "field 1 of a message in it lists no numbers"),
        (wire.varint(1, 1), lambda m: m.text(1), "holds a varint, but should hold a run of bytes"),
        (wire.varint(1, 1), lambda m: m.floats(1), "holds a varint, but should hold 4-byte floats"),
        (b"\x0d\0\0\0\0", lambda m: m.integers(1), "holds a 4-byte value, but should hold whole numbers"),
        (wire.data(1, b"\xff"), lambda m: m.text(1), "field 1 of a message in it is no UTF-8 text"),
        (wire.data(1, b"123"), lambda m: m.floats(1), "field 1 of a message in it ends within a number"),
    ],
)
def test_another_kind_of_value_is_refused(content: bytes, ask: Any, sentence: str) -> None:
    if sentence.startswith("it ends"):
        content = wire.data(1, b"\x80")
    with pytest.raises(WireError, match=sentence):
        ask(Message(content))


def test_messages_of_absurdly_many_fields_are_refused() -> None:
    with pytest.raises(WireError, match="more than 100,000 fields"):
        Message(b"\x08\x01" * 100_001)
    with pytest.raises(WireError, match="field 1 of a message in it lists more than 100,000 numbers"):
        Message(wire.data(1, bytes(100_001))).integers(1)


# -- Datum ---------------------------------------------------------------------------------------------------------


def test_a_datum_written_out_by_hand() -> None:
    content = b"\x08\x01\x10\x02\x18\x03" + b"\x22\x06abcdef" + b"\x28\x07"
    read = datum.parse(content, "sample 0")
    assert read.label == 7
    assert read.encoded is None
    np.testing.assert_array_equal(read.pixels, [[[97, 98, 99], [100, 101, 102]]])


def test_datums_come_back() -> None:
    read = datum.parse(datum.serialise(PIXELS, 3), "x")
    assert read.label == 3
    assert read.pixels is not None
    assert read.pixels.dtype == np.uint8
    np.testing.assert_array_equal(read.pixels, PIXELS)
    read = datum.parse(datum.serialise(PIXELS / 7, -1), "x")
    assert read.label == -1
    np.testing.assert_array_equal(read.pixels, (PIXELS / 7).astype(np.float32))
    read = datum.parse(datum.serialise_encoded(b"a JPEG", 2), "x")
    assert (read.pixels, read.encoded, read.label) == (None, b"a JPEG", 2)


def test_a_datum_of_unpacked_floats() -> None:
    content = b"\x08\x01\x10\x01\x18\x02" + b"".join(key(6, 5) + struct.pack("<f", v) for v in (0.5, -2))
    np.testing.assert_array_equal(datum.parse(content, "x").pixels, [[[0.5, -2]]])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "^sample 4 is damaged: it says that it is 0x0x0, but holds 0 values$"),
        (b"\xff", "^sample 4 is no Datum, or is damaged: it ends within a number$"),
        (b"\x08\x01\x10\x02\x18\x04" + b"\x22\x06abcdef", "it says that it is 1x2x4, but holds 6 values"),
        (wire.varint(1, -1) + wire.varint(2, -1) + wire.varint(3, 1) + wire.data(4, "a"), "says that it is -1x-1x1"),
        (wire.varint(7, 1), "it says that its image is encoded, but holds no image file"),
    ],
)
def test_broken_datums_are_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(lk.DataError, match=sentence):
        datum.parse(content, "sample 4")


def test_a_datum_needs_three_axes() -> None:
    with pytest.raises(lk.DataError, match="not an array 2x3"):
        datum.serialise(PIXELS[:, :, 0])


# -- BlobProto -----------------------------------------------------------------------------------------------------


def test_a_mean_comes_back_in_the_form_that_every_caffe_reads(tmp_path: Path) -> None:
    mean = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32)
    blobproto.save(tmp_path / "mean.binaryproto", mean)
    content = (tmp_path / "mean.binaryproto").read_bytes()
    assert content[:8] == b"\x08\x01\x10\x03\x18\x04\x20\x05"
    np.testing.assert_array_equal(blobproto.load(tmp_path / "mean.binaryproto"), mean)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4, 5, 6)])
def test_arrays_of_any_axes_come_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    blobproto.save(tmp_path / "a.binaryproto", array)
    read = blobproto.load(tmp_path / "a.binaryproto")
    assert read.shape == shape
    np.testing.assert_array_equal(read, array)


def test_unpacked_shapes_and_doubles() -> None:
    shape = wire.data(7, wire.varint(1, 3) + wire.varint(1, 2))
    values = np.arange(6.0)
    content = shape + wire.data(8, values.tobytes())
    read = blobproto.parse(Message(content))
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, values.reshape(3, 2))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "an array in it says that it is scalar, but holds 0 values"),
        (wire.data(7, wire.integers(1, [2, 3])) + wire.data(5, bytes(20)), "says that it is 2x3, but holds 5 values"),
        (wire.data(7, wire.integers(1, [-2, -3])) + wire.data(5, bytes(24)), "says that it is -2x-3"),
        (wire.data(7, wire.integers(1, [0, 2**62])), "says that it is 0x4611686018427387904"),
        (wire.data(7, wire.integers(1, [1] * 33)) + wire.data(5, bytes(4)), "of 33 axes, but holds 1 value$"),
        (b"\x80", "is no .binaryproto file, or is damaged: it ends within a number"),
    ],
)
def test_broken_means_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(content)
    with pytest.raises(lk.DataError, match=sentence):
        blobproto.load(path)


def test_a_missing_mean_is_said(tmp_path: Path) -> None:
    with pytest.raises(lk.DataError, match=r"cannot read '.*no\.binaryproto': No such file"):
        blobproto.load(tmp_path / "no.binaryproto")


# -- mutated -------------------------------------------------------------------------------------------------------


def refusal(read: Callable[[], Any]) -> str:
    """What is said against it; nothing where it can be read. Any other exception is a failure."""
    try:
        read()
    except lk.DataError as error:
        return str(error)
    return ""


def test_mutated_messages_are_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    draw = random.Random(0)
    path = tmp_path / "a.binaryproto"
    wholes = [datum.serialise(PIXELS, 3), datum.serialise(PIXELS / 7), datum.serialise_encoded(b"abc" * 9, 1)]
    wholes += [blobproto.serialise(PIXELS), blobproto.serialise(PIXELS[np.newaxis], legacy=True)]
    sentences = []
    for _ in range(400):
        content = mutated(draw.choice(wholes), draw)
        path.write_bytes(content)
        sentences.append(refusal(partial(datum.parse, content, "sample 4")))
        sentences.append(refusal(partial(blobproto.load, path)))
    assert not any("\n" in sentence or len(sentence) > 500 for sentence in sentences)
    assert sum(map(bool, sentences)) > 100
