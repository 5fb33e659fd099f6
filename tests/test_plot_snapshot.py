"""`layerkit plot SNAPSHOT`: filters, histograms, blobs and saliency, as numbers and as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_plot import Picture

import layerkit as lk
from layerkit.errors import UnknownNameError, UsageError
from layerkit.net import Net
from layerkit.report.plotting import activations, feeding, filters, histograms, saliency, tiles
from layerkit.report.plotting.tiles import Mosaic

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)
WHITE, BLUE, ORANGE = (255, 255, 255), (59, 130, 246), (240, 120, 24)


def saved(*layers: str, order: str = "RGB", shape: tuple[int, ...] = (3, 4, 5)) -> Path:
    """A snapshot of an untrained net with these layers, over images in a file `data.npz`."""
    data = PIXELS if shape == (3, 4, 5) else np.random.default_rng(1).normal(size=(6, *shape)).astype(np.float32)
    np.savez("data.npz", data=data, label=np.arange(6) % 2)
    more = ", channel_order: BGR" if order == "BGR" else ""
    lines = [f"{{name: d, type: Data, top: [data, label], source: data.npz, batch_size: 3{more}}}"]
    text = "\n".join(f"    - {line}" for line in (*lines, *layers))
    run = f"name: tiny\nnet:\n  layers:\n{text}\nsolver: {{base_lr: 0.1, max_iter: 1}}\n"
    return Path(lk.Solver(run).snapshot("tiny"))


LINEAR = (
    "{name: fc, type: InnerProduct, bottom: data, num_output: 2, weight_filler: xavier}",
    "{name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}",
)
CONV = (
    "{name: conv, type: Convolution, bottom: data, num_output: 7, kernel_size: [2, 3], weight_filler: xavier}",
    "{name: relu, type: ReLU}",
    "{name: next, type: Convolution, num_output: 2, kernel_size: 3, pad: 1, weight_filler: xavier}",
    *(line.replace("bottom: data, ", "") for line in LINEAR),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def feed(name: str | None, part: str | None = None) -> feeding.Feed:
    return feeding.Feed(name, part, io.BytesIO(), lambda sentence: pytest.fail(sentence))


def image(number: int = 0) -> str:
    """A file with one of the images."""
    Image.fromarray(PIXELS[number].transpose(1, 2, 0)).save(f"{number}.png")
    return f"{number}.png"


# -- small images --------------------------------------------------------------------------------------------------


def test_colours_lie_on_a_straight_line_between_their_stops() -> None:
    assert tiles.coloured(np.array([0, 0.25, 1]), ["#000000", "#ffffff"]).tolist() == [[0] * 3, [64] * 3, [255] * 3]
    signed = tiles.signed(np.array([[-2.0, 0.0, 1.0, 2.0]]))[0]
    assert [tuple(each) for each in signed[[0, 1, 3]]] == [BLUE, WHITE, ORANGE]
    assert (tiles.signed(np.zeros((2, 2))) == 255).all()


def test_a_photo_uses_the_whole_range_and_the_order_of_its_channels() -> None:
    pixels = np.array([-1.0, 0.0, 3.0]).reshape(3, 1, 1)
    assert tiles.photo(pixels)[0, 0].tolist() == [0, 64, 255]
    assert tiles.photo(pixels, "BGR")[0, 0].tolist() == [255, 64, 0]
    assert tiles.photo(np.array([[[2.0, 4.0]]])).tolist() == [[[0] * 3, [255] * 3]]
    assert (tiles.photo(np.full((1, 2, 2), 7.0)) == 0).all()


def test_what_is_not_finite_is_red_and_changes_no_other_colour() -> None:
    values = np.array([[np.nan, 1.0], [-2.0, np.inf]])
    assert tiles.extent(values) == (-2.0, 1.0)
    assert tiles.extent(values[:1, :1]) == (0.0, 0.0)
    drawn = tiles.signed(values)
    assert tuple(drawn[1, 0]) == BLUE
    assert tuple(drawn[0, 0]) == tuple(drawn[1, 1]) == (224, 72, 72)
    assert tiles.photo(values[np.newaxis])[1, 1].tolist() == [0, 0, 0]


def test_images_stand_row_by_row_in_frames_on_white() -> None:
    reds = [np.full((2, 3, 3), (k, 0, 0), np.uint8) for k in range(1, 6)]
    whole = tiles.mosaic(reds, 3)
    assert whole.shape == (2 * 50 + 6, 3 * 74 + 2 * 6, 3)  # 24 times as large, a frame of 1, a gap of 6
    for k, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)], 1):
        top, left = row * 56 + 1, column * 80 + 1
        assert (whole[top : top + 48, left : left + 72] == (k, 0, 0)).all()
        assert tuple(whole[top - 1, left]) == (226, 232, 240)
    assert (whole[50:56] == 255).all()
    assert (whole[56:, 160:] == 255).all()


@pytest.mark.parametrize(
    ("count", "height", "width", "columns"),
    [(1, 3, 3, 1), (20, 5, 5, 7), (96, 11, 11, 16), (4, 1, 40, 1), (6, 9, 2, 6)],
)
def test_mosaics_are_wider_than_high_as_far_as_they_can(count: int, height: int, width: int, columns: int) -> None:
    assert tiles.columns_for(count, height, width) == columns


# -- filters and histograms ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_filters_on_colours_are_colours_in_the_order_of_the_input(order: str) -> None:
    net = lk.load(saved(*CONV, order=order))
    found = filters.of(net)
    assert found.title == "conv: 7 filters of 3x2x3"
    wanted = [tiles.photo(each, order) for each in net.params["conv"].weight.data]
    np.testing.assert_array_equal(found.image, tiles.mosaic(wanted, tiles.columns_for(7, 2, 3)))
    assert found.image.min() == 0
    assert found.image.max() == 255


@pytest.mark.usefixtures("here")
def test_filters_of_many_channels_are_columns() -> None:
    net = lk.load(saved(*CONV))
    found = filters.of(net, "next")
    assert (found.title, found.note) == (
        "next: 2 filters of 7x3x3", "a column a filter, a row a channel; orange above 0, blue below",
    )  # fmt: skip
    weight = net.params["next"].weight.data
    wanted = [tiles.signed(weight[k, c], np.abs(weight[k]).max()) for c in range(7) for k in range(2)]
    np.testing.assert_array_equal(found.image, tiles.mosaic(wanted, 2))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("transpose", [False, True])
def test_an_inner_product_on_images_is_images(transpose: bool) -> None:
    net = lk.load(saved(LINEAR[0].replace("num", f"transpose: {str(transpose).lower()}, num"), LINEAR[1]))
    weight = net.params["fc"].weight.data
    images = (weight.T if transpose else weight).reshape(2, 3, 4, 5)
    assert filters.of(net).title == "fc: 2 filters of 3x4x5"
    wanted = tiles.mosaic([tiles.photo(each) for each in images], tiles.columns_for(2, 4, 5))
    np.testing.assert_array_equal(filters.of(net).image, wanted)


@pytest.mark.usefixtures("here")
def test_what_has_no_filters_is_one_sentence() -> None:
    net = lk.load(saved(*CONV))
    for layer, sentence in (
        ("relu", r"layer 'relu' \(ReLU\) has no weight that could be drawn as filters"),
        ("fc", "layer 'fc' reads samples of 2x3x3, which are no images; draw it with --weights"),
    ):
        with pytest.raises(UsageError, match=sentence):
            filters.of(net, layer)
    with pytest.raises(UnknownNameError, match="there is no layer 'covn'; did you mean 'conv'"):
        filters.of(net, "covn")
    with pytest.raises(UsageError, match="the net has no convolution, and no InnerProduct on images"):
        filters.of(lk.load(saved(*LINEAR, shape=(8,))))


def test_a_histograms_text_stands_above_its_bars() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(2.0, 1.6))
    axes = figure.add_subplot()
    histograms._fill(axes, "flat", np.linspace(-1, 1, 640))
    (words,) = axes.texts
    figure.canvas.draw()
    below = axes.transData.inverted().transform(words.get_window_extent().get_points())[0][1]
    assert below > max(axes.patches[0].get_data().values)


@pytest.mark.usefixtures("here")
def test_histograms_are_of_every_weight_or_of_one_layers() -> None:
    net = lk.load(saved(*CONV))
    assert list(histograms.of(net).weights) == list(net.flat.arrays())
    assert list(histograms.of(net, "next").weights) == ["next.weight", "next.bias"]
    assert (len(histograms.of(net, most=3).weights), histograms.of(net, most=3).total) == (3, 6)
    with pytest.raises(UsageError, match="layer 'relu' has no weights of its own"):
        histograms.of(net, "relu")


# -- blobs ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_channels_of_a_blob_share_a_scale() -> None:
    net = lk.load(saved(*CONV))
    place, part = activations.of(net, "relu", feed(image(2)))
    net.forward(data=PIXELS[2:3].astype(np.float32))
    values = net.blobs["relu"].data[0]
    assert isinstance(part, Mosaic)
    assert (place, part.title) == ("2.png", "relu: 1x7x3x3")
    wanted = tiles.mosaic([tiles.coloured(each / values.max(), tiles.AMOUNT) for each in values], 4)
    np.testing.assert_array_equal(part.image, wanted)
    assert "from " in activations.of(net, "conv", feed(image(2)))[1].note  # it has two signs


@pytest.mark.usefixtures("here")
def test_a_blob_of_one_row_is_bars() -> None:
    net = lk.load(saved(*CONV))
    _, part = activations.of(net, "prob", feed(image(3)))
    assert isinstance(part, activations.Bars)
    np.testing.assert_allclose(part.values, net.blobs["prob"].data[0])
    assert part.names == ["0", "1"]


@pytest.mark.parametrize(
    ("shape", "kind", "rows"),
    [((1, 6, 1, 1), activations.Bars, (6,)), ((3, 6, 1, 1), activations.OverTime, (3, 6)),
     ((7,), activations.Bars, (7,)), ((2, 3, 4), activations.OverTime, (3, 4)),
     ((2, 1, 4), activations.OverTime, (2, 4)), ((), None, ()), ((1, 2, 3, 4, 5), None, ())],
)  # fmt: skip
def test_what_is_made_of_a_blob_follows_from_its_shape(
    shape: tuple[int, ...], kind: Any, rows: tuple[int, ...]
) -> None:
    text = f"layers: [{{name: x, type: DummyData, shape: {list(shape)}, data_filler: {{type: gaussian, std: 1}}}}]"
    if kind is None:
        with pytest.raises(UsageError, match=r"the blob 'x' is .*, and no picture can be made of that"):
            activations.of(Net(text), "x", feed(None))
    else:
        part = activations.of(Net(text), "x", feed(None))[1]
        assert type(part) is kind
        assert part.values.shape == rows


RECURRENT = "\n".join(
    [
        "name: steps",
        "net:",
        "  layers:",
        "    - {name: data, type: Input, shape: [6, 1, 4]}",
        "    - {name: cont, type: Input, shape: [6, 1]}",
        "    - {name: rnn, type: RNN, bottom: [data, cont], num_output: 3, weight_filler: xavier}",
        "    - {name: flat, type: Reshape, shape: [-1, 3]}",
    ]
)


@pytest.mark.usefixtures("here")
def test_a_blob_of_a_sequence_is_an_image_over_time() -> None:
    net = lk.Net(RECURRENT, phase="predict")
    data = np.random.default_rng(0).normal(size=(6, 1, 4)).astype(np.float32)
    np.savez("seq.npz", data=data, cont=np.ones((6, 1), np.float32))
    for blob in ("rnn", "flat"):
        place, part = activations.of(net, blob, feed("seq.npz"))
        assert isinstance(part, activations.OverTime)
        assert (place, part.along) == ("seq.npz", "time")
        np.testing.assert_allclose(part.values, net.blobs["flat"].data)
    with pytest.raises(UsageError, match=r"the net has the inputs data, cont: give an \.npz file with an array"):
        activations.of(net, "rnn", feed("data.npy"))
    np.savez("seq.npz", data=data)
    with pytest.raises(lk.DataError, match=r"seq\.npz has no array for the input 'cont'"):
        activations.of(net, "rnn", feed("seq.npz"))
    np.savez("seq.npz", dats=data)
    with pytest.raises(UnknownNameError, match="there is no input 'dats'; did you mean 'data'"):
        activations.of(net, "rnn", feed("seq.npz"))


@pytest.mark.usefixtures("here")
def test_rows_of_a_sequence_of_one_input_are_its_steps() -> None:
    text = RECURRENT.replace("    - {name: cont, type: Input, shape: [6, 1]}\n", "    - {name: cont, type: DummyData, "
                             "shape: [6, 1], data_filler: {type: constant, value: 1}}\n")  # fmt: skip
    net = lk.Net(text, phase="predict")
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.savetxt("rows.csv", rows, delimiter=",")
    place, part = activations.of(net, "rnn", feed("rows.csv"))
    assert isinstance(part, activations.OverTime)
    assert (place, part.values.shape) == ("rows.csv", (6, 3))
    net = lk.Net(text, phase="predict")  # one that goes on from no earlier batch
    net.forward(data=rows[:, np.newaxis])
    np.testing.assert_allclose(part.values, net.blobs["flat"].data, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("here")
def test_a_net_without_inputs_is_just_run() -> None:
    net = Net("layers: [{name: five, type: DummyData, shape: [5], data_filler: {type: constant, value: 2}}]")
    _, part = activations.of(net, "five", feed(None))
    assert isinstance(part, activations.Bars)
    assert part.values.tolist() == [2.0] * 5


# -- saliency ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("wanted", [None, "0", "1"])
def test_the_saliency_of_a_linear_net_is_its_weights(wanted: str | None) -> None:
    net = lk.load(saved(*LINEAR))
    weight, bias = (np.array(net.params["fc"][i].data, np.float64) for i in range(2))
    scores = weight @ PIXELS[1].reshape(-1).astype(np.float64) + bias
    chosen = int(scores.argmax()) if wanted is None else int(wanted)
    found = saliency.of(net, feed(image(1)), wanted)
    assert (found.place, found.label) == ("1.png", str(chosen))
    assert found.score == pytest.approx(scores[chosen], rel=1e-4)
    np.testing.assert_array_equal(found.image, PIXELS[1])
    np.testing.assert_allclose(found.gradient, np.abs(weight[chosen]).reshape(3, 4, 5).max(axis=0), rtol=1e-5)


@pytest.mark.usefixtures("here")
def test_the_saliency_of_a_deeper_net_is_that_of_differences() -> None:
    net = lk.load(saved(*CONV), dtype="float64")
    found = saliency.of(net, feed(image(1)), "1")
    base = PIXELS[1:2].astype(np.float64)
    gradient = np.zeros(base.shape[1:])
    for place in np.ndindex(gradient.shape):
        ends = []
        for step in (-1e-5, 1e-5):
            moved = base.copy()
            moved[(0, *place)] += step
            net.forward(data=moved)
            ends.append(float(net.blobs["fc"].data[0, 1]))
        gradient[place] = (ends[1] - ends[0]) / 2e-5
    np.testing.assert_allclose(found.gradient, np.abs(gradient).max(axis=0), rtol=1e-4, atol=1e-8)


@pytest.mark.usefixtures("here")
def test_what_has_no_saliency_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="only of images a saliency can be drawn, and the net takes samples of 8"):
        saliency.of(lk.load(saved(*LINEAR, shape=(8,))), feed("data.npz"))
    net = lk.load(saved(*CONV))
    with pytest.raises(UnknownNameError, match="there is no class '2'; there are: 0, 1"):
        saliency.of(net, feed(image()), "2")
    with pytest.raises(
        UsageError, match="the net must be shown something: name an image, or another sample, by --input"
    ):
        saliency.of(net, feed(None))
    plane = Net("layers: [{name: data, type: Input, shape: [1, 3, 4, 5]}, {name: relu, type: ReLU}]", phase="predict")
    with pytest.raises(UsageError, match="the net has no output that scores classes"):
        saliency.of(plane, feed(image()))


# -- files ---------------------------------------------------------------------------------------------------------


def test_by_itself_a_snapshot_shows_filters_and_histograms(command) -> None:
    path = saved(*CONV)
    assert command("plot", str(path), "-o", "a.svg") == (0, "", "wrote a.svg\n")
    texts = Picture("a.svg").texts
    for text in ("tiny (tiny)", "conv: 7 filters of 3x2x3", "conv.weight", "conv.bias", "fc.bias", "7x3x2x3"):
        assert text in texts
    saved(*LINEAR, shape=(8,))
    assert command("plot", "tiny.safetensors", "-o", "a.svg").status == 0
    assert "fc.weight" in Picture("a.svg").texts
    assert not any("filters" in text for text in Picture("a.svg").texts if text)


def test_a_png_has_a_filters_colours(command) -> None:
    path = saved(*CONV)
    weight = lk.load(path).params["conv"].weight.data
    command("plot", str(path), "--filters", "-o", "a.png")
    with Image.open("a.png") as opened:
        found = {colour for _, colour in opened.convert("RGB").getcolors(10**6)}
    wanted = {tuple(colour) for each in weight for colour in tiles.photo(each).reshape(-1, 3).tolist()}
    assert len(wanted - found) < len(wanted) / 10


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--blob", "relu"], ["tiny (tiny, 0.png)", "relu: 1x7x3x3"]),
        (["--blob", "prob"], ["prob: 1x2"]),
        (["--saliency", "--class", "1"], ["image", "tiny (tiny, 0.png)"]),
    ],
)
def test_what_a_net_makes_of_an_image(command, options: list[str], texts: list[str]) -> None:
    path = saved(*CONV)
    for name in ("a.svg", "b.svg"):
        assert command("plot", str(path), *options, "--input", image(), "-o", name) == (0, "", f"wrote {name}\n")
    found = Picture("a.svg").texts
    assert all(text in found for text in texts)
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()


def test_blobs_over_time_are_a_picture_with_a_scale(command) -> None:
    part = activations.OverTime("w: 9x1x4", np.linspace(0, 1, 36).reshape(9, 4), "time")
    from layerkit.report.plotting import page, style

    with style.drawing():
        Path("a.svg").write_bytes(style.to_bytes(page.draw("net", [part]), ".svg"))
    assert {"net", "w: 9x1x4", "time"} <= set(Picture("a.svg").texts)


BAD: list[tuple[list[str], str]] = [
    (["tiny.safetensors"], "of a snapshot there is no picture made of characters; name a file, as in: -o filters.png"),
    (["tiny.safetensors", "mlp", "-o", "a.png"], "a snapshot is drawn alone, without other snapshots"),
    (["tiny.safetensors", "--smooth", "3", "-o", "a.png"],
     "go with runs, not a snapshot"),
    (["mlp", "--filters"], "--filters goes with a snapshot, whose name ends in .safetensors"),
    (["mlp", "--class", "3"], "--class goes with a snapshot, whose name ends in .safetensors"),
    (["tiny.safetensors", "--blob", "relu", "--saliency", "-o", "a.png"],
     "--blob makes a picture of its own; leave out --saliency"),
    (["tiny.safetensors", "--blob", "relu", "--weights", "-o", "a.png"],
     "--blob makes a picture of its own; leave out --filters or --weights"),
    (["tiny.safetensors", "--input", "0.png", "-o", "a.png"], "--input goes with --blob or --saliency"),
    (["tiny.safetensors", "--class", "1", "-o", "a.png"], "--class goes with --saliency"),
    (["tiny.safetensors", "--part", "test", "-o", "a.png"], "--part goes with --input"),
    (["tiny.safetensors", "--blob", "relo", "--input", "0.png", "-o", "a.png"],
     "there is no blob 'relo'; did you mean 'relu'?"),
    (["tiny.safetensors", "--blob", "relu", "--input", "9.png", "-o", "a.png"], "9.png"),
    (["none.safetensors", "-o", "a.png"], "there is no file 'none.safetensors'"),
]  # fmt: skip


def test_a_mistake_is_one_sentence(command) -> None:
    saved(*CONV)
    image()
    for arguments, sentence in BAD:
        answer: Any = command("plot", *arguments)
        assert answer.status == 2
        assert answer.out == ""
        assert sentence in answer.err
        assert answer.err.count("\n") == 1
    assert not Path("a.png").exists()
