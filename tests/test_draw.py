"""`layerkit draw`: everything is in the picture, nothing lies on anything else, and no name can break out of it."""

import functools
import html.parser
import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from layerkit import graph
from layerkit.report.drawing import dot, lettering, order, svg
from layerkit.report.drawing import html as page
from layerkit.report.drawing import picture as pictures
from layerkit.report.drawing.bodies import opened
from layerkit.report.drawing.grid import Place
from layerkit.report.drawing.layout import arrange
from layerkit.report.drawing.ranks import longest_path

CONFIGS = Path(__file__).parents[1] / "configs"
SHIPPED = sorted(path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.yaml"))
SVG = "{http://www.w3.org/2000/svg}"
NASTY = "a\"b'<script>&amp; data-layer=]]>\\N"


@functools.cache
def shipped(name: str) -> graph.Graph:
    return graph.load(CONFIGS / f"{name}.yaml", ["train"])[1]["train"]


def built(*layers: dict, blocks: dict | None = None) -> graph.Graph:
    net = {"layers": list(layers), **({"blocks": blocks} if blocks else {})}
    return graph.load({"name": "net", "net": net}, ["train"])[1]["train"]


def chain(length: int) -> graph.Graph:
    data = {"name": "data", "type": "Input", "shape": [3, 5]}
    layers = [{"name": f"fc{i}", "type": "InnerProduct", "num_output": 7} for i in range(length)]
    return built(data, *layers)


class Drawn:
    """What a reader of the SVG finds in it."""

    def __init__(self, net: graph.Graph, direction="LR", expand=False):
        self.picture = pictures.of(net, expand=expand)
        self.layout = arrange(self.picture, direction)
        self.root = ElementTree.fromstring(svg.write(self.picture, self.layout))

    def all(self, kind: str, tag: str = "g"):
        found = self.root.iter(f"{SVG}{tag}")
        return [each for each in found if kind in each.get("class", "").split()]

    def rectangles(self) -> dict[str, Place]:
        groups = [
            (group.get("data-name") or f"tag {i}", group) for i, group in enumerate(self.all("box") + self.all("tag"))
        ]
        return {name: self.place(next(group.iter(f"{SVG}rect"))) for name, group in groups}

    def place(self, rect) -> Place:
        return Place(*(float(rect.get(key)) for key in ("x", "y", "width", "height")))

    def written(self, text) -> Place:
        """The rectangle that a text takes up at most."""
        size = float(text.get("font-size"))
        wide = lettering.width(text.text, size, text.get("font-weight") == "bold")
        left = float(text.get("x")) - (wide / 2 if text.get("text-anchor") == "middle" else 0)
        return Place(left, float(text.get("y")) - size * 0.8, wide, size)


def inside(inner: Place, outer: Place) -> bool:
    return (
        outer.x <= inner.x
        and inner.x + inner.width <= outer.x + outer.width
        and outer.y <= inner.y
        and inner.y + inner.height <= outer.y + outer.height
    )


# -- every shipped net ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_every_layer_and_every_edge_is_there_and_nothing_overlaps(name):
    net = shipped(name)
    for direction, expand in (("LR", False), ("LR", True), ("TB", True)):
        drawn = Drawn(net, direction, expand)
        _expect_all(opened(net) if expand else net, drawn, expand)
        _expect_no_overlap(drawn)


def _expect_all(net: graph.Graph, drawn: Drawn, expand: bool) -> None:
    home = {part.name: box.name for box in drawn.picture.boxes for part in box.parts}
    assert set(home) == {node.name for node in net.nodes}
    titles = {
        group.get("data-layer"): group.find("{*}title").text
        for group in drawn.root.iter(f"{SVG}g")
        if group.get("data-layer")
    }
    for node in net.nodes:
        assert node.name in (titles.get(node.name) or titles[home[node.name]])
        assert node.name in titles or not expand
    edges = {tuple(edge.get(f"data-{key}") for key in ("from", "to", "blob")) for edge in drawn.all("edge")}
    makers = {ref: node.name for node in net.nodes for ref in node.tops}
    wanted = {(home[makers[ref]], home[node.name], ref.name) for node in net.nodes for ref in node.bottoms}
    assert edges == {edge for edge in wanted if edge[0] != edge[1]}
    assert len(drawn.all("shape", "text")) == len({(edge.source, edge.ref) for edge in drawn.picture.edges})


def _expect_no_overlap(drawn: Drawn) -> None:
    places = drawn.rectangles()
    assert not [pair for pair in itertools.combinations(places, 2) if places[pair[0]].meets(places[pair[1]])]
    whole = Place(*map(float, drawn.root.get("viewBox").split()))
    assert all(inside(place, whole) for place in places.values())
    for group in drawn.all("box") + drawn.all("tag"):
        own = drawn.place(next(group.iter(f"{SVG}rect")))
        bodies = [drawn.place(rect) for rect in group.iter(f"{SVG}rect") if rect.get("class") != "card"]
        texts = [drawn.written(text) for text in group.iter(f"{SVG}text")]
        assert texts
        assert all(any(inside(text, body) for body in bodies) for text in texts), own
        assert not [pair for pair in itertools.combinations(texts, 2) if pair[0].meets(pair[1])]
    for text in drawn.root.findall("{*}text"):
        at = drawn.written(text)
        assert inside(at, whole)
        assert not [name for name, place in places.items() if at.meets(place)], text.text


def test_lines_touch_no_box_but_their_own():
    """Each line's straight pieces and the ends of its curves lie outside of every box but for those it joins."""
    drawn = Drawn(shipped("googlenet"), expand=True)
    for edge, routes in zip(drawn.picture.edges, drawn.layout.routes, strict=True):
        for index, place in enumerate(drawn.layout.boxes):
            if index not in (edge.source, edge.target):
                points = [points[-1] for route in routes for _, points in route.pieces]
                assert not [p for p in points if Place(*p, 0, 0).meets(place)], (edge, index)


# -- the layout ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_a_long_chain_runs_in_rows(direction):
    layout = arrange(pictures.of(chain(40)), direction)
    wide, high = layout.bounds.width, layout.bounds.height
    assert 0.4 < wide / high < 3.5
    flow = [place.x if direction == "LR" else place.y for place in layout.boxes]
    rows = 1 + sum(later < earlier for earlier, later in itertools.pairwise(flow))
    assert 3 <= rows <= 12


def test_a_short_chain_is_one_straight_line():
    layout = arrange(pictures.of(chain(4)))
    assert len({round(place.y + place.height / 2, 6) for place in layout.boxes}) == 1


def test_ranks_are_longest_paths_and_a_source_stands_near_its_reader():
    net = built(
        {"name": "a", "type": "Input", "shape": [3, 5]},
        {"name": "b", "type": "InnerProduct", "num_output": 5},
        {"name": "c", "type": "InnerProduct", "num_output": 5},
        {"name": "late", "type": "Input", "shape": [3, 5]},
        {"name": "sum", "type": "Eltwise", "bottom": ["a", "c", "late"]},
    )
    picture = pictures.of(net)
    ranks = dict(zip((box.name for box in picture.boxes), longest_path(5, picture.edges), strict=True))
    assert ranks == {"a": 0, "b": 1, "c": 2, "late": 2, "sum": 3}


def test_crossings_are_counted_and_reduced():
    ranks, links = [[0, 1, 2], [3, 4, 5]], [(0, 5), (1, 4), (2, 3), (0, 4)]
    brute = sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in itertools.combinations(links, 2))
    assert order.crossings(ranks, links) == brute == 5 - 1 + 0
    assert order.crossings(order.ordered(ranks, links), links) == 0


