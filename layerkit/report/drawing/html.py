"""A picture as a web page of its own: the SVG, and a card that appears where one points at a layer. No script."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from layerkit.report.drawing import palette, svg
from layerkit.report.drawing.layout import Layout
from layerkit.report.drawing.lettering import FONTS
from layerkit.report.drawing.picture import Picture

_STYLE = f"""
body {{ margin: 0; background: {palette.PAPER}; color: {palette.INK}; font: 13px/1.45 {FONTS}; }}
main {{ position: relative; }}
svg {{ display: block; }}
svg [data-layer] {{ cursor: default; outline: none; }}
svg [data-layer]:is(:hover, :focus) > :is(.body, .strip) {{ filter: brightness(0.95); }}
.card {{ display: none; position: absolute; z-index: 1; max-width: 460px; padding: 10px 14px; pointer-events: none;
  background: {palette.PAPER}; border: 1px solid {palette.LINE}; border-radius: 8px;
  box-shadow: 0 6px 24px #1e293b33; }}
.card.left {{ transform: translateX(-100%); }}
.card.up {{ transform: translateY(-100%); }}
.card.left.up {{ transform: translate(-100%, -100%); }}
.card b {{ font-size: 14px; }}
.card td {{ padding: 1px 12px 0 0; vertical-align: top; overflow-wrap: anywhere; }}
.card td:first-child {{ color: {palette.QUIET}; white-space: nowrap; }}
"""


def write(picture: Picture, layout: Layout) -> str:
    """The HTML document."""
    drawing = svg.write(picture, layout, cards=True)
    cards = [*_cards(picture, layout)]
    shown = "\n".join(f"main:has(#layer{key}:is(:hover, :focus)) #card{key} {{ display: block; }}" for key, _ in cards)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(picture.title)}</title>\n<style>{_STYLE}{shown}\n</style>\n</head>\n<body>\n<main>\n"
        f"{drawing}{''.join(card for _, card in cards)}</main>\n</body>\n</html>\n"
    )


def _cards(picture: Picture, layout: Layout) -> Iterator[tuple[str, str]]:
    """Each card with its key, beside its layer and towards the middle of the picture."""
    whole = svg.canvas(picture, layout)
    for index, (box, place) in enumerate(zip(picture.boxes, layout.boxes, strict=True)):
        left = place.x + place.width / 2 > whole.x + whole.width / 2
        up = place.y + place.height / 2 > whole.y + whole.height / 2
        x = (place.x - 8 if left else place.x + place.width + 8) - whole.x
        y = (place.y + place.height if up else place.y) - whole.y
        sides = f"card{' left' if left else ''}{' up' if up else ''}"
        if box.folded:
            held = [(each.name, f"{each.type} {each.gist}") for each in box.parts[: box.folded]]
            first = (f"{box.name}: {', '.join(box.lines)}", held)
        else:
            first = (f"{box.name} ({box.parts[0].type})", list(box.parts[0].details))
        said = [first, *((f"{strip.name} ({strip.type})", list(strip.details)) for strip in box.strips)]
        for number, (title, rows) in enumerate(said):
            table = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
            at = f'style="left: {x:.0f}px; top: {y:.0f}px"'
            inside = f"<b>{escape(title)}</b><table>{table}</table>"
            yield f"{index}-{number}", f'<div class="{sides}" id="card{index}-{number}" {at}>{inside}</div>\n'
