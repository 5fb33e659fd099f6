"""Downloads: a file that comes, is gone on with after a cut, and is never left half; and disks that are full."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import subprocess
import sys

import pytest
from download_tools import CONTENT, HALF, SHA256, get, names, new_path, refused, serving_site  # noqa: F401  (fixtures)
from web_tools import cut, status, whole

from layerkit.datasets.public import disk, partial


def test_a_file_comes_and_is_told_of(site, path):
    told = []
    get(path, site.offer("/a", whole(CONTENT)), progress=lambda *step: told.append(step))
    assert path.read_bytes() == CONTENT
    assert names(path) == ["file.gz"]
    assert told[0] == ("file.gz", 0, len(CONTENT))
    assert told[-1] == ("file.gz", len(CONTENT), len(CONTENT))
    assert all(a[1] < b[1] for a, b in itertools.pairwise(told))
    if os.name == "posix":
        mask = os.umask(0)
        os.umask(mask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_file_that_is_there_is_not_fetched_again(site, path):
    url = site.offer("/a", whole(CONTENT))
    get(path, url)
    get(path, url)
    assert len(site.requests) == 1


def test_a_damaged_file_is_replaced(site, path):
    path.parent.mkdir()
    path.write_bytes(b"something else")
    get(path, site.offer("/a", whole(CONTENT)))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("headers", [{}, {"tag": None, "Last_Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}])
def test_a_connection_that_is_cut_off_is_gone_on_with(site, path, headers):
    get(path, site.offer("/a", cut(CONTENT, HALF, **headers), whole(CONTENT, **headers)))
    assert path.read_bytes() == CONTENT
    assert names(path) == ["file.gz"]
    assert site.ranges("/a") == [None, f"bytes={HALF}-"]
    assert site.requests[1][1]["If-Range"] in ('"1"', "Wed, 21 Oct 2015 07:28:00 GMT")


@pytest.mark.parametrize(
    "second",
    [
        whole(CONTENT, ranges=False),
        whole(CONTENT, tag='"2"'),
        whole(CONTENT, tag=None),
    ],
    ids=["no ranges", "another tag", "no tag"],
)
def test_what_cannot_be_gone_on_with_is_begun_anew(site, path, second):
    told = []
    old = bytes(len(CONTENT))  # were it gone on with, the hash would be wrong
    url = site.offer("/a", cut(old, HALF), second)
    get(path, url, progress=lambda name, done, total: told.append(done))
    assert path.read_bytes() == CONTENT
    assert site.ranges("/a") == [None, f"bytes={HALF}-"]
    assert [b for a, b in itertools.pairwise(told) if b < a] == [0]


def part(start: int, place: str, tag: str):
    def answer(handler):
        handler.head(206, Content_Length=len(CONTENT) - start, Content_Range=place, ETag=tag)
        handler.send(CONTENT[start:])

    return answer


@pytest.mark.parametrize(
    "second",
    [
        part(HALF, f"bytes {HALF}-700000/700001", '"2"'),
        part(HALF - 1, f"bytes {HALF - 1}-700000/700001", '"1"'),
        part(HALF, f"bytes {HALF}-700000/800000", '"1"'),
        part(HALF, "nonsense", '"1"'),
        status(416),
        status(204),
    ],
    ids=["another file", "another place", "another length", "nonsense", "416", "204"],
)
def test_a_part_that_does_not_fit_is_not_taken(site, path, second):
    get(path, site.offer("/a", cut(CONTENT, HALF), second, whole(CONTENT)))
    assert path.read_bytes() == CONTENT
    assert site.ranges("/a") == [None, f"bytes={HALF}-", None]


def test_without_a_tag_nothing_is_gone_on_with(site, path):
    weak = {"tag": 'W/"1"'}
    get(path, site.offer("/a", cut(CONTENT, HALF, **weak), whole(CONTENT, **weak)))
    assert site.ranges("/a") == [None, None]


def test_what_came_is_kept_for_the_next_call(site, path):
    url = site.offer("/a", cut(CONTENT, HALF), status(404))
    said = refused(path, url)
    kept = "0.3 MB are kept, and the same command goes on from there"
    assert said == f"file.gz cannot be fetched: {url}: HTTP 404 Not Found; {kept}"
    assert names(path) == ["file.gz.part", "file.gz.part.json"]
    site.offer("/a", whole(CONTENT))
    get(path, site.offer("/b", whole(CONTENT)), url)  # that which has come in part goes first
    assert site.ranges("/a")[-1] == f"bytes={HALF}-"
    assert site.ranges("/b") == []
    assert names(path) == ["file.gz"]


def test_a_part_that_is_whole_is_only_verified(site, path):
    url = site.offer("/a", cut(CONTENT, HALF), status(404))
    refused(path, url)
    (path.parent / "file.gz.part").write_bytes(CONTENT)  # as if it had been killed just before
    asked = len(site.requests)
    get(path, url)
    assert path.read_bytes() == CONTENT
    assert len(site.requests) == asked


def test_a_part_that_is_damaged_is_begun_anew(site, path):
    url = site.offer("/a", cut(CONTENT, HALF), status(404))
    refused(path, url)
    (path.parent / "file.gz.part").write_bytes(bytes(HALF))  # as a machine that lost its power may leave it
    site.offer("/a", whole(CONTENT))
    get(path, url)
    assert path.read_bytes() == CONTENT
    assert site.ranges("/a")[-2:] == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"url": 1}', b"\xff"])
def test_a_part_whose_note_is_damaged_is_begun_anew(site, path, note):
    path.parent.mkdir()
    (path.parent / "file.gz.part").write_bytes(b"what?")
    (path.parent / "file.gz.part.json").write_bytes(note)
    get(path, site.offer("/a", whole(CONTENT)))
    assert path.read_bytes() == CONTENT
    assert site.ranges("/a") == [None]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_leaves_the_part_alone(site, path, kind):
    url = site.offer("/a", whole(CONTENT))

    def progress(name, done, total):
        if done:
            raise kind

    with pytest.raises(kind):
        get(path, url, progress=progress)
    assert names(path) == ["file.gz.part", "file.gz.part.json"]
    get(path, url)
    assert names(path) == ["file.gz"]
    assert site.ranges("/a")[1].startswith("bytes=")


def test_a_download_can_be_stopped(site, path):
    url = site.offer("/a", whole(CONTENT))
    assert "the download of file.gz was stopped after" in refused(path, url, stop=lambda: True)
    assert "file.gz.part" in names(path)
    get(path, url, stop=lambda: False)
    assert path.read_bytes() == CONTENT


def test_two_at_once_do_not_spoil_each_other(site, path):
    url = site.offer("/a", whole(CONTENT))
    heard = []

    def progress(name, done, total):
        if not heard:
            heard.append(refused(path, url))

    get(path, url, progress=progress)
    assert heard == [f"another process is fetching '{path}' now; wait for it"]
    assert path.read_bytes() == CONTENT
    assert names(path) == ["file.gz"]


def test_a_note_that_another_process_just_removed_is_made_again(site, path, monkeypatch):
    """It finished between this one's opening of the note and its locking of it."""
    same, removed = partial._same, []

    def removing(note, where):
        if not removed:
            removed.append(where.unlink())
        return same(note, where)

    monkeypatch.setattr(partial, "_same", removing)
    get(path, site.offer("/a", whole(CONTENT)))
    assert removed
    assert names(path) == ["file.gz"]


