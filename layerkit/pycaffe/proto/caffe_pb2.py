"""Caffe's messages: NetParameter, LayerParameter, SolverParameter, BlobProto, Datum and all others, TRAIN and TEST.

They are made when the first one is asked for; that needs protobuf (`pip install 'layerkit[caffe]'`).
"""

from __future__ import annotations

from typing import Any

from layerkit.pycaffe.proto.messages import classes


def __getattr__(name: str) -> Any:
    if name.startswith("__") or name not in classes():
        raise AttributeError(f"caffe_pb2 has no {name!r}")
    return classes()[name]


def __dir__() -> list[str]:
    return sorted(classes())
