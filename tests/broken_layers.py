"""Layers that break a layer's contract in one way each, and what the checks say of each of them."""

import numpy as np

from layerkit.checks import Case
from layerkit.layer import Layer, Plan, Scratch, State, Weight


def column(weight, x):
    """A weight of (C,) as it is multiplied with (N, C, ...)."""
    return weight.reshape(-1, *(1,) * (x.ndim - 2))


class Right(Layer):
    """y = w * x0 + x1^2, with one w a channel; a layer without faults, of which the broken ones change one thing."""

    bottoms = (2, 2)

    def plan(self, *bottoms):
        return Plan(
            tops=[bottoms[0]],
            weights=[Weight("w", (bottoms[0][1],))],
            scratch=[Scratch("square", bottoms[0]), Scratch("double", bottoms[0], keep=True)],
            state=[State("calls", (1,), "int64")],
            reads_bottoms=(0,),
            reads_tops=(),
        )

    def forward(self, bottom, top):
        x0, x1 = bottom[0].data, bottom[1].data
        self.state.calls += 1
        np.square(x1, out=self.scratch.square)
        np.multiply(x1, 2, out=self.scratch.double)
        top[0].data[...] = column(self.weights.w.data, x0) * x0 + self.scratch.square

    def backward(self, top, propagate_down, bottom):
        x0, dy = bottom[0].data, top[0].diff
        if propagate_down[0]:
            bottom[0].diff[...] = column(self.weights.w.data, x0) * dy
        if propagate_down[1]:
            bottom[1].diff[...] = self.scratch.double * dy
        if "w" in self.asked:
            self.weights.w.diff[...] = np.moveaxis(x0 * dy, 1, -1).reshape(-1, x0.shape[1]).sum(0)

    def jvp(self, bottom, top, bottom_tangent, top_tangent):
        x0, x1 = bottom[0].data, bottom[1].data
        t0, t1 = bottom_tangent
        top_tangent[0][...] = 0
        if "w" in self.weight_tangents:
            top_tangent[0][...] += column(self.weight_tangents["w"], x0) * x0
        if t0 is not None:
            top_tangent[0][...] += column(self.weights.w.data, x0) * t0
        if t1 is not None:
            top_tangent[0][...] += 2 * x1 * t1


def formula(bottoms, weights, params):
    return [column(weights[0], bottoms[0]) * bottoms[0] + bottoms[1] * bottoms[1]]


def case_of(cls, shape=(2, 3, 4, 5)):
    return Case(cls, "broken", [shape, shape], formula=formula)


class AddsToTop(Right):
    def forward(self, bottom, top):
        keep = top[0].data.copy()
        super().forward(bottom, top)
        top[0].data[...] += keep


class AddsToDiff(Right):
    def backward(self, top, propagate_down, bottom):
        keep = bottom[0].diff.copy()
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            bottom[0].diff[...] += keep


class AddsToWeightDiff(Right):
    def backward(self, top, propagate_down, bottom):
        keep = self.weights.w.diff.copy()
        super().backward(top, propagate_down, bottom)
        if "w" in self.asked:
            self.weights.w.diff[...] += keep


class LeavesElementOut(Right):
    def forward(self, bottom, top):
        keep = top[0].data[1, 2, 0, 3].copy()
        super().forward(bottom, top)
        top[0].data[1, 2, 0, 3] = keep


class LeavesDiffOut(Right):
    def backward(self, top, propagate_down, bottom):
        keep = bottom[1].diff[0, 1, 2, 3].copy()
        super().backward(top, propagate_down, bottom)
        bottom[1].diff[0, 1, 2, 3] = keep


class WrongFormula(Right):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        top[0].data[1, 0, 2, 3] += 1e-6


class WrongGradient(Right):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        if propagate_down[1]:
            bottom[1].diff[1, 1, 1, 1] *= 1.001


class WrongWeightGradient(Right):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        if "w" in self.asked:
            self.weights.w.diff[2] *= -1


class WritesUnaskedDiff(Right):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, [True, True], bottom)


class WritesUnaskedWeightDiff(Right):
    def backward(self, top, propagate_down, bottom):
        self.asked = frozenset(["w"])
        super().backward(top, propagate_down, bottom)


class DependsOnWhatIsAsked(Right):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        if propagate_down[0] and not propagate_down[1]:
            bottom[0].diff[...] *= 2


class WritesBottom(Right):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        bottom[1].data[0, 0, 0, 0] += 1


class WritesWeight(Right):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        self.weights.w.data[1] = 0


class WritesTopDiff(Right):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        top[0].diff[0, 0, 0, 0] = 0


class WritesStateInBackward(Right):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        self.state.calls += 1


class WrongPlannedShape(Right):
    def plan(self, *bottoms):
        n, *rest = bottoms[0]
        plan = super().plan(*bottoms)
        return Plan([(n + 1, *rest)], plan.weights, plan.scratch, plan.state)


class PlansOneMoreAxis(Right):
    def plan(self, *bottoms):  # numpy would broadcast the result into it without a word
        plan = super().plan(*bottoms)
        return Plan([(1, *bottoms[0])], plan.weights, plan.scratch, plan.state)


class PlansAnotherNumberOfTops(Right):
    def plan(self, *bottoms):
        plan = super().plan(*bottoms)
        return Plan([*plan.tops, ()], plan.weights, plan.scratch, plan.state)


class ImpurePlan(Right):
    calls = 0

    def plan(self, *bottoms):
        ImpurePlan.calls += 1
        plan = super().plan(*bottoms)
        return Plan(plan.tops, plan.weights, [*plan.scratch, Scratch("more", (ImpurePlan.calls,))], plan.state)


