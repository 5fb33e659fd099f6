"""The event `debug_info` as the lines that Caffe prints."""

from __future__ import annotations

from collections.abc import Iterator

from layerkit.events import Event


def magnitude_lines(event: Event) -> Iterator[str]:
    """Caffe's lines, in its words and order, for scripts that read them; of weights it has the names, not numbers."""
    for each in event["forward"]:
        what = f"top blob {each['top']}" if "top" in each else f"param blob {each['weight']}"
        yield f"    [Forward] Layer {each['layer']}, {what} data: {each['data']:.6g}"
    for each in event["backward"]:
        what = f"bottom blob {each['bottom']}" if "bottom" in each else f"param blob {each['weight']}"
        yield f"    [Backward] Layer {each['layer']}, {what} diff: {each['diff']:.6g}"
    pairs = {name: "({:.6g}, {:.6g})".format(*pair) for name, pair in event["norms"].items()}
    yield f"    [Backward] All net params (data, diff): L1 norm = {pairs['l1']}; L2 norm = {pairs['l2']}"
    for each in event["update"]:
        where = f"Layer {each['layer']}, param {each['weight']}"
        yield f"    [Update] {where} data: {each['data']:.6g}; diff: {each['diff']:.6g}"
