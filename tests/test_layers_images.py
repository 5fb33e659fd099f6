"""ImageData and WindowData: lines, files, sizes, and what is drawn at random."""

from pathlib import Path

import numpy as np
import pytest
from data_tools import RNG, batches, layer, net, write_image, write_images
from PIL import Image

import layerkit as lk
from layerkit.datasets.files import images, lists
from layerkit.datasets.transforms.resampling import bilinear
from layerkit.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("here")


# --- ImageData ---

IMAGES = layer("ImageData", source="list.txt", batch_size=2)


def test_paths_may_hold_spaces_and_begin_with_a_root():
    Path("some folder").mkdir()
    write_image("some folder/a b.png")
    Path("list.txt").write_text("a b.png  -3\n\n")
    net_ = net({**IMAGES, "root_folder": "some folder/"})
    assert batches(net_, 1) == [[-3, -3]]


@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        ("RGB", "0.jpg", {}),
        ("L", "0.png", {}),
        ("1", "0.png", {}),
        ("P", "0.png", {}),
        ("P", "0.png", {"transparency": 0}),
        ("P", "0.gif", {"transparency": bytes(range(200))}),
        ("RGBA", "0.png", {}),
        ("LA", "0.png", {}),
        ("CMYK", "0.jpg", {}),
    ],
)
def test_every_kind_of_image_has_three_channels_or_one(mode, name, options):
    if isinstance(options.get("transparency"), bytes):
        name = "0.png"
    write_image(name, mode=mode, **options)
    for color, channels in ((True, 3), (False, 1)):
        pixels = images.read(lists.Listed(name, 0, "here"), color).pixels()
        assert (pixels.shape, pixels.dtype) == ((channels, 4, 5), np.uint8)
        assert pixels.max() > pixels.min()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("0.png\n", "'list.txt', line 1: must be a path, a space and a label, not '0.png'"),
        ("0.png 1\n\n1.png one\n", "'list.txt', line 3: the label must be a whole number, not 'one'"),
        ("0.png 1.5\n", "the label must be a whole number, not '1.5'"),
        ("", "'list.txt' lists nothing"),
    ],
)
def test_a_line_that_is_wrong_is_named(text, match):
    write_images()
    Path("list.txt").write_text(text)
    with pytest.raises(ConfigError, match=match) as caught:
        net(IMAGES)
    assert "\n" not in str(caught.value)


def test_files_that_are_missing_are_named_when_opened(command):
    for fields in ({}, {"crop_size": 3}):
        write_images()
        Path("3.png").unlink()
        net_ = net({**IMAGES, **fields})
        with pytest.raises(
            DataError, match=r"layer 'data' \(ImageData\): 'list.txt', line 4: there is no file '3.png'"
        ):
            net_.open()
    Path("list.txt").unlink()
    with pytest.raises(ConfigError, match=r"there is no file 'list\.txt'"):
        net(IMAGES)
    net_ = net({**IMAGES, "crop_size": 3})  # its shapes are known all the same
    with pytest.raises(DataError, match=r"there is no file 'list\.txt'"):
        net_.forward()
    Path("net.yaml").write_text("layers: [{name: d, type: ImageData, source: none.txt, crop_size: 8}]")
    answer = command("check", "net.yaml", "--phase", "test")
    assert (answer.status, "there is no file 'none.txt'" in answer.err) == (0, True)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b"no image", lambda b: b[:60], lambda b: b[:50] + b[90:]])
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_corrupt_image_is_named(kind, damage):
    write_image("good.png")
    write_image(f"bad.{kind}")
    path = Path(f"bad.{kind}")
    path.write_bytes(damage(path.read_bytes()))
    Path("list.txt").write_text(f"good.png 0\nbad.{kind} 1\n")
    net_ = net(IMAGES)
    with pytest.raises(DataError, match=rf"'list.txt', line 2: 'bad.{kind}' is no image that can be read: .") as caught:
        net_.forward()
    assert "\n" not in str(caught.value)


def test_an_image_of_more_bits_is_refused():
    Image.fromarray(RNG.integers(0, 60000, (4, 5), dtype=np.uint16)).save("0.png")
    Path("list.txt").write_text("0.png 0\n")
    with pytest.raises(DataError, match=r"line 1: '0.png' has pixels that are not of 8 bits \(mode I;16\)"):
        net(IMAGES).forward()


