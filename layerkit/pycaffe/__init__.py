"""pycaffe."""
from layerkit.pycaffe.modes import *
from layerkit.pycaffe.net import Net
from layerkit.pycaffe.layer import Layer
from layerkit.pycaffe.solver import *
