"""Cases of MultiBoxLoss. The formula follows the paper and SSD's prototxt one prior and object at a time."""

import math

import numpy as np
from box_tools import area, decoded, encoded, iou, priors_for

from layerkit.checks import Case

IMAGES, PRIORS, CLASSES = 3, 12, 5
ROWS, COLUMNS, SHAPES = 2, 3, 2

OBJECTS = np.array(
    [
        # image, label, instance, xmin, ymin, xmax, ymax, difficult
        [0, 2, 0, 0.08, 0.05, 0.34, 0.41, 0],
        [0, 4, 0, 0.55, 0.52, 0.93, 0.97, 1],
        [0, 2, 1, 0.38, 0.10, 0.66, 0.44, 0],
        [-1, 0, 0, 0.0, 0.0, 0.0, 0.0, 0],
        [1, 3, 0, 0.02, 0.44, 0.57, 0.99, 0],
        [1, 1, 0, 0.70, 0.10, 0.98, 0.43, 0],
    ]
)[None, None]


def matched(boxes, objects, params):
    """For each box the number of its object (-1: none, -2: ignored), and its greatest overlap with one."""
    numbers, shared = [-1] * len(boxes), [[iou(box, thing) for thing in objects] for box in boxes]
    if objects and params.ignore_cross_boundary_bbox:
        numbers = [-2 if min(box) < 0 or max(box) > 1 else -1 for box in boxes]
    pairs = [(shared[i][j], -i, -j) for i in range(len(boxes)) for j in range(len(objects))]
    taken = set()
    for overlap, i, j in sorted(pairs, reverse=True):  # greedily, the greatest overlap first
        if overlap > 1e-6 and numbers[-i] == -1 and -j not in taken:
            numbers[-i] = -j
            taken.add(-j)
    least = max(params.overlap_threshold, 1e-6)
    for i, row in enumerate(shared):
        if params.match_type == "PER_PREDICTION" and numbers[i] == -1 and max(row, default=0) >= least:
            numbers[i] = row.index(max(row))
    return numbers, [0 if n == -2 else max(row, default=0) for n, row in zip(numbers, shared, strict=True)]


def class_loss(scores, classes, params):
    """Cross entropy of one prior, which is of the given classes."""
    if params.conf_loss_type == "SOFTMAX":
        return math.log(sum(math.exp(score) for score in scores)) - scores[classes[-1]]
    p = [1 / (1 + math.exp(-score)) for score in scores]
    return -sum(math.log(p[k] if k in classes else 1 - p[k]) for k in range(len(scores)))


def box_loss(offsets, prior, variance, thing, params):
    ones = [1] * 4
    inner, outer = (ones, variance) if params.encode_variance_in_target else (variance, ones)
    judged = prior if params.use_prior_for_matching else decoded(params.code_type, prior, offsets, inner)
    total = 0
    for k, target in enumerate(encoded(params.code_type, prior, thing, inner)):
        d = abs(offsets[k] - target) / outer[k]
        if params.bp_inside and not 0 <= judged[k] <= 1:
            d = 0
        total += d * d / 2 if params.loc_loss_type == "L2" or d < 1 else d - 0.5
    return total


def mined(numbers, overlap, losses, boxes, params):
    """The priors that are examples of the background, and those whose matches stay."""
    matches = [i for i, number in enumerate(numbers) if number >= 0]
    if params.mining_type == "MAX_NEGATIVE":
        able = [i for i, n in enumerate(numbers) if n == -1 and overlap[i] < params.neg_overlap]
        most = int(len(matches) * params.neg_pos_ratio)
    else:
        able, most = list(range(len(numbers))), params.sample_size
    order = sorted(able, key=lambda i: -losses[i])
    nms = params.nms_param
    if nms is not None and nms.nms_threshold > 0:
        top, order = order[: nms.top_k] if nms.top_k >= 0 else order, []
        for i in top:
            if area(boxes[i]) >= 1e-5 and all(iou(boxes[i], boxes[j]) <= nms.nms_threshold for j in order):
                order.append(i)
    chosen = order[:most]
    background = [i for i in chosen if numbers[i] == -1]
    if params.mining_type == "HARD_EXAMPLE":
        matches = [i for i in matches if i in chosen]
    return background, matches


