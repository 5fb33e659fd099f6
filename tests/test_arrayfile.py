"""arrayfile: what is written comes back; what is broken is refused in one sentence; what fails leaves the old file."""

import errno
import io
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerkit import arrayfile
from layerkit.errors import SnapshotError

ARRAYS = {
    "fc1.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fc1.bias": np.array([True, False, True]),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 4), np.int16),
    "big endian": np.arange(5, dtype=">i4"),
    "strided": np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1)[:, ::-1],
}
NOTES = {"run": "name: mlp\n", "ümlaut": "数", "a": ""}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].shape == wanted[name].shape
        and found[name].dtype == wanted[name].dtype.newbyteorder("=")
        and np.array_equal(found[name], wanted[name])
        for name in wanted
    )


def one_sentence(error: pytest.ExceptionInfo[BaseException], path: Path) -> str:
    text = str(error.value)
    assert path.name in text
    assert "\n" not in text
    assert len(text) < 400
    return text


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "a.safetensors"
    arrayfile.save(path, ARRAYS, NOTES)
    arrays, notes = arrayfile.load(path)
    assert same(arrays, ARRAYS)
    assert notes == NOTES == arrayfile.metadata(path)
    assert all(array.flags.writeable for array in arrays.values())
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_at_all_can_be_saved(tmp_path):
    arrayfile.save(tmp_path / "a.safetensors", {})
    assert arrayfile.load(tmp_path / "a.safetensors") == ({}, {})


def test_safetensors_own_library_reads_it(tmp_path):
    path = tmp_path / "a.safetensors"
    arrayfile.save(path, ARRAYS, NOTES)
    assert same(safetensors.numpy.load_file(path), ARRAYS)


def test_files_of_others_are_read(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"x": np.ones((2, 3))}, path)
    arrays, notes = arrayfile.load(path)
    assert same(arrays, {"x": np.ones((2, 3))})
    assert notes == {} == arrayfile.metadata(path)


