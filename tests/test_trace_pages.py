"""Pictures and pages of traces, and pages of nets, the latter two as a browser shows them."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import browser_tools
import pytest

import layerkit as lk
from layerkit.report.drawing import svg
from layerkit.report.drawing.layout import arrange
from layerkit.report.drawing.lettering import width
from layerkit.report.tracing import page, passes, steps
from layerkit.report.tracing.frames import frames
from layerkit.report.tracing.picture import Drawn

GATES = """
name: gates
layers:
  - {name: in, type: Input, top: [x, y, z], shape: [[], [], []]}
  - {name: f, type: Expression, bottom: [x, y, z], results: {q: "x + y", f: "q * z"}}
"""
BRANCH = """
layers:
  - {name: in, type: Input, top: [a, b], shape: [[2, 3], [3]]}
  - {name: c, type: Expression, bottom: [a, b], expr: "a * b + sin(a) + a * a", loss_weight: 2}
  - {name: fc, type: InnerProduct, bottom: c, num_output: 4, weight_filler: xavier}
  - {name: sum, type: Reduction, bottom: fc, loss_weight: 1}
"""
SVG = "{http://www.w3.org/2000/svg}"
NASTY = "a\"b'<script>&amp; data-layer=]]>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = browser_tools.found()
    if program is None:
        pytest.skip("needs Chromium, which is not on this machine")
    with browser_tools.Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def drawn(layers, **inputs):
    net = lk.Net(layers, dtype="float64")
    net.forward(**inputs)
    return Drawn(passes.reverse(steps.read(net)))


def written(root, kind):
    return [text.text for text in root.iter(f"{SVG}text") if text.get("class") == kind]


def place_of(text):
    size = float(text.get("font-size"))
    return float(text.get("x")), float(text.get("y")) - size * 0.8, width(text.text, size), size


# -- the picture ---------------------------------------------------------------------------------------------------


def test_values_stand_above_the_edges_and_gradients_below(command, folder):
    (folder / "gates.yaml").write_text(GATES)
    options = ["trace", "gates.yaml", "--input", "x=-2,y=5,z=-4", "-o"]
    for kind, start in {"svg": b"<svg", "png": b"\x89PNG", "html": b"<!DOCTYPE html>"}.items():
        assert command(*options, f"gates.{kind}") == (0, "", f"wrote gates.{kind}\n")
        assert (folder / f"gates.{kind}").read_bytes().startswith(start)
    root = ElementTree.parse(folder / "gates.svg").getroot()
    edges = [tuple(g.get(f"data-{key}") for key in ("from", "to")) for g in root.iter(f"{SVG}g") if g.get("data-from")]
    labels = zip(written(root, "shape"), written(root, "below"), strict=True)
    assert dict(zip(edges, labels, strict=True)) == {
        ("x", "q"): ("-2", "-4"), ("y", "q"): ("5", "-4"), ("z", "f"): ("-4", "3"), ("q", "f"): ("3", "-4"),
        ("f", "output"): ("-12", "1"),
    }  # fmt: skip
    above, below = ([t for t in root.iter(f"{SVG}text") if t.get("class") == kind] for kind in ("shape", "below"))
    assert all(float(one.get("y")) < float(two.get("y")) for one, two in zip(above, below, strict=True))


def test_in_forward_mode_tangents_stand_there(command, folder):
    (folder / "gates.yaml").write_text(GATES)
    command("trace", "gates.yaml", "--input", "x=-2,y=5,z=-4", "--mode", "forward", "--tangent", "x=1", "-o", "f.svg")
    assert written(ElementTree.parse(folder / "f.svg").getroot(), "below") == ["1", "1", "-4"]


def test_nothing_that_is_written_lies_on_anything_else():
    picture = drawn(BRANCH, a=[[1, 2, 3], [4, 5, 6]], b=[7, 8, 9]).picture
    layout = arrange(picture)
    root = ElementTree.fromstring(svg.write(picture, layout))
    texts = [place_of(text) for text in root.iter(f"{SVG}text") if text.get("class") in ("shape", "below")]
    assert len(texts) == len(picture.edges) + sum(bool(edge.below) for edge in picture.edges)
    boxes = [(place.x, place.y, place.width, place.height) for place in layout.boxes]
    for one, two in itertools.product(texts, [*texts, *boxes]):
        apart = one[0] + one[2] <= two[0] or two[0] + two[2] <= one[0]
        assert one is two or apart or one[1] + one[3] <= two[1] or two[1] + two[3] <= one[1], (one, two)


# -- the page ------------------------------------------------------------------------------------------------------


def test_the_steps_go_forward_one_node_at_a_time_and_then_backward():
    given = drawn(BRANCH, a=[[1, 2, 3], [4, 5, 6]], b=[7, 8, 9])
    picture, shown = given.picture, list(frames(given))
    assert [frame.phase for frame in shown] == ["start", *["forward"] * 11, *["backward"] * 9, "end"]
    assert shown[3].said == ("v1 = a * b = [[7, 16, 27], [28, 40, 54]]",)
    assert shown[16].said == ("at c they add up: [[1.34, 2.329, 1.118], [1.34, 2.329, 1.118]], the sum of 2 parts",)
    appearing = [name for frame in shown for name in frame.shows]
    labels = [f"above{i}" for i in range(len(picture.edges))]
    labels += [f"below{i}" for i, edge in enumerate(picture.edges) if edge.below]
    assert sorted(name for name in appearing if re.match("above|below", name)) == sorted(labels)
    assert {name for name in appearing if name.startswith("box")} == {f"box{i}" for i in range(len(picture.boxes))}


def test_no_name_can_break_out_of_a_page():
    layers = [{"name": "x", "type": "Input", "top": NASTY, "shape": [3]}, {"name": NASTY + "s", "type": "Reduction"}]
    given = drawn({"layers": layers}, **{NASTY: [1, 2, 3]})
    html = page.write(given, arrange(given.picture))
    assert html.count("<script>") == 1
    assert "&lt;script&gt;&amp;amp;" in html


def test_the_arrow_keys_step_through_a_trace(browser, command, folder):
    (folder / "gates.yaml").write_text(GATES)
    command("trace", "gates.yaml", "--input", "x=-2,y=5,z=-4", "-o", "gates.html")
    path = folder / "gates.html"
    browser.open(path)

    def state():
        visible = "t => !t.classList.contains('later')"
        return browser.evaluate(f"""[document.querySelector("nav b").textContent,
            [...document.querySelectorAll("svg .shape")].filter({visible}).map(t => t.textContent).join(),
            [...document.querySelectorAll("svg .below")].filter({visible}).map(t => t.textContent).join(),
            [...document.querySelectorAll("li")].filter(li => li.offsetParent).map(li => li.innerText).join()]""")

    first = state()
    assert first == ["start, step 0 of 9", "", "", "What is given: x, y, z."]
    for _ in range(4):
        browser.press("ArrowRight")
    assert state() == ["forward, step 4 of 9", "-2,5,-4,3", "", "q = x + y = (-2) + 5 = 3"]
    browser.press("End")
    whole = state()
    assert whole[:3] == ["end, step 9 of 9", "-2,5,-4,3,-12", "-4,-4,3,-4,1"]
    browser.press("ArrowLeft")
    browser.press("ArrowLeft")
    assert state()[::2] == ["backward, step 7 of 9", "3,-4,1"]
    assert "f → q\t1\t∂f/∂q = -4\t-4" in state()[3]
    browser.evaluate("document.getElementById('last').click()")
    assert state() == whole
    assert browser.evaluate("document.getElementById('next').disabled") is True
    browser.press("ArrowRight")
    assert state() == whole
    browser.press("Home")
    assert state() == first
    assert browser.complaints == []
    assert browser.loaded == [path.as_uri()]
    assert browser.screenshot().startswith(b"\x89PNG")


def test_a_page_of_a_net_shows_a_card_of_the_layer_that_has_the_focus(browser, command, folder):
    command("draw", "configs/mlp.yaml", "-o", "net.html")
    path = folder / "net.html"
    browser.open(path)
    shown = "[...document.querySelectorAll('.card')].filter(card => card.offsetParent).map(card => card.innerText)"
    assert browser.evaluate(shown) == []
    browser.evaluate("document.querySelector('[data-layer=fc1]').focus()")
    (card,) = browser.evaluate(shown)
    assert card.startswith("fc1 (InnerProduct)")
    assert "num_output\t128" in card
    assert browser.complaints == []
    assert browser.loaded == [path.as_uri()]