def multibox(bottoms, weights, params):
    loc, conf, (priors, variances), rows = (
        bottoms[0],
        bottoms[1],
        bottoms[2][0].reshape(2, -1),
        bottoms[3].reshape(-1, 8),
    )
    n, p = len(loc), len(priors.ravel()) // 4
    boxes_of = params.num_classes if not params.share_location else 1
    loc, conf = loc.reshape(n, p, boxes_of, 4), conf.reshape(n, p, -1)
    priors, variances = priors.reshape(p, 4).tolist(), variances.reshape(p, 4).tolist()
    scale = [[1] * 4] * p if params.encode_variance_in_target else variances
    background = params.background_label_id
    loc_sum, conf_sum, number = 0.0, 0.0, 0
    for image in range(n):
        own = [row for row in rows if row[0] == image and (params.use_difficult_gt or not row[7])]
        objects = [row[3:7].tolist() for row in own]
        labels = [background + 1 if params.map_object_to_agnostic else int(row[1]) for row in own]
        predicted = [[decoded(params.code_type, *each) for each in zip(priors, loc[image, :, c], scale, strict=True)]
                     for c in range(boxes_of)]  # fmt: skip

        # (prior, which of its boxes, object) of every match
        if params.share_location or params.use_prior_for_matching:
            numbers, overlap = matched(priors if params.use_prior_for_matching else predicted[0], objects, params)
            found = [(i, 0 if params.share_location else labels[g], g) for i, g in enumerate(numbers) if g >= 0]
        else:
            found = []
            for c in range(boxes_of):
                mine = [g for g, label in enumerate(labels) if label == c]
                numbers, _ = matched(predicted[c], [objects[g] for g in mine], params)
                found += [(i, c, mine[g]) for i, g in enumerate(numbers) if g >= 0]
        of = {i: [labels[g] for j, _, g in found if j == i] for i in range(p)}
        loc_losses = {
            (i, c): box_loss(loc[image, i, c], priors[i], variances[i], objects[g], params) for i, c, g in found
        }

        if params.mining_type == "NONE":
            rest = [background] if params.conf_loss_type == "SOFTMAX" else []
            conf_sum += sum(class_loss(conf[image, i], of[i] or rest, params) for i in range(p))
        else:
            rest = [background] if background >= 0 else []
            losses = [class_loss(conf[image, i], of[i] or rest, params) for i in range(p)]
            judged = losses
            if params.mining_type == "HARD_EXAMPLE":
                judged = [loss + loc_losses.get((i, 0), 0) for i, loss in enumerate(losses)]
            boxes = priors if params.use_prior_for_nms else predicted[0]
            negative, positive = mined(numbers, overlap, judged, boxes, params) if objects else ([], [])
            conf_sum += sum(losses[i] for i in negative + positive)
            loc_losses = {key: loss for key, loss in loc_losses.items() if key[0] in positive}
        loc_sum += sum(loc_losses.values())
        number += len(loc_losses)
    mode = params.normalization or {None: "VALID", True: "VALID", False: "BATCH_SIZE"}[params.normalize]
    by = {"FULL": n * p, "VALID": number, "BATCH_SIZE": n, "NONE": 1}[mode]
    return [(params.loc_weight * loc_sum + conf_sum) / max(1, by)]


def case(name, *, boxes=1, classes=CLASSES, trailing=(), objects=OBJECTS, **params):
    """`trailing` are axes of 1 behind the predictions, the first of them also behind the priors."""
    bottoms = [
        (IMAGES, PRIORS * boxes * 4, *trailing),
        (IMAGES, PRIORS * classes, *trailing),
        priors_for(ROWS, COLUMNS, SHAPES, trailing[:1]),
        objects,
    ]
    params = {"num_classes": classes, **params}
    return Case("MultiBoxLoss", name, bottoms, params, formula=multibox)


OWN = {"boxes": CLASSES, "share_location": False, "mining_type": "NONE"}
HARD = {"mining_type": "HARD_EXAMPLE", "sample_size": 7}
MORE = {"overlap_threshold": 0.2}  # more matches