# -- the disk ------------------------------------------------------------------------------------------------------


def test_a_disk_without_room_is_found_before(site, path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 123}))
    assert "the disk is too full: it needs 0.7 MB, and 123 bytes are free" in refused(
        path, site.offer("/a", whole(CONTENT))
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit for files' sizes")
def test_a_full_disk_is_one_sentence(site, path):
    """In a process of its own, whose files may not grow: what a full disk does to a write."""
    url = site.offer("/a", whole(CONTENT))
    program = f"""
import resource, sys
from pathlib import Path
from layerkit.datasets.public.download import download
from layerkit.errors import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    download([{url!r}], Path({str(path)!r}), {SHA256!r}, {len(CONTENT)})
except DataError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"'{path}.part' cannot be written: the disk is full\n", "")
    assert not path.exists()
    get(path, url)
    assert path.read_bytes() == CONTENT


def test_a_disk_that_refuses_is_one_sentence(site, path, monkeypatch):
    url = site.offer("/a", whole(CONTENT))

    def no(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "replace", no)
        assert refused(path, url) == f"'{path}' cannot be written: Read-only file system"
    path.with_name("file").write_bytes(b"")
    said = refused(path.with_name("file") / "below" / "x", url)
    assert said.startswith(f"the folder '{path.with_name('file') / 'below'}' cannot be made: ")
    assert said.endswith("set LAYERKIT_DATA to a folder that you may write to")
    path.with_name("x.part").mkdir()
    assert refused(path.with_name("x"), url) == f"'{path.with_name('x.part')}' cannot be written: Is a directory"
