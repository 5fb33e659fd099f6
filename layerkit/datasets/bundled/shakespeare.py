"""`shakespeare`: Hamlet, 173,943 characters, in windows of 64 with the character that follows each as its label.

Sample shape (64,): numbers of characters, 0..64, which the class names name; `label` (64,) is the same one character
later. The first nine tenths of the play are for training, a window from every 16th place on, 9,781; the rest is for
tests, its windows one behind the other, 271. `tools/pack_text.py` made the file.

Source: William Shakespeare, "Hamlet, Prince of Denmark", in the public domain.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from layerkit import arrayfile
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.source import ArraySource, Header, Source
from layerkit.errors import DataError, SnapshotError

FILE = Path(__file__).with_name("shakespeare.npz")
CHARACTERS = "\n !&',-.12:;?ABCDEFGHIJKLMNOPQRSTUVWY[]abcdefghijklmnopqrstuvwxyz"
LENGTH = 173943
TRAIN = LENGTH * 9 // 10  # characters
WINDOW = 64
STEP = {"train": 16, "test": WINDOW}  # characters from the beginning of a window to that of the next


class Shakespeare(Dataset):
    """Windows of Hamlet's characters. It takes no source."""

    type: Literal["shakespeare"] = "shakespeare"

    def describe(self, source: str | None, part: str) -> Header:
        """Known without reading anything. Raises DataError if a `source` is given: the text is bundled."""
        self.no_source(source)
        byte, characters = np.dtype(np.uint8), TRAIN if part == "train" else LENGTH - TRAIN
        length = (characters - WINDOW - 1) // STEP[part] + 1
        return Header({"data": (WINDOW,), "label": (WINDOW,)}, {"data": byte, "label": byte}, length, tuple(CHARACTERS))

    def open(self, source: str | None, part: str) -> Source:
        """The windows of one part. Raises DataError if a `source` is given or the installed file is damaged."""
        self.no_source(source)
        try:
            arrays, _ = arrayfile.load(FILE)
        except SnapshotError as error:
            raise DataError(f"the bundled text cannot be read; install layerkit again: {error}") from None
        number = np.zeros(128, np.uint8)
        number[[ord(character) for character in CHARACTERS]] = np.arange(len(CHARACTERS))
        text = number[arrays["text"][:TRAIN] if part == "train" else arrays["text"][TRAIN:]]
        windows = np.lib.stride_tricks.sliding_window_view(text, WINDOW + 1)[:: STEP[part]]
        data, label = windows[:, :-1].copy(), windows[:, 1:].copy()
        return ArraySource("shakespeare", {"data": data, "label": label}, tuple(CHARACTERS))
