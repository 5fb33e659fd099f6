"""Windows of texts: characters and words, their vocabulary, and that parts have no character in common."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
from layerkit import arrayfile
from layerkit.datasets import open_source, select
from layerkit.datasets.bundled import shakespeare
from layerkit.datasets.files.text_windows import Text

pytestmark = pytest.mark.usefixtures("here")


def opened(text, path="a.txt", **fields):
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())
    return select(Text(**fields), path, "train").open()


def everything(source):
    return source.read(np.arange(len(source)))


def spelt(source, row):
    """A sample's data and label as they stood in the text."""
    return [[source.header.class_names[i] for i in array[0]] for array in source.read(np.array([row]))]


# -- windows -------------------------------------------------------------------------------------------------------


def test_hamlet_as_a_file_gives_the_bundled_windows():
    arrays, _ = arrayfile.load(shakespeare.FILE)
    source = opened(bytes(arrays["text"][: shakespeare.TRAIN]), window=64, step=16)
    bundled = open_source("shakespeare", None, "train")
    assert source.header.class_names == bundled.header.class_names
    assert len(source) == len(bundled)
    for mine, theirs in zip(everything(source), everything(bundled), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_label_is_the_text_one_character_later():
    source = opened("größer, größer\r\nund 大🙂", window=5, step=3)
    assert source.header.class_names == tuple(sorted(set("größer, größer\nund 大🙂")))
    assert ["".join(each) for each in spelt(source, 1)] == ["ßer, ", "er, g"]
    assert ["".join(each) for each in spelt(source, len(source) - 1)] == ["und 大", "nd 大🙂"]
    assert source.header == select(Text(window=5, step=3), "a.txt", "test").describe()
    out = {"label": np.empty((2, 5), source.header.dtypes["label"])}
    source.read(np.array([1, 0]), out)
    assert "".join(source.header.class_names[i] for i in out["label"][0]) == "er, g"


@pytest.mark.parametrize(("length", "window", "step"), [(65, 64, None), (129, 64, None), (128, 64, None), (30, 4, 7)])
def test_as_many_windows_as_have_something_behind_them(length, window, step):
    source = opened("".join(chr(97 + i % 26) for i in range(length)), window=window, step=step)
    starts = [start for start in range(0, length, step or window) if start + window < length]
    assert len(source) == len(starts)
    first = everything(source)[0][:, 0]
    assert [source.header.class_names[i] for i in first] == [chr(97 + start % 26) for start in starts]


# -- words ---------------------------------------------------------------------------------------------------------


def test_words_and_marks_by_how_often_they_come():
    text = "The cat isn't the cat.\n<eos> The dog <unk> sat, isn't it? The cat-fish"
    source = opened(text, level="word", window=3, step=1)
    names = source.header.class_names
    assert names[:4] == ("<unk>", "The", "cat", "isn't")
    assert list(names[4:]) == sorted([",", "-", ".", "<eos>", "?", "dog", "fish", "it", "sat", "the"])
    assert spelt(source, 4) == [["cat", ".", "<eos>"], [".", "<eos>", "The"]]
    assert spelt(source, 8) == [["dog", "<unk>", "sat"], ["<unk>", "sat", ","]]


def test_rare_words_are_unknown():
    source = opened("a a a b b c d " * 2, level="word", window=6, words=3)
    assert source.header.class_names == ("<unk>", "a", "b")
    assert spelt(source, 0)[0] == ["a", "a", "a", "b", "b", "<unk>"]
    assert everything(source)[0].dtype == np.uint8
    drawn = [f"w{i}" for i in (np.random.default_rng(0).random(3000) ** 3 * 400).astype(int)]
    many = opened(" ".join(drawn), level="word", window=10).header
    counts = Counter(drawn)
    assert [counts[name] for name in many.class_names[1:]] == sorted(counts.values(), reverse=True)
    assert many.dtypes["data"] == np.uint16


# -- parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "step"), [(5, 5), (5, 6), (5, 2), (8, 1), (3, 7)])
def test_no_character_of_one_part_is_in_another(window, step):
    """Each character occurs once, so that its number tells where it stood."""
    Path("a.txt").write_text("".join(chr(0x4E00 + i) for i in range(300)), encoding="utf-8")
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    seen = {}
    for part in shares:
        source = select(Text(window=window, step=step), "a.txt", part, parts=shares).open()
        seen[part] = set(np.concatenate(everything(source), axis=None).tolist())
        assert len(seen[part]) > 30
        assert len(source.header.class_names) == 300
    assert max(seen["train"]) < min(seen["validation"])
    assert max(seen["validation"]) < min(seen["test"])


def test_parts_in_files_have_the_vocabulary_of_the_one_to_train_with():
    Path("train.txt").write_text("abcdefgh" * 3)
    Path("test.txt").write_text("hgf" * 4)
    parts = {"train": "train.txt", "test": "test.txt"}
    test = select(Text(window=2), None, "test", parts=parts)
    assert test.dataset.vocabulary == "train.txt"
    assert test.open().header.class_names == tuple("abcdefgh")
    assert everything(test.open())[0][0].tolist() == [7, 6]
    own = select(Text(window=2, vocabulary="test.txt"), None, "train", parts=parts)
    assert own.dataset.vocabulary == "test.txt"


def test_an_unknown_character_is_named_with_its_place():
    Path("train.txt").write_text("abc\n" * 9)
    with pytest.raises(lk.DataError) as error:
        opened("ab\ncaß\n", "test.txt", vocabulary="train.txt", window=2)
    assert str(error.value) == "'test.txt', line 2, column 3: the character 'ß' does not occur in 'train.txt'"
    with pytest.raises(lk.DataError, match=r"line 400001, column 2: the character '\?'"):
        opened("abc\n" * 400_000 + "a?\n", "test.txt", vocabulary="train.txt")


def test_a_word_that_is_unknown_in_another_part_is_word_0():
    Path("train.txt").write_text("one two two")
    source = opened("two three one", "test.txt", level="word", vocabulary="train.txt", window=2)
    assert spelt(source, 0) == [["two", "<unk>"], ["<unk>", "one"]]


# -- in a net, and what is wrong -----------------------------------------------------------------------------------


def test_a_net_learns_a_text_by_heart():
    Path("a.txt").write_text("abcdabce" * 60)
    run = """
    net:
      layers:
        - name: text
          type: Data
          top: [data, label]
          dataset: {train: {type: text, window: 8, step: 3}, test: {type: text, window: 8}}
          source: a.txt
          parts: {train: 0.8, test: 0.2}
          batch_size: 10
        - {name: embedded, type: Embed, bottom: data, input_dim: 5, num_output: 8, weight_filler: xavier}
        - {name: scores, type: InnerProduct, axis: 2, num_output: 5, weight_filler: xavier}
        - {name: loss, type: SoftmaxWithLoss, axis: 2, bottom: [scores, label]}
        - {name: accuracy, type: Accuracy, axis: 2, bottom: [scores, label], include: test}
    solver: {base_lr: 2, max_iter: 60, test_iter: all}
    """
    solver = lk.Solver(run)
    assert solver.solve()["accuracy"] > 0.8  # after c may come d or e
    solver.close()


@pytest.mark.parametrize(
    ("text", "fields", "match"),
    [
        ("", {}, r"'a\.txt' holds no text"),
        ("abc", {}, r"'a\.txt' has 3 characters, but a window of 64 and what follows it need more"),
        ("ab", {"window": 2}, "has 2 characters, but a window of 2"),
        (" \n ", {"level": "word"}, "has 0 words"),
        (b"a\nb\xff\n", {}, r"'a\.txt', line 2: this is not text in UTF-8"),
        ("abc", {"vocabulary": "none.txt"}, r"there is no file 'none\.txt'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text, fields, match):
    with pytest.raises(lk.DataError, match=match):
        opened(text, **fields)


def test_stratified_parts_need_single_labels():
    Path("a.txt").write_text("abcd" * 40)
    with pytest.raises(lk.DataError, match="no single label a sample"):
        select(Text(window=4), "a.txt", "train", parts={"train": 0.5, "test": 0.5}, split="stratified").open()
