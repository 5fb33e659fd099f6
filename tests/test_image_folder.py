"""The datasets image_folder and image_list, and how image files are decoded."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from data_tools import RNG, batches, in_threads, layer, net
from PIL import Image, ImageOps

from layerkit import datasets
from layerkit.datasets.files import decode
from layerkit.datasets.files.image_folder import ImageFolder
from layerkit.datasets.files.image_list import ImageList
from layerkit.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    """Paths are short: the tests' files lie in the current directory."""
    monkeypatch.chdir(tmp_path)


def write(path, height=4, width=6, **options):
    """An image of chance; its pixels, (3, H, W)."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(image).save(path, **options)
    return image.transpose(2, 0, 1)


def tree(*paths):
    return {path: write(path) for path in paths}


def where(source):
    """The places of a source's samples, and their labels."""
    return [(source.place(i), int(label)) for i, label in enumerate(source.labels())]


def folder(source, part="train", **fields):
    return ImageFolder(**fields).open(source, part)


FOLDER = layer("Data", source="pets", batch_size=2)

# --- image_folder ---


def test_classes_are_numbered_by_name_and_files_found_below_them():
    images = tree("pets/dog/b.png", "pets/cat/2.png", "pets/cat/10.PNG", "pets/cat/old/deep/1.png", "pets/.cache/x.png")
    Path("pets/readme.txt").write_text("pets")
    Path("pets/cat/notes.txt").write_text("cats")
    write("pets/cat/.hidden.png")
    source = folder("pets")
    assert source.header.class_names == ("cat", "dog")
    expected = ["pets/cat/10.PNG", "pets/cat/2.png", "pets/cat/old/deep/1.png", "pets/dog/b.png"]
    assert where(source) == [
        *((f"class 'cat', {os.path.normpath(path)!r}", 0) for path in expected[:3]),
        ("class 'dog', 'pets/dog/b.png'", 1),
    ]
    for i, path in enumerate(expected):
        np.testing.assert_array_equal(source.sample(i)["data"], images[path])
    net_ = net(FOLDER, phase="test")
    assert batches(net_, 2) == [[0, 0], [0, 1]]
    np.testing.assert_array_equal(net_.blobs["data"].data[1], images["pets/dog/b.png"])
    assert net_.layers["data"].samples().class_names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (["train", "test"], {"train": "train", "test": "test"}),
        (["train", "val"], {"train": "train", "validation": "val", "test": "val"}),
        (["train", "valid", "test"], {"train": "train", "validation": "valid", "test": "test"}),
        (["train", "validation", "notes"], {"train": "train", "validation": "validation", "test": "validation"}),
        (["train"], {"train": "train"}),
    ],
)
def test_parts_are_folders(folders, parts):
    for name in folders:
        tree(f"pets/{name}/cat/{name}0.png", f"pets/{name}/dog/{name}1.png")
    kind = ImageFolder()
    assert set(kind.parts_at("pets")) == set(parts)
    for part, name in parts.items():
        source = datasets.open_source(None, "pets", part)
        assert [place.rpartition("/")[2] for place, _ in where(source)] == [f"{name}0.png'", f"{name}1.png'"]
    if "test" in parts:
        assert batches(net(FOLDER, phase="test"), 1) == [[0, 1]]
    else:
        with pytest.raises(ConfigError, match="the dataset 'image_folder' has no part 'test'; it has: train"):
            net(FOLDER, phase="test")


@pytest.mark.parametrize("files", [["boat/1.png", "train/2.png", "train/steam/3.png"], ["test/1.png", "train/2.png"]])
def test_a_class_may_be_called_train(files):
    tree(*(f"rides/{file}" for file in files))
    assert ImageFolder().parts_at("rides") == ()
    assert folder("rides").header.class_names == tuple(sorted({file.split("/")[0] for file in files}))


