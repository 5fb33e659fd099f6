"""Records what tests/test_onnx_import.py reads: small PyTorch nets as ONNX models, with what PyTorch answers.

    python tools/record_onnx.py [folder [name ...]]

Needs `pip install torch onnx onnxscript` in an environment of its own. Each net is of the shape of a known one, but
narrow and on small images, so that a model has a few kB. It is exported by both of PyTorch's exporters, which write
the same net in different words: NAME.onnx and NAME_traced.onnx, which a net with loops does not have; NAME.npz holds an
input and the answer.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch._higher_order_ops.scan import scan

FOLDER = Path(__file__).parents[1] / "tests" / "onnx_reference"


def alexnet() -> nn.Module:
    """Krizhevsky et al. 2012: large kernels and strides, overlapping poolings, responses normalized, dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2, padding=2),
        nn.ReLU(inplace=True),
        nn.LocalResponseNorm(5, alpha=1e-2, beta=0.75, k=2.0),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(6, 8, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(72, 10),
        nn.ReLU(inplace=True),
        nn.Linear(10, 5),
        nn.Softmax(dim=1),
    )


def vgg() -> nn.Module:
    """Simonyan and Zisserman 2014: pairs of 3 by 3 convolutions between poolings of 2 by 2."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (4, 6):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 36, 8), nn.ReLU(), nn.Linear(8, 5))


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> (N, outputs, H / stride, W / stride)."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


def resnet() -> nn.Module:
    """He et al. 2015: blocks beside shortcuts, a mean over all places at the end."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 7, 2, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        Residual(4, 4, 1),
        Residual(4, 6, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


class Inverted(nn.Module):
    """A wide depthwise convolution between two narrow ends."""

    def __init__(self, inputs: int, outputs: int, stride: int, wider: int):
        super().__init__()
        width = inputs * wider
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(inplace=True),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> (N, outputs, H / stride, W / stride)."""
        return x + self.body(x) if self.adds else self.body(x)


class MobileNet(nn.Module):
    """Sandler et al. 2018."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU6(inplace=True),
            Inverted(4, 4, 1, 2),
            Inverted(4, 6, 2, 3),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(6, 5))

    def forward(self, x: Any) -> Any:
        """(N, 3, H, W) -> (N, 5)."""
        return self.classifier(self.features(x).mean([2, 3]))


class Parts(nn.Module):
    """What the others lack: joined and cut channels, larger images, padding, other activations, a product of two."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=(1, 1), dilation=1)
        self.up = nn.ConvTranspose2d(8, 6, 4, 2, 1)
        self.slope = nn.PReLU(6)
        self.norm = nn.LayerNorm(5)
        self.last = nn.Linear(6 * 16, 5)

    def forward(self, x: Any) -> Any:
        """(N, 3, 5, 5) -> (N, 5)."""
        both = torch.cat([nn.functional.elu(self.left(x)), torch.sigmoid(self.right(x))], 1)
        wide = self.slope(self.up(nn.functional.pad(both, (0, 1, 1, 0))))
        first, second = wide.split([2, 4], 1)
        wide = torch.cat([second, torch.tanh(first) * 0.5 + 1.0], 1)
        wide = nn.functional.leaky_relu(nn.functional.avg_pool2d(wide, 4, 4, 2), 0.1)
        flat = wide.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
        return torch.clamp(self.norm(self.last(flat)), -1, 1)


class Sequence(nn.Module):
    """Recurrence both ways over the places of an enlarged image, GELU, steps, single places and largest values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.lstm = nn.LSTM(4, 3, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(6, 4, batch_first=True)
        self.last = nn.Linear(4, 5)

    def forward(self, x: Any) -> Any:
        """(N, 3, 5, 5) -> (N, 5)."""
        wide = nn.functional.interpolate(x, scale_factor=(1.6, 2), mode="bilinear", align_corners=False)
        places = nn.functional.gelu(self.conv(wide)).flatten(2).permute(0, 2, 1)[:, 1::3]  # (N, 7, 4)
        y = self.gru(self.lstm(places)[0])[0]
        y = torch.where(y > 0.1, torch.sin(y), torch.minimum(y, torch.erf(y)) - 0.5)
        return self.last(y[:, -1] * y.amax(1) + y[:, 0])


class Loops(nn.Module):
    """A cell of its own that goes through the rows of an image, and a choice between two heads for the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.across = nn.Linear(15, 4), nn.Linear(4, 4, bias=False)
        self.one, self.other = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, x: Any) -> Any:
        """(N, 3, 5, 5) -> (N, 5)."""

        def step(h: Any, row: Any) -> tuple[Any, Any]:
            h = torch.tanh(self.inner(row) + self.across(h))
            return h, torch.relu(h)

        rows = x.permute(2, 0, 1, 3).flatten(2)  # (5, N, 15)
        h, y = scan(step, torch.zeros(x.shape[0], 4), rows)
        h = h + y.sum(0)
        return torch.cond(x.abs().mean() < 9, lambda h: torch.sigmoid(self.one(h)), lambda h: self.other(h) - 1, (h,))


NETS = {
    "alexnet": (alexnet, 33),
    "vgg": (vgg, 22),
    "resnet": (resnet, 31),
    "mobilenet": (MobileNet, 17),
    "parts": (Parts, 5),
    "sequence": (Sequence, 5),
    "loops": (Loops, 5),
}
NOT_TRACED = {"loops"}
"""Nets that only the newer exporter writes."""


def record(name: str, folder: Path) -> None:
    """Write one net's models, its input and its answer."""
    make, size = NETS[name]
    torch.manual_seed(len(name))
    net = make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low in (
                (module.running_mean, -0.5),
                (module.running_var, 0.5),
                (module.weight, 0.5),
                (module.bias, -0.5),
            ):
                nn.init.uniform_(values, low, low + 1)
    net.eval()
    x = torch.randint(-8, 9, (2, 3, size, size)) / 4
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.savez_compressed(folder / f"{name}.npz", x=x.numpy(), y=net(x).numpy())
        names = {"input_names": ["data"], "output_names": ["scores"]}
        batch = (
            {"x": {0: torch.export.Dim("batch")}}
            if not isinstance(net, nn.Sequential)
            else ({0: torch.export.Dim("batch")},)
        )
        program = torch.onnx.export(net, (x,), dynamo=True, dynamic_shapes=batch, external_data=False, **names)
        program.save(folder / f"{name}.onnx")
        strip(folder / f"{name}.onnx")
        if name in NOT_TRACED:
            return
        axes = {"data": {0: "batch"}, "scores": {0: "batch"}}
        plain = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}  # BatchNormalization stays
        path = folder / f"{name}_traced.onnx"
        torch.onnx.export(net, (x,), path, dynamo=False, dynamic_axes=axes, **plain, **names)
        strip(path)


def strip(path: Path) -> None:
    """Take out what PyTorch notes of its own sources, and the shapes, which a reader has to find by itself."""
    model = onnx.load(path)
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    target.mkdir(exist_ok=True)
    for each in sys.argv[2:] or NETS:
        record(each, target)
