"""What is wrong in different stages of building is said in one go, and what only follows from it is not said."""

import pytest

from layerkit.errors import ConfigError
from layerkit.graph import load

RUN = """nmae: t
net:
  blocks: {b: {args: {n: int}, layers: [{name: f, type: InnerProduct, num_output: $n}]}}
  layers:
    - {name: in, type: Input, top: data, shape: [4, 3]}
    - {name: a, type: ReLU, tpo: x}
    - {name: reads_a, type: ReLU, bottom: x}
    - {nmae: b, type: ReLU, bottom: data}
    - {name: reads_b, type: TanH, bottom: b}
    - {name: c, type: Relu}
    - {name: reads_c, type: InnerProduct, num_output: 2}
    - {name: d, type: ReLU, bottom: dta}
    - {name: e, type: InnerProduct, num_output: 2, axis: 5, bottom: data}
    - {name: reads_e, type: Eltwise, bottom: [data, e]}
    - {block: b, name: u, m: 3}
    - {name: reads_u, type: Concat, bottom: [u, u/f]}
    - {name: below, type: ReLU}
    - {name: s, type: Eltwise, bottom: [data, reads_d], coeff: 1}
    - {name: reads_d, type: ReLU, bottom: d}
solver: {base_lr: 0.1, max_iter: 0}
"""


def test_faults_of_every_stage_are_said_in_one_go_without_what_follows_from_them():
    with pytest.raises(ConfigError) as caught:
        load(RUN)
    assert str(caught.value).split("\n") == [
        "1:1: unknown field 'nmae'; did you mean 'name'?",
        "6:29: layer 'a' (ReLU): unknown field 'tpo'; did you mean 'top'?",
        "8:8: layer 'relu' (ReLU): unknown field 'nmae'; did you mean 'name'?",
        "10:23: layer 'c' (Relu): there is no layer type 'Relu'; did you mean 'ReLU'?",
        "12:37: layer 'd' (ReLU): no layer makes the bottom 'dta'; did you mean 'data'?",
        "13:58: layer 'e' (InnerProduct): axis 5 does not exist in a bottom of shape 4x3",
        "15:7: use of block 'b': needs the argument 'n' (a whole number)",
        "15:27: use of block 'b': there is no argument 'm'; it takes n",
        "20:34: solver: max_iter must be greater than 0, not 0",
    ]


def test_a_fault_of_two_phases_that_differ_in_their_batch_is_said_once():
    with pytest.raises(ConfigError) as caught:
        load(
            "layers:\n"
            "  - {name: a, type: Input, top: a, shape: {train: [4, 3, 9], test: [5, 3, 9]}}\n"
            "  - {name: b, type: Input, top: b, shape: {train: [4, 2, 7], test: [5, 2, 7]}}\n"
            "  - {name: s, type: Eltwise, bottom: [a, b]}\n"
            "  - {name: c, type: Crop, bottom: [a, b], axis: 1, offset: {train: 2, test: 3}}\n"
        )
    assert str(caught.value).split("\n") == [
        "4:38: layer 's' (Eltwise): the bottoms must have one shape, but bottom 0 is 4x3x9 and bottom 1 is 4x2x7",
        "5:68: layer 'c' (Crop): what is cut out, from 2 to 3, does not lie within axis 1 of bottom 0, 4x3x9",
        "5:77: layer 'c' (Crop): what is cut out, from 3 to 4, does not lie within axis 1 of bottom 0, 5x3x9",
    ]
