"""Cases of the layers that arrays come from."""

from layerkit.checks import Case

GIVEN = "its tops are filled by the caller"

CASES = [
    Case("Input", "image", params={"shape": [2, 3, 4, 5]}, no_formula=GIVEN),
    Case("Input", "two", params={"shape": [[8, 5], [8]]}, num_tops=2, no_formula=GIVEN),
    Case("Input", "alike", params={"shape": [[8, 5]]}, num_tops=2, no_formula=GIVEN),
]
