"""SSD's loss: of where objects are, and of what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.detection.boxes import CodeType, decode, encode, outside
from layerkit.layers.detection.matching import UNMATCHED, MatchType, match, spread
from layerkit.layers.detection.mining import MiningType, mine
from layerkit.layers.detection.predictions import (
    NonMaximumSuppression,
    Truth,
    check_predictions,
    read_ground_truth,
    read_priors,
)
from layerkit.layers.loss.normalization import Normalization, divisor
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class MultiBoxLoss(Layer):
    """How far SSD's predictions are from the objects that are in the images.

        loss = (loc_weight * sum over matched priors of l(offset - encode(prior, object))
                + sum over priors that count of cross entropy(confidences, label)) / D

    1. Each prior is matched with an object it overlaps, or with none (matching.py). 2. Of the priors without one, those
    count that look most like an object (mining.py); those matched always do, but for HARD_EXAMPLE. 3. l is the smooth
    L1 loss, or half the square, of each of four coordinates. D is what `normalization` says, by default VALID: the
    number of matches. The gradients are those of the loss with matches and choices held fixed.

    Bottoms: offsets (N, P L 4), where L is 1 or, without share_location, num_classes; confidences (N, P num_classes),
    any real numbers; priors (1, 2, P 4) as PriorBox makes them; the ground truth (1, 1, G, 8), a row an object: the
    number of its image (-1: the row is padding), label, instance, xmin, ymin, xmax, ymax in units of the image's width
    and height, and whether it is difficult, 0 or 1. The last two have no gradient.
    Tops: the loss (scalar).
    Raises ShapeError where the bottoms do not fit each other; DataError for an image that is not in the batch, a label
    that is no class or the background's, and a variance of 0 or less.

    As in SSD, an image without any object has no examples of the background either, unless mining_type is NONE.
    Unlike in SSD, the gradient of offsets is divided by the variances with encode_variance_in_target, as the loss is;
    the targets of LOGISTIC with mining_type NONE lie at their own image's priors; the parts of the loss are both there
    whatever propagate_down says; with map_object_to_agnostic labels may be any numbers also where examples are mined.

    Example: {name: loss, type: MultiBoxLoss, bottom: [loc, conf, prior, truth], num_classes: 21,
      code_type: CENTER_SIZE, neg_pos_ratio: 3.0, neg_overlap: 0.5}

    Source: Liu et al., SSD (2016), section 2.2; multibox_loss_layer.cpp and bbox_util.cpp of its Caffe.
    """

    class Params(LayerParams):
        loc_loss_type: Literal["L2", "SMOOTH_L1"] = Field("SMOOTH_L1", description="The loss of a coordinate.")
        conf_loss_type: Literal["SOFTMAX", "LOGISTIC"] = Field(
            "SOFTMAX", description="SOFTMAX: a prior has one class. LOGISTIC: each class is a yes or no of its own."
        )
        loc_weight: float = Field(1.0, description="How much the loss of coordinates counts.")
        num_classes: int = Field(ge=1, description="How many classes are predicted, with the background.")
        share_location: bool = Field(True, description="Whether all classes of a prior have one box in common.")
        match_type: MatchType = Field(
            "PER_PREDICTION", description="Whether an object has just its best prior, or all that overlap it enough."
        )
        overlap_threshold: float = Field(0.5, description="PER_PREDICTION: the least overlap of a further match.")
        use_prior_for_matching: bool = Field(True, description="Whether priors are matched, or else predicted boxes.")
        background_label_id: int = Field(0, ge=-1, description="The class of no object; -1: there is none.")
        use_difficult_gt: bool = Field(True, description="Whether difficult objects count.")
        do_neg_mining: bool | None = Field(None, description="The older way to say it: false is mining_type NONE.")
        neg_pos_ratio: float = Field(
            3.0, ge=0, description="MAX_NEGATIVE: examples of the background for each match in an image."
        )
        neg_overlap: float = Field(
            0.5, description="MAX_NEGATIVE: priors that overlap an object as much are no examples of the background."
        )
        code_type: CodeType = Field(
            "CORNER",
            description="What an offset is. CORNER: how far corners are apart. CORNER_SIZE: the same in units of the "
            "prior's size. CENTER_SIZE: how far centers are apart in these units, and the logarithm of the sizes' "
            "ratio.",
        )
        encode_variance_in_target: bool = Field(
            False, description="Whether the difference, and not the offset to predict, is divided by the variances."
        )
        map_object_to_agnostic: bool = Field(
            False, description="Whether all objects are of one class, the one behind the background."
        )
        ignore_cross_boundary_bbox: bool = Field(
            False, description="Whether boxes that reach out of the image are not matched, nor mined."
        )
        bp_inside: bool = Field(
            False, description="Whether coordinates that lie outside of the image have no loss; for the CORNER codes."
        )
        mining_type: MiningType = Field(
            "MAX_NEGATIVE", description="Which priors count for the classes; see mining.py."
        )
        nms_param: NonMaximumSuppression | None = Field(
            None, description="How the examples to choose from are thinned out first; unset, or threshold 0: not."
        )
        sample_size: int = Field(64, gt=0, description="HARD_EXAMPLE: how many priors of an image count.")
        use_prior_for_nms: bool = Field(False, description="Whether nms_param is for priors, or for predicted boxes.")
        normalization: Normalization | None = Field(
            None,
            description="What the sum is divided by. FULL: all priors of all images. VALID: the matches. "
            "BATCH_SIZE: the images. NONE: 1. Unset, it is what `normalize` says.",
        )
        normalize: bool | None = Field(
            None, description="The older way to say it: true is VALID, false is BATCH_SIZE; unset, VALID."
        )

        @model_validator(mode="after")
        def _fits(self) -> MultiBoxLoss.Params:
            mines = self.mining_type != "NONE"
            if self.do_neg_mining is not None and self.do_neg_mining != mines:
                raise ValueError(f"do_neg_mining contradicts mining_type {self.mining_type}")
            if mines and not self.share_location:
                raise ValueError("mining_type must be NONE where share_location is false")
            if self.background_label_id >= self.num_classes:
                raise ValueError(
                    f"background_label_id {self.background_label_id} is none of {self.num_classes} num_classes"
                )
            if self.background_label_id < 0 and self.conf_loss_type == "SOFTMAX":
                raise ValueError("conf_loss_type SOFTMAX needs a background_label_id, 0 or more")
            if self.map_object_to_agnostic and self.num_classes != self.agnostic_label + 1:
                raise ValueError("map_object_to_agnostic needs num_classes 2 with background_label_id 0, 1 with -1")
            return self

        @property
        def agnostic_label(self) -> int:
            """The one class of all objects with map_object_to_agnostic."""
            return self.background_label_id + 1

        @property
        def loc_classes(self) -> int:
            """How many boxes are predicted for a prior."""
            return 1 if self.share_location else self.num_classes

    bottoms = (4, 4)
    loss = True
    predict_bottoms = 3

    def plan(self, *bottoms: Shape) -> Plan:
        p, (loc, conf, priors, truth) = self.params, bottoms
        count = check_predictions(loc, conf, priors, p.loc_classes, p.num_classes)
        if len(truth) != 4 or truth[3] != 8:
            raise ShapeError(f"bottom 3 must be the ground truth, 1x1x(objects)x8, not {shape_text(truth)}", "bottom")
        n = loc[0]
        return Plan(
            tops=[()],
            scratch=[
                Scratch("loc_slope", (n, p.loc_classes, count, 4), keep=True),
                Scratch("conf_slope", (n, count, p.num_classes), keep=True),
                Scratch("targets", (n, count, p.num_classes), "bool"),
                Scratch("divisor", (), keep=True),
            ],
            gradients=(True, True, False, False),
            reads_bottoms=(),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        p, n = self.params, bottom[0].shape[0]
        if not n:
            self.scratch.divisor[...], top[0].data[...] = 1, 0
            return
        truths = read_ground_truth(bottom[3].data, n, p)
        priors = read_priors(bottom[2].data)
        count = len(priors[0])
        loc_slope, conf_slope = self.scratch.loc_slope, self.scratch.conf_slope  # what backward hands on
        offsets = np.moveaxis(bottom[0].data.reshape(n, count, p.loc_classes, 4), 2, 1)  # (N, L, P, 4)
        confidences = bottom[1].data.reshape(n, count, p.num_classes)

        found = [self._match(priors, offsets[i], truth) for i, truth in enumerate(truths)]
        matches = np.stack([numbers for numbers, _ in found])  # (N, L, P)
        self._write_targets(matches, truths, self.scratch.targets)
        conf_loss = self._conf_loss(confidences, self.scratch.targets, conf_slope)  # (N, P)
        loc_loss = self._loc_loss(priors, offsets, matches, truths, loc_slope)  # (N, L, P)
        if p.mining_type != "NONE":
            losses = conf_loss + loc_loss[:, 0] if p.mining_type == "HARD_EXAMPLE" else conf_loss
            counts = np.zeros((n, count), bool)
            for i, truth in enumerate(truths):
                if len(truth.labels):  # an image without objects has no examples
                    counts[i] = self._mine(priors, offsets[i, 0], matches[i, 0], found[i][1], losses[i])
            counts |= matches[:, 0] > UNMATCHED
            conf_loss[~counts], conf_slope[~counts] = 0, 0
            loc_loss[matches <= UNMATCHED], loc_slope[matches <= UNMATCHED] = 0, 0

        matched = int(np.count_nonzero(matches > UNMATCHED))
        self.scratch.divisor[...] = divisor(p, "VALID", n, n * count, matched)
        top[0].data[...] = (p.loc_weight * loc_loss.sum() + conf_loss.sum()) / self.scratch.divisor

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        scale = top[0].diff / self.scratch.divisor
        if propagate_down[0]:
            slope = np.moveaxis(self.scratch.loc_slope, 1, 2)  # (N, P, L, 4)
            np.multiply(slope.reshape(bottom[0].shape), self.params.loc_weight * scale, out=bottom[0].diff)
        if propagate_down[1]:
            np.multiply(self.scratch.conf_slope.reshape(bottom[1].shape), scale, out=bottom[1].diff)

    jvp = scalar

    def _boxes(self, priors: tuple[Array, Array], offsets: Array) -> Array:
        """The predicted boxes."""
        boxes, variances = priors
        scale = 1.0 if self.params.encode_variance_in_target else variances
        return decode(self.params.code_type, boxes, offsets, scale)

    def _match(self, priors: tuple[Array, Array], offsets: Array, truth: Truth) -> tuple[Array, Array]:
        """An image's matches (L, P), and the priors' greatest overlaps with an object (P,)."""
        p = self.params
        how = (p.match_type, p.overlap_threshold, p.ignore_cross_boundary_bbox)
        if p.share_location or p.use_prior_for_matching:
            boxes = priors[0] if p.use_prior_for_matching else self._boxes(priors, offsets[0])
            numbers, overlap = match(boxes, truth.boxes, *how)
            return (numbers[None] if p.share_location else spread(numbers, truth.labels, p.num_classes)), overlap
        matches = np.full(offsets.shape[:2], UNMATCHED)
        for label in set(truth.labels.tolist()):
            (own,) = np.nonzero(truth.labels == label)
            numbers, _ = match(self._boxes(priors, offsets[label]), truth.boxes[own], *how)
            matches[label] = np.where(numbers > UNMATCHED, own[numbers], numbers)
        return matches, np.zeros(offsets.shape[1])  # there is no mining that needs overlaps

    def _write_targets(self, matches: Array, truths: list[Truth], targets: Array) -> None:
        """Write which classes each prior is of: (N, P, C), True or False."""
        p = self.params
        targets[...] = False
        for i, label, prior in np.argwhere(matches > UNMATCHED):
            if p.conf_loss_type == "SOFTMAX":
                targets[i, prior] = False  # where boxes of several classes are matched, the last one's class counts
            targets[i, prior, truths[i].labels[matches[i, label, prior]]] = True
        # In SSD, LOGISTIC teaches priors without an object to be background only where they were mined.
        if p.background_label_id >= 0 and (p.conf_loss_type == "SOFTMAX" or p.mining_type != "NONE"):
            targets[..., p.background_label_id] |= ~targets.any(-1)

    def _conf_loss(self, x: Array, targets: Array, slope: Array) -> Array:
        """The cross entropy of each prior (N, P), from scores and targets (N, P, C); writes its derivative by x."""
        if self.params.conf_loss_type == "SOFTMAX":
            np.exp(np.subtract(x, x.max(-1, keepdims=True), out=slope), out=slope)
            slope /= slope.sum(-1, keepdims=True)
            loss: Array = -np.log(np.maximum(slope.sum(-1, where=targets), np.finfo(x.dtype).tiny))
        else:
            power = np.exp(-np.abs(x))  # the sigmoid of -|x| is power / (1 + power): nothing overflows
            np.divide(np.where(x >= 0, 1, power), 1 + power, out=slope)
            loss = (np.maximum(x, 0) - x * targets + np.log1p(power)).sum(-1)
        slope -= targets
        return loss

    def _loc_loss(
        self, priors: tuple[Array, Array], offsets: Array, matches: Array, truths: list[Truth], slope: Array
    ) -> Array:
        """The loss of each box's coordinates (N, L, P), 0 where there is no match; writes its derivative by offsets."""
        p, loss = self.params, np.zeros(matches.shape, offsets.dtype)
        slope[...] = 0
        at = np.nonzero(matches > UNMATCHED)
        if not len(at[0]):
            return loss
        boxes, variances = priors[0][at[2]], priors[1][at[2]]  # (M, 4), as all that follows
        objects = np.stack([truths[i].boxes[number] for i, number in zip(at[0], matches[at], strict=True)])
        inner, outer = (1.0, 1 / variances) if p.encode_variance_in_target else (variances, 1.0)
        difference = (offsets[at] - encode(p.code_type, boxes, objects, inner)) * outer
        if p.bp_inside:
            judged = boxes if p.use_prior_for_matching else self._boxes((boxes, variances), offsets[at])
            difference[outside(judged)] = 0
        steepest = 1 if p.loc_loss_type == "SMOOTH_L1" else np.inf
        gradient = np.clip(difference, -steepest, steepest)
        loss[at] = (gradient * (difference - gradient / 2)).sum(-1)
        slope[at] = gradient * outer
        return loss

    def _mine(
        self, priors: tuple[Array, Array], offsets: Array, matches: Array, overlap: Array, losses: Array
    ) -> Array:
        """Which priors of an image are examples of the background; undoes matches that are not chosen."""
        p = self.params
        boxes = priors[0] if p.use_prior_for_nms or p.nms_param is None else self._boxes(priors, offsets)
        return mine(p, matches, overlap, losses, boxes)
