"""A trace as a web page of its own that is stepped through with the arrow keys. It loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from layerkit.report.drawing import palette, svg
from layerkit.report.drawing.layout import Layout
from layerkit.report.drawing.lettering import FONTS
from layerkit.report.tracing.frames import Frame, frames
from layerkit.report.tracing.picture import Drawn

_STYLE = f"""
body {{ margin: 0; display: flex; flex-direction: column; height: 100vh; background: {palette.PAPER};
  color: {palette.INK}; font: 14px/1.5 {FONTS}; }}
main {{ flex: 1; overflow: auto; padding: 8px 12px; }}
svg {{ display: block; }}
.later:is(.box, .edge) {{ opacity: 0.18; }}
.later:is(.shape, .below) {{ visibility: hidden; }}
.box.now .body {{ stroke-width: 3; stroke: {palette.INK}; }}
.edge.now path {{ stroke: {palette.INK}; stroke-width: 2.6; }}
.edge.now path:last-child {{ fill: {palette.INK}; }}
.edge.now path:first-of-type {{ fill: none; }}
footer {{ border-top: 1px solid {palette.LINE}; background: #f8fafc; padding: 10px 24px 12px; }}
nav {{ display: flex; align-items: center; gap: 8px; }}
button {{ font: inherit; padding: 3px 14px; border: 1px solid {palette.LINE}; border-radius: 6px;
  background: {palette.PAPER}; color: inherit; cursor: pointer; }}
button:disabled {{ opacity: 0.4; cursor: default; }}
nav b {{ margin-left: 12px; }}
nav b::first-letter {{ text-transform: uppercase; }}
nav small {{ margin-left: auto; color: {palette.QUIET}; }}
kbd {{ padding: 0 5px; border: 1px solid {palette.LINE}; border-radius: 4px; background: {palette.PAPER};
  font: inherit; }}
ol {{ list-style: none; margin: 8px 0 0; padding: 0; height: 9em; overflow: auto; }}
li p {{ margin: 0 0 2px; overflow-wrap: anywhere; }}
.js li:not(.at) {{ display: none; }}
th {{ font-weight: normal; color: {palette.QUIET}; }}
th, td {{ text-align: left; padding: 0 28px 2px 0; vertical-align: top; }}
td:first-child {{ white-space: nowrap; }}
td:last-child {{ color: {palette.DERIVATIVE}; }}
"""
_LARGER = 1.6
"""How much larger than its size a picture gets where the window has room."""
_BUTTONS = (("first", "|←", "Home", "first step"), ("back", "←", "←", "back"), ("next", "→", "→", "next"),
            ("last", "→|", "End", "last step"))  # fmt: skip
_SCRIPT = """
const frames = [...document.querySelectorAll("li")];
const named = (frame, kind) => frame.dataset[kind].split(" ").filter(Boolean).map(id => document.getElementById(id));
const appears = new Map();
frames.forEach((frame, i) => named(frame, "shows").forEach(it => { if (it && !appears.has(it)) appears.set(it, i); }));
let at = 0;
function go(to) {
  at = Math.max(0, Math.min(frames.length - 1, to));
  appears.forEach((first, it) => it.classList.toggle("later", first > at));
  document.querySelectorAll(".now").forEach(it => it.classList.remove("now"));
  const now = named(frames[at], "now").filter(Boolean);
  now.forEach(it => it.classList.add("now"));
  frames.forEach((frame, i) => frame.classList.toggle("at", i === at));
  document.querySelector("nav b").textContent = `${frames[at].dataset.phase}, step ${at} of ${frames.length - 1}`;
  for (const [id, end] of [["first", 0], ["back", 0], ["next", frames.length - 1], ["last", frames.length - 1]])
    document.getElementById(id).disabled = at === end;
  if (now.length) now[0].scrollIntoView({block: "nearest", inline: "nearest"});
}
const ways = {ArrowRight: () => at + 1, ArrowLeft: () => at - 1, Home: () => 0, End: () => frames.length - 1};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in ways)) return;
  event.preventDefault();
  go(ways[event.key]());
});
for (const [id, key] of [["first", "Home"], ["back", "ArrowLeft"], ["next", "ArrowRight"], ["last", "End"]])
  document.getElementById(id).addEventListener("click", () => go(ways[key]()));
document.body.classList.add("js");
go(0);
"""


def write(drawn: Drawn, layout: Layout) -> str:
    """The HTML document. Without scripts, everything is shown, and all steps are listed."""
    picture = drawn.picture
    wide = svg.canvas(picture, layout).width
    size = f"svg {{ width: clamp({wide:.0f}px, 100%, {wide * _LARGER:.0f}px); height: auto; }}\n"
    buttons = "".join(
        f'<button id="{name}" title="{title} ({key})" aria-label="{title}">{sign}</button>'
        for name, sign, key, title in _BUTTONS
    )
    keys = "<kbd>→</kbd> next &nbsp;<kbd>←</kbd> back &nbsp;<kbd>Home</kbd> start &nbsp;<kbd>End</kbd> end"
    steps = "\n".join(_items(drawn))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(picture.title)}</title>\n<style>{_STYLE}{size}</style>\n</head>\n<body>\n"
        f"<main>\n{svg.write(picture, layout)}</main>\n"
        f'<footer>\n<nav>{buttons}<b aria-live="polite"></b><small>{keys}</small></nav>\n'
        f"<ol>\n{steps}\n</ol>\n</footer>\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _items(drawn: Drawn) -> Iterator[str]:
    enters = "upstream" if drawn.trace.reverse else "tangent"
    for frame in frames(drawn):
        yield _item(frame, ("edge", enters, "local", "product"))


def _item(frame: Frame, titles: Sequence[str]) -> str:
    said = "".join(f"<p>{escape(line)}</p>" for line in frame.said)
    if frame.products:
        rows = "".join(f"<tr>{_cells('td', row)}</tr>" for row in frame.products)
        said += f"<table><tr>{_cells('th', titles)}</tr>{rows}</table>"
    shows, now = " ".join(frame.shows), " ".join(frame.now)
    return f'<li data-phase="{frame.phase}" data-shows="{shows}" data-now="{now}">{said}</li>'


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)