def test_a_folder_is_divided_by_shares_or_by_folders_of_any_name():
    tree(*(f"pets/{name}/{i}.png" for name in ("cat", "dog") for i in range(5)))
    fields = {**FOLDER, "parts": {"train": 0.6, "test": 0.4}, "split": "stratified", "shuffle": False}
    assert batches(net(fields), 3) == [[0, 0], [0, 1], [1, 1]]
    assert batches(net(fields, phase="test"), 2) == [[0, 0], [1, 1]]
    with pytest.raises(ConfigError, match="part: 'image_folder' is one part by itself; divide it with 'parts'"):
        net({**FOLDER, "part": "train"})
    tree("night/dog/1.png")
    apart = layer("Data", dataset={"type": "image_folder", "class_names": ["dog", "cat"]}, batch_size=1)
    apart["parts"] = {"train": "pets", "test": "night"}
    with pytest.raises(DataError, match="the class 'cat' has no images in 'night/cat'"):
        net(apart, phase="test").open()
    tree("night/cat/1.png")
    assert batches(net(apart, phase="test"), 2) == [[0], [1]]


def test_a_part_has_the_classes_of_the_train_part():
    tree("pets/train/cat/1.png", "pets/train/dog/1.png", "pets/test/dog/2.png")
    assert where(folder("pets", "test")) == [("class 'dog', 'pets/test/dog/2.png'", 1)]
    tree("pets/test/dgo/3.png")
    with pytest.raises(DataError, match="'pets/test/dgo' is the folder of no class; did you mean 'dog'"):
        folder("pets", "test")


def empty_class():
    tree("pets/cat/1.png")
    Path("pets/dog").mkdir()


def loop():
    tree("pets/cat/1.png")
    Path("pets/cat/again").symlink_to("../../pets")