class BringsItsOwnArray(Right):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        self.scratch.double = self.scratch.double.copy()


class AssumesContiguous(Right):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        flat = top[0].data.reshape(-1)  # a copy where the blob is channels-last, and the write is lost
        flat[7] = top[0].data.ravel()[7] + 0.0
        top[0].data[...] = 0
        flat[...] = (column(self.weights.w.data, bottom[0].data) * bottom[0].data + self.scratch.square).reshape(-1)


class ReadsHiddenBottom(Right):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        if propagate_down[1]:
            bottom[1].diff[...] = 2 * bottom[1].data * top[0].diff


class ReadsHiddenTop(Right):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            bottom[0].diff[...] += 0 * top[0].data


class KeepsInScratch(Right):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        if propagate_down[1]:
            bottom[1].diff[...] += 0 * self.scratch.square


class AddsUpInScratch(Right):
    def forward(self, bottom, top):
        keep = self.scratch.square.copy()
        super().forward(bottom, top)
        top[0].data[...] += 0 * keep


class RoughFloat32(Right):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        if top[0].dtype == np.float32:
            top[0].data[...] = top[0].data.astype(np.float16)


class NoZeroRows(Right):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        bottom[0].data.max()


class WrongJvp(Right):
    def jvp(self, bottom, top, bottom_tangent, top_tangent):
        super().jvp(bottom, top, bottom_tangent, top_tangent)
        top_tangent[0][0, 0, 0, 0] *= 1.01


class Halve(Layer):
    def plan(self, *bottoms):
        return Plan(tops=[bottoms[0]], reads_bottoms=(), reads_tops=(), in_place=True)

    def forward(self, bottom, top):
        np.multiply(bottom[0].data, 0.5, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            np.multiply(top[0].diff, 0.5, out=bottom[0].diff)


class LiesInForward(Halve):
    def forward(self, bottom, top):
        top[0].data[...] = 0
        top[0].data[...] += bottom[0].data / 2


class LiesInBackward(Halve):
    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 0
            bottom[0].diff[...] += top[0].diff / 2


class MeanOfRows(Layer):
    def plan(self, *bottoms):
        return Plan(tops=[()], reads_bottoms=(), reads_tops=())

    def forward(self, bottom, top):
        with np.errstate(invalid="ignore"):
            top[0].data[...] = bottom[0].data.sum() / np.float64(len(bottom[0].data))

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff / max(1, len(bottom[0].data))


def halves(cls):
    return Case(cls, "broken", [(2, 3)], formula=lambda b, w, p: [b[0] / 2])


BROKEN = [
    (AddsToTop, "forward", r"top 0: element \[.*\] is nan; the formula: .*was it left unwritten, added to"),
    (AddsToDiff, "gradient", r"the diff of bottom 0: element .* is nan"),
    (AddsToWeightDiff, "gradient", r"the diff of weight 'w': element .* is nan"),
    (LeavesElementOut, "forward", r"top 0: element \[1, 2, 0, 3\] is nan"),
    (LeavesDiffOut, "gradient", r"the diff of bottom 1: element \[0, 1, 2, 3\] is nan"),
    (WrongFormula, "forward", r"top 0: element \[1, 0, 2, 3\] is [-\d.e]+; the formula: [-\d.e]+ \(allowed"),
    (WrongGradient, "gradient", r"the diff of bottom 1 along a random direction: .*; central differences: "),
    (WrongWeightGradient, "gradient", r"the diff of weight 'w': element \[2\] is"),
    (WritesUnaskedDiff, "untouched", r"asked for nothing, changed the diff of bottom 0, which is not its to write"),
    (WritesUnaskedWeightDiff, "untouched", r"changed the diff of weight 'w', which is not its to write"),
    (DependsOnWhatIsAsked, "untouched", r"asked for bottom 0: the diff of bottom 0: element .* otherwise"),
    (WritesBottom, "untouched", r"forward changed the data of bottom 1, .*: element \[0, 0, 0, 0\] was .* and is "),
    (WritesWeight, "untouched", r"forward changed the data of weight 'w'.* element \[1\] was"),
    (WritesTopDiff, "untouched", r"changed the diff of top 0"),
    (WritesStateInBackward, "untouched", r"changed the state 'calls'"),
    (WrongPlannedShape, "plan", r"forward raised ValueError: .* \(planned: top 0 3x3x4x5\)"),
    (PlansOneMoreAxis, "plan", r"top 0 is planned as 1x2x3x4x5, but by the formula it is 2x3x4x5"),
    (PlansAnotherNumberOfTops, "plan", r"plan gave 2 tops for 1"),
    (ImpurePlan, "plan", r"plan is not pure"),
    (BringsItsOwnArray, "plan", r"array of its own in place of 'double'"),
    (AssumesContiguous, "channels_last", r"with channels-last blobs: top 0: element"),
    (ReadsHiddenBottom, "reads", r"backward reads bottom 1, which its plan leaves out"),
    (ReadsHiddenTop, "reads", r"backward reads top 0, which its plan leaves out"),
    (KeepsInScratch, "gradient", r"the diff of bottom 1: element .* is nan; .* or read from scratch"),
    (AddsUpInScratch, "forward", r"top 0: element .* is nan"),
    (RoughFloat32, "float32", r"in float32: top 0: element .* otherwise"),
    (NoZeroRows, "zero_rows", r"forward raised ValueError"),
    (WrongJvp, "jvp", r"jvp along bottom"),
]
