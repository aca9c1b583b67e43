"""The form that an answer is held to, in the words of each wire: a JSON Schema, labels, or a grammar."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.core.tasks import Reading
from parallm_magics.providers.entry import Enforces
from parallm_magics.providers.strict_schema import is_open, strict_schema

Fields = Mapping[str, Any]
"""Fields of a request that hold its answer; empty where nothing does."""

OTHER_CHARACTERS = re.compile(r"[^A-Za-z0-9_-]")
MOST_NAME = 64
ANSWER = "answer"
"""The one field of an object that holds a label or a number."""
MOST_LEVELS = 101
"""A score of so many whole numbers at most is held by naming them: not every wire knows a range."""
FEWEST_LEVELS = 3
"""Of a score from 0 to 1 nobody wants the ends alone."""
NUMBER = r"-?[0-9]{1,15}(\.[0-9]{1,6})?"
NUMBER_GRAMMAR = 'root ::= "-"? [0-9]{1,15} ("." [0-9]{1,6})?'
SHARE = r"0(\.[0-9]{1,6})?|1(\.0{1,6})?"
SHARE_GRAMMAR = 'root ::= "0" ("." [0-9]{1,6})? | "1" ("." "0"{1,6})?'


EXPLAINED_BYTES = 1_000
"""So much may a provider say to its model of a form, besides the form itself."""


@functools.lru_cache(64)
def most_bytes(reading: Reading) -> int:
    """How much more a model reads at most where its answer is held to this form."""
    document, named = answer_schema(reading), json_schema_format(reading)
    return len(json.dumps(document)) + len(json.dumps(dict(named))) + EXPLAINED_BYTES


def answer_schema(reading: Reading) -> dict[str, Any] | None:
    """The JSON Schema of an answer that is to be read so; None where there is none."""
    if reading.schema is not None:
        document: dict[str, Any] = json.loads(reading.schema.document)
        return document
    held = _value_of(reading)
    if held is None:
        return None
    return {
        "type": "object",
        "properties": {ANSWER: held},
        "required": [ANSWER],
        "additionalProperties": False,
    }


def _value_of(reading: Reading) -> dict[str, Any] | None:
    """The schema of a label or a number."""
    if values := enumerated_answers(reading):
        return {"type": "string", "enum": list(values)}
    if not _is_number(reading):
        return None
    limits = {"minimum": reading.low, "maximum": reading.high}
    return {"type": "number"} | {name: each for name, each in limits.items() if each is not None}


def _is_number(reading: Reading) -> bool:
    """Whether an answer is a number that it can be held to be."""
    kind = KINDS[reading.kind]
    return kind.is_number and kind.is_enforceable


def enumerated_answers(reading: Reading) -> tuple[str, ...]:
    """All answers there can be, where they can be named: labels, or the whole numbers of a score."""
    if KINDS[reading.kind].is_label:
        return reading.choices
    low, high = reading.low, reading.high
    if not _is_number(reading) or low is None or high is None:
        return ()
    if not (float(low).is_integer() and float(high).is_integer()):
        return ()
    levels = range(int(low), int(high) + 1)
    return tuple(map(str, levels)) if FEWEST_LEVELS <= len(levels) <= MOST_LEVELS else ()


@functools.lru_cache(64)
def json_schema_format(reading: Reading) -> Fields:
    """OpenAI's named schema: strict where it can be said so, else as a wish."""
    document = answer_schema(reading)
    if document is None:
        return {}
    strict = strict_schema(document)
    name = reading.schema.name if reading.schema is not None else ANSWER
    return {
        "name": OTHER_CHARACTERS.sub("_", name)[:MOST_NAME] or ANSWER,
        "schema": document if strict is None else strict,
        "strict": strict is not None,
    }


@functools.lru_cache(64)
def anthropic_format(reading: Reading) -> Fields:
    """Anthropic's format, by the SDK's own transformation; empty for what it would close by mistake."""
    document = answer_schema(reading)
    if document is None or is_open(document):
        return {}
    try:
        from anthropic import transform_schema

        return {"type": "json_schema", "schema": transform_schema(_one_type_each(document))}
    except ImportError:  # nothing is sent without the SDK, but what could be is told
        return {"type": "json_schema", "schema": document}
    except (ValueError, AssertionError):
        return {}


def _one_type_each(node: Any) -> Any:
    """The schema without lists of types, which the transformation does not know."""
    if isinstance(node, list):
        return [_one_type_each(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {name: _one_type_each(each) for name, each in node.items() if name != "$schema"}
    kinds = made.get("type")
    if not isinstance(kinds, list):
        return made
    del made["type"]
    if "enum" in made or "const" in made:
        return made
    return {"anyOf": [{"type": kind, **made} for kind in kinds]}


def chat_format(reading: Reading, enforces: Enforces) -> Fields:
    """What holds an answer of chat completions: a schema, or a server's own field for labels."""
    if enforces == "nothing":
        return {}
    if reading.schema is None and enforces in _OWN_FORMS:
        held = _OWN_FORMS[enforces](reading)
        return {enforces: held} if held else {}
    schema = json_schema_format(reading)
    return {"response_format": {"type": "json_schema", "json_schema": schema}} if schema else {}


@functools.lru_cache(64)
def vllm_format(reading: Reading) -> Fields:
    """The `structured_outputs` of vLLM from 0.12 on, which took the place of `guided_choice`."""
    if values := enumerated_answers(reading):
        return {"choice": list(values)}
    if not _is_number(reading):
        return {}
    return {"regex": SHARE if (reading.low, reading.high) == (0, 1) else NUMBER}


@functools.lru_cache(64)
def grammar(reading: Reading) -> str:
    """A grammar of llama.cpp (GBNF) whose only sentences are such answers; "" where there is none."""
    if values := enumerated_answers(reading):
        return "root ::= " + " | ".join(json.dumps(each, ensure_ascii=False) for each in values)
    if not _is_number(reading):
        return ""
    return SHARE_GRAMMAR if (reading.low, reading.high) == (0, 1) else NUMBER_GRAMMAR


_OWN_FORMS: Mapping[Enforces, Callable[[Reading], Any]] = {
    "structured_outputs": vllm_format,
    "grammar": grammar,
}
"""What servers have for labels and numbers besides schemas, by the field of the request that it goes into."""