def test_spread_is_the_nearest_position_that_keeps_the_distances():
    assert order.spread([0, 10, 20], [5, 5], [1, 1, 1]) == [0, 10, 20]
    assert order.spread([4, 4], [2], [1, 1]) == [3, 5]
    assert order.spread([4, 4], [2], [3, 1]) == pytest.approx([3.5, 5.5])  # the heavier one gives way less


def test_no_text_is_wider_than_reckoned():
    fonts = pytest.importorskip("PIL.ImageFont", reason="needs the extra data")
    for words in (
        "SoftmaxWithLoss",
        "conv2/3x3_reduce",
        "32x1024x14x14",
        "inception_4a/pool_proj",
        "Wimmel MAX 3x3 / 2",
    ):
        assert fonts.load_default(11).getlength(words) <= lettering.width(words, 11)


def test_long_names_are_shortened_in_the_box_but_whole_where_one_points():
    name = "x" * 200
    drawn = Drawn(
        built({"name": name, "type": "Input", "shape": [3, 5]}, {"name": "y", "type": "ReLU", "bottom": name})
    )
    texts = [text.text for group in drawn.all("box") for text in group.iter(f"{SVG}text")]
    assert max(map(len, texts)) < 30
    assert name in drawn.all("box")[0].find("{*}g/{*}title").text