def nothing_to_test():
    tree("pets/train/cat/1.png")
    Path("pets/test").mkdir()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: None, "there is no folder 'pets'"),
        (lambda: Path("pets").write_text(""), "the folder 'pets' cannot be read"),
        (lambda: Path("pets").mkdir(), "the folder 'pets' is empty: it needs a folder of images for each class"),
        (lambda: tree("pets/1.png"), "the folder 'pets' is empty"),
        (empty_class, "the class 'dog' has no images in 'pets/dog'"),
        (loop, "'pets/cat/again/cat' is a link to a folder that it lies in"),
        (nothing_to_test, "the folder 'pets/test' holds no images"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(make, match):
    make()
    with pytest.raises(DataError, match=match) as caught:
        folder("pets", "test")
    assert "\n" not in str(caught.value)


def test_links_to_folders_and_files_elsewhere_are_followed():
    images = tree("store/x/1.png", "store/2.png")
    Path("pets").mkdir()
    Path("pets/cat").symlink_to("../store/x")
    Path("pets/dog").mkdir()
    Path("pets/dog/two.png").symlink_to("../../store/2.png")
    source = folder("pets")
    for i, image in enumerate(images.values()):
        np.testing.assert_array_equal(source.sample(i)["data"], image)


# --- image_list ---

LIST = layer("Data", source="list.txt", batch_size=2)


def write_list(*lines):
    Path("list.txt").write_text("".join(f"{line}\n" for line in lines))


def test_a_list_names_files_and_labels():
    images = tree("a b.png", "sub/c.png")
    write_list("a b.png 7", "sub/c.png -1")
    assert isinstance(datasets.select(None, "list.txt", "train").dataset, ImageList)
    net_ = net(LIST, phase="test")
    assert batches(net_, 1) == [[7, -1]]
    np.testing.assert_array_equal(net_.blobs["data"].data, list(images.values()))
    assert [place for place, _ in where(ImageList().open("list.txt", ""))] == [
        "'list.txt', line 1, 'a b.png'",
        "'list.txt', line 2, 'sub/c.png'",
    ]


def test_classes_of_a_list_have_names():
    tree("1.png")
    write_list("1.png 1", "1.png 2", "1.png 0")
    Path("names.txt").write_text("ant\nbee \n\ncat\n")
    for fields in ({"class_file": "names.txt"}, {"class_names": ["ant", "bee", "cat"]}):
        assert ImageList(**fields).open("list.txt", "").header.class_names == ("ant", "bee", "cat")
    with pytest.raises(DataError, match=r"line 2: '1.png' has the label 2, which does not lie within 0 to 1"):
        ImageList(class_names=["ant", "bee"]).open("list.txt", "")
    with pytest.raises(ConfigError, match="give class_names or class_file, not both"):
        net({**LIST, "dataset": {"type": "image_list", "class_names": ["a"], "class_file": "names.txt"}})
    with pytest.raises(ConfigError, match="class_names must differ from each other"):
        net({**LIST, "dataset": {"type": "image_list", "class_names": ["a", "a"]}})
    for text, match in (("a\nb\na\n", "'names.txt', line 3: the class 'a' is named a second time"), ("\n", "nothing")):
        Path("names.txt").write_text(text)
        with pytest.raises(DataError, match=match):
            ImageList(class_file="names.txt").open("list.txt", "")


@pytest.mark.parametrize("line", ["../out.png", "/etc/out.png", "in/../../out.png", ".."])
def test_a_path_that_says_that_it_leads_out_of_the_root_is_refused(line):
    tree("root/in/1.png", "out.png")
    write_list("in/1.png 0", f"{line} 1")
    with pytest.raises(DataError, match=rf"'list.txt', line 2: '{line}' does not lie in the folder 'root'"):
        ImageList(root="root").open("list.txt", "")
    write_list(f"{line} 1")
    with pytest.raises(DataError, match="does not lie in the folder 'root'"):
        ImageList(root="root").describe("list.txt", "")


def test_paths_from_the_folder_of_the_list_are_told_how_to_be_written():
    tree("photos/1.png", "lists/2.png")
    Path("lists/list.txt").write_text("../photos/1.png 0\n2.png 1\n")
    place, hint = "'lists/list.txt', line 1: ", "there is one from the list's own folder, but paths start from"
    with pytest.raises(
        DataError, match=f"^{place}there is no file '../photos/1.png'; {hint} the current directory, or"
    ):
        ImageList().open("lists/list.txt", "")
    Path("lists/list.txt").write_text("photos/1.png 0\n2.png 1\n")
    with pytest.raises(DataError, match=f"line 2: there is no file '2.png'; {hint}"):
        ImageList().open("lists/list.txt", "").verify()
    Path("lists/list.txt").write_text("../photos/1.png 0\n")
    hint = "write all paths from a folder that holds the images, and give that as root"
    with pytest.raises(DataError, match=f"^{place}'../photos/1.png' does not lie in the folder 'lists'; {hint}$"):
        ImageList(root="lists").open("lists/list.txt", "")
    Path("lists/list.txt").write_text("photos/1.png 0\nlists/../photos/1.png 1\n")
    assert len(ImageList(root=".").open("lists/list.txt", "")) == 2


def test_a_link_that_leads_out_of_the_root_is_refused_when_it_is_read():
    tree("root/in/1.png", "out/2.png")
    Path("root/link.png").symlink_to("../out/2.png")
    Path("root/inside.png").symlink_to("in/1.png")
    Path("root/loop.png").symlink_to("loop.png")
    write_list("link.png 0", "in/../in/1.png 1", "inside.png 2", "loop.png 3")
    source = ImageList(root="root").open("list.txt", "")
    assert source.header.shapes["data"] == (3, 4, 6)
    for index in (0, 3):
        with pytest.raises(DataError, match=rf"line {index + 1}: 'root/.*' leads out of the folder 'root'"):
            source.sample(index)
    assert [int(source.sample(i)["label"]) for i in (1, 2)] == [1, 2]


def test_missing_files_are_counted_and_three_of_them_named():
    tree("0.png", "1.png")
    write_list("0.png 0", *(f"none{i}.png {i}" for i in range(5)), "1.png 1")
    with pytest.raises(
        DataError,
        match=r"'list.txt', line 2: there is no file 'none0.png'; of 7 files 5 are missing, the next being 'none1.png' "
        "and 'none2.png'$",
    ):
        net(LIST).open()
    skipping = net({**LIST, "batch_size": 7, "on_error": "skip"}, phase="test")
    assert batches(skipping, 1) == [[0, 1]]


def test_images_that_are_broken_are_left_out_or_stop_the_run():
    images = tree("pets/cat/0.png", "pets/cat/1.png", "pets/dog/0.png", "pets/dog/1.png")
    for path in ("pets/cat/0.png", "pets/dog/0.png"):
        Path(path).write_bytes(Path(path).read_bytes()[:60])
    with pytest.raises(DataError, match=r"class 'cat': 'pets/cat/0.png' is no image that can be read: .") as caught:
        net({**FOLDER, "shuffle": False}).forward()
    assert "\n" not in str(caught.value)
    net_ = net({**FOLDER, "batch_size": 4, "on_error": "skip"}, phase="test")
    assert batches(net_, 1) == [[0, 1]]
    np.testing.assert_array_equal(net_.blobs["data"].data, [images["pets/cat/1.png"], images["pets/dog/1.png"]])


@pytest.mark.parametrize("text", ["", "a.png\n", "a.png x\n"])
def test_a_list_that_is_wrong_is_named(text):
    Path("list.txt").write_text(text)
    for method in (ImageList().describe, ImageList().open):
        with pytest.raises(DataError, match=r"'list\.txt'.* (lists nothing|must be)"):
            method("list.txt", "")
    with pytest.raises(ConfigError, match=r"'list\.txt' does not tell by its name of which kind it is"):
        net(LIST)


# --- decoding ---


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_images_are_turned_as_exif_says(kind):
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        Image.fromarray(RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)).save(file, kind, exif=exif)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(file))).transpose(2, 0, 1)
        np.testing.assert_array_equal(decode.decode(file.getvalue(), "x"), expected)
        assert decode.shape(file.getvalue(), "x") == expected.shape


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"MM\0*\0\0\0\x08\0\x05", b"II*\0\xff\xff\xff\xff", b"nonsense" * 5]
)
def test_broken_exif_turns_nothing(exif):
    file = io.BytesIO()
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(file, "jpeg", exif=exif)
    assert decode.decode(file.getvalue(), "x").shape == (3, 5, 7)


