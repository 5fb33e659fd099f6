"""Downloading one file from servers that misbehave: it comes whole and right, or nothing lies under its name."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from web_tools import cut, serving, status, whole

import layerkit as lk
from layerkit.datasets.public import disk, partial
from layerkit.datasets.public import download as module
from layerkit.datasets.public.download import download

CONTENT = hashlib.shake_128(b"layerkit").digest(700_001)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = 300_000


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving() as running:
        yield running


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "file.gz"


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir()) if path.parent.exists() else []


def get(path: Path, *urls: str, **options) -> None:
    download(urls, path, SHA256, **{"size": len(CONTENT), "timeout": 5, **options})


def refused(path: Path, *urls: str, **options) -> str:
    """The one sentence of a download that fails; nothing lies under the file's name."""
    with pytest.raises(lk.DataError) as caught:
        get(path, *urls, **options)
    assert not path.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


def test_a_mirror_that_is_cut_off_again_and_again_is_given_up(site, path):
    bad, good = site.offer("/a", cut(CONTENT, 10)), site.offer("/b", whole(CONTENT))
    get(path, bad, good)
    assert len(site.ranges("/a")) == 5
    assert path.read_bytes() == CONTENT
    said = refused(path.with_name("other"), bad)
    assert f"{bad}: the connection ended after 10 of 700,001 bytes; 10 bytes are kept" in said


def chunked(*chunks: bytes):
    def answer(handler):
        handler.head(200, Transfer_Encoding="chunked")
        for chunk in chunks:
            handler.send(chunk)

    return answer


def raw(content: bytes):
    return lambda handler: handler.send(content)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(404), "HTTP 404 Not Found"),
        (status(500), "HTTP 500 Internal Server Error"),
        (status(302, Location="file:///etc/passwd"), "HTTP 302 .*'file:///etc/passwd' is not allowed"),
        (status(302, Location="ftp://127.0.0.1/x"), "unknown url type: ftp"),
        (status(302, Location="data:,x"), "HTTP 302 .*'data:,x' is not allowed"),
        (whole(CONTENT[:-1]), "it offers 700,000 bytes instead of 700,001"),
        (whole(CONTENT + b"x"), "it offers 700,002 bytes instead of 700,001"),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "it does not speak HTTP"),
        (raw(b""), "Remote end closed connection without response"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 700001\r\n" + b"x: y\r\n" * 200 + b"\r\n"), "it does not speak HTTP"),
        (chunked(b"2\r\nab\r\nzz\r\n"), "the connection ended after .* of 700,001 bytes"),
    ],
    ids=["404", "500", "file", "ftp", "data", "short", "long", "ssh", "nothing", "headers", "chunks"],
)  # fmt: skip
def test_the_next_mirror_is_asked(site, path, answer, said):
    bad, good = site.offer("/a", answer), site.offer("/b", whole(CONTENT))
    assert re.search(rf": {bad}: {said}(;|$)", refused(path, bad))
    get(path, bad, good)
    assert path.read_bytes() == CONTENT
    assert names(path) == ["file.gz"]


def test_a_wrong_hash_names_the_mirror_and_both_hashes(site, path):
    wrong = bytes(len(CONTENT))
    bad, good = site.offer("/a", whole(wrong)), site.offer("/b", whole(CONTENT))
    said = refused(path, bad)
    assert said.endswith(f"{bad}: its SHA-256 is {hashlib.sha256(wrong).hexdigest()} instead of {SHA256}")
    assert names(path) == []
    get(path, bad, good)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_an_endless_body_is_stopped(site, path, size, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 2_000_000)

    def endless(handler):
        handler.head(200)
        while not site.gone.is_set() and not site.over.is_set():
            handler.send(bytes(100_000))

    url = site.offer("/a", endless)
    assert f"{url}: it sends more than the {size or 2_000_000:,} bytes" in refused(path, url, size=size)
    assert names(path) == []


def test_a_file_of_unknown_size_comes_too(site, path):
    def closed(handler):
        handler.head(200)
        handler.send(CONTENT)

    told = []
    get(path, site.offer("/a", closed), size=None, progress=lambda *step: told.append(step))
    assert told[-1] == ("file.gz", len(CONTENT), None)
    get(path.with_name("b"), site.offer("/b", whole(CONTENT)), size=None)
    get(path.with_name("c"), site.offer("/c", chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (len(CONTENT), CONTENT))))
    assert path.read_bytes() == path.with_name("b").read_bytes() == path.with_name("c").read_bytes() == CONTENT


def silent(site, count):
    def answer(handler):
        if count is not None:
            handler.head(200, Content_Length=len(CONTENT), ETag='"1"')
            handler.send(CONTENT[:count])
        site.over.wait()

    return answer


@pytest.mark.parametrize(
    ("count", "after"), [(None, ""), (0, " after 0 of 700,001 bytes"), (9, " after 9 of 700,001 bytes")]
)
def test_a_silent_server_is_given_up(site, path, count, after, monkeypatch):
    monkeypatch.setattr(module, "_TRIES", 1)
    url = site.offer("/a", silent(site, count))
    assert f"{url}: no answer for 0.3 seconds{after}" in refused(path, url, timeout=0.3)
    assert ("file.gz.part" in names(path)) == (count is not None)


def test_a_server_that_dribbles_is_given_up(site, path, monkeypatch):
    monkeypatch.setattr(module, "_WATCHED", 0)
    monkeypatch.setattr(module, "_SLOWEST", 1e12)
    url = site.offer("/a", whole(CONTENT))
    assert re.search(f"{url}: it sends only [0-9,]+ bytes a second; .* are kept", refused(path, url))


def test_nobody_listens(path):
    with serving() as gone:
        pass
    said = refused(path, gone.url, "file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense")
    for text in (
        f"{gone.url}: Connection refused",
        "file:///etc/passwd: unknown url type: file",
        "unknown url type: ftp",
        "nonsense: unknown url",
    ):
        assert text in said
    assert "it has no address" in refused(path)
    assert names(path) == []


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
