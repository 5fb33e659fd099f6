"""Where Faster R-CNN looks for objects."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.layers.detection.boxes import best_first, decode, sizes, suppress
from layerkit.registry import register
from layerkit.words import counted


@register
class Proposal(Layer):
    """Regions of an image that may hold an object, from a region proposal network.

    Around every place of the feature map lie A anchors, boxes of each `ratio` and, for each, `scale`. The predicted
    offsets move them (as CENTER_SIZE of MultiBoxLoss does), the image's border cuts them off. Of the best
    `pre_nms_topn`, those are left that overlap no better one by more than `nms_thresh`, at most `post_nms_topn`.

    Bottoms: scores (N, 2 A, H, W), of which the first A channels, the background's, do not count; offsets
    (N, 4 A, H, W), for each anchor those of x, y, width and height; the images' sizes (N, 3) or (N, 4): height and
    width in pixels, and how much larger than the original the image is (height and width apart where there are four),
    by which min_size is multiplied. No gradient.
    Tops: the regions (R, 5), each the image's number and xmin, ymin, xmax, ymax in pixels, from the best down; how many
    there are depends on the data; optionally their scores (R,). A box less than min_size wide or high has score 0: it
    comes last, but is not taken away.
    Raises ShapeError where the bottoms do not fit each other or the anchors.

    Example: {name: rois, type: Proposal, bottom: [rpn_prob, rpn_bbox_pred, im_info], ratio: [0.5, 1, 2],
      scale: [8, 16, 32], feat_stride: 16, pre_nms_topn: 6000, post_nms_topn: 300}

    Source: Ren et al., Faster R-CNN (2015), section 3; proposal_layer.cpp of Caffe's forks for PVANet, which takes one
    image at a time.
    """

    class Params(LayerParams):
        feat_stride: int = Field(16, gt=0, description="Pixels of the image from one place of the map to the next.")
        base_size: int = Field(16, gt=0, description="Side of the square, in pixels, whose area all ratios keep.")
        min_size: int = Field(16, ge=0, description="The least width and height in pixels of the original image.")
        ratio: list[Annotated[float, Field(gt=0)]] = Field(
            min_length=1, description="The anchors' heights over their widths."
        )
        scale: list[Annotated[float, Field(gt=0)]] = Field(
            min_length=1, description="What the base's sides are multiplied by."
        )
        pre_nms_topn: int = Field(6000, gt=0, description="How many of an image's best boxes are looked at.")
        post_nms_topn: int = Field(300, gt=0, description="How many of them are kept at the most.")
        nms_thresh: float = Field(0.7, ge=0, description="The greatest overlap with a better box that is let be.")

    bottoms = (3, 3)
    tops = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        p, (scores, offsets, images) = self.params, bottoms
        count = len(p.ratio) * len(p.scale)
        wanted = (2 * count, 4 * count)
        for i, shape, channels in zip((0, 1), (scores, offsets), wanted, strict=True):
            if len(shape) != 4 or shape[1] != channels or (shape[0], *shape[2:]) != (scores[0], *scores[2:]):
                raise ShapeError(
                    f"bottom {i} must have {channels} channels for {counted(count, 'anchor')}, and bottoms 0 and 1 one "
                    f"height and width, but bottom {i} is {shape_text(shape)}",
                    "bottom",
                )
        if len(images) != 2 or images[0] != scores[0] or images[1] not in (3, 4):
            raise ShapeError(f"bottom 2 must be {scores[0]}x3 or {scores[0]}x4, not {shape_text(images)}", "bottom")
        most = scores[0] * min(p.post_nms_topn, count * scores[2] * scores[3])
        return Plan(
            tops=[(most, 5), (most,)][: self.num_tops],
            gradients=(False, False, False),
            reads_bottoms=(),
            reads_tops=(),
            dynamic=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        n, _, height, width = bottom[0].shape
        anchors = self._anchors(height, width)  # (H, W, A, 4)
        count = anchors.shape[2]
        scores = bottom[0].data[:, count:].transpose(0, 2, 3, 1)  # (N, H, W, A)
        offsets = bottom[1].data.reshape(n, count, 4, height, width).transpose(0, 3, 4, 1, 2)  # (N, H, W, A, 4)

        found = [(np.zeros((0, 5)), np.zeros(0))]
        for image in range(n):
            boxes, best = self._regions(anchors, offsets[image], scores[image], bottom[2].data[image])
            found.append((np.insert(boxes, 0, image, -1), best))
        rois, best = (np.concatenate(parts) for parts in zip(*found, strict=True))
        for blob, values in zip(top, (rois, best), strict=False):
            blob.reshape(*values.shape)
            blob.data[...] = values

    def _regions(self, anchors: Array, offsets: Array, scores: Array, image: Array) -> tuple[Array, Array]:
        """An image's regions (R, 4) and their scores (R,), from the best down."""
        p, (height, width) = self.params, image[:2]
        # An anchor from pixel 3 to pixel 5 is 3 wide. The reference moves the corners of that width's half to either
        # side of the center, so that offsets of 0 make a box one pixel wider than the anchor.
        boxes = decode("CENTER_SIZE", anchors + np.array([0, 0, 1, 1]), offsets, 1.0)
        boxes = np.clip(boxes, 0, np.stack([width, height, width, height]) - 1).reshape(-1, 4)
        least = p.min_size * np.stack([image[-1], image[2]])  # width, height
        scores = scores.reshape(-1) * (sizes(boxes) + 1 >= least).all(-1)
        order = best_first(scores)[: p.pre_nms_topn]
        order = order[suppress(boxes[order], p.nms_thresh, limit=p.post_nms_topn, pixel=1)]
        return boxes[order], scores[order]

    def _anchors(self, height: int, width: int) -> Array:
        """The anchors of each place, (H, W, A, 4), in pixels."""
        p = self.params
        middle, sides = (p.base_size - 1) / 2, []
        for ratio in p.ratio:
            across = math.floor(math.sqrt(p.base_size**2 / ratio) + 0.5)
            down = math.floor(across * ratio + 0.5)
            sides += [(across * scale, down * scale) for scale in p.scale]
        half = (np.array(sides) - 1) / 2
        around = np.concatenate([middle - half, middle + half], -1)  # (A, 4)
        x, y = np.meshgrid(np.arange(width) * p.feat_stride, np.arange(height) * p.feat_stride)
        corners: Array = np.stack([x, y, x, y], -1)[:, :, None] + around
        return corners
