"""Fetching one file over HTTP: several mirrors, resumed where it was cut off, and verified before it gets its name."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from layerkit.arrayfile import size_text
from layerkit.datasets.public import disk
from layerkit.datasets.public.partial import Partial
from layerkit.errors import DataError

_BLOCK = 1 << 18  # bytes read at most in one go
_TRIES = 5  # at one mirror: connections are cut off more often than servers are gone
_MOST = 1 << 34  # bytes of a file whose size nobody knows: beyond, it is no file but an endless stream
_WATCHED = 60.0  # seconds over which the speed is looked at
_SLOWEST = 1024  # bytes a second: slower, a mirror is as good as stuck
_NETWORK = (OSError, http.client.HTTPException, ValueError)
"""What comes of servers and connections; http.client raises ValueError for lengths that are none."""


class Progress(Protocol):
    """What is told how far a file is, at its beginning and after each block: `progress(name, done, total)`.

    `done` and `total` are bytes; a file that is gone on with begins at what it has, one that is begun anew falls back
    to 0. `total` is None where nobody knows it. What it raises, KeyboardInterrupt too, ends the download.
    """

    def __call__(self, name: str, done: int, total: int | None) -> None: ...


class _MirrorFailedError(Exception):
    """Why a mirror does not give the file; the next is tried."""


class _CutOffError(_MirrorFailedError):
    """The connection ended too early; what has come is good."""


class _Wanted(NamedTuple):
    name: str
    sha256: str
    size: int | None
    progress: Progress | None
    stop: Callable[[], bool] | None
    timeout: float


def download(
    urls: Sequence[str],
    path: Path,
    sha256: str,
    size: int | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    timeout: float = 30.0,
) -> None:
    """Bring the file that lies at each of `urls` (http or https) to `path`, whose folder is made where needed.

    Nothing lies at `path` before all bytes have come and have this SHA-256; until then they are in `PATH.part`, which
    stays where a download ends early, and which the next one goes on with. A file that is there already and right is
    left as it is. `stop` is asked after each block and ends the download, `timeout` is in seconds without an answer.

    Raises DataError, in one sentence, where no mirror gives the file (for each, why: with a wrong hash, both hashes),
    the disk is full or refuses it, `stop` said so, or another process is fetching it.
    """
    if path.is_file() and disk.sha256(path) == sha256:
        return
    disk.make_folder(path.parent)
    wanted = _Wanted(path.name, sha256, size, progress, stop, timeout)
    failed = []
    with Partial(path) as part:
        for url in sorted(urls, key=lambda url: url != part.url):  # first that whose file has come in part
            try:
                _fetch(url, part, wanted)
                part.finish()
                return
            except _MirrorFailedError as error:
                failed.append(f"{url}: {' '.join(str(error).split())[:300]}")
        kept = f"; {size_text(part.size)} are kept, and the same command goes on from there" if part.validator else ""
    raise DataError(f"{path.name} cannot be fetched: {'; '.join(failed) or 'it has no address'}{kept}")


def _fetch(url: str, part: Partial, wanted: _Wanted) -> None:
    """Bring all of the file into `part` and verify it."""
    gone_on = part.url == url and part.size > 0
    for left in reversed(range(_TRIES)):
        try:
            _receive(url, part, wanted)
            break
        except _CutOffError:
            if left == 0:
                raise
    part.flush()
    found = disk.sha256(part.path)
    if found != wanted.sha256:
        part.discard()
        if gone_on:  # what an earlier call left may be what was wrong
            _fetch(url, part, wanted)
            return
        raise _MirrorFailedError(f"its SHA-256 is {found} instead of {wanted.sha256}")


def _receive(url: str, part: Partial, wanted: _Wanted) -> None:
    """Take what one connection gives."""
    start = part.size if part.url == url else 0
    if start and start == wanted.size:  # ended just before it was verified
        return
    may_go_on = 0 < start < (wanted.size or _MOST) and part.validator is not None
    with _open(url, part, wanted, start if may_go_on else 0) as response:
        validator = _validator(response)
        if response.status == 206 and _continues(response, start, part, wanted):
            part.go_on()
        elif response.status == 200:
            part.begin(url, validator)
        else:  # a part that does not fit ours: ask for all of it
            part.discard()
            raise _CutOffError(f"it answers with HTTP {response.status} {response.reason}, which does not fit")
        _copy(response, part, wanted)


def _open(url: str, part: Partial, wanted: _Wanted, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "layerkit", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": str(part.validator)}
    try:
        response = _opener().open(urllib.request.Request(url, headers=headers), timeout=wanted.timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                part.discard()
                raise _CutOffError("it no longer has as many bytes as have come") from None
            raise _MirrorFailedError(f"HTTP {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _MirrorFailedError(_reason(error.reason, wanted)) from None
    except _NETWORK as error:
        raise _MirrorFailedError(_reason(error, wanted)) from None
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https, through proxies of the environment; a redirect to file:, ftp: or data: finds no handler."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What tells whether a file is still the same: its ETag, unless that is a weak one, or its date."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _continues(response: http.client.HTTPResponse, start: int, part: Partial, wanted: _Wanted) -> bool:
    """Whether an answer with a part of the file goes on where ours ends, and is of the same file."""
    place, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    return (
        place.partition("-")[0] == str(start)
        and (wanted.size is None or total in (str(wanted.size), "*"))
        and _validator(response) in (part.validator, None)
    )


def _copy(response: http.client.HTTPResponse, part: Partial, wanted: _Wanted) -> None:
    total = wanted.size
    if response.length is not None:
        offered = part.size + response.length
        if wanted.size not in (None, offered):
            part.discard()
            raise _MirrorFailedError(f"it offers {offered:,} bytes instead of {wanted.size:,}")
        total = offered
    if total is not None:
        disk.check_room(part.path, total - part.size)
    speed = _Speed()
    _tell(part, wanted, total)
    while block := _read(response, part, wanted, total):
        part.write(block)
        if part.size > (_MOST if total is None else total):
            part.discard()
            raise _MirrorFailedError(f"it sends more than the {total or _MOST:,} bytes that the file may have")
        _tell(part, wanted, total)
        if wanted.stop is not None and wanted.stop():
            raise DataError(f"the download of {wanted.name} was stopped after {size_text(part.size)}, which are kept")
        speed.check(len(block))
    if total is not None and part.size < total:
        raise _CutOffError(f"the connection ended after {part.size:,} of {total:,} bytes")


def _read(response: http.client.HTTPResponse, part: Partial, wanted: _Wanted, total: int | None) -> bytes:
    try:
        return response.read1(_BLOCK)  # what is there, so that a slow server is noticed
    except _NETWORK as error:
        of = "" if total is None else f" of {total:,}"
        raise _CutOffError(f"{_reason(error, wanted)} after {part.size:,}{of} bytes") from None


def _tell(part: Partial, wanted: _Wanted, total: int | None) -> None:
    if wanted.progress is not None:
        wanted.progress(wanted.name, part.size, total)


def _reason(error: Any, wanted: _Wanted) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer for {wanted.timeout:g} seconds"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return "it does not speak HTTP"  # their own texts are for programmers
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


class _Speed:
    """Gives up a mirror that sends next to nothing, which no timeout notices."""

    def __init__(self) -> None:
        self._since, self._bytes = time.monotonic(), 0

    def check(self, count: int) -> None:
        self._bytes += count
        if (seconds := time.monotonic() - self._since) < _WATCHED:
            return
        if self._bytes < _SLOWEST * seconds:
            raise _CutOffError(f"it sends only {self._bytes / seconds:,.0f} bytes a second")
        self._since, self._bytes = time.monotonic(), 0
