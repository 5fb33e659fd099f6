"""Every kernel of the oneDNN engine against the layers' own code: alone for every case, in chains, and by shape."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES

import layerkit as lk
from layerkit import engines
from layerkit.checks import Case, check_engine, prepare
from layerkit.engines import Work
from layerkit.engines.onednn import OneDnnEngine
from layerkit.engines.onednn.kernels.lrn import LRN
from layerkit.graph import Ref
from layerkit.programs import implementations

pytestmark = pytest.mark.skipif(
    engines.missing("onednn") is not None, reason=f"oneDNN cannot run here: {engines.missing('onednn')}"
)

HAVE_KERNELS = {
    "AbsVal",
    "BatchNorm",
    "Clip",
    "Concat",
    "Convolution",
    "Deconvolution",
    "DepthwiseConvolution",
    "ELU",
    "Eltwise",
    "Exp",
    "Flatten",
    "GELU",
    "HardSwish",
    "InnerProduct",
    "LRN",
    "LayerNorm",
    "MatMul",
    "PReLU",
    "Pooling",
    "Power",
    "ReLU",
    "ReLU6",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "SoftmaxWithLoss",
    "Swish",
    "TanH",
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kernel_computes_what_the_layer_does(case):
    kernel = check_engine(case, engines.choose("onednn"))
    if case.layer_type.__name__ not in HAVE_KERNELS:
        assert kernel is None


def test_the_types_that_have_kernels_have_them_for_the_cases_that_matter():
    found = {case.layer_type.__name__ for case in CASES if check_engine(case, engines.choose("onednn")) is not None}
    assert found == HAVE_KERNELS


class WithOwnLRN(OneDnnEngine):
    """The engine as it is with AVX-512, where oneDNN's own LRN is fast in both directions."""

    def kernel(self, work):
        return LRN(self.context, work, work.layer.params.norm_region == "ACROSS_CHANNELS")


@pytest.mark.parametrize("case", [c for c in CASES if c.type == "LRN" and len(c.bottoms[0]) == 4], ids=str)
def test_the_lrn_that_runs_on_other_machines(case):
    assert isinstance(check_engine(case, WithOwnLRN()), LRN)


ZERO_AND_AROUND = np.array([[0, -1e-6, 1e-6, -1], [-0.0, 1, 2, -2], [0.5, -0.5, 0, -0.0]])
AT_KINKS = [
    Case("AbsVal", "at-0", [ZERO_AND_AROUND], no_formula="numpy's are tested"),
    Case("Clip", "at-bounds", [ZERO_AND_AROUND], {"min": -1, "max": 2}, no_formula="numpy's are tested"),
    Case("Clip", "at-0", [ZERO_AND_AROUND], {"min": 0, "max": 0.5}, no_formula="numpy's are tested"),
    Case("ELU", "at-0", [ZERO_AND_AROUND], {"alpha": 0.3}, no_formula="numpy's are tested"),
    Case("HardSwish", "at-3", [ZERO_AND_AROUND * 3], no_formula="numpy's are tested"),
    Case("PReLU", "at-0", [ZERO_AND_AROUND], no_formula="numpy's are tested"),
]


@pytest.mark.parametrize("case", AT_KINKS, ids=str)
def test_a_kernel_is_the_layer_at_kinks_too(case):
    assert check_engine(case, engines.choose("onednn")) is not None


FAR_OUT = np.array([-1e4, -200, -100, -88, -50, -20, 20, 50, 88, 100, 200, 1e4])


@pytest.mark.parametrize(
    ("type_", "params"),
    [
        ("AbsVal", {}),
        ("Clip", {"min": -30, "max": 70}),
        ("ELU", {"alpha": 0.4}),
        ("GELU", {}),
        ("GELU", {"approximate": "TANH"}),
        ("HardSwish", {}),
        ("Swish", {}),
        ("Swish", {"beta": 1.7}),
    ],
)
def test_a_kernel_is_the_layer_far_out_too(type_, params):
    lone, plain = (prepare(Case(type_, "far", [FAR_OUT], params, no_formula="compared"), np.float32) for _ in range(2))
    work = Work((lone.layer,), (FAR_OUT.shape,), (FAR_OUT.shape,), True)
    kernel = engines.choose("onednn").kernel(work)
    kernel.forward(lone.bottom, lone.top)()
    np.testing.assert_allclose(lone.top[0].data, plain.forward()["top 0"], rtol=1e-6, atol=1e-7)
    kernel.backward(lone.top, [True], lone.bottom, [frozenset()])()
    np.testing.assert_allclose(lone.bottom[0].diff, *plain.backward([0]).values(), rtol=1e-5, atol=1e-7)


CHAINS = {
    "conv, relu": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, pad: 1, weight_filler: xavier}
- {name: r, type: ReLU}
""",
    "conv, leaky relu": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, group: 1, weight_filler: xavier}
- {name: r, type: ReLU, negative_slope: 0.1}
""",
    "conv, relu6": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 2, stride: 2, weight_filler: {type: gaussian, std: 3}}
- {name: r, type: ReLU6}
""",
    "deconv, relu": """
