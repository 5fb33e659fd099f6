"""Writing arrays and texts: a file is replaced whole or not at all, whatever fails and whenever."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from layerkit import arrayfile
from layerkit.errors import SnapshotError


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A valid file that a failed write must leave alone."""
    path = tmp_path / "old.safetensors"
    arrayfile.save(path, {"x": np.ones(3)}, {"iter": "1"})
    return path


def unharmed(path: Path) -> bool:
    return holds_the_old(path) and list(path.parent.iterdir()) == [path]


def holds_the_old(path: Path) -> bool:
    arrays, notes = arrayfile.load(path)
    return list(arrays) == ["x"] and arrays["x"].tolist() == [1, 1, 1] and notes == {"iter": "1"}


@pytest.mark.parametrize(
    ("arrays", "notes", "match"),
    [
        ({"x": np.array(["text"])}, {}, "cannot hold 'x' of type <U4"),
        ({"x": np.array([1j])}, {}, "cannot hold 'x' of type complex128"),
        ({"x": np.array([None])}, {}, "cannot hold 'x' of type object"),
        ({"__metadata__": np.ones(2)}, {}, "cannot hold '__metadata__'"),
        ({"x": np.ones(2)}, {"a": "\ud800"}, "not valid Unicode"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(old, arrays, notes, match):
    with pytest.raises(SnapshotError, match=match):
        arrayfile.save(old, arrays, notes)
    assert unharmed(old)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file(old, monkeypatch, code):
    def full(descriptor, data):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(SnapshotError, match=r"the disk is full; the file needs 4\.0 MB") as error:
            arrayfile.save(old, {"x": np.zeros(1_000_000, np.float32)})
    assert old.name in str(error.value)
    assert unharmed(old)


def test_a_file_size_limit_leaves_the_old_file(old):
    code = f"""
import resource, numpy as np
from layerkit import arrayfile
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    arrayfile.save({str(old)!r}, {{"x": np.zeros(1_000_000, np.float32)}})
except arrayfile.SnapshotError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert "the disk is full" in done.stdout, done.stderr
    assert unharmed(old)


def test_a_crash_between_write_and_rename_leaves_the_old_file(old):
    code = f"""
import os, numpy as np
from layerkit import arrayfile
os.replace = lambda *args: os._exit(9)
arrayfile.save({str(old)!r}, {{"x": np.zeros(1000)}})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1])
    assert done.returncode == 9
    assert holds_the_old(old)


def test_an_interrupt_leaves_the_old_file_and_no_litter(old, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        arrayfile.save(old, {"x": np.zeros(2)})
    assert unharmed(old)


def test_file_and_folder_are_flushed_before_and_after_the_rename(tmp_path, monkeypatch):
    calls = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}
    for name in real:
        monkeypatch.setattr(os, name, lambda *args, name=name: (calls.append(name), real[name](*args))[1])
    arrayfile.write_text(tmp_path / "x.txt", "a\r\nü\n")
    assert calls == ["fsync", "replace", "fsync"]
    assert (tmp_path / "x.txt").read_bytes() == "a\r\nü\n".encode()


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path, monkeypatch):
    real = os.open

    def refuse_folders(path, *args):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "no")
        return real(path, *args)

    monkeypatch.setattr(os, "open", refuse_folders)
    arrayfile.write_bytes(tmp_path / "x", b"1")
    assert (tmp_path / "x").read_bytes() == b"1"


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:7])))
    arrayfile.write_bytes(tmp_path / "x", bytes(range(100)))
    assert (tmp_path / "x").read_bytes() == bytes(range(100))


def test_a_missing_folder_or_one_in_the_way_is_named(tmp_path):
    with pytest.raises(SnapshotError, match="there is no folder"):
        arrayfile.save(tmp_path / "none" / "x.safetensors", {})
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(SnapshotError, match="cannot write"):
        arrayfile.save(tmp_path / "x.safetensors", {})
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_link_still_points_to_the_new_file(old):
    link = old.with_name("latest.safetensors")
    link.symlink_to(old)
    arrayfile.save(link, {"y": np.ones(2)})
    assert link.is_symlink()
    assert list(arrayfile.load(old)[0]) == ["y"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    mask = os.umask(0o022)
    try:
        arrayfile.write_bytes(tmp_path / "x", b"")
    finally:
        os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644