def test_a_formula_stands_in_its_box():
    layers = [
        {"name": "x", "type": "Input", "shape": [3, 5]},
        {"name": "y", "type": "Expression", "expr": "x + sin(x)"},
    ]
    box = Drawn(built(*layers)).all("box")[1]
    assert [text.text for text in box.iter(f"{SVG}text")] == ["y", "Expression", "x + sin(x)"]


# -- what is in it -------------------------------------------------------------------------------------------------


def test_activations_stand_under_the_layer_whose_only_readers_they_are():
    picture = pictures.of(shipped("mlp"))
    assert [[part.name for part in box.parts] for box in picture.boxes] == [
        ["digits"],
        ["fc1", "relu1"],
        ["fc2"],
        ["loss"],
    ]
    norm = next(
        box for box in pictures.of(shipped("char_transformer"), expand=True).boxes if box.name == "block1/norm1"
    )
    assert len(norm.parts) == 1  # what it reads is read by the sum as well


def test_each_use_of_a_block_is_one_box_unless_unfolded():
    folded = {box.name: box for box in pictures.of(shipped("googlenet")).boxes}
    assert (folded["inception_3a"].folded, folded["inception_3a"].block) == (14, "inception")
    assert folded["inception_3a"].lines == ("inception", "14 layers", "163,696 weights")
    expanded = pictures.of(shipped("googlenet"), expand=True)
    assert not any(box.folded for box in expanded.boxes)
    assert {name for _, name in arrange(expanded).frames} >= {
        f"inception_{name}" for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    }


def test_a_block_that_would_have_to_run_twice_is_not_folded():
    block = {"args": {"other": "blob"}, "layers": [
        {"name": "first", "type": "InnerProduct", "bottom": "$bottom", "num_output": 5},
        {"name": "second", "type": "Eltwise", "bottom": ["first", "$other"]},
    ]}  # fmt: skip
    net = built(
        {"name": "data", "type": "Input", "shape": [3, 5]},
        {"block": "twice", "name": "use", "bottom": "data", "other": "between"},
        {"name": "between", "type": "InnerProduct", "bottom": "use/first", "num_output": 5},
        blocks={"twice": block},
    )
    assert {box.name for box in pictures.of(net).boxes} == {"data", "use/first", "use/second", "between"}


def test_details_tell_shapes_weights_and_parameters():
    box = next(box for box in pictures.of(shipped("lenet")).boxes if box.name == "conv2")
    assert box.lines == ("Convolution", "5x5, 50")
    for line in (
        "conv2 (Convolution)",
        "in: pool1 64x20x12x12",
        "out: conv2 64x50x8x8",
        "weights: 25,050",
        "kernel_size: 5",
    ):
        assert line in box.tooltip.splitlines()


def test_bodies_are_unfolded_with_blocks():
    """The layers of a body stand in a frame, read what their layer reads, and have its weights; a state has no edge."""
    net = shipped("lstm_body")
    folded, unfolded = pictures.of(net), pictures.of(net, expand=True)
    names = [box.name for box in unfolded.boxes]
    assert [name for name in names if name.startswith("lstm")] == [
        *("lstm/from_x", "lstm/from_h", "lstm/gates", "lstm/parts", "lstm/cell", "lstm"),
    ]
    edges = {(names[edge.source], names[edge.target]) for edge in unfolded.edges}
    assert edges >= {("x", "lstm/from_x"), ("lstm/from_h", "lstm/gates"), ("lstm/cell", "lstm"), ("lstm", "scores")}
    assert ("x", "lstm") not in edges
    assert {box.frames for box in unfolded.boxes if box.name.startswith("lstm/")} == {("lstm",)}
    weights = [sum(part.weights for box in each.boxes for part in box.parts) for each in (folded, unfolded)]
    assert weights == [2642, 2642]


