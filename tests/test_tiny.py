"""The whole stack in a second: YAML text, check, training, snapshot, load, prediction. Collected first."""

import numpy as np

import layerkit as lk
from layerkit.datasets import open_source

RUN = """
name: tiny
net:
  layers:
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: {train: 64, test: 100}, scale: 0.0625}
    - {name: fc1, type: InnerProduct, num_output: 32, weight_filler: xavier}
    - {type: ReLU}
    - {name: fc2, type: InnerProduct, num_output: 10, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
    - {name: accuracy, type: Accuracy, bottom: [fc2, label], include: test}
solver: {base_lr: 0.2, momentum: 0.9, max_iter: 30, test_interval: 30}
"""


def test_from_text_to_prediction(tmp_path):
    solver = lk.Solver(RUN, folder=tmp_path)
    before = solver.test()["accuracy"]
    after = solver.solve()["accuracy"]
    solver.close()
    assert before < 0.3
    assert after > 0.8

    net = lk.load(tmp_path / "iter_30.safetensors")
    digits = open_source("digits", None, "test")
    raw = {name: np.zeros((360, *shape), digits.header.dtypes[name]) for name, shape in digits.header.shapes.items()}
    data, label = digits.read(np.arange(360), raw)
    assert net.predict(data[0]) in "0123456789"
    right = np.mean([int(name) == int(truth) for name, truth in zip(net.predict(data), label, strict=True)])
    assert abs(right - after) < 1e-6
