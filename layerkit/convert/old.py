"""Caffe's older ways to write a layer, read as the present one: V0 and V1 layers, and a net's `input` headers.

Source: Caffe's upgrade_proto.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from layerkit.convert.schema import Fields
from layerkit.errors import Mark, Problems
from layerkit.registry import layer_types
from layerkit.text import Map, Seq
from layerkit.words import counted

_V0_TYPES = {"conv": "Convolution", "pool": "Pooling", "images": "ImageData", "innerproduct": "InnerProduct"}
_OTHER_WORDS = {"softmaxloss": "SoftmaxWithLoss"}
_V0_FIELDS = {
    "biasterm": "bias_term", "kernelsize": "kernel_size", "meanfile": "mean_file", "batchsize": "batch_size",
    "cropsize": "crop_size", "shuffle_images": "shuffle", "det_fg_threshold": "fg_threshold",
    "det_bg_threshold": "bg_threshold", "det_fg_fraction": "fg_fraction", "det_context_pad": "context_pad",
    "det_crop_mode": "crop_mode",
}  # fmt: skip
_PADDING = "padding"


def layers(net: Fields, problems: Problems) -> list[Fields]:
    """The net's layers as LayerParameters, whichever way they are written, its `input` headers first."""
    written = [*net.get("layer", ()), *map(_from_v1, net.get("layers", ()))]
    if "layer" in net and "layers" in net:
        problems.add("the net has both 'layer' and 'layers', which Caffe refuses; write 'layer' alone",
                     mark=net.key_marks.get("layers"))  # fmt: skip
    return [*_inputs(net, {layer.get("name") for layer in written}, problems), *_without_padding(written)]


def type_of(word: str) -> str:
    """The type that an old word such as INNER_PRODUCT or softmax_loss stands for."""
    known = {name.lower(): name for name in layer_types()}
    bare = word.replace("_", "").lower()
    return _V0_TYPES.get(word) or _OTHER_WORDS.get(bare) or known.get(bare, word)


def _inputs(net: Fields, taken: set[Any], problems: Problems) -> Iterator[Fields]:
    names, mark = net.get("input", Seq()), net.key_marks.get("input")
    if not names:
        return
    shapes = [list(shape.get("dim", ())) for shape in net.get("input_shape", ())]
    dims = net.get("input_dim", Seq())
    if dims and not shapes:
        shapes = [list(dims[i : i + 4]) for i in range(0, len(dims), 4)]
    if len(shapes) not in (1, len(names)) or (dims and len(dims) != 4 * len(names)):
        problems.add(
            f"the net has {counted(len(names), 'input')} but shapes for {len(shapes)}; give 'input_shape' for each",
            mark=mark,
        )
    name = names[0] if len(names) == 1 and names[0] not in taken else "input"
    layer = _layer("Input", mark, name=name, top=Seq(names, mark))
    if shapes:
        distinct = shapes[:1] if all(shape == shapes[0] for shape in shapes) else shapes
        written = Seq([_shape(shape, mark) for shape in distinct], mark)
        layer.put("input_param", Map({"shape": written}, mark), mark, mark)
    layer.last_line = max((found.line for found in (mark, net.value_marks.get("input_dim")) if found), default=0)
    yield layer


def _shape(dims: list[int], mark: Mark | None) -> Fields:
    shape = Fields("BlobShape", mark)
    shape.put("dim", Seq(dims, mark), mark, mark)
    return shape


def _layer(kind: str, mark: Mark | None, **values: Any) -> Fields:
    layer = Fields("LayerParameter", mark)
    for key, value in {"type": kind, **values}.items():
        layer.put(key, value, mark, mark)
    return layer


def _from_v1(old: Fields) -> Fields:
    """A V1LayerParameter, or a V0LayerParameter inside one, as a LayerParameter."""
    inner = old.get("layer", Fields("", None))
    layer = Fields("LayerParameter", old.mark, old.last_line)
    layer.unknown = old.unknown | inner.unknown
    for part in (old, inner):
        names = {} if part is old else _V0_FIELDS
        for key, value in part.items():
            if key not in ("layer", "type", "blobs_lr", "weight_decay", "param", "blob_share_mode"):
                layer.put(names.get(key, key), value, part.key_marks.get(key), part.value_marks.get(key))
    kind = inner if "type" in inner else old
    if "type" in kind:
        layer.put("type", type_of(kind["type"]), kind.key_marks.get("type"), kind.value_marks.get("type"))
    specs = list(_specs(old if "blobs_lr" in old or "param" in old or "weight_decay" in old else inner))
    if specs:
        layer.put("param", Seq(specs, old.mark), old.mark, old.mark)
    return layer


def _specs(old: Fields) -> Iterator[Fields]:
    """One ParamSpec for each weight that V1's separate lists speak of."""
    lists = {"name": "param", "share_mode": "blob_share_mode", "lr_mult": "blobs_lr", "decay_mult": "weight_decay"}
    found = {new: old.get(name, ()) for new, name in lists.items()}
    for i in range(max(map(len, found.values()))):
        spec = Fields("ParamSpec", old.mark)
        for new, values in found.items():
            if i < len(values):
                spec.put(new, values[i], old.key_marks.get(lists[new]), old.value_marks.get(lists[new]))
        yield spec


def _without_padding(written: Iterable[Fields]) -> list[Fields]:
    """V0's layers of type `padding` folded into the convolutions that read them."""
    kept, padded = [], {}
    for layer in written:
        if layer.get("type") == _PADDING:
            padded[layer.get("top", [""])[0]] = layer
            continue
        kept.append(layer)
        for i, name in enumerate(layer.get("bottom", ())):
            if name in padded:
                layer["bottom"][i] = padded[name].get("bottom", [""])[0]
                layer.put("pad", padded[name].get("pad", 0), layer.mark, layer.mark)
    return kept
