"""Families for images: convolutions, plain or with shortcuts."""

from __future__ import annotations

from layerkit.blob import shape_text
from layerkit.errors import UsageError
from layerkit.starters.facts import Facts
from layerkit.starters.model import Model
from layerkit.starters.vectors import expect_classes, scores


def cnn(facts: Facts) -> Model:
    """Stages of a convolution, a bend and a pooling that halves the image, and a fully connected layer."""
    _expect_images(facts, "cnn")
    sizes = _stages(facts)
    lines = [f"    # Each stage halves the image, {_sizes(facts, len(sizes))}, and has more channels."]
    for i, out in enumerate(sizes, 1):
        bottom = " bottom: data," if i == 1 else ""
        lines.append(f"    - {{block: stage, name: stage{i},{bottom} out: {out}}}")
    lines += [
        "",
        "    # What the stages found anywhere in the image, together. Dropout leaves half of it out while training,",
        "    # so that nothing relies on one number alone.",
        "    - {name: fc, type: InnerProduct, num_output: 64, weight_filler: msra}",
        "    - {name: relu, type: ReLU}",
        "    - {name: drop, type: Dropout, dropout_ratio: 0.5}",
        "",
        "",
    ]
    about = "A small convolutional net"
    return Model(about, "\n".join(lines) + scores(facts), 0.002, _STAGE, mirror=True)


def resnet(facts: Facts) -> Model:
    """Stages of convolutions that learn what to add to what they are given."""
    _expect_images(facts, "resnet")
    sizes = _stages(facts)
    lines = [
        "    # The first layer keeps the image's size; each stage after the first halves it,"
        f" {_sizes(facts, len(sizes) - 1)}.",
        f"    - {{block: conv_bn, name: stem, bottom: data, out: {sizes[0]}}}",
        "    - {name: relu, type: ReLU, bottom: stem, top: stem}",
        f"    - {{block: residual, name: stage1, bottom: stem, out: {sizes[0]}}}",
    ]
    lines += [f"    - {{block: downsample, name: stage{i}, out: {out}}}" for i, out in enumerate(sizes[1:], 2)]
    lines += [
        "",
        "    # The mean of each channel over the image.",
        "    - {name: pool, type: Pooling, pool: AVE, global_pooling: true}",
        "",
        "",
    ]
    return Model("A small residual net", "\n".join(lines) + scores(facts), 0.002, _RESIDUAL, mirror=True)


def _expect_images(facts: Facts, family: str) -> None:
    expect_classes(facts, family)
    if not facts.is_image:
        what = "images, (C, H, W) with sides of at least 6"
        raise UsageError(f"the model family {family!r} needs {what}, not {shape_text(facts.shape)}; try --model mlp")


def _stages(facts: Facts) -> list[int]:
    """Channels of each stage: up to four stages that begin with 4 pixels or more."""
    side, channels = min(facts.seen[1:]), [16]
    while side >= 8 and len(channels) < 4:
        side, channels = side // 2, [*channels, 2 * channels[-1]]
    return channels


def _sizes(facts: Facts, halvings: int) -> str:
    """`28, 14, 7 pixels wide`."""
    widths = [facts.seen[2]]
    for _ in range(halvings):
        widths.append((widths[-1] + 1) // 2)
    return f"{', '.join(map(str, widths))} pixels wide"


_STAGE = """\
    stage:
      args: {out: int}
      layers:
        - {name: conv, type: Convolution, num_output: $out, kernel_size: 3, pad: 1, weight_filler: msra}
        - {name: relu, type: ReLU}
        - {name: pool, type: Pooling, pool: MAX, kernel_size: 2, stride: 2}
"""

_RESIDUAL = """\
    # A convolution, then BatchNorm, and the Scale that belongs to it.
    conv_bn:
      args: {out: int, kernel: 3, pad: 1, stride: 1}
      layers:
        - {name: conv, type: Convolution, num_output: $out, kernel_size: $kernel, pad: $pad, stride: $stride,
           bias_term: false, weight_filler: msra}
        - {name: bn, type: BatchNorm}
        - {name: scale, type: Scale, bias_term: true}
    # Two convolutions learn what is to be added to the bottom.
    residual:
      args: {out: int}
      layers:
        - {block: conv_bn, name: a, bottom: $bottom, out: $out}
        - {name: relu1, type: ReLU}
        - {block: conv_bn, name: b, out: $out}
        - {name: sum, type: Eltwise, bottom: [$bottom, b]}
        - {name: relu2, type: ReLU}
    # The same at half the size, to which a convolution of one pixel brings the bottom.
    downsample:
      args: {out: int}
      layers:
        - {block: conv_bn, name: short, bottom: $bottom, out: $out, kernel: 1, pad: 0, stride: 2}
        - {block: conv_bn, name: a, bottom: $bottom, out: $out, stride: 2}
        - {name: relu1, type: ReLU}
        - {block: conv_bn, name: b, out: $out}
        - {name: sum, type: Eltwise, bottom: [short, b]}
        - {name: relu2, type: ReLU}
"""
