"""Pipelines from a layer's parameters, and from what a snapshot says of its samples; and what a snapshot is to say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.draws import Draws
from layerkit.datasets.source import Header
from layerkit.datasets.transforms.base import Layout, Transform
from layerkit.datasets.transforms.finish import Finish
from layerkit.datasets.transforms.mean import read_mean
from layerkit.datasets.transforms.params import AnyTransform, CaffeParams, TransformParams
from layerkit.datasets.transforms.pipeline import Pipeline
from layerkit.errors import DataError, ShapeError
from layerkit.samples import SampleInfo

ChannelOrder = Literal["RGB", "BGR"]

_TRANSFORMS: TypeAdapter[list[AnyTransform]] = TypeAdapter(list[AnyTransform])


def layout_of(header: Header, names: Sequence[str]) -> Layout:
    """What a source stores in these arrays of it, the first of which is the data."""
    shapes = [header.shapes[name] for name in names]
    if header.varies:
        shapes[0] = (*shapes[0][:-2], 0, 0)
    return Layout(tuple(shapes), tuple(header.dtypes[name] for name in names), len(header.class_names))


def build(
    params: CaffeParams,
    phase: str,
    layout: Layout,
    *,
    channel_order: ChannelOrder = "RGB",
    before: Iterable[Transform] = (),
    draws: Draws | None = None,
) -> Pipeline:
    """What the parameters say is done in a phase, after the steps `before`.

    Raises ShapeError and DataError, naming the parameter, where samples do not fit or the mean file cannot be used.
    """
    steps = [*before, *(params.transform if isinstance(params, TransformParams) else [])]
    finish = Finish(
        scale=params.scale,
        mean_value=tuple(params.mean_value),
        mean_image=None if params.mean_file is None else mean_of(params.mean_file),
        crop_size=params.crop_size,
        crop_anywhere=phase == "train",
        mirror=params.mirror,
        reverse=channel_order == "BGR",
    )
    return Pipeline(layout, steps if phase == "train" else _without_chance(steps), finish, draws)


def mean_of(path: str) -> Array:
    """The mean image of a file, as `read_mean` gives it; its errors name the parameter."""
    try:
        return read_mean(path)
    except DataError as error:
        error.field = "mean_file"
        raise


def sample_info(
    pipeline: Pipeline,
    shape: Shape | None = None,
    class_names: Iterable[str] = (),
    table: Mapping[str, Any] | None = None,
) -> SampleInfo:
    """What a snapshot is to say of samples that go through this pipeline, without the chance in it.

    `shape` is that of a sample as the net gets it, where the pipeline alone does not tell; `table` as of Header.
    """
    finish, steps = pipeline.finish, [step for step in _without_chance(pipeline.steps) if not step.of_labels]
    shape = shape or pipeline.shapes[0]
    info = SampleInfo(
        shape=list(shape),
        raw_shape=_raw_shape(pipeline.layout, steps, finish, shape),
        transform=[step.model_dump(exclude_defaults=True) for step in steps],
        crop_size=finish.crop_size,
        scale=finish.scale,
        mean_value=list(finish.mean_value),
        channel_order="BGR" if finish.reverse else "RGB",
        class_names=list(class_names),
        table=None if table is None else dict(table),
    )
    return info if finish.mean_image is None else info.with_mean_image(finish.mean_image)


def of_info(info: SampleInfo, dtype: np.dtype[Any]) -> Pipeline:
    """What is done to raw samples of this type to make what the net takes.

    Raises ShapeError, naming the parameter, where it does not fit together; DataError for transforms that do not exist.
    """
    try:
        steps = _TRANSFORMS.validate_python(info.transform)
    except ValidationError as error:
        fault = error.errors()[0]
        what = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        raise DataError(f"what is done to the samples cannot be read: transform.{what}") from None
    finish = Finish(
        scale=info.scale,
        mean_value=tuple(info.mean_value),
        mean_image=info.mean_image,
        crop_size=info.crop_size,
        reverse=info.channel_order == "BGR",
    )
    raw = tuple(info.shape if info.raw_shape is None else info.raw_shape)
    pipeline = Pipeline(Layout((raw,), (dtype,)), _without_chance(steps), finish)
    if pipeline.settled and pipeline.shapes[0] != tuple(info.shape):
        raise ShapeError(
            f"what is done to samples makes them {shape_text(pipeline.shapes[0])}, not {shape_text(info.shape)}"
        )
    return pipeline


def _raw_shape(layout: Layout, steps: list[Transform], finish: Finish, shape: Shape) -> list[int] | None:
    """The shape that raw samples must have, with 0 where a resize or a crop takes any; None where it is `shape`."""
    raw = layout.shapes[0]
    if len(raw) == 3:
        free = Layout(((raw[0], 0, 0),), layout.dtypes[:1])
        if Pipeline(free, steps, finish).shapes[0] == shape:
            return list(free.shapes[0])
    return None if raw == shape or 0 in raw else list(raw)


def _without_chance(steps: Iterable[Transform]) -> list[Transform]:
    """The steps as they are outside of training."""
    return [step for each in steps if (step := each.outside_training()) is not None]
