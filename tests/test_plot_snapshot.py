"""`layerkit plot SNAPSHOT`: filters, histograms and blobs, as numbers and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_tools import CONV, LINEAR, PIXELS, feed, image, saved
from PIL import Image
from plot_tools import Picture

import layerkit as lk
from layerkit.errors import UnknownNameError, UsageError
from layerkit.net import Net
from layerkit.report.plotting import activations, filters, histograms, tiles
from layerkit.report.plotting.tiles import Mosaic

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
    (["tiny.safetensors", "--smooth", "3", "-o", "a.png"], "--smooth means nothing beside a snapshot"),
    (["tiny.safetensors", "--table", "-o", "a.png"], "--table means nothing beside a snapshot"),
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
