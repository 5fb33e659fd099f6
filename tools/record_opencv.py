"""Records what OpenCV answers for Caffe nets, for tests that need no OpenCV: the SSD layers, and many others.

    pip install . 'opencv-python-headless<5'
    python tools/record_opencv.py           # all nets
    python tools/record_opencv.py ssd sizes

OpenCV reads Caffe's files with code of its own, up to version 4. Each net is `tests/opencv_reference/NAME.prototxt`.
This gives it weights at random and writes them to NAME.caffemodel by layerkit; OpenCV reads both files, and NAME.npz
holds what went in, by input, and what OpenCV has at the end of each branch, by blob. Detections are put into Caffe's
order; OpenCV gives those of an image from the most confident down, whatever their labels, and fills up with zeros.

Some defaults differ there (`clip`, `code_type` and others must be said). Not in the nets, since OpenCV reads it
otherwise than Caffe, or not at all: Axpy; LRN's `k`; MVN's `eps`; Normalize with `across_spatial` but without
`channel_shared`; Interp's `shrink_factor`; DetectionOutput's `variance_encoded_in_target`, for which it wants priors
without variances.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from layerkit import pycaffe

Array = NDArray[np.float32]
Arrays = dict[str, Array]

FOLDER = Path(__file__).parents[1] / "tests" / "opencv_reference"
REGIONS = [[0, 0, 0, 15, 11], [0, 4, 8, 35, 23], [0, 20, 3, 30, 6], [0, 9, 9, 9, 9]]
"""Regions of an image of 36 by 24: index of the image, left, top, right, bottom."""


def record(name: str, folder: Path) -> int:
    """Write one net's weights, inputs and answers; returns how many answers there are."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    text, model = folder / f"{name}.prototxt", folder / f"{name}.caffemodel"
    net = pycaffe.Net(str(text), pycaffe.TEST)
    fill(net, generator)
    net.save(str(model))
    inputs = {each: made(each, net.blobs[each].data.shape, generator) for each in net.inputs}
    answers = ask(text, model, inputs, list(net.outputs))
    for each in answers:
        if net.layer_dict[each].type == "DetectionOutput":
            answers[each] = in_order(answers[each])
    np.savez_compressed(folder / f"{name}.npz", **{f"in/{key}": value for key, value in inputs.items()},
                        **{f"out/{key}": value for key, value in answers.items()})  # fmt: skip
    return len(answers)


def fill(net: pycaffe.Net, generator: np.random.Generator) -> None:
    """Give every weight values at random; variances and the factor of a BatchNorm's sums must be positive."""
    for name, blobs in net.params.items():
        kind = net.layer_dict[name].type
        for i, blob in enumerate(blobs):
            fan_in = max(1, blob.data[0].size) if blob.data.ndim > 1 else 1
            blob.data[...] = generator.uniform(-1, 1, blob.data.shape) * np.sqrt(3 / fan_in)
            if kind == "BatchNorm" and i > 0:
                blob.data[...] = generator.uniform(0.5, 2, blob.data.shape)


def made(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Values for an input; confidences are from 0 to 1."""
    if name == "regions":
        return np.array(REGIONS, np.float32)
    low = 0 if name == "conf" else -1
    return generator.uniform(low, 1, shape).astype(np.float32)


def ask(text: Path, model: Path, inputs: Arrays, outputs: list[str]) -> Arrays:
    """What OpenCV computes, by blob; every layer is called like its last top."""
    net = cv2.dnn.readNetFromCaffe(str(text), str(model))
    net.enableFusion(False)
    for name, value in inputs.items():
        net.setInput(value, name)
    return dict(zip(outputs, net.forward(outputs), strict=True))


def in_order(found: Array) -> Array:
    """Detections (1, 1, K, 7) by image, then label, then from the most confident down, without rows of zeros."""
    found = found[:, :, found[0, 0].any(1)]
    image, label, confidence = found[0, 0, :, :3].T
    return found[:, :, np.lexsort((-confidence, label, image))]


def main() -> None:
    """Record the nets that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(path.stem for path in FOLDER.glob("*.prototxt"))
    parser.add_argument("nets", nargs="*", metavar="NET", help=f"of {', '.join(known)}")
    wanted = parser.parse_args().nets or known
    if unknown := sorted(set(wanted) - set(known)):
        parser.error(f"there is no net {', '.join(unknown)}; known: {', '.join(known)}")
    for name in wanted:
        print(f"{name}: {record(name, FOLDER)} answers of OpenCV {cv2.__version__}")


if __name__ == "__main__":
    main()
