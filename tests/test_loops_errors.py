"""What is wrong with a loop, in a sentence with its place."""

from __future__ import annotations

import pytest

import layerkit as lk

NET = """layers:
  - {name: x, type: Input, shape: [7, 3, 4]}
  - {name: n, type: Input, shape: [3]}
  - name: rnn
    type: Recurrent
    bottom: [x, n]
    lengths: n
    states: {h: {next: h_new}}
    outputs: h_new
    body:
      - {name: i2h, type: InnerProduct, bottom: x, num_output: 5}
      - {name: h2h, type: InnerProduct, bottom: h, num_output: 5}
      - {name: sum, type: Eltwise, bottom: [i2h, h2h]}
      - {name: h_new, type: TanH}
"""
LAST = "{name: h_new, type: TanH}"
WRONG = {
    ("lengths: n", "lengths: n\n    reverse: true\n    bidirectional: true"): (
        "4:5: give reverse or bidirectional, not both"
    ),
    ("outputs: h_new", "outputs: h_now"): "9:14: the body 'body' has no blob 'h_now'; did you mean 'h_new'?",
    ("next: h_new", "next: hnew"): "8:24: the body 'body' has no blob 'hnew'; did you mean 'h_new'?",
    ("next: h_new", "next: h_new, start: y"): "8:38: no bottom is called 'y'; there are: x, n",
    ("next: h_new", "next: h_new, start: n"): "8:38: the bottom 'n' cannot be what a state starts as and lengths",
    ("next: h_new", "next: h_new, shape: [6]"): "8:24: the state 'h' is 3x6, but its next value 'h_new' is 3x5",
    ("states: {h:", "states: {x:"): "8:17: the state 'x' has the name of a bottom; choose another",
    ("lengths: n", "lengths: m"): "7:14: no bottom is called 'm'; there are: x, n",
    ("lengths: n", "cont: n"): "6:17: the bottom 'n' must be (steps, sequences), not 3",
    ("lengths: n", "static: x"): "6:17: the bottom 'n' must be (steps, sequences, ...), not 3",
    ("[7, 3, 4]", "[7, 2, 4]"): "7:14: lengths must be one number for each of 2 sequences, not 3",
    ("outputs: h_new", "outputs: [h_new, i2h]"): "9:14: 2 outputs need as many tops, not 1",
    ("bottom: h, num_output", "bottom: h, num_outputs"): (
        "12:52: layer 'h2h' (InnerProduct): unknown field 'num_outputs'; did you mean 'num_output'?"
    ),
    ("[i2h, h2h]", "[i2h, h2hh]"): (
        "13:50: layer 'sum' (Eltwise): no layer makes the bottom 'h2hh'; did you mean 'h2h'?"
    ),
    ("[i2h, h2h]", "[i2h, h2h, h]"): (
        "8:17: the shape of the state 'h' does not follow from the body; give it, as in shape: [64] (layer 'sum' "
        "(Eltwise): the bottoms must have one shape, but bottom 0 is 3x5 and bottom 2 is 3x1)"
    ),
    (LAST, LAST + "\n      - {name: l, type: EuclideanLoss, bottom: [sum, sum]}"): (
        "15:9: layer 'l' (EuclideanLoss): a body has no loss; give it out as an output, and weigh it outside"
    ),
    (LAST, LAST + "\n      - {name: d, type: Data, top: [a, b], dataset: digits, batch_size: 3}"): (
        "15:25: layer 'd' (Data): cannot stand in a body that runs again and again"
    ),
    (LAST, LAST + "\n      - {name: u, type: Input, shape: [3, 4]}"): (
        "15:25: layer 'u' (Input): nothing feeds it in a body; make it a bottom of the layer around"
    ),
    ("states: {h:", "states: {self: {next: h_new}, h:"): (
        "8:20: the body cannot read 'self': the name of a blob cannot be 'self', an argument of forward or backward"
    ),
    ("lengths: n", "lengths: n\n    inputs: [a.b, n]"): (
        "8:13: the body cannot read 'a.b': the name of a blob must be words joined by '/', without '.' and control "
        "characters, not 'a.b'"
    ),
    (LAST, "{name: h, type: TanH}"): (
        "14:16: 'h' is a state already; give this layer another name, as h_new, and name that in next"
    ),
    ("{name: sum, type: Eltwise, bottom: [i2h, h2h]}", "{name: sum, type: Eltwise, bottom: [i2h, h2h], top: x}"): (
        "13:61: 'x' is a bottom already; give this top another name"
    ),
    ("states: {h: {next: h_new}}", "carry: true\n    states: {h: {next: h_new, start: learned}}"): (
        "9:38: with carry the state 'h' starts as the batch before left it, and not as start says; leave that out"
    ),
    ("lengths: n", "lengths: n\n    carry: true\n    reverse: true"): (
        "4:5: carry goes on where the batch before ended, and so cannot go with a way back"
    ),
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change[1].strip()[:40])
def test_what_is_wrong_has_its_place(change: tuple[str, str]) -> None:
    place, _, said = WRONG[change].partition(": ")
    with pytest.raises(lk.ConfigError) as caught:
        lk.Net(NET.replace(*change))
    assert str(caught.value) == f"{place}: layer 'rnn' (Recurrent): {said}"


REPEAT = (
    "{layers: [{name: a, type: Input, shape: [4, 3]}, {name: r, type: Repeat, states: {x: {next: y}}, outputs: y, %s}]}"
)
COND = (
    "{layers: [{name: x, type: Input, shape: [4, 3]}, {name: c, type: Input, shape: [4]}, {name: y, type: Cond, "
    "bottom: [x, c], %s}]}"
)
Y, Z = "[{name: y, type: Power, bottom: x}]", "[{name: y, type: InnerProduct, bottom: x, num_output: 5}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REPEAT % f"body: {Y}", "needs either times, or until with max_times"),
        (REPEAT % f"body: {Y}, until: y", "needs either times, or until with max_times"),
        (REPEAT % f"body: {Y}, until: z, max_times: 3", "the body 'body' has no blob 'z'"),
        (REPEAT % f"body: {Y}, times: {10**17}", "times must be at most 1e+06"),
        (
            (REPEAT % f"body: {Y}, times: 3").replace("outputs: y", "outputs: {blob: y, take: all}"),
            "1:123: layer 'r' (Repeat): gives the blobs of the last run alone; leave take out",
        ),
        (COND % f"condition: d, outputs: y, then: {Y}, otherwise: {Y}", "no bottom is called 'd'; there are: x, c"),
        (COND % f"condition: c, outputs: y, then: {Y}, otherwise: {Y}", "must be a single number, not 4"),
        (
            COND % f"condition: c, by: sample, outputs: y, then: {Y}, otherwise: {Z}",
            "the output 'y' must have one shape in both; it is 1x3 in then and 1x5 in otherwise",
        ),
    ],
)
def test_what_is_wrong_with_repeat_and_cond(text: str, said: str) -> None:
    with pytest.raises(lk.ConfigError) as caught:
        lk.Net(text)
    assert said in str(caught.value)
