"""Fetching public sets: from mirrors, and from a folder or an archive that a user has; all of a set, or nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzz_tools import mutated
from web_tools import cut, serving, status, whole

import layerkit as lk
from layerkit.datasets import open_source
from layerkit.datasets.public import places, taking
from layerkit.datasets.public import published as table
from layerkit.datasets.public.fetch import fetch
from layerkit.datasets.public.published import PUBLISHED, Content, PublishedFile

RNG = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


PLAIN = {
    f"{prefix}-{kind}": idx(RNG.integers(0, 10, (count, *sizes), dtype=np.uint8))
    for prefix, count in (("train", 6), ("t10k", 4))
    for kind, sizes in (("images-idx3-ubyte", (28, 28)), ("labels-idx1-ubyte", ()))
}
GZIPPED = {f"{name}.gz": gzip.compress(content, mtime=1) for name, content in PLAIN.items()}
OTHERWISE = {f"{name}.gz": gzip.compress(content, 1, mtime=0) for name, content in PLAIN.items()}
"""The same, packed in another way, as Debian does."""
BINS = {
    name: np.concatenate(
        [RNG.integers(0, 10, (n, 1), np.uint8), RNG.integers(0, 256, (n, 3072), np.uint8)], 1
    ).tobytes()
    for name, n in {**{f"data_batch_{i}.bin": i for i in range(1, 6)}, "test_batch.bin": 3}.items()
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tarred(contents: dict[str, bytes], mode: str = "w:gz", inside: str = "cifar-10-batches-bin") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{inside}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


ARCHIVE = tarred(BINS)


def zipped(path: Path, contents: dict[str, bytes], inside: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(inside + name, content)
    return path


def folder_of(path: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and small sets in the place of the published ones, with mirrors that nobody can reach."""
    monkeypatch.setenv("LAYERKIT_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    mirrors = ("http://127.0.0.1:9/",)
    mnist = tuple(
        table._gz(name, len(GZIPPED[f"{name}.gz"]), sha256(GZIPPED[f"{name}.gz"]), (len(plain), sha256(plain)), mirrors)
        for name, plain in PLAIN.items()
    )
    contents = tuple(Content((name,), len(content), sha256(content)) for name, content in BINS.items())
    cifar = PublishedFile("cifar-10-binary.tar.gz", len(ARCHIVE), sha256(ARCHIVE), mirrors, contents)
    monkeypatch.setitem(PUBLISHED, "mnist", mnist)
    monkeypatch.setitem(PUBLISHED, "fashion_mnist", mnist)
    monkeypatch.setitem(PUBLISHED, "cifar10", (cifar,))
    monkeypatch.setattr(places, "_SYSTEM", {"fashion_mnist": (str(tmp_path / "system"),)})
    return tmp_path / "cache"


def held(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


# -- downloading a set ---------------------------------------------------------------------------------------------


@pytest.fixture
def site(cache, monkeypatch):
    with serving() as running:
        for name, files in PUBLISHED.items():
            urls = (running.url + "/", running.url + "/mirror/")
            moved = [
                PublishedFile(f.name, f.size, f.sha256, tuple(url + f.name for url in urls), f.contents) for f in files
            ]
            monkeypatch.setitem(PUBLISHED, name, tuple(moved))
        for name, content in {**GZIPPED, "cifar-10-binary.tar.gz": ARCHIVE}.items():
            running.offer(f"/{name}", whole(content))
        yield running


def test_a_set_is_fetched_and_found(site, cache):
    with pytest.raises(lk.DataError, match=r"this command gets the set: layerkit data fetch mnist$"):
        open_source("mnist", None, "train")
    seen = {}
    assert fetch("mnist", progress=lambda name, done, total: seen.update({name: (done, total)})) == cache / "mnist"
    assert held(cache / "mnist") == sorted(GZIPPED)
    assert seen == {name: (len(content), len(content)) for name, content in GZIPPED.items()}
    assert [len(open_source("mnist", None, part)) for part in ("train", "test")] == [6, 4]
    asked = len(site.requests)
    assert fetch("mnist") == cache / "mnist"
    assert len(site.requests) == asked


def test_an_archive_is_fetched_and_read_as_it_is(site, cache):
    fetch("cifar10")
    assert held(cache / "cifar10") == ["cifar-10-binary.tar.gz"]
    assert [len(open_source("cifar10", None, part)) for part in ("train", "test")] == [15, 3]


def test_only_what_is_lacking_is_fetched(site, cache):
    folder_of(cache / "mnist", {"train-images.idx3-ubyte": PLAIN["train-images-idx3-ubyte"]})
    folder_of(cache / "mnist", {"t10k-images-idx3-ubyte.gz": OTHERWISE["t10k-images-idx3-ubyte.gz"]})
    folder_of(cache / "mnist", {"t10k-labels-idx1-ubyte.gz": b"damaged"})
    fetch("mnist")
    assert sorted(path for path, _ in site.requests) == ["/t10k-labels-idx1-ubyte.gz", "/train-labels-idx1-ubyte.gz"]


def test_a_set_that_fails_names_the_file_and_goes_on_later(site, cache):
    name = "train-labels-idx1-ubyte.gz"
    site.offer(f"/{name}", status(503))
    site.offer(f"/mirror/{name}", cut(GZIPPED[name], 20))
    with pytest.raises(
        lk.DataError, match=rf"^{name} cannot be fetched: http.*503.*; http.*/mirror/.*20 bytes are kept"
    ):
        fetch("mnist")
    assert held(cache / "mnist") == ["train-images-idx3-ubyte.gz", f"{name}.part", f"{name}.part.json"]
    site.offer(f"/mirror/{name}", whole(GZIPPED[name]))
    fetch("mnist")
    assert held(cache / "mnist") == sorted(GZIPPED)
    assert site.ranges(f"/mirror/{name}")[-1] == "bytes=20-"


def test_what_a_package_of_the_system_brings_is_not_fetched(site, cache, tmp_path):
    folder_of(tmp_path / "system", OTHERWISE)
    assert fetch("fashion_mnist") == tmp_path / "system"
    assert site.requests == []
    assert len(open_source("fashion_mnist", None, "test")) == 4
    (tmp_path / "system" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert fetch("fashion_mnist") == cache / "fashion_mnist"


def test_a_foreign_file_in_the_cache_is_neither_removed_nor_read(site, cache):
    folder_of(cache / "mnist", {"t10k-labels-idx1-ubyte": PLAIN["train-labels-idx1-ubyte"]})
    with pytest.raises(
        lk.DataError, match="t10k-labels-idx1-ubyte' is not what was published, but would be read; move"
    ):
        fetch("mnist")
    assert site.requests == []


def test_another_name_is_refused(cache):
    with pytest.raises(lk.UnknownNameError, match="there is no public dataset 'mnst'; did you mean 'mnist'"):
        fetch("mnst")


# -- what the user has ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "has",
    [
        lambda root: folder_of(root, GZIPPED),
        lambda root: folder_of(root, {f"MNIST/raw/{name}": content for name, content in GZIPPED.items()}),
        lambda root: folder_of(root, {**GZIPPED, **{f"raw/{name}": b"unpacked and damaged" for name in PLAIN}}),
        lambda root: zipped(root / "a.zip", GZIPPED, "archive/"),
        lambda root: zipped(root / "a.download", GZIPPED),
    ],
    ids=["folder", "deep", "twice", "zip", "zip of another name"],
)  # fmt: skip
def test_files_that_the_user_has_are_taken(cache, tmp_path, has):
    told = []
    (tmp_path / "mine").mkdir()
    source = has(tmp_path / "mine")
    assert fetch("mnist", source, progress=lambda *step: told.append(step)) == cache / "mnist"
    assert {name: (cache / "mnist" / name).read_bytes() for name in held(cache / "mnist")} == GZIPPED
    assert {name: (done, total) for name, done, total in told} == {n: (len(c), len(c)) for n, c in GZIPPED.items()}


@pytest.mark.parametrize(
    ("contents", "kept"),
    [
        (PLAIN, PLAIN),
        ({name.replace("-idx", ".idx"): content for name, content in PLAIN.items()}, PLAIN),
        (OTHERWISE, OTHERWISE),
        ({name.replace("-idx", ".idx"): content for name, content in GZIPPED.items()}, GZIPPED),
        ({f"{name}.gz": content for name, content in PLAIN.items()}, PLAIN),
    ],
    ids=["unpacked", "other names", "packed otherwise", "other names, packed", "unpacked under packed names"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_contents_decide(cache, tmp_path, contents, kept, packed):
    source = zipped(tmp_path / "a.zip", contents) if packed else folder_of(tmp_path / "mine", contents)
    fetch("mnist", str(source))
    assert {name: (cache / "mnist" / name).read_bytes() for name in held(cache / "mnist")} == kept
    assert len(open_source("mnist", None, "train")) == 6


@pytest.mark.parametrize(
    ("has", "kept"),
    [
        (lambda root: folder_of(root, {"cifar-10-binary.tar.gz": ARCHIVE}), ["cifar-10-binary.tar.gz"]),
        (lambda root: folder_of(root, {"x.tar.gz": ARCHIVE}) / "x.tar.gz", ["cifar-10-binary.tar.gz"]),
        (lambda root: zipped(root / "a.zip", {"cifar-10-binary.tar.gz": ARCHIVE}), ["cifar-10-binary.tar.gz"]),
        (lambda root: folder_of(root, {f"cifar-10-batches-bin/{n}": c for n, c in BINS.items()}), sorted(BINS)),
        (lambda root: zipped(root / "a.zip", BINS), sorted(BINS)),
        (lambda root: folder_of(root, {"x.tar": tarred(BINS, "w")}) / "x.tar", sorted(BINS)),
        (lambda root: folder_of(root, {"x.tgz": tarred(BINS, inside="/../..")}) / "x.tgz", sorted(BINS)),
        (lambda root: folder_of(root, {"cifar-10-binary.tar.gz": tarred(BINS, inside="x"), **BINS}), sorted(BINS)),
    ],
    ids=["in a folder", "itself", "in a zip", "bins", "bins in a zip", "tar", "paths upwards", "repacked beside"],
)  # fmt: skip
def test_cifar_is_taken_packed_or_not(cache, tmp_path, has, kept):
    (tmp_path / "mine").mkdir()
    fetch("cifar10", has(tmp_path / "mine"))
    assert held(cache / "cifar10") == kept
    assert len(open_source("cifar10", None, "train")) == 15
    assert held(tmp_path) == ["cache", "mine"]


def evil(kind: bytes) -> bytes:
    """A tar file whose members are links, or of another kind, under the names of the files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in BINS:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    return file.getvalue()


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t10k-labels-idx1-ubyte", bytes(20_000_000))
    return file.getvalue()


SOME = {name: GZIPPED[name] for name in list(GZIPPED)[:3]}
LAST = "t10k-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "contents", "said"),
    [
        ("mnist", {}, "'.*mine' holds no train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images"),
        ("mnist", SOME, f"'.*mine' holds no {LAST}"),
        ("mnist", {**SOME, f"{LAST}.gz": b"other"}, f"'.*{LAST}.gz' is not what was published: its SHA-256 is "
         f"{sha256(b'other')} instead of {sha256(GZIPPED[f'{LAST}.gz'])}; to use it"),
        ("mnist", {**SOME, LAST: b"other"}, f"instead of {sha256(PLAIN[LAST])}; to use it as it is, name its folder"),
        ("mnist", {**SOME, f"{LAST}.gz": gzip.compress(bytes(9_000_000))}, f"'.*{LAST}.gz' is not what was published"),
        ("mnist", {**SOME, LAST: bytes(2_000_000)}, f"'.*{LAST}' is too large: it has 2,000,000 bytes"),
        ("mnist", {"a.zip": bomb()}, f"'.*a.zip' is refused: '{LAST}' in it is too large; it declares 20,000,000"),
        ("mnist", {"a.zip": bomb()[:-30]}, "'.*a.zip' cannot be read: "),
        ("mnist", {"a.gz": b"nothing"}, "'.*a.gz' cannot be read: "),
        ("cifar10", {"a.tar": evil(tarfile.SYMTYPE)}, "'.*a.tar' holds no data_batch_1.bin, "),
        ("cifar10", {"a.tar": evil(tarfile.LNKTYPE)}, "'.*a.tar' holds no data_batch_1.bin, "),
        ("cifar10", {"a.tar": evil(tarfile.FIFOTYPE)}, "'.*a.tar' holds no data_batch_1.bin, "),
        ("cifar10", {"a.tar.gz": ARCHIVE[:-2000]}, "'.*a.tar.gz.*' cannot be read: "),
    ],
    ids=["nothing", "one missing", "wrong", "wrong unpacked", "a gzip bomb", "too large", "a zip bomb", "a cut zip",
         "no archive", "links", "hard links", "fifos", "a cut tar"],
)  # fmt: skip
def test_what_does_not_fit_is_not_taken(cache, tmp_path, name, contents, said):
    source = folder_of(tmp_path / "mine", contents)
    source.mkdir(exist_ok=True)
    if len(contents) == 1:
        source = source / next(iter(contents))
    with pytest.raises(lk.DataError, match=said) as caught:
        fetch(name, source)
    assert "\n" not in str(caught.value)
    assert held(cache / name) == []


def test_a_wrong_file_can_be_used_as_a_source(cache, tmp_path):
    """What the message promises."""
    plain = {f"t10k-{name}": PLAIN[f"train-{name}"] for name in ("images-idx3-ubyte", "labels-idx1-ubyte")}
    folder_of(tmp_path / "mine", plain)
    with pytest.raises(lk.DataError, match="name its folder or archive as the source of a layer"):
        fetch("mnist", tmp_path / "mine")
    assert len(open_source("mnist", str(tmp_path / "mine"), "test")) == 6
    assert len(open_source("mnist", str(zipped(tmp_path / "a.zip", plain)), "test")) == 6


def test_a_tar_that_holds_far_too_much_else_is_refused(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(taking.archives, "_PASSED_OVER", 5_000)
    path = folder_of(tmp_path / "mine", {"a.tar.gz": tarred({"x": bytes(6_000), **BINS})}) / "a.tar.gz"
    with pytest.raises(lk.DataError, match=r"a.tar.gz' is refused: 'cifar-10-batches-bin/x' in it is too large"):
        fetch("cifar10", path)


def test_folders_far_below_and_links_to_folders_are_left_alone(cache, tmp_path):
    folder_of(tmp_path / "mine" / "a" / "b" / "c" / "d" / "e", GZIPPED)
    folder_of(tmp_path / "elsewhere", GZIPPED)
    (tmp_path / "mine" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(lk.DataError, match="holds no train-images-idx3-ubyte"):
        fetch("mnist", tmp_path / "mine")
    with pytest.raises(lk.DataError, match=r"there is no folder or archive '.*nowhere'"):
        fetch("mnist", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "file", "whole"),
    [
        ("mnist", "a.zip", lambda path: zipped(path, PLAIN).read_bytes()),
        ("cifar10", "a.tar.gz", lambda path: ARCHIVE + b"0"),
        ("cifar10", "a.tar", lambda path: tarred(BINS, "w")),
    ],
    ids=["zip", "tar.gz", "tar"],
)
def test_a_damaged_archive_gives_all_or_nothing(cache, tmp_path, name, file, whole):
    path, draw, said = tmp_path / file, random.Random(0), []
    content = whole(path)
    for _ in range(40):
        path.write_bytes(mutated(content, draw))
        try:
            fetch(name, path)
        except lk.DataError as error:
            said.append(str(error))
            assert held(cache / name) == []
        else:
            assert not taking.lacking(PUBLISHED[name], cache / name)
        shutil.rmtree(cache, ignore_errors=True)
    assert len(said) > 10
    assert "\n" not in "".join(said)


def test_an_interrupt_while_taking_leaves_nothing(cache, tmp_path):
    def progress(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("mnist", folder_of(tmp_path / "mine", GZIPPED), progress=progress)
    assert held(cache / "mnist") == []


@pytest.mark.skipif(os.name == "nt", reason="there is no limit for files' sizes")
def test_a_full_disk_while_taking_leaves_nothing(tmp_path):
    """In a process of its own, whose files may not grow, with a set that is not small."""
    folder_of(tmp_path / "mine", {"train-images-idx3-ubyte": bytes(50_000)})
    program = """
import resource
from layerkit.datasets.public.fetch import fetch
from layerkit.errors import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    fetch("mnist", "mine")
except DataError as error:
    print(error)
"""
    environment = {**os.environ, "LAYERKIT_DATA": str(tmp_path / "cache")}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.endswith("/copy' cannot be written: the disk is full\n")
    assert held(tmp_path / "cache" / "mnist") == []
