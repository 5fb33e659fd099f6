"""Net in use: predict, sources that open and close, and what is said when something goes wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from net_tools import CONFIG, MLP, NET, make, rows

import layerkit as lk

# -- errors at run time ------------------------------------------------------------------------------------------


def test_an_error_at_run_time_names_the_layer() -> None:
    net = make(MLP)
    with pytest.raises(
        lk.DataError, match=r"^7:3: layer 'loss' \(SoftmaxWithLoss\): label 7 at position \(2,\) is outside"
    ):
        net.forward(data=rows(4), label=[0, 1, 7, 0])


def test_a_source_that_is_gone_names_its_layer() -> None:
    lk.add_dataset("fleeting", train={"data": np.zeros((4, 3)), "label": np.zeros(4)})
    net = make("- {name: source, type: Data, dataset: fleeting, batch_size: 2}\n- {name: out, type: Power}")
    lk.add_dataset("fleeting", train={"data": np.zeros((4, 5)), "label": np.zeros(4)})
    for call in (net.open, net.forward):
        with pytest.raises(lk.DataError, match=r"^2:3: layer 'source' \(Data\): "):
            call()


def test_open_and_close_can_be_called_at_any_time() -> None:
    net = lk.Net(CONFIG)
    net.open()
    net.open()
    first = net.forward()["loss"].copy()
    net.close()
    net.layers["digits"].rewind()
    assert net.forward()["loss"] == first


# -- predict -----------------------------------------------------------------------------------------------------


def predictor(class_names: Any = ("no", "yes")) -> lk.Net:
    rng = np.random.default_rng(0)
    data = {"data": rng.uniform(0, 255, (6, 3, 2, 2)), "label": rng.integers(0, 2, 6)}
    lk.add_dataset("pictures", train=data, test=data, class_names=class_names)
    return lk.Net(
        """
layers:
  - {name: source, type: Data, top: [data, label], dataset: pictures, batch_size: 2, scale: 0.01,
     mean_value: [1, 2, 3], channel_order: BGR}
  - {name: fc, type: InnerProduct, bottom: data, num_output: 2, weight_filler: xavier}
  - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
""",
        "predict",
        dtype="float64",
    )


def test_predict_prepares_raw_samples_and_answers_with_class_names() -> None:
    net = predictor()
    raw = np.random.default_rng(1).uniform(0, 255, (5, 3, 2, 2)).astype(np.uint8)
    prepared = (raw[:, ::-1] - np.array([1, 2, 3]).reshape(3, 1, 1)) * 0.01
    prob = net.forward(data=prepared)["prob"].copy()
    names = [("no", "yes")[k] for k in prob.argmax(axis=1)]
    assert net.predict(raw) == names
    assert [net.predict(each) for each in raw] == names
    np.testing.assert_allclose(net.blobs["prob"].data[0], prob[-1], atol=1e-6)


def test_predict_without_class_names_returns_a_copy_of_the_output() -> None:
    net = predictor(class_names=())
    batch = net.predict(np.zeros((3, 3, 2, 2)))
    assert batch.shape == (3, 2)
    single = net.predict(np.zeros((3, 2, 2)))
    np.testing.assert_allclose(single, batch[0], atol=1e-6)
    batch[...] = 7
    assert not (net.blobs["prob"].data == 7).any()


def test_predict_with_several_outputs_gives_a_dict() -> None:
    net = make(NET + "- {name: also, type: Sigmoid, bottom: fc}", "predict")
    answers = net.predict(rows(2))
    assert {name: value.shape for name, value in answers.items()} == {"out": (2, 2), "also": (2, 2)}


def test_predict_says_what_it_cannot_do() -> None:
    net = predictor()
    with pytest.raises(lk.ShapeError, match="predict takes one sample of 3x2x2 or a batch of them, not 2x2"):
        net.predict(np.zeros((2, 2)))
    with pytest.raises(lk.UsageError, match="predict needs a net in the predict phase"):
        lk.Net(CONFIG, "test").predict(np.zeros((1, 8, 8)))
    with pytest.raises(lk.UsageError, match=r"one input, not 2 \(x, y\); use forward"):
        make(
            "- {name: i, type: Input, top: [x, y], shape: [2, 2]}\n- {name: s, type: Eltwise, bottom: [x, y]}",
            "predict",
        ).predict(np.zeros((2, 2)))


def test_a_net_shows_itself() -> None:
    net = lk.Net(CONFIG)
    assert repr(net) == "<Net 'small' train: 5 layers, 610 weights>"
    assert "fc1" in net._repr_html_()


def test_a_net_has_its_own_name_or_its_runs() -> None:
    assert lk.Net(CONFIG).name == "small"
    assert lk.Net("{name: run, net: {layers: [{name: x, type: Input, shape: [1]}]}}").name == "run"


def test_a_source_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = lk.Net(CONFIG)
    opened: list[int] = []
    source = net.layers["digits"]
    open_source = source.open
    monkeypatch.setattr(source, "open", lambda: (opened.append(1), open_source()))
    net.forward()
    net.forward()
    net.open()
    assert opened == [1]


def test_layers_whose_names_look_alike_to_a_short_hash_start_apart() -> None:
    """These two names have one CRC-32."""
    layer = "{{name: {}, type: InnerProduct, num_output: 3, bottom: data, weight_filler: xavier}}"
    layers = "\n".join(f"  - {layer.format(name)}" for name in ("plumless", "buckeroo"))
    net = lk.Net(f"layers:\n  - {{name: data, type: Input, shape: [2, 4]}}\n{layers}")
    assert (net.params["plumless"].weight.data != net.params["buckeroo"].weight.data).all()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda net: net.forward(data=[[1, 2], [3]], label=[1]),
            "'data' must be an array of numbers, with rows of one",
        ),
        (lambda net: net.forward(data=["a"], label=[1]), "'data' must be an array of numbers, not of <U1"),
        (lambda net: net.reshape(data=7), r"the shape of 'data' must be a list of whole numbers from 0 on, not 7"),
        (lambda net: net.reshape(data="abc"), "the shape of 'data' must be a list of whole numbers from 0 on"),
        (lambda net: net.reshape(data=(-7, 1, 8, 8)), "the shape of 'data' must be a list of whole numbers from 0 on"),
        (lambda net: net.reshape(data=(7.5, 1, 8, 8)), "the shape of 'data' must be a list of whole numbers from 0 on"),
        (lambda net: lk.Net(CONFIG, seed=-1), "seed must be a whole number from 0 on, not -1"),
    ],
)
def test_what_cannot_be_taken_is_said_in_a_sentence(call, sentence) -> None:
    with pytest.raises(lk.UsageError, match=sentence):
        call(lk.Net(CONFIG))


def test_running_out_of_memory_names_the_largest_array(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*shape: object, **rest: object) -> None:
        raise MemoryError

    monkeypatch.setattr("layerkit.planning.BlobStore", full)
    with pytest.raises(
        lk.UsageError, match=r"not enough memory for the net; the largest array is the blob 'data', 32x1x8x8"
    ):
        lk.Net(CONFIG)


def test_an_error_that_is_not_ours_says_in_which_layer_it_was_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    net = lk.Net(CONFIG, engine="numpy")

    def broken(*blobs: object) -> None:
        raise ZeroDivisionError("one over nothing")

    monkeypatch.setattr(net.layers["fc1"], "forward", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        net.forward()
    assert caught.value.__notes__ == ["in layer 'fc1' (InnerProduct)"]
