"""A picture as SVG: plain shapes and text that any viewer, browser or slide takes."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from layerkit.report.drawing import palette, sizes
from layerkit.report.drawing.grid import Place, Point
from layerkit.report.drawing.layout import Layout
from layerkit.report.drawing.lettering import FONTS, LINE, shorten, width
from layerkit.report.drawing.picture import Box, Edge, Picture
from layerkit.report.drawing.routes import Route

MARGIN = 28.0
_HEADER = 58.0
_LEGEND = 40.0
_ARROW = 7.0
_TITLE = 18.0
_NO_CHARACTERS = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}
"""What a name may hold and XML may not."""


def canvas(picture: Picture, layout: Layout) -> Place:
    """The whole picture's rectangle: the layout with a margin, room for the title above and for the legend below."""
    wide = max(layout.bounds.width, width(picture.title, _TITLE, bold=True), width(picture.subtitle, 12), 320.0)
    rows = len(_legend(picture, wide))
    x, y = layout.bounds.x - MARGIN, layout.bounds.y - MARGIN - _HEADER
    return Place(x, y, wide + 2 * MARGIN, layout.bounds.height + 2 * MARGIN + _HEADER + _LEGEND + 18 * (rows - 1))


def write(picture: Picture, layout: Layout, *, cards: bool = False) -> str:
    """The SVG document. Viewers show what there is to know of a layer when one points at it.

    With `cards`, a page around it does that, and each layer can be reached by the keyboard.
    """
    return "\n".join(_lines(picture, layout, not cards)).translate(_NO_CHARACTERS) + "\n"


def _lines(picture: Picture, layout: Layout, titles: bool) -> Iterator[str]:
    whole = canvas(picture, layout)
    size = f'width="{_n(whole.width)}" height="{_n(whole.height)}"'
    view = f"{_n(whole.x)} {_n(whole.y)} {_n(whole.width)} {_n(whole.height)}"
    style = f'font-family={quoteattr(FONTS)} fill="{palette.INK}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="{view}" {style}>'
    yield f"<title>{escape(f'{picture.title} ({picture.subtitle})')}</title>"
    yield f'<rect x="{_n(whole.x)}" y="{_n(whole.y)}" {size} fill="{palette.PAPER}"/>'
    left, top = layout.bounds.x, whole.y + MARGIN
    yield _write(left, top + 12, picture.title, _TITLE, 'font-weight="bold"')
    yield _write(left, top + 31, picture.subtitle, 12, f'fill="{palette.QUIET}"')
    for place, name in layout.frames:
        yield _rect(place, 12, 'fill="#f8fafc" stroke="#cbd5e1" stroke-dasharray="4 3" class="frame"')
        yield _write(place.x + 10, place.y + 14, shorten(name), sizes.LABEL, f'fill="{palette.QUIET}"')
    for index, (edge, routes) in enumerate(zip(picture.edges, layout.routes, strict=True)):
        yield from _edge(picture, index, edge, routes, layout.direction, titles)
    for index, ((x, y), label) in enumerate(layout.labels):
        if layout.direction == "TB":  # the line runs behind it
            plate = Place(x - 1, y - sizes.LABEL, label.width + 2, sizes.LABEL + 3)
            yield _rect(plate, 2, f'fill="{palette.PAPER}"')
        halo = f'stroke="{palette.PAPER}" stroke-width="3" stroke-linejoin="round" paint-order="stroke"'
        fill = palette.VALUE if picture.doubled else palette.QUIET
        yield _write(x, y, label.text, sizes.LABEL, f'fill="{fill}" {halo} class="shape" id="above{index}"')
        if label.below:
            looks = f'fill="{palette.DERIVATIVE}" {halo} class="below" id="below{index}"'
            yield _write(x, y + sizes.BELOW, label.below, sizes.LABEL, looks)
    for place, text in layout.tags:
        yield '<g class="tag">' + _rect(place, 9, f'fill="{palette.PAPER}" stroke="{palette.LINE}"')
        yield _centred(place.x + place.width / 2, place.y + 12.5, text, sizes.LABEL) + "</g>"
    for index, (box, place) in enumerate(zip(picture.boxes, layout.boxes, strict=True)):
        yield from _box(index, box, place, titles)
    yield from _legend_lines(picture, whole, left)
    yield "</svg>"


def _edge(
    picture: Picture, index: int, edge: Edge, routes: tuple[Route, ...], direction: str, titles: bool
) -> Iterator[str]:
    ends = [quoteattr(picture.boxes[index].name) for index in (edge.source, edge.target)]
    title = _title(f"{edge.ref.name} {edge.shape}", titles)
    about = f"data-from={ends[0]} data-to={ends[1]} data-blob={quoteattr(edge.ref.name)}"
    yield f'<g class="edge" id="edge{index}" {about}>{title}'
    for route in routes:
        path = " ".join(command + " ".join(_point(point) for point in points) for command, points in route.pieces)
        yield f'<path d="{path}" fill="none" stroke="{palette.LINE}" stroke-width="1.6"/>'
        if route.arrow:
            yield _arrow(route.points[-1], direction)
    yield "</g>"


