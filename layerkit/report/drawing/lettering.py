"""How much room text takes up, without asking any font."""

from __future__ import annotations

FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
LINE = 1.35
"""Height of a line of text, in font sizes."""

_NARROW, _WIDE = frozenset("ijl.,:;'|!()[]{}tfI /"), frozenset("mwMW@%")
_WIDEST = 1.05


def width(text: str, size: float, bold: bool = False) -> float:
    """The most that a line of text is wide in pixels at a font size in pixels, in any of FONTS.

    The fonts differ by a fifth; what is reckoned with is about DejaVu Sans, the widest of them.
    """
    return size * sum(map(_em, text)) * (1.1 if bold else 1.0)


def shorten(text: str, most: int = 28) -> str:
    """The text, with an ellipsis for its middle if it has more than `most` characters."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def _em(character: str) -> float:
    if character in _NARROW:
        return 0.4
    if character in _WIDE or ord(character) > 0x17F:
        return _WIDEST
    return 0.78 if character.isupper() else 0.65
