"""`cifar100`: 60,000 photographs of 32x32 pixels in a hundred classes: 50,000 to train with and 10,000 to test with.

Pixels are 0..255 in sample shape (3, 32, 32), red, green, blue. Tops are data, label (the fine one, 0..99) and coarse
(0..19): the classes belong to 20 groups, five to each. The files of the binary version are read from a folder:
train.bin and test.bin (there or in cifar-100-binary), or the published archive cifar-100-binary.tar.gz as it is; or
from an archive that holds them.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the format is described on the
set's page.
"""

from __future__ import annotations

from layerkit.datasets.public.cifar_files import CifarFiles

ARCHIVE = "cifar-100-binary.tar.gz"
INSIDE = "cifar-100-binary"
"""The folder that the archive unpacks to."""
FILES = {"train": ("train.bin",), "test": ("test.bin",)}
COARSE_NAMES = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables", "household_electrical_devices",
    "household_furniture", "insects", "large_carnivores", "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes", "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates",
    "people", "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
)  # fmt: skip
CLASS_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest",
    "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum",
    "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
)  # fmt: skip

_FILES = CifarFiles(
    "cifar100", "CIFAR-100", ARCHIVE, INSIDE, FILES, {"coarse": COARSE_NAMES, "label": CLASS_NAMES}, 50_000
)

describe = _FILES.describe
open_source = _FILES.open_source