def _arrow(tip: Point, direction: str) -> str:
    x, y = tip
    half = _ARROW * 0.55
    back = (
        [(x - _ARROW, y - half), (x - _ARROW, y + half)]
        if direction == "LR"
        else [(x - half, y - _ARROW), (x + half, y - _ARROW)]
    )
    return f'<path d="M{_point(tip)} L{_point(back[0])} L{_point(back[1])} Z" fill="{palette.LINE}"/>'


def _box(index: int, box: Box, place: Place, titles: bool) -> Iterator[str]:
    kind = "block" if box.folded else "layer"
    yield f'<g id="box{index}" class="box {kind}" data-name={quoteattr(box.name)}>'
    spare = place.height - sizes.box_size(box)[1]  # of a box that grew because much leaves it
    head = Place(place.x, place.y + spare / 2, place.width, sizes.head(box))
    colour = palette.colour(box.family)
    middle = place.x + place.width / 2
    edge = f'stroke="{colour.edge}" stroke-width="1.4"'
    if box.folded:  # a second card behind it
        behind = Place(place.x + sizes.CARDS, place.y + sizes.CARDS, place.width, place.height)
        yield _rect(behind, 8, f'fill="{colour.fill}" {edge} class="card"')
    focus = "" if titles else 'tabindex="0" '
    yield f'<g id="layer{index}-0" {focus}data-layer={quoteattr(box.name)}>{_title(box.tooltip, titles)}'
    yield _rect(place, 8, f'fill="{colour.fill}" {edge} class="body"')
    base = head.y + sizes.MARGIN - 2 + sizes.NAME
    yield _centred(middle, base, box.name, sizes.NAME, 'font-weight="bold"')
    for number, line in enumerate(box.lines, 1):
        quiet = "" if number == 1 else f'fill="{palette.QUIET}"'
        yield _centred(middle, base + number * sizes.TEXT * LINE, line, sizes.TEXT, quiet)
    yield "</g>"
    for number, strip in enumerate(box.strips):
        at = Place(place.x, head.y + head.height + number * sizes.STRIP, place.width, sizes.STRIP)
        yield f'<g id="layer{index}-{number + 1}" {focus}data-layer={quoteattr(strip.name)}>'
        yield _title(strip.tooltip, titles)
        yield _strip(at, palette.colour(strip.family), last=number == len(box.strips) - 1)
        yield _centred(middle, at.y + 14, sizes.strip_text(box, number), sizes.TEXT) + "</g>"
    if box.strips:
        yield _rect(place, 8, f'fill="none" {edge}')
    yield "</g>"


def _strip(at: Place, colour: palette.Colour, last: bool) -> str:
    """A strip's ground, with the round corners of its box under the last one."""
    round_ = 8.0 if last else 0.0
    path = (
        f"M{_n(at.x)} {_n(at.y)} h{_n(at.width)} v{_n(at.height - round_)} q0 {_n(round_)} {_n(-round_)} {_n(round_)} "
        f"h{_n(2 * round_ - at.width)} q{_n(-round_)} 0 {_n(-round_)} {_n(-round_)} Z"
    )
    line = f'<path d="M{_n(at.x)} {_n(at.y)} h{_n(at.width)}" stroke="{colour.edge}" stroke-width="0.8"/>'
    return f'<path d="{path}" fill="{colour.fill}" class="strip"/>{line}'


def _title(text: str, wanted: bool) -> str:
    return f"<title>{escape(text)}</title>" if wanted else ""


def _legend(picture: Picture, most: float) -> list[list[tuple[str, float]]]:
    """The families in the picture, in rows, each with where it stands in its row."""
    families = dict.fromkeys(
        family for box in picture.boxes for family in (box.family, *(strip.family for strip in box.strips))
    )
    rows: list[list[tuple[str, float]]] = [[]]
    at = 0.0
    for family in families:
        room = width(family, sizes.TEXT) + 34
        if rows[-1] and at + room > most:
            rows.append([])
            at = 0.0
        rows[-1].append((family, at))
        at += room
    return rows


def _legend_lines(picture: Picture, whole: Place, left: float) -> Iterator[str]:
    rows = _legend(picture, whole.width - 2 * MARGIN)
    top = whole.y + whole.height - MARGIN - 18 * (len(rows) - 1)
    for number, row in enumerate(rows):
        for family, at in row:
            y = top + 18 * number
            colour = palette.colour(family)
            yield _rect(Place(left + at, y - 10, 14, 12), 3, f'fill="{colour.fill}" stroke="{colour.edge}"')
            yield _write(left + at + 20, y, family, sizes.TEXT, f'fill="{palette.QUIET}"')


def _rect(place: Place, radius: float, attributes: str) -> str:
    at = f'x="{_n(place.x)}" y="{_n(place.y)}" width="{_n(place.width)}" height="{_n(place.height)}"'
    return f'<rect {at} rx="{_n(radius)}" {attributes}/>'


def _write(x: float, y: float, text: str, size: float, attributes: str = "") -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" {attributes}>{escape(text)}</text>'.replace(" >", ">")


def _centred(x: float, y: float, text: str, size: float, attributes: str = "") -> str:
    return _write(x, y, shorten(text), size, f'text-anchor="middle" {attributes}'.rstrip())


def _point(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _n(value: float) -> str:
    """A number with a tenth of a pixel."""
    return f"{round(value, 1) + 0.0:g}" if abs(value) < 1e5 else f"{value:.0f}"
