"""Cases of the detection family but for MultiBoxLoss, and of SmoothL1Loss: formulas go box by box, in loops."""

import itertools
import math

import numpy as np
from box_tools import decoded, iou, priors_for

from layerkit.checks import Case


def smooth_l1(bottoms, weights, params):
    a, b, inside, outside = [*bottoms, *[np.ones_like(bottoms[0])] * (4 - len(bottoms))]
    total = 0.0
    for x, y, w_in, w_out in zip(a.ravel(), b.ravel(), inside.ravel(), outside.ravel(), strict=True):
        d = abs(w_in * (x - y))
        edge = 1 / params.sigma**2
        total += w_out * (d * d / (2 * edge) if d < edge else d - edge / 2)
    return [total / len(a)]


def prior_boxes(bottoms, weights, params):
    (rows, columns), (image_h, image_w) = bottoms[0].shape[2:], bottoms[1].shape[2:]
    if params.img_size or params.img_h:
        image_h, image_w = params.img_size or params.img_h, params.img_size or params.img_w
    step_h, step_w = image_h / rows, image_w / columns
    if params.step or params.step_h:
        step_h, step_w = params.step or params.step_h, params.step or params.step_w
    ratios = [1.0]
    for ratio in params.aspect_ratio:
        for each in [ratio, 1 / ratio] if params.flip else [ratio]:
            if each not in ratios:
                ratios.append(each)
    offsets = [(params.offset, params.offset)]
    if params.offset_h:
        offsets = [(params.offset_w[i], params.offset_h[i]) for i in range(len(params.offset_h))]
    values = []
    for row in range(rows):
        for column in range(columns):
            for i, least in enumerate(params.min_size):
                least = math.floor(least)
                widths_heights = [(least, least)]
                if params.max_size:
                    side = math.sqrt(least * math.floor(params.max_size[i]))
                    widths_heights.append((side, side))
                widths_heights += [(least * math.sqrt(r), least / math.sqrt(r)) for r in ratios[1:]]
                for (width, height), (across, down) in itertools.product(widths_heights, offsets):
                    x, y = (column + across) * step_w, (row + down) * step_h
                    values += [(x - width / 2) / image_w, (y - height / 2) / image_h]
                    values += [(x + width / 2) / image_w, (y + height / 2) / image_h]
    if params.clip:
        values = [min(max(value, 0), 1) for value in values]
    variances = params.variance * (len(values) // len(params.variance))
    return [np.array([[values, variances]])]


def thin_out(boxes, order, threshold, eta=1.0, limit=None, pixel=0.0):
    """Greedy suppression as the papers tell it: a box is kept if it overlaps no kept box too much."""
    kept = []
    for i in order:
        if limit is not None and len(kept) == limit:
            break
        if all(iou(boxes[i], boxes[j], pixel) <= threshold for j in kept):
            kept.append(i)
            threshold *= eta if threshold > 0.5 else 1
    return kept


def detections(bottoms, weights, params):
    n, p, classes = len(bottoms[0]), bottoms[2].shape[2] // 4, params.num_classes
    loc_classes = 1 if params.share_location else classes
    loc, conf = bottoms[0].reshape(n, p, loc_classes, 4), bottoms[1].reshape(n, p, classes)
    priors, variances = bottoms[2][0].reshape(2, p, 4)
    rows = []
    for image in range(n):
        found = []
        for label in range(classes):
            if label == params.background_label_id:
                continue
            part = 0 if params.share_location else label
            boxes = [
                decoded(
                    params.code_type,
                    priors[i],
                    loc[image, i, part],
                    [1] * 4 if params.variance_encoded_in_target else variances[i],
                )
                for i in range(p)
            ]
            boxes = [[min(max(value, 0), 1) for value in box] for box in boxes] if params.clip else boxes
            scores = conf[image, :, label]
            least = -math.inf if params.confidence_threshold is None else params.confidence_threshold
            order = sorted((i for i in range(p) if scores[i] > least), key=lambda i, s=scores: -s[i])
            nms = params.nms_param
            order = order[: nms.top_k] if nms.top_k >= 0 else order
            kept = thin_out(boxes, order, nms.nms_threshold, nms.eta)
            found += [[image, label, scores[i], *boxes[i]] for i in kept]
        if params.keep_top_k >= 0:
            best = sorted(found, key=lambda row: -row[2])[: params.keep_top_k]
            found = [row for row in found if row in best]
        rows += found
    rows = rows or [[image] + [-1] * 6 for image in range(n)]
    return [np.array([[rows]])]


def proposals(bottoms, weights, params):
    scores, deltas, images = bottoms
    count = len(params.ratio) * len(params.scale)
    rois, kept_scores = [], []
    for n in range(len(scores)):
        height, width, scale_h = images[n, :3]
        scale_w = images[n, 3] if images.shape[1] == 4 else scale_h
        boxes, values = [], []
        for row in range(scores.shape[2]):
            for column in range(scores.shape[3]):
                for k in range(count):
                    ratio, scale = params.ratio[k // len(params.scale)], params.scale[k % len(params.scale)]
                    w = round(math.sqrt(params.base_size**2 / ratio))
                    w, h = w * scale, round(w * ratio) * scale
                    x = column * params.feat_stride + (params.base_size - 1) / 2 - (w - 1) / 2  # of its left pixel
                    y = row * params.feat_stride + (params.base_size - 1) / 2 - (h - 1) / 2
                    dx, dy, dw, dh = deltas[n, 4 * k : 4 * k + 4, row, column]
                    x, y = x + w / 2 + dx * w, y + h / 2 + dy * h
                    w, h = w * math.exp(dw), h * math.exp(dh)
                    box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    box = [min(max(c, 0), (width, height)[i % 2] - 1) for i, c in enumerate(box)]
                    large = box[2] - box[0] + 1 >= params.min_size * scale_w
                    large = large and box[3] - box[1] + 1 >= params.min_size * scale_h
                    boxes.append(box)
                    values.append(scores[n, count + k, row, column] if large else 0.0)
        order = sorted(range(len(boxes)), key=lambda i, v=values: -v[i])[: params.pre_nms_topn]
        for i in thin_out(boxes, order, params.nms_thresh, limit=params.post_nms_topn, pixel=1):
            rois.append([n, *boxes[i]])
            kept_scores.append(values[i])
    return [np.array(rois), np.array(kept_scores)]


def proposals_alone(bottoms, weights, params):
    return proposals(bottoms, weights, params)[:1]


def smooth(name, shape, number=2, **params):
    return Case("SmoothL1Loss", name, [shape] * number, params, formula=smooth_l1)


MAP, DEEP = (2, 4, 5, 3), (2, 4, 5, 3, 6)


def prior(name, **params):
    return Case("PriorBox", name, [(2, 5, 3, 4), (2, 3, 30, 48)], {"min_size": 9, **params}, formula=prior_boxes)


def output(name, *, loc_classes=1, trailing=(), classes=3, **params):
    """Two images, ten priors; `trailing` are axes behind the predictions, the first of them also behind the priors."""
    priors = priors_for(1, 5, 2, trailing[:1])
    bottoms = [(2, 10 * 4 * loc_classes, *trailing), (2, 10 * classes, *trailing), priors]
    params = {"num_classes": classes, **params}
    return Case("DetectionOutput", name, bottoms, params, "test", formula=detections)


def proposal(name, *, images=1, num_tops=1, sizes=(50, 66, 1.5), **params):
    """A map of 3 x 4 places with 6 anchors each."""
    params = {"ratio": [0.5, 1, 2.5], "scale": [1, 2], "min_size": 8, **params}
    rows = [[size + 2 * i for size in sizes] for i in range(images)]
    bottoms = [(images, 12, 3, 4), (images, 24, 3, 4), np.array(rows)]
    formula = proposals if num_tops == 2 else proposals_alone
    return Case("Proposal", name, bottoms, params, "test", num_tops, formula, span=(-0.4, 1))


CASES = [
    smooth("plain", (4, 3)),
    smooth("one axis", (7,)),
    smooth("map", MAP),
    smooth("five axes", DEEP),
    smooth("sigma", MAP, sigma=3.0),
    smooth("wide", MAP, sigma=0.5),
    smooth("inside weights", MAP, 3),
    smooth("both weights", MAP, 4),
    smooth("both weights, sigma", (5, 4, 3), 4, sigma=2.0),
    prior("plain"),
    prior("size with a fraction", min_size=9.7, max_size=20.9),
    prior("max size", max_size=20),
    prior("aspect ratios", aspect_ratio=[2, 3]),
    prior("aspect ratios, repeated", aspect_ratio=[2, 1, 0.5, 2], max_size=20),
    prior("no flip", aspect_ratio=[2, 0.5, 3], flip=False),
    prior("several sizes", min_size=[9, 13], max_size=[20, 22], aspect_ratio=2),
    prior("clip", min_size=[12, 25], clip=True),
    prior("four variances", variance=[0.1, 0.2, 0.3, 0.4]),
    prior("one variance", variance=0.25, aspect_ratio=2),
    prior("image size", img_size=60),
    prior("image height and width", img_h=50, img_w=70),
    prior("step", step=8.0),
    prior("step height and width", step_h=8.0, step_w=11.0),
    prior("offset", offset=0.25),
    prior("offsets", offset_h=[0.5, 1, 0.25], offset_w=[0.5, 0.75, 0], aspect_ratio=2, max_size=20),
    output("plain"),
    output("three axes, priors four", trailing=(1,)),
    output("four axes, priors too", trailing=(1, 1)),
    output("corner size", code_type="CORNER_SIZE"),
    output("center size", code_type="CENTER_SIZE"),
    output("variance in target", code_type="CENTER_SIZE", variance_encoded_in_target=True),
    output("cut off", code_type="CENTER_SIZE", clip=True, nms_param={"nms_threshold": 0.2}),
    output("own locations", loc_classes=3, share_location=False),
    output("own locations, no background", loc_classes=3, share_location=False, background_label_id=-1),
    output("another background", background_label_id=1),
    output("no background", background_label_id=-1),
    output("one class", classes=1, background_label_id=-1),
    output("only a background", classes=1),
    output("threshold", nms_param={"nms_threshold": 0.05}),
    output("no suppression", nms_param={"nms_threshold": 1.0}),
    output("top k", nms_param={"top_k": 3}),
    output("top 0", nms_param={"top_k": 0}),
    output("adaptive", nms_param={"nms_threshold": 0.9, "eta": 0.7}, code_type="CENTER_SIZE"),
    output("keep top k", keep_top_k=4, nms_param={"nms_threshold": 0.9}),
    output("keep more than there are", keep_top_k=400),
    output("keep nothing", keep_top_k=0),
    output("confidence", confidence_threshold=0.5),
    output("confidence of none", confidence_threshold=2.0),
    proposal("plain", num_tops=2),
    proposal("one top"),
    proposal("several images", images=2, num_tops=2),
    proposal("scales apart", images=2, sizes=(50, 66, 1.5, 0.5), num_tops=2),
    proposal("stride", feat_stride=9, num_tops=2),
    proposal("base size", base_size=11, num_tops=2),
    proposal("min size", min_size=20, num_tops=2),
    proposal("few before", pre_nms_topn=20, num_tops=2),
    proposal("few after", post_nms_topn=3, images=2, num_tops=2),
    proposal("threshold", nms_thresh=0.3, num_tops=2),
    proposal("ratio and scale", images=1, ratio=[1, 0.3], scale=[0.5, 1.5, 3]),
]