def test_images_of_other_sizes_need_one():
    write_images()
    write_image("1.png", 3, 5)
    with pytest.raises(DataError, match=r"line 2, '1.png': it is 3x3x5, not 3x4x5 as the first; give all"):
        net(IMAGES).forward()
    with pytest.raises(DataError, match=r"line 2, '1.png': crop_size 4 does not fit into an image of 3x5"):
        net({**IMAGES, "crop_size": 4}).forward()
    net_ = net({**IMAGES, "new_height": 2, "new_width": 3})
    net_.forward()
    assert net_.blobs["data"].shape == (2, 3, 2, 3)


@pytest.mark.parametrize("phase", ["train", "test"])
@pytest.mark.parametrize("keep", ["all", ()])
def test_an_image_by_itself_may_have_its_own_size(phase, keep):
    pixels = write_images(2)
    pixels.append(write_image("big.png", 9, 8))
    Path("list.txt").write_text("0.png 0\nbig.png 1\n1.png 2\n")
    pool = {"name": "pool", "type": "Pooling", "bottom": "data", "pool": "AVE", "global_pooling": True}
    net_ = net({**IMAGES, "batch_size": 1}, pool, phase=phase, keep=keep)
    for i in (0, 2, 1, 0, 2):
        out = net_.forward()["pool"]
        np.testing.assert_allclose(out.ravel(), pixels[i].mean(axis=(0, 1))[::-1], rtol=1e-5)
        assert net_.blobs["data"].shape[2:] == pixels[i].shape[:2]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"new_height": 3}, "give both new_height and new_width, or neither"),
        ({"new_height": 3, "new_width": 9, "crop_size": 4}, "crop_size 4 does not fit into an image of 3x9"),
        ({"mean_value": [1, 2]}, "mean_value has 2 values"),
        ({"is_color": False, "mean_value": [1, 2, 3]}, "mean_value has 3 values"),
        ({"batch_size": 0}, "greater than 0"),
    ],
)
def test_parameters_that_cannot_be(fields, match):
    write_images()
    with pytest.raises(ConfigError, match=match):
        net({**IMAGES, **fields})