CASES = [
    case("plain"),
    case("three axes, priors four", trailing=(1,)),
    case("four axes, priors too", trailing=(1, 1)),
    case("L2", loc_loss_type="L2"),
    case("loc weight", loc_weight=2.5),
    case("bipartite", match_type="BIPARTITE", **MORE),
    case("overlap threshold", **MORE),
    case("match predictions", use_prior_for_matching=False, **MORE),
    case("no difficult objects", use_difficult_gt=False, **MORE),
    case("no objects", objects=OBJECTS[:, :, 3:4]),
    case("no objects, no mining", objects=OBJECTS[:, :, 3:4], mining_type="NONE"),
    case("corner size", code_type="CORNER_SIZE", **MORE),
    case("center size", code_type="CENTER_SIZE", **MORE),
    case("center size, match predictions", code_type="CENTER_SIZE", use_prior_for_matching=False, **MORE),
    case("variance in target", encode_variance_in_target=True, code_type="CENTER_SIZE", **MORE),
    case("variance in target, L2", encode_variance_in_target=True, loc_loss_type="L2", **MORE),
    case("ignore cross boundary", ignore_cross_boundary_bbox=True, **MORE),
    case("inside", bp_inside=True, overlap_threshold=0.1),
    case("inside, match predictions", bp_inside=True, use_prior_for_matching=False, overlap_threshold=0.1),
    case("no mining", mining_type="NONE", **MORE),
    case("older word for no mining", mining_type="NONE", do_neg_mining=False),
    case("older word for mining", do_neg_mining=True),
    case("few negatives", neg_pos_ratio=0.7, **MORE),
    case("negative overlap", neg_overlap=0.05),
    case("thinned by predictions", nms_param={"nms_threshold": 0.2}, neg_pos_ratio=2.0),
    case("thinned by priors", nms_param={"nms_threshold": 0.2}, use_prior_for_nms=True, neg_pos_ratio=2.0),
    case("thinned top k", nms_param={"nms_threshold": 0.4, "top_k": 4}, use_prior_for_nms=True),
    case("not thinned", nms_param={"nms_threshold": 0.0, "top_k": 1}),
    case("hard examples", **HARD, **MORE),
    case("hard examples, L2", loc_loss_type="L2", **HARD, **MORE),
    case("hard examples, thinned", mining_type="HARD_EXAMPLE", sample_size=4, nms_param={"nms_threshold": 0.2},
         use_prior_for_nms=True, **MORE),
    case("hard examples, ignore cross boundary", ignore_cross_boundary_bbox=True, **HARD, **MORE),
    case("hard examples, all", mining_type="HARD_EXAMPLE", **MORE),
    case("logistic", conf_loss_type="LOGISTIC", **MORE),
    case("logistic, no mining", conf_loss_type="LOGISTIC", mining_type="NONE", **MORE),
    case("logistic, hard examples", conf_loss_type="LOGISTIC", **HARD, **MORE),
    case("logistic, no background", conf_loss_type="LOGISTIC", background_label_id=-1, **MORE),
    case("another background", background_label_id=5, classes=6, **MORE),
    case("agnostic", map_object_to_agnostic=True, classes=2, **MORE),
    case("agnostic, no background", map_object_to_agnostic=True, classes=1, background_label_id=-1,
         conf_loss_type="LOGISTIC", **MORE),
    case("own locations", **OWN, **MORE),
    case("own locations, match predictions", use_prior_for_matching=False, overlap_threshold=0.02, **OWN),
    case("own locations, logistic", use_prior_for_matching=False, conf_loss_type="LOGISTIC", overlap_threshold=0.02,
         **OWN),
    case("own locations, ignore cross boundary", ignore_cross_boundary_bbox=True, **OWN, **MORE),
    case("full", normalization="FULL"),
    case("valid", normalization="VALID"),
    case("batch size", normalization="BATCH_SIZE"),
    case("none", normalization="NONE"),
    case("normalize", normalize=True),
    case("do not normalize", normalize=False),
]  # fmt: skip
