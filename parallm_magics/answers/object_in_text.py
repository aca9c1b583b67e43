"""The JSON object in an answer, validated: whatever stands around it, and never a guess."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from parallm_magics.answers.cleaning import one_line, without_fences
from parallm_magics.answers.json_objects import objects_in
from parallm_magics.answers.thinking import split_thinking, without_reasoning
from parallm_magics.answers.wording import declines_to_answer
from parallm_magics.core.schemas import Schema

_WORD = re.compile(r"[^\W\d_]")
_HALF = re.compile("[\ud800-\udfff]")
_LONGEST_NUMBER = 4_000
"""Digits from which on Python's own reader of numbers gives up."""
_DECLINED_WITHIN = 1_000
"""A longer text without an object is an attempt at one, not a refusal."""
_MOST_LEVELS = 100
"""What is nested deeper can be neither compared nor written again within Python's limits."""
_TOO_DEEP = "the JSON object is nested too deeply"


class NoObjectError(ValueError):
    """An answer holds no object that conforms, in one line.

    Attributes:
        declined: whether the model says that it will not answer.
    """

    def __init__(self, problem: str, *, declined: bool = False) -> None:
        super().__init__(one_line(problem))
        self.declined = declined


class _Doubled(dict[str, Any]):
    """An object in which a key stands twice, so that nobody knows what it says."""

    key: str = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    doubled = _Doubled(made)
    keys = [key for key, _ in pairs]
    doubled.key = next(key for key in keys if keys.count(key) > 1)
    return doubled


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else math.inf


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_object, parse_int=_whole)


def read_object(text: str, schema: Schema) -> Any:
    """Return the object in an answer, validated.

    Words and fences around it are passed over. Of several objects with words between them the last
    one that conforms counts, as a draft may come first; several that say different things with no
    word between them are a list, and no answer. An object that is the only field of another one is
    taken out of it.

    Raises:
        NoObjectError: there is none that conforms; names the first mistakes.
    """
    raw = split_thinking(text)[1]
    if not without_fences(raw).lstrip().startswith("{"):
        raw = without_reasoning(raw)
    found: list[Any] = []
    plain: list[Any] = []
    problem, end = "", 0
    for begin, place, data in objects_in(raw, _DECODER):
        if found and _WORD.search(raw, end, begin):
            found.clear()
            plain.clear()
        end = place
        try:
            made = _made(data, schema)
        except ValueError as error:
            problem = str(error)
        else:
            found.append(made)
            plain.append(data)
    if not found:
        raise _no_object(raw, problem)
    if any(each != plain[0] for each in plain):
        raise NoObjectError(f"the answer holds {len(found)} different objects; one is wanted")
    return found[0]


def _made(data: Any, schema: Schema) -> Any:
    """Return the object of what one JSON object holds.

    Raises:
        ValueError: it does not conform.
    """
    _refuse_oddities(data)
    inner = [*data.values()]
    if len(inner) != 1 or not isinstance(inner[0], dict) or _named(data, schema) or not data:
        return _whole_object(data, schema)
    try:
        return _whole_object(inner[0], schema)
    except ValueError as error:
        problem = error
    # The name may be another one of the only field.
    try:
        return _whole_object(data, schema)
    except ValueError:
        raise problem from None


def _named(data: Mapping[str, Any], schema: Schema) -> bool:
    return any(field.name in data for field in schema.fields)


def _whole_object(data: Mapping[str, Any], schema: Schema) -> Any:
    """Return the object that this JSON object is; not what the schema would make of anything at all.

    Raises:
        ValueError: it does not conform.
    """
    made = schema.make(data)
    if _named(data, schema) or not data:
        return made
    # A field may have other names too, but a class that asks for nothing would take any object.
    try:
        bare = schema.make({})
    except ValueError:
        return made
    names = [field.name for field in schema.fields]
    taken, filled = schema.plain(made), schema.plain(bare)
    if all(taken.get(name) == filled.get(name) for name in names):
        raise ValueError(f"it has none of the fields {', '.join(names)[:80]}")
    return made


def _refuse_oddities(data: Any) -> None:
    """Refuse what is no JSON, or says two things at once, or is too deep to be held."""
    stack = [(data, 1)]
    while stack:
        each, level = stack.pop()
        if level > _MOST_LEVELS:
            raise ValueError(_TOO_DEEP)
        if isinstance(each, _Doubled):
            raise ValueError(f"the key {each.key[:40]!r} stands twice in one object")
        if isinstance(each, float) and not math.isfinite(each):
            raise ValueError("NaN, Infinity and numbers too large to hold are no JSON")
        if isinstance(each, str) and _HALF.search(each):
            raise ValueError("a text in it holds half of a character")
        if isinstance(each, Mapping):
            stack += [(part, level + 1) for part in (*each.keys(), *each.values())]
        elif isinstance(each, list):
            stack += [(part, level + 1) for part in each]


def _no_object(text: str, problem: str) -> NoObjectError:
    if problem:
        return NoObjectError(problem)
    if "{" not in text:
        declined = len(text) <= _DECLINED_WITHIN and declines_to_answer(one_line(text))
        said = "the model declined to answer" if declined else "the answer holds no JSON object"
        return NoObjectError(said, declined=declined)
    start = text.index("{")
    try:
        _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()):
            return NoObjectError("the JSON object breaks off before its end")
        near = one_line(text[error.pos : error.pos + 20])
        return NoObjectError(f"the JSON is not valid: {error.msg.lower()} at {near!r}")
    except RecursionError:
        return NoObjectError(_TOO_DEEP)
    return NoObjectError("the answer holds no JSON object")
