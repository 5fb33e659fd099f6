"""`layerkit check --schema`: the JSON Schema accepts what layerkit accepts, and no slip of the hand."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import jsonschema
import pytest
from cases import CASES

from layerkit.errors import Problems
from layerkit.report import catalogue, schema
from layerkit.spec import read_layer
from layerkit.text import parse, to_python

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(FOLDER.rglob("*.yaml"))
TYPES = schema.built_in()
SCHEMA = schema.schema(TYPES)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def accepts(written: str) -> bool:
    return VALIDATOR.is_valid(to_python(parse(written)))


@functools.cache
def validator_of(name: str) -> jsonschema.Draft202012Validator:
    """What checks a type's own parameters alone, which is quicker."""
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


def accepts_layer(layer: str) -> bool:
    return accepts(f"layers:\n  - {layer}\n")


def test_the_shipped_schema_is_fresh():
    stale = "stale: run `layerkit check --schema > configs/schema.json`"
    assert (FOLDER / "schema.json").read_text(encoding="utf-8") == schema.text(TYPES), stale


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_part_is_referred_to_and_there():
    written = json.dumps(SCHEMA)
    referred = {part.split('"')[0] for part in written.split('"#/$defs/')[1:]}
    assert referred == SCHEMA["$defs"].keys()


def test_the_command_prints_it(command):
    answer = command("check", "--schema")
    assert (answer.status, answer.err) == (0, "")
    printed = json.loads(answer.out)
    assert {f"layer_{name}" for name in TYPES} <= printed["$defs"].keys()
    assert command("check", "--memory").err == "check needs the FILE to check, or --schema alone\n"
    assert "leave 'configs/mlp.yaml' out" in command("check", "configs/mlp.yaml", "--schema").err
    assert command("check", "--schema", "--memory").err == "--memory means nothing beside --schema\n"


def test_a_copied_config_names_the_schema_where_it_lies(command):
    assert command("new", "mlp").status == 0
    first = Path("mlp.yaml").read_text(encoding="utf-8").splitlines()[0]
    address = urlsplit(first.removeprefix("# yaml-language-server: $schema="))
    assert address.scheme == "file"
    assert json.loads(Path(url2pathname(address.path)).read_text(encoding="utf-8")) == SCHEMA


