"""What is wrong with a text that YAML's reader refuses, in words for someone who has not met YAML's grammar."""

from __future__ import annotations

import re

import yaml

from layerkit.errors import Mark, Problem


class TooMuchError(yaml.MarkedYAMLError):
    """A text beyond the reader's bounds."""


def syntax_problem(error: yaml.YAMLError, text: str, file: str | None) -> Problem:
    """What PyYAML found wrong, and where."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        fault = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
        return Problem(fault, mark=Mark(file, line, column))
    assert isinstance(error, yaml.MarkedYAMLError)  # there are only these two kinds
    assert error.problem_mark is not None
    at = error.problem_mark
    if isinstance(error, TooMuchError):
        return Problem(str(error.problem), mark=Mark(file, at.line + 1, at.column + 1))
    lines = text.split("\n")
    if at.line < len(lines) and "\t" in lines[at.line][: at.column + 1]:
        column = lines[at.line].index("\t") + 1
        return Problem("a tab, where YAML wants spaces", mark=Mark(file, at.line + 1, column))
    found = f"{error.context or ''}: {error.problem}"
    if "mapping values are not allowed" in found or "but found '<block mapping start>'" in found:
        above = next((i for i in range(at.line - 1, -1, -1) if lines[i].strip()), 0)
        stuck = re.match(r"[ -]*\w+:(?=[^\s/])", lines[above])  # the line was read as text, which goes on below it
        if stuck:
            return Problem("a space is missing behind this ':'", mark=Mark(file, above + 1, stuck.end()))
    for pattern, fault, at_context in _SYNTAX:
        match = re.search(pattern, found)
        if match:
            at = error.context_mark if at_context and error.context_mark else at
            return Problem(match.expand(fault), mark=Mark(file, at.line + 1, at.column + 1))
    context = f" {error.context}" if error.context else ""
    return Problem(f"not valid YAML{context}: {error.problem}", mark=Mark(file, at.line + 1, at.column + 1))


_SYNTAX = (
    (r"found another document|single document", "a second document ('---'); a file holds one run", False),
    (r"mapping values are not allowed", "a ':' where none can be; text that holds ': ' needs quotes", False),
    (r"flow (mapping|sequence).*(expected ',' or '(.)')", r"this is never closed by a '\3', or a ',' is missing", True),
    (r"flow.*expected the node content, but found '<stream end>'", "the text ends before a bracket is closed", False),
    (r"expected the node content, but found '(.)'", r"a value is missing in front of this '\1'", False),
    (r"quoted scalar: found unexpected (end of stream|document)", "this quote is never closed", True),
    (
        r"block (mapping|collection): expected <block end>.*'<block",
        "this line is indented unlike those above it",
        False,
    ),
    (
        r"block (mapping|collection): expected <block end>",
        "this does not belong here; is a quote or a comma missing?",
        False,
    ),
    (r"simple key: could not find expected ':'", "a ':' is missing behind this key", True),
    (r"found character '(.)' that cannot start", r"plain text cannot begin with '\1'; put it in quotes", False),
    (
        r"unknown escape character '(.)'",
        r"'\\\1' means nothing in double quotes; write '\\\\\1', or use single quotes",
        False,
    ),
    (r"found undefined alias '(.*)'", r"there is no anchor '&\1' above for this alias", False),
)
"""What PyYAML says, what is said instead, and whether it is said of the place where the construct begins."""