def test_a_folded_body_tells_what_is_in_it():
    box = next(box for box in pictures.of(shipped("lstm_body")).boxes if box.name == "lstm")
    assert box.lines == ("Recurrent", "32 x 5 layers")
    lines = box.tooltip.splitlines()
    assert [line for line in lines if line.startswith("body: ")] == [
        "body: from_x (InnerProduct) 96", "body: from_h (InnerProduct) 96", "body: gates (Eltwise) SUM",
        "body: parts (Slice)", "body: cell (Expression)",
    ]  # fmt: skip
    power = {"type": "Power", "bottom": "x"}
    then, otherwise = [{"name": "y", **power}], [{"name": "a", **power}, {"name": "y", "type": "Power"}]
    cond = {"name": "f", "type": "Cond", "bottom": ["x", "c"], "condition": "c", "outputs": "y", "then": then,
            "otherwise": otherwise}  # fmt: skip
    sources = [{"name": "x", "type": "Input", "shape": [2, 3]}, {"name": "c", "type": "Input", "shape": [1]}]
    drawn = pictures.of(graph.load({"layers": [*sources, cond]}, ["train"])[1]["train"])
    assert drawn.boxes[-1].lines == ("Cond", "1 or 2 layers")
    assert "otherwise: a (Power)" in drawn.boxes[-1].tooltip


# -- names ---------------------------------------------------------------------------------------------------------


class Tags(html.parser.HTMLParser):
    """Every tag of a page, its text, and the layers that its elements stand for."""

    def __init__(self):
        super().__init__()
        self.tags, self.text, self.names = [], "", set()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.names |= {value for key, value in attrs if key == "data-layer"}

    def handle_data(self, data):
        self.text += data


def nasty_net() -> graph.Graph:
    return built(
        {"name": NASTY, "type": "Input", "shape": [3, 5]},
        {"name": NASTY + "2", "type": "InnerProduct", "bottom": NASTY, "num_output": 7},
        {"name": NASTY + "3", "type": "ReLU"},
    )


def test_no_name_can_break_out_of_svg_or_html():
    net = nasty_net()
    drawn = Drawn(net)  # it parses
    assert not list(drawn.root.iter(f"{SVG}script"))
    assert [group.get("data-name") for group in drawn.all("box")] == [NASTY, NASTY + "2"]
    parser = Tags()
    parser.feed(page.write(drawn.picture, drawn.layout))
    assert "script" not in parser.tags
    assert parser.names == {NASTY, NASTY + "2", NASTY + "3"}
    assert f"{NASTY}3 (ReLU)" in parser.text


def test_dot_has_every_box_and_edge_and_quotes_names():
    text = dot.write(pictures.of(nasty_net()), "TB")
    assert 'label="a\\"b\'<script>&amp;amp; data-layer=]]>\\\\N\\nInput"' in text
    assert "rankdir=TB" in text
    assert text.count(" -> ") == 1
    assert text.count("{") == text.count("}") == 1
    unfolded = re.sub(r'"(\\.|[^"\\])*"', "", dot.write(pictures.of(shipped("googlenet"), expand=True)))
    assert unfolded.count("{") == unfolded.count("}") == 1 + unfolded.count("subgraph cluster")
    assert unfolded.count("subgraph cluster") == 11


def test_equal_nets_give_equal_bytes():
    once, again = (graph.load(CONFIGS / "segmentation.yaml", ["train"])[1]["train"] for _ in range(2))
    for expand in (False, True):
        first, second = (pictures.of(net, expand=expand) for net in (once, again))
        assert svg.write(first, arrange(first)) == svg.write(second, arrange(second))
        assert page.write(first, arrange(first)) == page.write(second, arrange(second))
