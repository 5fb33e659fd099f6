"""Records how many weights PyTorch's models have, and how many multiply-adds it counts in them, for one image.

    pip install . torch==2.14.1 torchvision==0.29.1
    python tools/record_torch_counts.py

`bench` are the nets of `bench/nets/`, built as torch modules as `bench.py` builds them; `torchvision` are that
package's models of the same name as a shipped config. PyTorch's own FlopCounterMode watches a pass over tensors without
memory: it counts the products of matrices and convolutions that really run, and knows nothing of layerkit's formulas.
The counts go to `tests/torch_reference_counts.json`.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torchvision
from bench import job, nets
from bench.torch_model import Builder
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

FILE = Path(__file__).parents[1] / "tests" / "torch_reference_counts.json"
MODELS = ("resnet18", "vgg16", "mobilenet_v2")
"""Those whose layers are the configs'. Others differ: AlexNet is of 2014, GoogLeNet has BatchNorm, ResNet-50 other
strides."""


def counts(model: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Learned numbers, and multiply-adds of a forward pass over one sample of this shape."""
    model = model.to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, *shape, device="meta"))
    flops = counter.get_total_flops()  # two for each multiply-add
    return {"weights": sum(each.numel() for each in model.parameters()), "multiply_adds": flops // 2}


def of_bench(name: str) -> dict[str, int]:
    """The counts of a net that is measured."""
    graph = nets.train_graph(name)
    model, _ = Builder(job.plain_layers(graph.nodes)).build()
    return counts(model, graph.nodes[0].plan.tops[0][1:])


def main() -> None:
    """Write the file."""
    found = {
        "bench": {name: of_bench(name) for name in nets.NAMES},
        "torchvision": {name: counts(torchvision.models.get_model(name), (3, 224, 224)) for name in MODELS},
    }
    FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
