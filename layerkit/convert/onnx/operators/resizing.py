"""Resize: by the layers that do it, or else as one product with a matrix for each axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx.building import Known
from layerkit.convert.onnx.operators import At, reads
from layerkit.convert.onnx.operators.formulas import formula

PLACES = ("align_corners", "asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
ROUNDS: dict[str, Callable[[Array], Array]] = {
    "ceil": np.ceil,
    "floor": np.floor,
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
}


@reads("Resize", "Upsample")
def _resize(at: At) -> Known:
    node, x = at.node, at.blob(0)
    old = node.kind == "Upsample" or node.version < 11
    scales, size = _scales(at, x, old=old)
    if size[:2] != list(x.shape[:2]):
        node.fail("it changes more than the spatial axes")
    mode = node.attribute("mode", "nearest")
    place = node.attribute("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    rounds = node.attribute("nearest_mode", "floor" if old else "round_prefer_floor")
    if (mode == "cubic" and node.attribute("exclude_outside", 0)) or node.attribute("antialias", 0):
        node.fail("it leaves out or averages places, and layerkit reads it only without antialias and exclude_outside")
    if mode not in ("nearest", "linear", "cubic") or place not in PLACES or rounds not in ROUNDS:
        node.fail(f"{mode} with {place} is not read")
    whole = all(new % n == 0 for new, n in zip(size, x.shape, strict=True))
    steps = whole and (place, rounds) in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"))
    if mode == "nearest" and steps:
        each = [new // n for new, n in zip(size[2:], x.shape[2:], strict=True)]
        return at.add("Upsample", x, scale=each[0] if len(set(each)) == 1 else each)
    if mode == "linear" and place == "align_corners" and x.rank == 4:
        return at.add("Interp", x, height=size[2], width=size[3])
    if x.rank not in (3, 4):
        node.fail(f"{mode} with {place} is read only for lines and images")
    spatial = zip(x.shape[2:], size[2:], scales[2:], strict=True)
    matrices = [_matrix(mode, rounds, n, _places(place, n, new, scale)) for n, new, scale in spatial]
    if len(matrices) == 1:
        return formula(at, "x @ columns", {"x": x, "columns": matrices[0].T})
    return formula(at, "rows @ x @ columns", {"x": x, "rows": matrices[0], "columns": matrices[1].T})


def _scales(at: At, x: Known, *, old: bool) -> tuple[list[float], list[int]]:
    """How many times as long each axis becomes, and how long."""
    node = at.node
    scales = node.array(1 if old else 2)
    sizes = None if old else node.array(3)
    if scales is None and node.kind == "Upsample":
        scales = np.asarray(node.attribute("scales", None))
    axes = node.attribute("axes", list(range(x.rank)))
    if node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        node.fail("it keeps the ratio of height and width")
    if sizes is not None and sizes.size:
        size = list(x.shape)
        for axis, length in zip(axes, sizes.tolist(), strict=True):
            size[axis] = int(length)
        return [new / n for new, n in zip(size, x.shape, strict=True)], size
    if scales is None or not scales.size:
        node.fail("its size is not known")
    by = [1.0] * x.rank
    for axis, scale in zip(axes, scales.tolist(), strict=True):
        by[axis] = float(scale)
    return by, [int(np.float32(n) * np.float32(scale)) for n, scale in zip(x.shape, by, strict=True)]


def _places(kind: str, n: int, new: int, scale: float) -> Array:
    """Where each of `new` places lies among n. Source: ONNX's description of Resize."""
    i = np.arange(new, dtype=np.float64)
    if kind == "align_corners":
        return i * (n - 1) / (new - 1) if new > 1 else 0 * i
    if kind == "asymmetric":
        return i / scale
    if kind == "pytorch_half_pixel" and new == 1:
        return 0 * i
    half = (i + 0.5) / scale - 0.5
    return half + n / 2 * (1 - new / (scale * n)) if kind == "half_pixel_symmetric" else half


def _matrix(mode: str, rounds: str, n: int, places: Array) -> Array:
    """(new, n): what each place takes of each; beyond the border lies what is at the border."""
    found = np.zeros((len(places), n), np.float32)
    rows = np.arange(len(places))
    if mode == "nearest":
        found[rows, np.clip(ROUNDS[rounds](places), 0, n - 1).astype(int)] = 1
        return found
    low = np.floor(places)
    reach = (0, 1) if mode == "linear" else (-1, 0, 1, 2)
    for offset in reach:
        away = np.abs(places - low - offset)
        share = 1 - away if mode == "linear" else _cubic(away)
        np.add.at(found, (rows, np.clip(low + offset, 0, n - 1).astype(int)), share)
    return found


def _cubic(away: Array, a: float = -0.75) -> Array:
    """Keys' kernel at distances up to 2. Source: Keys, Cubic convolution interpolation (1981)."""
    near = ((a + 2) * away - (a + 3)) * away**2 + 1
    far = ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
    return np.where(away <= 1, near, far)