def test_equal_contents_give_equal_bytes_and_arrays_lie_aligned(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    arrayfile.save(first, ARRAYS, NOTES)
    arrayfile.save(second, dict(reversed(ARRAYS.items())), dict(reversed(NOTES.items())))
    assert first.read_bytes() == second.read_bytes()
    assert int.from_bytes(first.read_bytes()[:8], "little") % 8 == 0


def test_npz_is_read_in_its_order(tmp_path):
    path = tmp_path / "a.npz"
    wanted = {"z": np.arange(3.0), "a": np.ones((2, 2), np.uint8), "names": np.array(["cat", "dög"])}
    for save in (np.savez, np.savez_compressed):
        save(path, **wanted)
        arrays, notes = arrayfile.load(path)
        assert list(arrays) == ["z", "a", "names"]
        assert all(np.array_equal(arrays[name], wanted[name]) for name in wanted)
        assert notes == {}


def test_headers_are_read_without_the_values(tmp_path):
    for path in (tmp_path / "a.npz", tmp_path / "a.safetensors"):
        wanted = {"data": np.zeros((5, 1, 2, 3), np.uint8), "label": np.zeros(5, np.float32)}
        arrayfile.save(path, wanted) if path.suffix == ".safetensors" else np.savez(path, **wanted)
        assert {name: (h.shape, h.dtype) for name, h in arrayfile.header(path).items()} == {
            "data": ((5, 1, 2, 3), np.dtype(np.uint8)),
            "label": ((5,), np.dtype(np.float32)),
        }


def test_fortran_order_npz_keeps_its_values(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    assert np.array_equal(arrayfile.load(tmp_path / "a.npz")[0]["x"], np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"PK", b"\x80\x04K\x01.", b"\xff" * 100, b"\0" * 100, b"{}", b"\x10\0\0\0\0\0\0\0{'no': 'json'}  "]
)
def test_foreign_files_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(content)
    for read in (arrayfile.load, arrayfile.header):
        with pytest.raises(SnapshotError, match="damaged or no") as error:
            read(path)
        one_sentence(error, path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_missing_files_and_folders_are_named(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    with pytest.raises(SnapshotError, match="there is no file"):
        arrayfile.load(path)
    path.mkdir()
    with pytest.raises(SnapshotError, match="is a folder") as error:
        arrayfile.header(path)
    one_sentence(error, path)


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.ones(3))

    def refuse(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(arrayfile.zipfile, "ZipFile", refuse)
    with pytest.raises(SnapshotError, match=r"cannot read '.*x\.npz': Permission denied"):
        arrayfile.load(path)


def test_other_suffixes_are_refused(tmp_path):
    for call in (arrayfile.load, arrayfile.header, arrayfile.metadata, lambda path: arrayfile.save(path, {})):
        with pytest.raises(SnapshotError, match=r"must end in \.safetensors"):
            call(tmp_path / "weights.pkl")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_every_truncation_is_refused(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    whole = _file(suffix)
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(SnapshotError):
            arrayfile.load(path)


def _file(suffix: str) -> bytes:
    if suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, w=np.arange(6.0, dtype=np.float32).reshape(2, 3), b=np.arange(3))
        return buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.safetensors"
        arrayfile.save(path, {"w": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.arange(3)}, {"iter": "7"})
        return path.read_bytes()


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_mutated_file_is_refused_or_unchanged(tmp_path, suffix, data):
    path = tmp_path / f"mutated{suffix}"
    whole = _file(suffix)
    mutated = bytearray(whole)
    place = data.draw(st.integers(0, len(mutated) - 1))
    kind = data.draw(st.sampled_from(["flip", "set", "insert", "delete"]))
    if kind == "flip":
        mutated[place] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "set":
        mutated[place] = data.draw(st.integers(0, 255))
    elif kind == "insert":
        mutated[place:place] = data.draw(st.binary(min_size=1, max_size=9))
    else:
        del mutated[place : place + data.draw(st.integers(1, 9))]
    path.write_bytes(whole)
    wanted, _ = arrayfile.load(path)
    path.write_bytes(mutated)
    for read in (arrayfile.header, arrayfile.metadata) if suffix == ".safetensors" else (arrayfile.header,):
        attempt(read, path)
    found = attempt(arrayfile.load, path)
    assert found is None or same(found[0], wanted)


def test_an_array_that_a_flipped_bit_hides_is_missed(tmp_path):
    path = tmp_path / "hidden.npz"
    content = bytearray(_file(".npz"))
    first = content.index(b"PK\1\2")
    second = content.index(b"PK\1\2", first + 4)
    content[first + 32 : first + 34] = (content.index(b"PK\5\6") - second).to_bytes(2, "little")  # a comment's length
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match="lists fewer arrays than it counts"):
        arrayfile.load(path)


def attempt(read, path: Path):
    """What `read` gives, or None where it refuses in one sentence."""
    try:
        return read(path)
    except SnapshotError as refusal:
        sentence = str(refusal)
    assert "\n" not in sentence
    return None


@pytest.fixture
def three(tmp_path):
    """A file of three arrays, whose values lie in the order b, c, a."""
    path = tmp_path / "x.safetensors"
    arrayfile.save(path, {"a": np.ones(6, np.uint8), "b": np.ones(3), "c": np.ones(2)}, {"iter": "7"})
    return path


def start_of_values(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def refused(path: Path) -> str:
    with pytest.raises(SnapshotError) as error:
        arrayfile.load(path)
    return one_sentence(error, path)


@pytest.mark.parametrize(("places", "name"), [([3], "b"), ([30], "c"), ([45], "a"), ([30, 41], "a"), ([30, 3], "b")])
def test_the_first_array_by_name_with_a_flipped_value_is_named(three, places, name):
    content = bytearray(three.read_bytes())
    for place in places:
        content[start_of_values(content) + place] ^= 1
    three.write_bytes(content)
    assert f"is damaged: the values of {name!r} do not match its checksum" in refused(three)


def test_a_change_of_the_header_is_noticed(three):
    content = three.read_bytes()
    for old, new in ((b'"iter":"7"', b'"iter":"8"'), (b'"c":', b'"d":'), (b'"F64"', b'"I64"')):
        three.write_bytes(content.replace(old, new, 1))
        assert "is damaged: its contents do not match its checksum" in refused(three)


def test_the_first_array_that_is_cut_off_is_named(three):
    content = three.read_bytes()
    start = start_of_values(content)
    for end, name in ((start, "b"), (start + 23, "b"), (start + 24, "c"), (len(content) - 1, "a")):
        three.write_bytes(content[:end])
        assert f"is cut short: it ends before the values of {name!r} do" in refused(three)


def test_a_checksum_of_the_whole_alone_is_enough(three):
    content = three.read_bytes()
    checksum = content[content.index(b'crc32":"') + 8 :][: 4 * 9 - 1]
    assert checksum.count(b" ") == 3
    for whole, flip in ((True, False), (True, True), (False, False)):
        shorter = checksum[-8:] if whole else checksum[:8]
        changed = bytearray(content.replace(checksum, shorter.ljust(len(checksum))))
        changed[-1] ^= flip
        three.write_bytes(changed)
        if whole and not flip:
            assert arrayfile.load(three)[1] == {"iter": "7"}
        else:
            assert "its contents do not match its checksum" in refused(three)


def test_pickled_objects_are_never_loaded(tmp_path):
    path = tmp_path / "evil.npz"

    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.savez(path, x=np.array([Evil()], dtype=object))
    for read in (arrayfile.load, arrayfile.header):
        with pytest.raises(SnapshotError, match=r"holds pickled objects in 'x\.npy'"):
            read(path)
    bare = tmp_path / "bare.npz"
    bare.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(SnapshotError):
        arrayfile.load(bare)


def test_a_zip_bomb_is_refused_before_it_goes_off(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(10_000_000, np.uint8))
    assert arrayfile.load(path)[0]["x"].size == 10_000_000  # much of nothing is no bomb while it is small
    monkeypatch.setattr(arrayfile, "BOMB_SIZE", 1_000_000)
    for read in (arrayfile.load, arrayfile.header):
        with pytest.raises(SnapshotError, match=r"declares 10\.0 MB of arrays, far more than it holds"):
            read(path)


def _npy(shape: str, dtype: str = "<f4", body: bytes = b"") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    ("member", "content", "match"),
    [
        ("x.npy", _npy("(1000000000000,)"), "does not match its header"),
        ("x.npy", _npy(f"({2**62}, {2**62})"), "does not match its header"),
        ("x.npy", _npy("(-1,)"), "damaged"),
        ("x.npy", _npy("(1,)", body=b"12345"), "does not match its header"),
        ("x.npy", _npy("(0, 99999999999999999999999999)"), "damaged"),
        ("x.npy", _npy("(1,)", "<M8[s]", b"\0" * 8), "values of type datetime64"),
        ("x.npy", b"\x93NUMPY\x09\x00" + _npy("(1,)")[8:], "damaged or no npz file"),
        ("x.txt", b"hello", "holds 'x.txt', which is no new array"),
    ],
)
def test_an_absurd_npz_header_is_refused(tmp_path, member, content, match):
    path = tmp_path / "absurd.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    with pytest.raises(SnapshotError, match=match) as error:
        arrayfile.load(path)
    one_sentence(error, path)


def test_types_that_are_not_read_are_named(tmp_path):
    path = tmp_path / "bf16.safetensors"
    header = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    for read in (arrayfile.load, arrayfile.header):
        with pytest.raises(SnapshotError, match="holds 'x' of type BF16, which layerkit does not read"):
            read(path)


class TestOne:
    """load_one: the array of a file that holds one."""

    def test_all_three_formats(self, tmp_path):
        wanted = np.arange(6.0).reshape(2, 3)
        np.save(tmp_path / "a.npy", np.asfortranarray(wanted))
        np.savez(tmp_path / "a.npz", x=wanted)
        arrayfile.save(tmp_path / "a.safetensors", {"x": wanted})
        for path in tmp_path.iterdir():
            assert np.array_equal(arrayfile.load_one(path), wanted)

    def test_several_arrays_or_none(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.ones(2), y=np.ones(3))
        with pytest.raises(SnapshotError, match=r"a\.npz' must hold one array, but it holds x, y"):
            arrayfile.load_one(tmp_path / "a.npz")
        arrayfile.save(tmp_path / "a.safetensors", {})
        with pytest.raises(SnapshotError, match="must hold one array, but it holds none"):
            arrayfile.load_one(tmp_path / "a.safetensors")

    @pytest.mark.parametrize("cut", [0, 5, 60, 150])
    def test_a_file_that_is_cut_short(self, tmp_path, cut):
        path = tmp_path / "a.npy"
        np.save(path, np.ones((2, 3)))
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(SnapshotError, match="damaged") as error:
            arrayfile.load_one(path)
        one_sentence(error, path)

    def test_pickled_objects_and_other_suffixes(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([None]))
        with pytest.raises(SnapshotError, match=r"holds pickled objects in 'a\.npy'"):
            arrayfile.load_one(tmp_path / "a.npy")
        with pytest.raises(SnapshotError, match=r"must end in \.npy or \.npz or \.safetensors"):
            arrayfile.load_one(tmp_path / "a.bin")