- {name: c, type: Deconvolution, num_output: 5, kernel_size: 4, stride: 2, pad: 1, weight_filler: xavier}
- {name: r, type: ReLU}
""",
    "deconv without bias, relu6": """
- {name: c, type: Deconvolution, num_output: 6, group: 3, kernel_size: 2, bias_term: false, weight_filler: xavier}
- {name: r, type: ReLU6}
""",
    "depthwise, norm, scale, relu6": """
- {name: c, type: DepthwiseConvolution, num_output: 3, kernel_size: 3, bias_term: false, weight_filler: xavier}
- {name: n, type: BatchNorm}
- {name: s, type: Scale, bias_term: true}
- {name: r, type: ReLU6}
""",
    "inner product, relu": """
- {name: c, type: InnerProduct, num_output: 5, weight_filler: xavier}
- {name: r, type: ReLU}
""",
    "norm, relu": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, bias_term: false, weight_filler: xavier}
- {name: n, type: BatchNorm}
- {name: r, type: ReLU}
""",
    "norm, relu6": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, bias_term: false, weight_filler: xavier}
- {name: n, type: BatchNorm}
- {name: r, type: ReLU6}
""",
    "norm, scale, relu": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, weight_filler: xavier}
- {name: n, type: BatchNorm}
- {name: s, type: Scale, bias_term: true}
- {name: r, type: ReLU}
""",
    "norm, scale, relu6": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, weight_filler: xavier}
- {name: n, type: BatchNorm}
- {name: s, type: Scale}
- {name: r, type: ReLU6}
""",
    "norm, scale": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, weight_filler: xavier}
- {name: n, type: BatchNorm}
- {name: s, type: Scale, bias_term: true}
""",
    "norm with scale inside": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, weight_filler: xavier}
- {name: n, type: BatchNorm, scale_bias: true}
""",
    "norm with scale inside, relu": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, bias_term: false, weight_filler: xavier}
- {name: n, type: BatchNorm, scale_bias: true}
- {name: r, type: ReLU}
""",
    "norm with scale inside, scale": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, weight_filler: xavier}
- {name: n, type: BatchNorm, scale_bias: true, use_global_stats: true}
- {name: s, type: Scale, bias_term: true}
""",
    "norm with stored statistics": """
- {name: c, type: Convolution, num_output: 5, kernel_size: 3, weight_filler: xavier}
- {name: n, type: BatchNorm, use_global_stats: true}
- {name: s, type: Scale, bias_term: true}
""",
    "residual sum, relu": """
- {name: c, type: Convolution, bottom: data, num_output: 3, kernel_size: 3, pad: 1, weight_filler: xavier}
- {name: n, type: BatchNorm}
- {name: p, type: Convolution, bottom: data, num_output: 3, kernel_size: 1, weight_filler: xavier}
- {name: e, type: Eltwise, bottom: [n, p]}
- {name: r, type: ReLU}
- {name: c2, type: Convolution, bottom: r, num_output: 3, kernel_size: 3, pad: 1, weight_filler: xavier}
- {name: e2, type: Eltwise, bottom: [c2, r]}
- {name: r2, type: ReLU}
""",
    "inception": """
