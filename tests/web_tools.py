"""A server on this machine that gives files over HTTP and misbehaves as told, for tests of downloads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Gives each path's answers one after the other, the last one for ever."""

    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self.close_connection = True  # one request a connection, as the client has it
        self.site.requests.append((self.path, dict(self.headers)))
        answers = self.site.answers[self.path]
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *_: object) -> None:
        pass

    def head(self, status: int = 200, **headers: object) -> None:
        """Send a status and headers; `_` in a name stands for `-`."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send(self, content: bytes) -> None:
        """Send bytes of the body; a client that went away is no error."""
        try:
            self.wfile.write(content)
            self.wfile.flush()
        except OSError:
            self.site.gone.set()


class Site:
    """What a server offers and what it was asked for."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.gone = threading.Event()
        """Set once a client has closed a connection early."""
        self.over = threading.Event()
        """Set at the end of the test, for answers that wait."""

    def offer(self, path: str, *answers: Answer) -> str:
        """Give these answers for a path; returns its address."""
        self.answers[path] = list(answers)
        return self.url + path

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of each request for a path."""
        return [headers.get("Range") for asked, headers in self.requests if asked == path]


@contextmanager
def serving() -> Iterator[Site]:
    """A server on a free port of the loopback interface, in threads that end with the block."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = False

    server = Quiet(("127.0.0.1", 0), Handler)
    Handler.site = site = Site(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        site.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def whole(content: bytes, tag: str | None = '"1"', ranges: bool = True, **headers: object) -> Answer:
    """A server that does as it should, with an ETag and ranges unless told otherwise."""

    def answer(handler: Handler) -> None:
        named = {**({} if tag is None else {"ETag": tag}), **headers}
        asked = handler.headers.get("Range")
        if ranges and asked and handler.headers.get("If-Range") in (tag, *headers.values()):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                handler.head(416, Content_Length=0, Content_Range=f"bytes */{len(content)}")
                return
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            handler.head(206, Content_Length=len(content) - start, Content_Range=place, **named)
            handler.send(content[start:])
        else:
            handler.head(200, Content_Length=len(content), **named)
            handler.send(content)

    return answer


def cut(content: bytes, count: int, tag: str | None = '"1"', **headers: object) -> Answer:
    """A server whose connection ends after `count` bytes of the body."""

    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(content), **({} if tag is None else {"ETag": tag}), **headers)
        handler.send(content[:count])

    return answer


def status(code: int, **headers: object) -> Answer:
    """A server that has only a status."""
    return lambda handler: handler.head(code, Content_Length=0, **headers)
