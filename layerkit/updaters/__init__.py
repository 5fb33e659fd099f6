"""Update rules: from gradients to new weights, chunk by chunk over the flat arrays; one rule a file.

Formulas are Caffe's where Caffe has the rule. In them g is the gradient, averaged over iter_size, after clipping, and
with coupled decay in it; w are the weights, and lr is the learning rate times the weight's lr_mult.

Weight decay is *coupled* in Caffe's six rules and AMSGrad: decay * w (L2) or decay * sign(w) (L1) is added to the
gradient, and goes through momentum and averages as the gradient does. It is *decoupled* in AdamW and Lion: before
the update each weight loses lr * decay of itself, and averages never see it. In both, decay is weight_decay times the
weight's decay_mult.
"""

from layerkit.updaters.adadelta import AdaDelta
from layerkit.updaters.adagrad import AdaGrad
from layerkit.updaters.adam import Adam
from layerkit.updaters.adamw import AdamW
from layerkit.updaters.amsgrad import AMSGrad
from layerkit.updaters.base import Chunk, Updater
from layerkit.updaters.lion import Lion
from layerkit.updaters.nesterov import Nesterov
from layerkit.updaters.rmsprop import RMSProp
from layerkit.updaters.sgd import SGD

__all__ = ["UPDATERS", "Chunk", "Updater"]

UPDATERS: dict[str, type[Updater]] = {
    rule.__name__: rule for rule in (SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam, AMSGrad, AdamW, Lion)
}
