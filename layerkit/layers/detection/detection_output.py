"""What SSD sees in an image."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.layers.detection.boxes import CodeType, best_first, decode, suppress
from layerkit.layers.detection.predictions import NonMaximumSuppression, check_predictions, read_priors
from layerkit.registry import register


@register
class DetectionOutput(Layer):
    """The boxes that SSD found, each object once, by image and class.

    The predicted offsets are decoded into boxes. For each class but the background, the boxes with more confidence
    than `confidence_threshold` go, best first, through non-maximum suppression. Of an image's remaining boxes, all
    classes together, the best `keep_top_k` are kept.

    Bottoms: offsets (N, P L 4), where L is 1 or, without share_location, num_classes; confidences (N, P num_classes),
    any numbers, of which the greater is the more confident, as from a softmax; priors (1, 2, P 4) as PriorBox makes
    them. No gradient.
    Tops: the objects (1, 1, K, 7); how many there are depends on the data. A row is the image's number, the label, the
    confidence, and xmin, ymin, xmax, ymax, in units of the image's width and height, cut off at its border only with
    `clip`; by image, then label, then from the most confident down. Where no image has any, K is N, and there is one
    row for each image: its number, and then -1 six times, as in SSD (where some image has an object, one without has no
    row).
    Raises ShapeError where the bottoms do not fit each other, DataError for a variance of 0 or less.

    Not here: save_output_param, visualize and the like, with which SSD's layer writes files and shows pictures.

    Example: {name: found, type: DetectionOutput, bottom: [loc, conf, prior], num_classes: 21, code_type: CENTER_SIZE,
      nms_param: {nms_threshold: 0.45, top_k: 400}, keep_top_k: 200, confidence_threshold: 0.01, include: test}

    Source: detection_output_layer.cpp and bbox_util.cpp (ApplyNMSFast) of SSD's Caffe; `clip` is OpenCV's.
    """

    class Params(LayerParams):
        num_classes: int = Field(ge=1, description="How many classes are predicted, with the background.")
        share_location: bool = Field(True, description="Whether all classes of a prior have one box in common.")
        background_label_id: int = Field(0, ge=-1, description="The class of no object; -1: there is none.")
        nms_param: NonMaximumSuppression = Field(
            NonMaximumSuppression(), description="Which boxes of a class mean the same object."
        )
        code_type: CodeType = Field("CORNER", description="How boxes are predicted; as in MultiBoxLoss.")
        variance_encoded_in_target: bool = Field(
            False, description="Whether offsets are not to be multiplied by the variances, as the loss did it."
        )
        keep_top_k: int = Field(-1, ge=-1, description="How many boxes of an image are kept; -1: all of them.")
        confidence_threshold: float | None = Field(
            None, description="Only boxes of more confidence count; unset, all do."
        )
        clip: bool = Field(
            False, description="Whether boxes are cut off at the image's border, before they are compared."
        )

    bottoms = (3, 3)

    @property
    def _labels(self) -> list[int]:
        """The classes without the background."""
        return [label for label in range(self.params.num_classes) if label != self.params.background_label_id]

    @property
    def _loc_classes(self) -> int:
        return 1 if self.params.share_location else int(self.params.num_classes)

    def plan(self, *bottoms: Shape) -> Plan:
        p, (loc, conf, priors) = self.params, bottoms
        count = check_predictions(loc, conf, priors, self._loc_classes, p.num_classes)
        most = len(self._labels) * (count if p.nms_param.top_k < 0 else min(count, p.nms_param.top_k))
        most = most if p.keep_top_k < 0 else min(most, p.keep_top_k)
        return Plan(
            tops=[(1, 1, loc[0] * max(1, most), 7)],
            gradients=(False, False, False),
            reads_bottoms=(),
            reads_tops=(),
            dynamic=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        images = bottom[0].shape[0]
        found = [np.zeros((0, 7))]
        if images:
            priors, variances = read_priors(bottom[2].data)
            offsets = bottom[0].data.reshape(images, len(priors), self._loc_classes, 4)
            scale = 1.0 if self.params.variance_encoded_in_target else variances[:, None]
            boxes = decode(self.params.code_type, priors[:, None], offsets, scale)  # (N, P, L, 4)
            boxes = np.clip(boxes, 0, 1) if self.params.clip else boxes
            confidences = bottom[1].data.reshape(images, len(priors), -1)  # (N, P, C)
            found = [self._objects(i, boxes[i], confidences[i]) for i in range(images)]
        rows = np.concatenate(found)
        if not len(rows):
            rows = np.full((images, 7), -1.0)
            rows[:, 0] = np.arange(images)
        top[0].reshape(1, 1, *rows.shape)
        top[0].data[...] = rows

    def _objects(self, image: int, boxes: Array, confidences: Array) -> Array:
        """An image's rows of the top, (K, 7), from boxes (P, L, 4) and confidences (P, C)."""
        found = [np.zeros((0, 7), boxes.dtype)]
        for label in self._labels:
            of_class, scores = boxes[:, 0 if self.params.share_location else label], confidences[:, label]
            kept = self._kept(of_class, scores)
            head = np.stack([np.full(len(kept), image), np.full(len(kept), label), scores[kept]], -1)
            found.append(np.concatenate([head, of_class[kept]], -1))
        rows = np.concatenate(found)
        if self.params.keep_top_k >= 0:
            rows = rows[np.sort(best_first(rows[:, 2])[: self.params.keep_top_k])]
        return rows

    def _kept(self, boxes: Array, scores: Array) -> Array:
        """The indices of one class's boxes (P, 4) that are left, from the most confident down."""
        p = self.params
        least = -np.inf if p.confidence_threshold is None else p.confidence_threshold
        order = best_first(scores)
        order = order[scores[order] > least]  # and not NaN
        order = order if p.nms_param.top_k < 0 else order[: p.nms_param.top_k]
        kept: Array = order[suppress(boxes[order], p.nms_param.nms_threshold, eta=p.nms_param.eta)]
        return kept
