"""What a process and its workers say to each other: one JSON object a line, since nothing here reads pickles."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
from typing import IO, Any


def send(pipe: IO[bytes], message: dict[str, Any]) -> None:
    """Write one message. Raises OSError where nobody reads it any more."""
    pipe.write(json.dumps(message).encode() + b"\n")
    pipe.flush()


def receive(pipe: IO[bytes]) -> dict[str, Any] | None:
    """The next message; None where the other end was closed."""
    line = pipe.readline()
    if not line.endswith(b"\n"):
        return None
    message: dict[str, Any] = json.loads(line)
    return message


def name_of(cls: type) -> list[str]:
    """Where a class is found: its module, and its name there."""
    return [cls.__module__, cls.__qualname__]


def named(module: str, name: str) -> Any:
    """The class that `name_of` told of."""
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def error_message(error: Exception) -> dict[str, Any]:
    """An error in words: its type, what it was made of, its attributes and its text."""
    message = {"type": name_of(type(error)), "text": str(error), "notes": getattr(error, "__notes__", [])}
    reduced = error.__reduce__()
    attributes = {key: value for key, value in vars(error).items() if key != "__notes__"}
    parts = {"arguments": reduced[1] if isinstance(reduced, tuple) else (), "attributes": attributes}
    try:
        json.dumps(parts)
    except (TypeError, ValueError):
        return message
    return {**message, **parts}


def error_of(message: dict[str, Any]) -> Exception:
    """The error that a message tells of: of the same type if one with that text can be made, else a RuntimeError."""
    error = _again(message) or RuntimeError(f"{message['type'][1]}: {message['text']}")
    for note in message["notes"]:
        error.add_note(note)
    return error


def _again(message: dict[str, Any]) -> Exception | None:
    """The same error again, if it can be made; an __init__ may make the text of what it is given, or keep that."""
    with contextlib.suppress(Exception):  # a type may want anything, or be known to the other process only
        cls = named(*message["type"])
        for make in (cls, functools.partial(cls.__new__, cls)):
            with contextlib.suppress(Exception):
                error: Exception = make(*message["arguments"])
                if str(error) == message["text"]:
                    vars(error).update(message["attributes"])
                    return error
    return None
