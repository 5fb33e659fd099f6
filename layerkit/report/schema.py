"""The whole format of a file as a JSON Schema, with which an editor completes, explains and underlines as one types.

It says what each value may be by itself. What depends on other values (shapes, names of blobs, which fields go
together) only `layerkit check` knows; and in the schema `$name` may stand for any value, inside a block or not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from layerkit.graph.arguments import OWN_FIELDS
from layerkit.registry import family, layer_class, layer_types
from layerkit.report import catalogue
from layerkit.report.schema_values import Definitions, Schema, argument, closed
from layerkit.spec import Block, LayerSpec, NetSpec, RunSpec
from layerkit.spec.layer import FIXED
from layerkit.spec.run import BESIDE_LAYERS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LAYER: Schema = {"$ref": "#/$defs/layer"}


def built_in() -> list[str]:
    """The types that come with layerkit."""
    return [name for name in layer_types() if family(name) != "plug-in"]


def text(types: Sequence[str]) -> str:
    """The schema as JSON, as configs/schema.json holds it."""
    return json.dumps(schema(types), indent=1, ensure_ascii=False) + "\n"


def schema(types: Sequence[str]) -> Schema:
    """The schema of files whose layers are of these types."""
    parts = Definitions()
    _put_layers(parts, types)
    parts.parts["block"] = parts.mapping(Block, layers=_layers("Its layers, and uses of other blocks."))
    parts.parts["net"] = parts.mapping(NetSpec, **_inside_net())
    parts.parts["run"] = parts.mapping(RunSpec, net=_net())
    beside = {name: parts.parts["run"]["properties"][name] for name in BESIDE_LAYERS}
    parts.parts["net_alone"] = parts.mapping(NetSpec, **_inside_net(), **beside)
    return {
        "$schema": DIALECT,
        "type": "object",
        "if": {"required": ["layers"]},
        "then": {"$ref": "#/$defs/net_alone"},
        "else": {"$ref": "#/$defs/run"},
        "$defs": parts.parts,
    }


def _net() -> Schema:
    """A net, or the path of a file that holds one."""
    return {
        "description": RunSpec.model_fields["net"].description,
        "if": {"type": "object"},
        "then": {"$ref": "#/$defs/net"},
        "else": {"type": "string", "minLength": 1},
    }


def _inside_net() -> Schema:
    blocks = {"type": "object", "additionalProperties": {"$ref": "#/$defs/block"}}
    described = {"description": NetSpec.model_fields["blocks"].description, **blocks}
    return {"blocks": described, "layers": _layers(NetSpec.model_fields["layers"].description)}


def _layers(description: str | None) -> Schema:
    return {"description": description, "type": "array", "minItems": 1, "items": LAYER}


def _put_layers(parts: Definitions, types: Sequence[str]) -> None:
    """Define `layer`: one of a type, with that type's own parameters, or a use of a block."""
    common = parts.fields(LayerSpec, by_phase=True, fixed=FIXED)
    common["type"] = {"description": common["type"]["description"], "anyOf": [{"enum": list(types)}, argument()]}
    use = {name: common.get(name, {}) for name in OWN_FIELDS}
    use["block"] = {"description": "Name of the block to use.", "type": "string"}
    use["repeat"] = {
        "description": "How many copies there are, each reading the one before; numbers from 1 end their names.",
        "anyOf": [{"type": "integer", "minimum": 1}, argument()],
    }
    parts.parts["use"] = {
        "description": "A use of a block, with values for its arguments.",
        "type": "object",
        "properties": use,
        "required": ["block", "name"],
    }
    cases = [
        {
            "if": {"required": ["type"], "properties": {"type": {"const": name}}},
            "then": _type(parts, name, list(common)),
        }
        for name in types
    ]
    parts.parts["typed"] = {"type": "object", "properties": common, "required": ["type"], "allOf": cases}
    parts.parts["layer"] = {
        "if": {"required": ["block"]},
        "then": {"$ref": "#/$defs/use"},
        "else": {"$ref": "#/$defs/typed"},
    }


def _type(parts: Definitions, name: str, common: Sequence[str]) -> Schema:
    """What a layer of a type may hold."""
    model = layer_class(name).Params
    own = parts.fields(model, by_phase=True, fixed=model.by_part)
    required = [field for field, info in model.model_fields.items() if info.is_required()]
    fields: Schema = {**dict.fromkeys(common, True), **own}
    return parts.put(f"layer_{name}", {"description": catalogue.page(name).summary, **closed(fields, required)})
