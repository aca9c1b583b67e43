"""The answer in a field of a JSON object, or between answer tags."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parallm_magics.answers.cleaning import without_fences
from parallm_magics.answers.json_objects import objects_in
from parallm_magics.answers.reading_kinds import ReadingKind

_TELLING = (
    "final_answer answer verdict vote decision choice label grade judgment judgement classification"
    " prediction"
)
_VAGUE = "selection selected option pick winner class category result response output value"
_ENDINGS = "final conclusion solution reply message assistant"

# Numbers stay as they are spelt; a number of 5,000 digits would raise otherwise.
_DECODER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)
_JSON_START = re.compile(r"\s*(?:\[\s*)?\{\s*[\"']")
_KEY_NOISE = re.compile(r"[\s_-]+")
_WORD = re.compile(r"[^\W\d_]")
_SCORES = frozenset({"score", "confidence", "probability", "prob", "likelihood", "p", "weight"})
_INNER_TAG = re.compile(r"<[^<>]{1,80}>")


def _fields(kind: ReadingKind) -> tuple[str, ...]:
    """Return the names of answer fields of a kind, the more telling first."""
    names = f"{kind.first_fields} {_TELLING} {_VAGUE} {kind.last_fields}"
    return tuple(dict.fromkeys(names.split()))


def names_answer(name: str, kind: ReadingKind) -> bool:
    """Tell whether a tag of that name holds an answer of that kind."""
    bare = _KEY_NOISE.sub("", name).casefold()
    return bare in {_KEY_NOISE.sub("", field) for field in (*_fields(kind), *_ENDINGS.split())}


def is_json_like(text: str) -> bool:
    """Tell whether a text seems meant to be JSON as a whole, so that marks in it are its strings'."""
    bare = without_fences(text).strip()
    return bare[-1:] in ("}", "]") and _JSON_START.match(bare) is not None


def _any_of(names: Iterable[str]) -> str:
    """Return a pattern for one of the names, however its words are joined."""
    return "|".join(re.sub("_", "[ _-]?", name) for name in names)


def json_answer(text: str, kind: ReadingKind) -> str | None:
    """Return the answer field of the last JSON object that has one; None without such an object.

    A field that holds nothing readable gives "": the verdict is there, and is no vote. Objects
    with no word between them are a list: of labels with their scores, the one with the highest
    counts, whatever their order; others must agree. Open answers are no list of labels: the last
    one counts.
    """
    rows: list[tuple[str, float | None]] = []
    end = 0
    for begin, place, data in objects_in(text, _DECODER):
        value = _field(data, _fields(kind))
        if value is None:
            continue
        if rows and (kind.is_text or _WORD.search(text, end, begin)):
            rows.clear()
        rows.append((value, _score_of(data)))
        end = place
    if not rows:
        return _loose_answer(text, kind)
    if len({value for value, _ in rows}) == 1:
        return rows[0][0]
    return _likeliest(rows) if kind.is_label else ""


def _likeliest(rows: Sequence[tuple[str, float | None]]) -> str:
    """Return the label with the highest score; "" where one has none, or the highest is not the only one."""
    scores = [score for _, score in rows if score is not None]
    if len(scores) < len(rows) or scores.count(max(scores)) != 1:
        return ""
    return rows[scores.index(max(scores))][0]


def _score_of(data: Mapping[str, Any]) -> float | None:
    """Tell how sure an object is of its label; None where it does not say so as a number."""
    for name, value in data.items():
        if _KEY_NOISE.sub("", name).casefold() in _SCORES:
            with contextlib.suppress(TypeError, ValueError):
                score = float(value)
                return score if math.isfinite(score) else None
    return None


def _field(data: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the value of the first of the names, at the shallowest level that has one.

    Objects of one level that say different things give "": a draft stands beside what is final.
    """
    level = [data]
    for _ in range(8):
        found = {value for entry in level if (value := _own_field(entry, names)) is not None}
        if found:
            return found.pop() if len(found) == 1 else ""
        level = [value for entry in level for value in entry.values() if isinstance(value, dict)]
    return None


def _own_field(entry: dict[str, Any], names: tuple[str, ...]) -> str | None:
    keys = {_KEY_NOISE.sub("", key).casefold(): key for key in entry}
    for name in names:
        if (key := keys.get(name.replace("_", ""))) is not None:
            return _as_text(entry[key], names)
    return None


def _as_text(value: Any, names: tuple[str, ...]) -> str:
    """Return a field's value as an answer a model could have written."""
    if isinstance(value, dict):
        return _field(value, names) or ""
    if isinstance(value, list):
        flat = all(isinstance(item, str | bool) for item in value)
        return ", ".join(_as_text(item, names) for item in value) if flat else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def _loose_answer(text: str, kind: ReadingKind) -> str | None:
    """Return the answer field of a text that is an object but for quotes or commas: `{answer: 'no',}`."""
    body = without_fences(text).strip()
    if not (body.startswith("{") and body.endswith("}")):
        return None
    names = _any_of(_fields(kind))
    found = {
        first or second or third.strip()
        for first, second, third in re.findall(
            rf"""[{{,]\s*["']?(?:{names})["']?\s*[:=]\s*"""
            r"""(?:"([^"\n]*)"|'([^'\n]*)'|([^\s,}"'][^,}\n]*))""",
            body,
            re.IGNORECASE,
        )
    }
    if not found:
        return None
    return found.pop() if len(found) == 1 else ""


def tagged_answer(text: str, kind: ReadingKind) -> str | None:
    """Return what stands in the last answer tag; None without one.

    A tag that is never closed counts at the start of a line only, and reaches to the end.
    """
    # The vague names are tags of HTML and of many other things too.
    names = _any_of(name for name in _fields(kind) if name not in _VAGUE.split())
    opened: int | None = None
    closed: tuple[int, int] | None = None
    unclosed: int | None = None
    for tag in re.finditer(
        rf"<\s{{0,4}}(/?)\s{{0,4}}(?:{names})\b[^<>]{{0,80}}>", text, re.IGNORECASE
    ):
        if not tag[1]:
            opened = tag.end()
            if text[max(0, tag.start() - 1) : tag.start()] in ("", "\n"):
                unclosed = opened
        elif opened is not None:
            closed, opened = (opened, tag.start()), None
    if closed is not None:
        return _INNER_TAG.sub(" ", text[slice(*closed)])
    return None if unclosed is None else _INNER_TAG.sub(" ", text[unclosed:])