def test_an_image_is_changed_by_seed_epoch_and_number_alone():
    write_images(6, height=7, width=9)
    fields = {**IMAGES, "crop_size": 3, "mirror": True, "shuffle": True}

    def epochs(batch_size, seed=1):
        net_, found = net({**fields, "batch_size": batch_size}, seed=seed), {}
        for i in range(0, 18, batch_size):
            net_.forward()
            for row, label in enumerate(net_.blobs["label"].data.tolist()):
                found[(i + row) // 6, label] = net_.blobs["data"].data[row].tobytes()
        return found

    one = epochs(2)
    assert one == epochs(3) == epochs(9)
    assert one != epochs(2, seed=2)
    assert len(one) == 18
    assert any(len({one[epoch, label] for epoch in range(3)}) == 3 for label in range(10, 16))


def test_a_test_mirrors_too_but_cuts_out_the_middle():
    (pixels,) = write_images(1, height=5, width=7)
    net_ = net({**IMAGES, "batch_size": 1, "crop_size": 3, "mirror": True}, phase="test")
    middle = pixels[1:4, 2:5, ::-1].transpose(2, 0, 1)
    seen = set()
    for _ in range(20):
        net_.forward()
        data = net_.blobs["data"].data[0]
        seen.add(
            next(name for name, turned in (("as is", middle), ("turned", middle[..., ::-1])) if (data == turned).all())
        )
    assert seen == {"as is", "turned"}


def test_images_in_a_larger_size_are_between_their_neighbours():
    image = np.array([[[0, 100]]], np.uint8)
    assert bilinear(image, 1, 4).tolist() == [[[0, 25, 75, 100]]]
    assert bilinear(image, 2, 2).tolist() == [[[0, 100], [0, 100]]]
    big = RNG.integers(0, 256, (3, 8, 6), dtype=np.uint8)
    np.testing.assert_array_equal(bilinear(big, 8, 6), big)


def test_a_snapshot_predicts_from_images_as_files_hold_them():
    pixels = write_images(4)
    layers = [{**IMAGES, "mean_value": [1, 2, 3], "scale": 0.5}]
    layers += [{"name": "fc", "type": "InnerProduct", "num_output": 3, "weight_filler": "xavier"}]
    layers += [{"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]}]
    Path("list.txt").write_text("0.png 0\n1.png 2\n")
    solver = lk.Solver({"name": "r", "net": {"layers": layers}, "solver": {"base_lr": 0.01, "max_iter": 1}})
    solver.step(1)
    loaded = lk.load(solver.snapshot("s"))
    raw = np.array(pixels[:2]).transpose(0, 3, 1, 2)
    solver.net.layers["data"].rewind()
    solver.net.forward()
    scores = loaded.blobs["fc"].data
    loaded.predict(raw)
    np.testing.assert_allclose(loaded.blobs["fc"].data, solver.net.blobs["fc"].data, rtol=1e-4, atol=1e-5)
    assert scores.shape == (2, 3)


# --- WindowData ---

WINDOWS = layer("WindowData", source="windows.txt", batch_size=4, crop_size=6)
GOOD = "# 0\n0.png\n3\n8\n9\n2\n5 0.9 1 2 6 7\n3 0.2 0 0 5 5\n"


def write_windows(text=GOOD):
    Path("windows.txt").write_text(text)
    return write_image("0.png", 8, 9)


def test_windows_are_background_then_foreground():
    pixels = write_windows().transpose(2, 0, 1)[::-1]
    net_ = net({**WINDOWS, "fg_fraction": 0.5})
    assert batches(net_, 2) == [[0, 0, 5, 5]] * 2
    for row, (y, x) in enumerate([(0, 0), (0, 0), (2, 1), (2, 1)]):
        np.testing.assert_array_equal(net_.blobs["data"].data[row], pixels[:, y : y + 6, x : x + 6])


def test_files_may_be_kept_in_memory():
    write_windows()
    net_ = net({**WINDOWS, "cache_images": True})
    net_.open()
    Path("0.png").unlink()
    assert batches(net_, 1) == [[0, 0, 0, 5]]


def test_the_mean_is_subtracted_inside_the_image_only():
    write_windows(GOOD.replace("1 2 6 7", "4 4 8 7"))
    net_ = net(
        {**WINDOWS, "batch_size": 1, "fg_fraction": 1.0, "crop_mode": "square", "context_pad": 1, "mean_value": 300}
    )
    net_.forward()
    data = net_.blobs["data"].data[0]
    outside = (data == 0).all(axis=0)
    assert outside.any()
    assert (data[:, ~outside] <= -45).all()
    assert outside[-1].all()
    assert outside[:, -1].all()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "'windows.txt' lists nothing"),
        ("0\n0.png\n", "line 1: an image must begin with '# NUMBER', not '0'"),
        (GOOD.replace("\n9\n", "\nx\n"), "line 5: the width must be a whole number, not 'x'"),
        (GOOD[: GOOD.index("3 0.2")], "line 7: the file ends where one of 2 windows should follow"),
        ("# 0\n", "line 1: the file ends where an image's path should follow"),
        (GOOD.replace("0.9 1", "0.9"), "line 7: a window must be 'label overlap x1 y1 x2 y2', not '5 0.9 2 6 7'"),
        (GOOD.replace("0.9", "nan"), "line 7: a window must be"),
        (GOOD.replace("1 2 6 7", "6 2 1 7"), "line 7: the window is empty"),
        (GOOD.replace("5 0.9", "0 0.9"), "line 7: a foreground window's label must be above 0, not 0"),
        (GOOD.replace("0.9", "0.4"), "'windows.txt' has no foreground windows, of which a batch needs 1"),
        (GOOD.replace("0.2", "0.6"), "'windows.txt' has no background windows, of which a batch needs 3"),
    ],
)
def test_a_window_file_that_is_wrong_is_named(text, match):
    write_windows(text)
    with pytest.raises(ConfigError, match=match) as caught:
        net(WINDOWS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fields", [{}, {"context_pad": 1}, {"crop_mode": "square"}])
def test_a_window_beyond_its_image_is_named(fields):
    write_windows(GOOD.replace("0 0 5 5", "20 0 25 5"))
    with pytest.raises(DataError, match=r"line 2: the window \[20, 0, 25, 5\] does not lie within the image of 8x9"):
        net({**WINDOWS, **fields}).forward()


def test_a_missing_image_of_windows_is_named():
    write_windows()
    Path("0.png").unlink()
    with pytest.raises(DataError, match=r"'windows.txt', line 2: there is no file '0.png'"):
        net(WINDOWS).open()
    Path("windows.txt").unlink()
    net_ = net(WINDOWS)
    assert "there is no file 'windows.txt'" in net_.layers["data"].missing()


def test_windows_need_a_size():
    write_windows()
    with pytest.raises(ConfigError, match="needs the field 'crop_size'"):
        net({name: value for name, value in WINDOWS.items() if name != "crop_size"})
    for fields, match in (
        ({"crop_size": 0}, "crop_size must be greater than 0, not 0"),
        ({"context_pad": 3}, "crop_size must be more than twice context_pad, but they are 6 and 3"),
    ):
        with pytest.raises(ConfigError, match=match):
            net({**WINDOWS, **fields})