- {name: a, type: Convolution, bottom: data, num_output: 3, kernel_size: 1, weight_filler: xavier}
- {name: ra, type: ReLU}
- {name: b, type: Convolution, bottom: data, num_output: 2, kernel_size: 3, pad: 1, weight_filler: xavier}
- {name: m, type: Pooling, bottom: data, kernel_size: 3, stride: 1, pad: 1}
- {name: l, type: LRN, bottom: data, local_size: 3}
- {name: cat, type: Concat, bottom: [ra, b, m, l]}
- {name: f, type: Convolution, bottom: cat, num_output: 4, kernel_size: 3, weight_filler: xavier}
""",
}
END = """
- {name: fc, type: InnerProduct, num_output: 4, weight_filler: xavier}
- {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
"""


def in_place(layers: str) -> str:
    """The layers with activations and normalisation written in place, as Caffe nets have them."""
    lines, top = [], "data"
    for line in layers.strip().splitlines():
        name = line.split("name: ")[1].split(",")[0]
        if any(
            f"type: {each}," in line or f"type: {each}}}" in line for each in ("ReLU", "ReLU6", "BatchNorm", "Scale")
        ):
            lines.append(line.replace("}", f", bottom: {top}, top: {top}}}", 1).replace("}}", "}}"))
        else:
            lines.append(line)
            top = name
    return "\n".join(lines)


def build(layers: str, **options):
    head = "- {name: data, type: Input, top: [data, label], shape: [[6, 3, 8, 7], [6]]}\n"
    return lk.Net(f"layers:\n{head}{layers}{END}", options.pop("phase", "train"), **options)


def weights_for(net, rng):
    """Random weights, small enough that no probability is below float32's least; statistics that could be."""
    weights = {key: rng.normal(size=array.shape) * 0.2 for key, array in sorted(net.flat.arrays().items())}
    for key in weights:
        if key.endswith(("variance", "scale_factor")):
            weights[key] = np.abs(weights[key]) + 1
    return weights


def run(net, passes: int = 2):
    """Losses and gradients of a few passes, all from the same weights."""
    rng = np.random.default_rng(3)
    net.load_weights(weights_for(net, rng))
    found = []
    for _ in range(passes):
        net.forward(data=rng.normal(size=(6, 3, 8, 7)), label=rng.integers(0, 4, 6))
        found.append(np.array([net.loss]))
        if net.graph.state.phase == "train":
            net.backward()
            found += [slot.blob.diff.copy() for slot in net.flat.trained]
    return [*found, *(array.copy() for array in net.flat.arrays().values())]


def agree(got, want, tolerance=2e-5):
    for a, b in zip(got, want, strict=True):
        assert np.abs(a - b).max() <= tolerance * max(0.1, np.abs(b).max())


@pytest.mark.parametrize("phase", ["train", "test"])
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_computes_what_its_layers_do(name, phase):
    want = run(build(CHAINS[name], phase=phase, dtype="float64"))
    agree(run(build(CHAINS[name], phase=phase, engine="onednn")), want)
    net = build(CHAINS[name], phase=phase, engine="onednn", keep=())
    agree(run(net), want)
    agree(run(build(CHAINS[name], phase=phase, engine="numpy", keep=())), want)
    if name not in ("inception", "conv, leaky relu") and phase == "test":
        assert any(unit.inside for unit in net._store.layout.units)


@pytest.mark.parametrize("keep", ["all", ()], ids=["all kept", "planned"])
@pytest.mark.parametrize("name", ["conv, relu", "norm, scale, relu", "norm, scale, relu6"])
def test_layers_in_place_are_joined_in_training_too(name, keep):
    layers = in_place(CHAINS[name])
    net = build(layers, engine="onednn", keep=keep)
    agree(run(net), run(build(layers, dtype="float64")))
    joined = [[net.graph.nodes[i].name for i in unit.nodes] for unit in net._store.layout.units if unit.inside]
    if name == "conv, relu":
        assert joined == [["c", "r"]]
    else:
        assert joined == ([] if keep else [["n", "s", "r"]])


def test_a_partial_pass_can_begin_inside_of_what_ran_as_one():
    layers = in_place(CHAINS["conv, relu"])
    net, plain = build(layers, engine="onednn"), build(layers, dtype="float64")
    for each in (net, plain):
        run(each, passes=1)
    parts = []
    for each in (net, plain):
        each.forward(end="c")
        before = each.blobs["c"].data.copy()
        each.forward(start="r")
        after = each.blobs["c"].data.copy()
        each.backward(end="r")
        each.backward(start="c")
        parts.append([before, after, each.blobs["c"].diff.copy(), each.params["c"].weight.diff.copy()])
    agree(*parts)
    assert (parts[0][0] < 0).any()
    assert (parts[0][1] >= 0).all()


def test_normalisation_is_folded_anew_when_weights_change():
    layers = CHAINS["norm, scale, relu"]
    net, plain = (
        build(layers, phase="test", engine="onednn", keep=()),
        build(layers, phase="test", dtype="float64", keep=()),
    )
    assert ("c", "n", "s", "r") in [
        tuple(net.graph.nodes[i].name for i in unit.nodes) for unit in net._store.layout.units
    ]
    agree(run(net), run(plain))
    for change in (
        lambda each: each.load_weights({"s.scale": np.full(5, 2.0)}, strict=False),
        lambda each: each.params["n"].mean.data.fill(0.3),
        lambda each: each.flat.data.__imul__(0.5),
    ):
        for each in (net, plain):
            change(each)
        x, label = np.random.default_rng(1).normal(size=(6, 3, 8, 7)), np.arange(6) % 4
        agree([net.forward(data=x, label=label)["loss"]], [plain.forward(data=x, label=label)["loss"]])


def test_other_batch_sizes_take_turns():
    layers = CHAINS["norm, scale, relu"] + "- {name: p, type: Pooling, pool: AVE, kernel_size: 2, stride: 2}\n"
    for keep in ("all", ()):
        net = build(layers, phase="test", engine="onednn", keep=keep)
        plain = build(layers, phase="test", dtype="float64")
        for each in (net, plain):
            each.load_weights(weights_for(each, np.random.default_rng(5)))
        rng = np.random.default_rng(2)
        for rows in (6, 2, 6, 9, 0, 1, 9, 6):
            x, label = rng.normal(size=(rows, 3, 8, 7)), rng.integers(0, 4, rows)
            agree([net.forward(data=x, label=label)["loss"]], [plain.forward(data=x, label=label)["loss"]])


def test_what_runs_is_told():
    net = build(CHAINS["conv, relu"], engine="onednn")
    told = implementations(net.graph, net.program)
    assert told["data"] == "numpy"
    assert told["c"] != "numpy"
    plain = build(CHAINS["conv, relu"], engine="numpy")
    assert implementations(plain.graph, plain.program) == dict.fromkeys(told, "numpy")
    assert net._store.versions[Ref("c")].data.strides[1] == 4  # channels-last