@pytest.mark.parametrize(
    ("min_side", "size"),
    [(0, (80, 121)), (41, (80, 121)), (40, (40, 61)), (20, (20, 31)), (1, (10, 16)), (100, (80, 121))],
)
def test_large_jpegs_may_be_decoded_smaller(min_side, size):
    write("pets/cat/1.jpg", 80, 121)
    source = folder("pets", min_side=min_side)
    assert source.header.shapes["data"] == (3, *size)
    assert source.sample(0)["data"].shape == (3, *size)


@pytest.mark.parametrize("pixels", [90_000_000, 200_000_000], ids=["Pillow warns", "Pillow refuses"])
def test_an_image_of_too_many_pixels_is_refused(pixels):
    Path("pets/cat").mkdir(parents=True)
    Image.new("1", (10_000, pixels // 10_000)).save("pets/cat/1.png")
    with pytest.raises(DataError, match=r"'pets/cat/1.png' is refused: it declares more than 89 million pixels"):
        folder("pets")


def test_formats_that_run_programs_are_not_read():
    Path("pets/cat").mkdir(parents=True)
    Image.new("L", (3, 4)).save("pets/cat/1.eps")
    Path("pets/cat/1.eps").rename("pets/cat/1.png")
    with pytest.raises(DataError, match=r"'pets/cat/1.png' is no image that can be read: it is no JPEG, PNG, BMP, GIF"):
        folder("pets")


def test_images_may_be_read_in_grey():
    write("pets/cat/1.png")
    source = folder("pets", color=False)
    grey = np.asarray(Image.open("pets/cat/1.png").convert("L"))
    np.testing.assert_array_equal(source.sample(0)["data"], grey[np.newaxis])
    assert source.header.shapes["data"] == (1, 4, 6)


def test_what_is_encoded_is_decoded():
    image = RNG.integers(0, 256, (3, 40, 50), dtype=np.uint8)
    for planes in (image, image[:1]):
        np.testing.assert_array_equal(decode.decode(decode.encode(planes, "png", "x"), "x", None), planes)
        smooth = np.full_like(planes, 100)
        assert abs(decode.decode(decode.encode(smooth, "jpeg", "x"), "x", None).astype(int) - 100).max() <= 2


def test_threads_and_other_processes_read_the_same():
    images = list(tree(*(f"pets/{name}/{i}.png" for name in ("cat", "dog") for i in range(6))).values())
    source = pickle.loads(pickle.dumps(datasets.select("image_folder", "pets", "train"))).open()

    def wrong(seed):
        order = np.random.default_rng(seed).permutation(12).tolist()
        return [index for index in order if not (source.sample(index)["data"] == images[index]).all()]

    assert in_threads(wrong) == []
