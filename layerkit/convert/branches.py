"""Layers and parameters that branches of Caffe call otherwise than layerkit does."""

from __future__ import annotations

from layerkit.convert.report import Report
from layerkit.convert.schema import Fields
from layerkit.spec.layer import describe
from layerkit.text import Map, Seq

_SAME = {
    "ConvolutionDepthwise": "DepthwiseConvolution",
    "DepthwiseConv": "DepthwiseConvolution",
    "Transpose": "Permute",
}
_ZERO_IS_NONE = {"Interp": ("height", "width")}
_COLOR = {"force_encoded_color": True, "force_color": True, "force_gray": False}
"""Flags that say whether encoded images are read in colour."""
_LMDB = (".mdb", ".lmdb", "_lmdb")
"""Ends of paths that tell that they are an LMDB."""


def rename(kind: str, params: Map) -> str:
    """The type as layerkit calls it. BN is two things: SegNet's, finished, is a scale and a bias."""
    if kind == "BN":
        return "Scale" if params.get("bn_mode") == "INFERENCE" else "BatchNorm"
    return _SAME.get(kind, kind)


def adapt(layer: Fields, written: str, params: Map, report: Report) -> Map:
    """The parameters under the names, and with the values, that layerkit has for them."""
    kind = rename(written, params)
    for name in _ZERO_IS_NONE.get(kind, ()):
        if params.get(name) == 0:
            params = params.without(name)
    if written == "BN":
        params = _batch_norm(kind, params)
    if kind == "Pooling" and "ceil_mode" in params:
        up = params["ceil_mode"]
        params = _renamed(params, {"ceil_mode": "round_mode"})
        params["round_mode"] = "CEIL" if up else "FLOOR"
    if written == "Transpose":
        params = _renamed(params, {"dim": "order"})
    if kind in ("Convolution", "Deconvolution", "Im2col"):
        params = _without_holes(params)
    if kind == "SoftmaxWithLoss":
        params = _weighted(layer, params, report)
    if kind == "Data":
        params = _database(layer, params, report)
    if kind == "Python" and params.get("layer") == "ProposalLayer":
        hint = "layerkit's type Proposal does what py-faster-rcnn's ProposalLayer does, and runs no code of yours"
        report.notes.add(hint, describe(str(layer.get("name", "")), kind), layer.key_marks.get("python_param"))
    return params


def _without_holes(params: Map) -> Map:
    """DeepLab's holes in a kernel are its dilation."""
    mark = params.key_marks.get("hole", params.key_marks.get("hole_h", params.mark))
    holes = [params["hole"]] if "hole" in params else [params.get(f"hole_{axis}", 1) for axis in "hw"]
    params = params.without("hole", "hole_h", "hole_w")
    if holes not in ([1], [1, 1]):
        params.put("dilation", holes[0] if len(set(holes)) == 1 else Seq(holes, mark), mark, mark)
    return params


def _weighted(layer: Fields, params: Map, report: Report) -> Map:
    """SegNet's weights of classes, which layerkit counts in what a loss is divided by, too."""
    if params.get("weight_by_label_freqs") and "class_weighting" in params:
        params = _renamed(params, {"class_weighting": "class_weights"})
        said = (
            "class_weighting becomes class_weights: the loss is divided by the sum of the places' weights, in SegNet's "
            "Caffe by their number"
        )
        where = describe(str(layer.get("name", "")), "SoftmaxWithLoss")
        report.notes.add(said, where, params.key_marks.get("class_weights"))
    return params.without("weight_by_label_freqs", "class_weighting")


def _database(layer: Fields, params: Map, report: Report) -> Map:
    """Caffe's databases are read in their order; LevelDB, which is what it takes if nothing is said, is not read."""
    mark = params.key_marks.get("backend", params.key_marks.get("source", params.mark))
    if params.get("backend", "LEVELDB") == "LEVELDB" and "source" in params:
        where = describe(str(layer.get("name", "")), "Data")
        report.problems.add("layerkit does not read LevelDB; make an LMDB of it with Caffe's tools", where, mark)
    color = next((wanted for name, wanted in _COLOR.items() if params.get(name)), None)
    dataset = Map({"type": "lmdb", "color": color}, mark) if color is not None else "lmdb"
    params = params.without("backend", *_COLOR)
    if color is not None or not str(params.get("source", "")).endswith(_LMDB):
        params.put("dataset", dataset, mark, mark)
    params.put("shuffle", False, mark, mark)
    return params


def _batch_norm(kind: str, params: Map) -> Map:
    names = {"slope_filler": "scale_filler", "shift_filler": "bias_filler", "var_eps": "eps",
             "frozen": "use_global_stats", "momentum": "moving_average_fraction"}  # fmt: skip
    params = _renamed(params.without("bn_mode", "moving_average", "decay"), names)
    if kind == "Scale":
        params = _renamed(params.without("eps"), {"scale_filler": "filler"})
    flag = "bias_term" if kind == "Scale" else "scale_bias"
    params.put(flag, True, params.mark, params.mark)
    return params


def _renamed(params: Map, names: dict[str, str]) -> Map:
    renamed = Map(mark=params.mark)
    for name, value in params.items():
        renamed.put(names.get(name, name), value, params.key_marks.get(name), params.value_marks.get(name))
    return renamed
