"""Downloads from servers that fail, lie, send without end, fall silent or dribble: the next mirror, or one sentence."""

from __future__ import annotations

import hashlib
import re

import pytest
from download_tools import CONTENT, SHA256, get, names, new_path, refused, serving_site  # noqa: F401  (fixtures)
from web_tools import cut, serving, status, whole

from layerkit.datasets.public import download as module


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