# -- what is right -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_validates(path):
    VALIDATOR.validate(to_python(parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", TYPES)
def test_a_types_example_validates(name):
    assert accepts_layer(catalogue.page(name).example)


def test_the_parameters_of_every_layer_case_validate():
    checked = 0
    for case in CASES:
        if isinstance(case.type, str) and case.type in TYPES:
            tree = json.loads(json.dumps({"name": "x", "type": case.type, **case.params}))
            errors = [error.message for error in validator_of(f"layer_{case.type}").iter_errors(tree)]
            assert not errors, (case.name, errors)
            checked += 1
    assert checked > 500


RIGHT = [
    "{name: c, type: Convolution, num_output: 3, kernel_size: 3}",
    "{name: c, type: Convolution, num_output: 3, kernel_size: [3, 5]}",
    "{name: c, type: Convolution, num_output: {train: 3, test: 4}, kernel_size: 3}",
    "{name: c, type: Convolution, num_output: 3, kernel_size: 3, weight_filler: xavier}",
    "{name: c, type: Convolution, num_output: 3, kernel_size: 3, weight_filler: {type: GAUSSIAN, std: 1}}",
    "{name: c, type: Convolution, num_output: 3, kernel_size: 3, param: {lr_mult: 1}}",
    "{type: Pooling, kernel_size: 2, pool: max}",
    "{type: Pooling, kernel_size: 2, pool: Ave, include: {phase: test}}",
    "{type: ReLU, include: [train, predict], bottom: a, top: a}",
    "{name: d, type: Data, dataset: digits, batch_size: 3, transform: mirror}",
    "{name: d, type: Data, dataset: {type: csv, label: kind}, source: a.csv, batch_size: 3}",
    "{name: d, type: Data, source: a.csv, batch_size: 3, parts: {train: 0.8, test: 0.2}}",
    "{name: d, type: Data, source: a, batch_size: 3, transform: {train: [{type: Random_Crop, size: 8}, mirror]}}",
    "{block: b, name: x, width: 3, repeat: 2}",
]
WRONG = [
    "{name: c, type: Convolutoin, num_output: 3}",
    "{name: c, type: Convolution, num_ouput: 3, kernel_size: 3}",
    "{name: c, type: Convolution, kernel_size: 3}",
    "{name: c, type: Convolution, num_output: 0, kernel_size: 3}",
    "{name: c, type: Convolution, num_output: 3.5, kernel_size: 3}",
    "{name: c, type: Convolution, num_output: true, kernel_size: 3}",
    "{name: c, type: Convolution, num_output: {train: 3, tst: 4}, kernel_size: 3}",
    "{name: c, type: Convolution, num_output: 3, kernel_size: 3, weight_filler: xaviar}",
    "{name: c, type: Convolution, num_output: 3, kernel_size: 3, weight_filler: {type: gaussian, sdt: 1}}",
    "{name: c, type: Convolution, num_output: 3, kernel_size: 3, param: {lr_mul: 1}}",
    "{name: {train: a}, type: Convolution, num_output: 3, kernel_size: 3}",
    "{type: Pooling, kernel_size: 2, pool: maxx}",
    "{type: ReLU, include: tst}",
    "{type: ReLU, include: {train: test}}",
    "{name: d, type: Data, dataset: digts, batch_size: 3}",
    "{name: d, type: Data, dataset: {type: csv, lable: kind}, source: a.csv, batch_size: 3}",
    "{name: d, type: Data, dataset: {label: kind}, source: a.csv, batch_size: 3}",
    "{name: d, type: Data, dataset: digits, batch_size: 3, transform: [miror]}",
    "{name: d, type: Data, dataset: digits, batch_size: 3, transform: [{type: random_crop, sise: 8}]}",
    "{block: b}",
    "{block: b, name: x, repeat: 0}",
    "{name: x}",
    "relu",
]


@pytest.mark.parametrize("layer", RIGHT)
def test_a_layer_with_shorthands_validates(layer):
    assert accepts_layer(layer)


@pytest.mark.parametrize("layer", WRONG)
def test_a_wrong_layer_does_not(layer):
    assert not accepts_layer(layer)


RUN = "{{net: net.yaml, solver: {{base_lr: 0.1, max_iter: 3, {0}}}}}"


@pytest.mark.parametrize(
    ("field", "right"),
    [
        ("lr_policy: STEP, gamma: 0.5, stepsize: 3", True),
        ("test_interval: 1 epoch, keep_best: true, early_stopping: accuracy", True),
        ("test_interval: 50, keep_best: {metric: accuracy}, early_stopping: {patience: 2}", True),
        ("max_time: 2h30m, test_iter: [all, 3], test_state: [{stage: a}, {stage: b}]", True),
        ("average: ema, clip_gradients: null", True),
        ("lr_policy: stpe", False),
        ("momentun: 0.9", False),
        ("momentum: 1.5", False),
        ("display: 2 epocs", False),
        ("max_time: soon", False),
        ("early_stopping: {patiance: 2}", False),
    ],
)
def test_fields_of_the_solver(field, right):
    assert accepts(RUN.format(field)) == right


def test_blocks_take_arguments_in_the_place_of_values():
    block = "blocks: {{b: {{args: {{n: int, t: ReLU}}, layers: [{{name: c, type: {0}}}]}}}}, layers: [{{type: ReLU}}]"
    assert accepts("{" + block.format("InnerProduct, num_output: $n, bottom: $bottom, weight_filler: $f") + "}")
    assert accepts("{" + block.format("$t") + "}")
    assert not accepts("{" + block.format("InnerProduct, num_outptu: $n") + "}")
    assert not accepts("{" + block.format("ReLU").replace("args", "agrs") + "}")


# -- what is wrong -------------------------------------------------------------------------------------------------


def mappings(tree, inside=""):
    """Every mapping of a tree whose keys are not free, with its keys."""
    if isinstance(tree, dict):
        if inside not in ("args", "blocks", "states", "results", "weights"):
            yield tree
        for key, value in tree.items():
            yield from mappings(value, key)
    for value in tree if isinstance(tree, list) else ():
        yield from mappings(value)


def test_no_typo_in_a_key_of_a_shipped_config_validates():
    """A letter is lost in each key; the arguments of a block are the author's own, and a wrong one is not seen."""
    told = set()
    for path in sorted(CONFIGS, key=lambda path: path.stat().st_size):
        tree = to_python(parse(path.read_text(encoding="utf-8")))
        for at, mapping in enumerate(mappings(tree)):
            for key in mapping.keys() - told:
                if "block" in mapping and key not in ("block", "name"):
                    continue
                told.add(key)
                wrong = copy.deepcopy(tree)
                place = list(mappings(wrong))[at]
                place[key[:1] + key[2:]] = place.pop(key)
                assert not VALIDATOR.is_valid(wrong), (path.name, key)
    assert told >= {"name", "layers", "kernel_size", "weight_filler", "std", "lr_mult", "solver", "base_lr", "block"}


ODD = [{"nonsense": 1}, "nonsense", -1, 0, 2, 0.5, 1e31, True, None, [], [1, 2], ["MAX"], ["nonsense"], [[3]], "CAFFE"]


def kinds_of_fields():
    """A layer type and a field of it for each kind of field that there is."""
    found = {}
    for name in TYPES:
        for field, part in SCHEMA["$defs"][f"layer_{name}"]["properties"].items():
            if isinstance(part, dict) and field != "dataset":  # a program may have made known a dataset of any name
                found.setdefault(part["$ref"], (name, field))
    common = SCHEMA["$defs"]["typed"]["properties"].keys() - {"type"}
    return [*found.values(), *(("InnerProduct", field) for field in sorted(common))]


@pytest.mark.parametrize(("name", "field"), kinds_of_fields())
def test_the_schema_refuses_no_value_that_layerkit_accepts(name, field):
    """The other way round there are a few rules between values that only layerkit knows."""
    example = to_python(parse(catalogue.page(name).example))
    own = SCHEMA["$defs"][f"layer_{name}"]["properties"][field] is not True
    validator = validator_of(f"layer_{name}" if own else "layer")
    for value in ODD:
        tree = {**example, field: value}
        problems = Problems()
        read_layer(parse(json.dumps(tree)), "train", (), problems)
        if not problems.found:
            assert validator.is_valid(tree), value
        elif value == {"nonsense": 1} and field != "parts":
            assert not validator.is_valid(tree), value


def test_every_field_says_what_it_means():
    def properties(node):
        if isinstance(node, dict):
            for name, each in node.get("properties", {}).items():
                if isinstance(each, dict):
                    yield name, each
            for each in node.values():
                yield from properties(each)
        for each in node if isinstance(node, list) else ():
            yield from properties(each)

    silent = {name for name, each in properties(SCHEMA) if "description" not in each}
    assert silent <= {"train", "test", "predict", "type"}
