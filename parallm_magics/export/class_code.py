"""A schema as the pydantic classes of a program."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any

from parallm_magics.answers.schema_fields import branches, resolved
from parallm_magics.answers.schema_sources import Validated
from parallm_magics.core.schemas import Schema
from parallm_magics.export.code_text import quoted

_LIMITS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
}
"""What a JSON Schema says of a value, and how a field of pydantic says it."""

_NOTE = "# Made from the JSON Schema of your class: checks that it adds by itself are not in here."

_PLAIN = {"number": "float", "integer": "int", "boolean": "bool", "string": "str", "null": "None"}
_DATED = {"date": "date", "date-time": "datetime", "time": "time"}
_MOST_LINE = 88
_TYPES = {"BaseModel", "ConfigDict", "Field", "Literal", "Any", "date", "datetime", "time"}
_TAKEN = {*_TYPES, "Counter", "Decision", "Fraction", "Schema", "SchemaField", "Terms", "Vote"}
"""Names that a program has already, so that no class may have one."""
_OF_PYDANTIC = re.compile(r"model_|_|(?:copy|json|dict|schema|construct|validate|fields)$")
"""Names that a field of a pydantic class may not have, or that hide a method."""


class Classes:
    """The classes that some schemas stand for, each once, those that others use first."""

    def __init__(self, schemas: Iterable[Schema], taken: Iterable[str] = ()) -> None:
        self._names = {*_TAKEN, *taken}
        self._sources: list[str] = []
        self._by_document: dict[str, str] = {}
        for schema in schemas:
            if schema.document not in self._by_document:
                self._by_document[schema.document] = self._top(schema)

    def name(self, schema: Schema) -> str:
        """What the class of a schema is called."""
        return self._by_document[schema.document]

    @property
    def source(self) -> str:
        """The definitions."""
        return "\n\n\n".join(self._sources)

    def _top(self, schema: Schema) -> str:
        document = json.loads(schema.document)
        order = [field.name for field in schema.fields]
        made = self._class(resolved(document, document), schema.name, document, order)
        if isinstance(getattr(schema.make, "__self__", None), Validated):
            self._sources[-1] = f"{_NOTE}\n{self._sources[-1]}"
        return made

    def _class(
        self, node: Mapping[str, Any], name: str, document: Any, order: Iterable[str] = ()
    ) -> str:
        """Add the class of an object; return its name."""
        made = self._free(name)
        properties = node.get("properties", {})
        required = node.get("required", ())
        lines = [f'"""{_one_line(about)}"""', ""] if (about := node.get("description")) else []
        if node.get("additionalProperties") is False:
            lines += ['model_config = ConfigDict(extra="forbid")', ""]
        names = dict.fromkeys([*(each for each in order if each in properties), *properties])
        # Python wants the fields without a default first nowhere: pydantic takes them by name.
        for each in names:
            lines.append(self._field(each, properties[each], each in required, document))
        body = "\n".join(f"    {line}" if line else "" for line in lines)
        self._sources.append(f"class {made}(BaseModel):\n{body}")
        return made

    def _field(self, name: str, node: Any, required: bool, document: Any) -> str:
        whole = resolved(node, document)
        own, more = _python_name(name), []
        kind = self._type(whole, name, document)
        if not required and "None" not in kind.split(" | "):
            kind += " | None"
        more += [] if required else ["default=None"]
        more += [f"alias={quoted(name)}"] if own != name else []
        more += [
            f"{limit}={whole[said]!r}"
            for said, limit in _LIMITS.items()
            if said in whole and _fits(said, whole)
        ]
        if about := whole.get("description"):
            more.append(f"description={quoted(_one_line(about))}")
        if more == ["default=None"]:
            return f"{own}: {kind} = None"
        if not more:
            return f"{own}: {kind}"
        line = f"{own}: {kind} = Field({', '.join(more)})"
        if len(line) <= _MOST_LINE:
            return line
        inside = "".join(f"        {each},\n" for each in more)
        return f"{own}: {kind} = Field(\n{inside}    )"

    def _type(self, node: Mapping[str, Any], name: str, document: Any) -> str:
        """The annotation of a value."""
        options, nullable = branches(node, document)
        found = dict.fromkeys(self._branch(each, name, document) for each in options)
        return " | ".join([*found, *(["None"] if nullable and "None" not in found else [])])

    def _branch(self, node: Mapping[str, Any], name: str, document: Any) -> str:
        values = node.get("enum", [node["const"]] if "const" in node else [])
        if values:
            listed = [quoted(each) if isinstance(each, str) else repr(each) for each in values]
            return f"Literal[{', '.join(each for each in listed if each != 'None')}]"
        kind = node.get("type")
        if kind == "object" or (kind is None and "properties" in node):
            return self._object(node, name, document)
        if kind == "array":
            items = node.get("items")
            inner = self._type(resolved(items, document), name, document) if items else "Any"
            return f"list[{inner}]"
        dated = _DATED.get(node.get("format", "")) if kind == "string" else None
        if dated:
            return dated
        return _PLAIN.get(str(kind)) or "Any"

    def _object(self, node: Mapping[str, Any], name: str, document: Any) -> str:
        if node.get("properties"):
            return self._class(node, str(node.get("title") or name), document)
        values = node.get("additionalProperties")
        if isinstance(values, Mapping) and values:
            return f"dict[str, {self._type(resolved(values, document), name, document)}]"
        return "dict[str, Any]"

    def _free(self, name: str) -> str:
        """A class's name made of any text, one that is not taken yet."""
        words = re.findall(r"[A-Za-z0-9]+", name)
        stem = "".join(word[:1].upper() + word[1:] for word in words) or "Answer"
        stem = f"Answer{stem}" if stem[0].isdigit() or keyword.iskeyword(stem) else stem
        made, turn = stem, 1
        while made in self._names:
            turn += 1
            made = f"{stem}{turn}"
        self._names.add(made)
        return made


def _fits(said: str, node: Mapping[str, Any]) -> bool:
    """Whether pydantic takes this limit of such a value: none of one that may be of several types."""
    kinds = {
        "pattern": {"string"},
        "minLength": {"string"},
        "maxLength": {"string"},
        "minItems": {"array"},
        "maxItems": {"array"},
    }.get(said, {"number", "integer"})
    return node.get("type") in kinds and "format" not in node and "enum" not in node


def _python_name(name: str) -> str:
    """The name of a field in a class, made of its key."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII)
    made = f"field_{made}" if not made.isidentifier() or _OF_PYDANTIC.match(made) else made
    # A field that is called as a type is would hide it from the fields below.
    made = f"{made}_" if made in _TYPES else made
    return f"{made}_" if keyword.iskeyword(made) else made


def _one_line(text: str) -> str:
    return " ".join(str(text).split()).replace("\\", "\\\\").replace('"""', "'''").rstrip('"')
