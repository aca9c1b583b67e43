"""What may be typed next in a cell: options, their values, directives, variables."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from parallm_magics.cell.directives import (
    BLANK_CHARS,
    BLOCK_NAME,
    BLOCK_WORDS,
    SINGLE_BLOCKS,
    SYSTEM_WORDS,
    head,
    lead,
)
from parallm_magics.cell.help import BLOCK_HELP
from parallm_magics.cell.option_entry import Option
from parallm_magics.cell.option_layers import option_of
from parallm_magics.cell.options import TABLE
from parallm_magics.cell.variables import IDENTIFIER

_DIRECTIVE = re.compile(r"%([a-z]+)(?=[ \t])")
_WORD = re.compile(r"%[a-z]*")
_NAME = re.compile(rf"(?<!\\)(?<![{{$])\{{\{{[ \t]*((?:{IDENTIFIER})?)$")
_STEP = re.compile(rf"(?<!\\)(?<![{{$])\{{\{{[ \t]*({IDENTIFIER})\.([\w-]*)$")
_LEAD = rf"(?m)^(?:(?!\n)[{BLANK_CHARS}])*"
_SECTION = re.compile(rf"{_LEAD}%section[ \t]+({BLOCK_NAME.pattern})")
_BLOCK = re.compile(rf"{_LEAD}%([a-z]+)")
_PLACEHOLDER = re.compile(r"[A-Z]+")
_CLAUSE = re.compile(r"[;:]| \(")


_TASK = "the shared text at the start of every prompt"
_OWN = {
    "synthesis": {"task": _TASK, "outputs": "the sections' answers"},
    "judge": {"task": _TASK, "candidates": "the answers to choose from"},
}
_ITEM = {"item": "this worker's item", "index": "the item's number, from 1"}


class Suggestion(NamedTuple):
    """One text, and what it does or is, in a few words."""

    text: str
    about: str


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What may stand in place of the last characters before the cursor.

    Attributes:
        fragment: those characters.
        found: what may stand there instead; each text begins with them.
    """

    fragment: str
    found: tuple[Suggestion, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts alone."""
        return tuple(each.text for each in self.found)


def beginning_with(fragment: str, known: Iterable[tuple[str, str]]) -> Suggestions:
    """Return those of the texts, each with what it is about, that begin with the fragment, each once."""
    found: dict[str, str] = {}
    for text, about in known:
        if text.startswith(fragment):
            found.setdefault(text, about)
    return Suggestions(fragment, tuple(Suggestion(*each) for each in found.items()))


def suggest(
    before: str, variables: Mapping[str, Any], models: Sequence[str] = ()
) -> Suggestions | None:
    """Return what may follow this beginning of a cell; None where nothing of ours may.

    Args:
        before: the cell's text up to the cursor.
        variables: what `{{name}}` may stand for; nothing of theirs is called.
        models: names that `-m` may be given.
    """
    ours = head(before)
    if ours is None:
        return None
    magic, text = ours.magic, ours.rest
    line = text.rpartition("\n")[2]
    found = _variable(text, variables)
    if found is not None:
        return found
    if "\n" not in text:
        return _option(line, magic, variables, models)
    line = line[len(lead(line)) :]
    if _WORD.fullmatch(line):
        return beginning_with(line, _directives(magic, text))
    match = _DIRECTIVE.match(line)
    if match is None or match[1] not in BLOCK_WORDS[magic]:
        return None
    return _option(line[match.end() :], match[1], variables, models)


def _directives(magic: str, text: str) -> Iterator[tuple[str, str]]:
    above = _BLOCK.findall(text.rpartition("\n")[0])
    for word in (*BLOCK_WORDS[magic], *SYSTEM_WORDS):
        if word not in SINGLE_BLOCKS or word not in above:
            yield f"%{word}", BLOCK_HELP[word]


def _option(
    line: str, where: str, variables: Mapping[str, Any], models: Sequence[str]
) -> Suggestions | None:
    """Return options and their values behind the name of a magic or of a block."""
    if line.count('"') % 2 or line.count("'") % 2:
        return None
    *earlier, fragment = re.split(r"[ \t]", line)
    if not earlier:  # still within the name
        return None
    flag, equals, value = fragment.partition("=")
    option = option_of(flag if equals else earlier[-1])
    if option is not None and where in option.where and option.metavar:
        typed = value if equals else fragment
        found = beginning_with(typed, _values(option, typed, line, variables, models))
        return found if found.found or "PATH" in option.form else _free_value(option, typed)
    if fragment and not fragment.startswith("-"):
        return None
    taken = [option_of(word.partition("=")[0]) for word in earlier]
    free = (
        (flag, _CLAUSE.split(each.help)[0])
        for each in TABLE.values()
        if where in each.where and (each.repeats or each not in taken)
        for flag in each.flags
        if fragment or flag.startswith("--")
    )
    return beginning_with(fragment, free)


def _values(
    option: Option, typed: str, line: str, variables: Mapping[str, Any], models: Sequence[str]
) -> Iterable[tuple[str, str]]:
    if option.offers == "models":
        first = typed.rpartition(",")[0]
        known = [*((each, "value") for each in known_values(option)), *_described(models)]
        return [(f"{first},{each}" if first else each, about) for each, about in known]
    if option.offers == "labels":
        labels = re.search(r"--choices[= \t]+([^\s\"']+)", line)
        return [(label, "label") for label in labels[1].split(",")] if labels else []
    if option.offers == "variables":
        return [(name, kind) for name, kind in _public(variables) if _iterable(variables[name])]
    if option.offers == "schemas":
        return [
            (name, kind)
            for name, value in sorted(variables.items())
            if (kind := _schema(name, value))
        ]
    about = option.known if isinstance(option.known, Mapping) else {}
    return [(each, getattr(about.get(each), "help", "value")) for each in known_values(option)]


def _free_value(option: Option, typed: str) -> Suggestions:
    """Return the default, else what is typed: with nothing of ours, Tab would show Python's names."""
    usual = "" if option.default in (None, False, ()) else str(option.default)
    about = f"{option.metavar}: {_CLAUSE.split(option.help)[0]}"
    text = usual if usual.startswith(typed) and usual else typed
    return Suggestions(typed, (Suggestion(text, about),))


_FIELDS = {"__annotations__", "__annotate__", "__annotate_func__"}
"""Where a class keeps what it says of its fields."""

_NO_SCHEMAS = {"builtins", "typing", "pydantic", "dataclasses", "enum"}
"""Modules whose classes are imported to make schemas of, and are none."""


def _described(models: Sequence[str]) -> list[tuple[str, str]]:
    return [(each, "provider" if each.endswith(":") else "model") for each in models]


def known_values(option: Option) -> list[str]:
    """Return the values that an option names itself, such as its rules; of `beta:LEVEL` the word."""
    parts = option.metavar.split("|")
    return [_PLACEHOLDER.sub("", part) for part in parts if part[:1].islower()]


def _iterable(value: Any) -> bool:
    return hasattr(type(value), "__iter__") and not isinstance(value, str | bytes)


def _schema(name: str, value: Any) -> str:
    """Return what kind of schema a variable may hold; "" for none. None of the value's own code is run."""
    if name.startswith("_"):
        return ""
    if type(value) is dict:
        return "JSON Schema" if value.keys() & {"properties", "json_schema", "$ref"} else ""
    if not isinstance(value, type) or value.__module__.partition(".")[0] in _NO_SCHEMAS:
        return ""
    return "class" if any(_FIELDS & vars(kind).keys() for kind in value.__mro__) else ""


def _variable(text: str, variables: Mapping[str, Any]) -> Suggestions | None:
    """Return names after `{{`, and what is within a name after its dot."""
    first, _, body = text.partition("\n")
    line = text.rpartition("\n")[2]
    blocks = _BLOCK.findall(body)
    word = blocks[-1] if blocks else ""
    if step := _STEP.search(line):
        if step[1] == "outputs" and word == "synthesis":
            return beginning_with(step[2], ((name, "answer") for name in _SECTION.findall(body)))
        return beginning_with(step[2], _inside(variables.get(step[1])))
    name = _NAME.search(line)
    if name is None:
        return None
    own = dict(_OWN.get(word, {}))
    if "--each" in first:
        own |= _ITEM
    return beginning_with(name[1], [*own.items(), *_public(variables)])


def _public(variables: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the names that a template can reach and whose value could stand in a prompt, each with its type."""
    return [
        (name, type(value).__name__)
        for name, value in sorted(variables.items())
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and (not callable(value) or _iterable(value))
    ]


def _inside(value: Any) -> list[tuple[str, str]]:
    """Return keys and attributes, read without running a line of the value's own code."""
    if type(value) is dict:
        return [(key, "key") for key in value if isinstance(key, str) and key.isidentifier()]
    names: dict[str, Any] = {}
    for kind in reversed(type(value).__mro__):
        names |= vars(kind)
    with contextlib.suppress(AttributeError):
        names |= object.__getattribute__(value, "__dict__")
    data = (name for name, found in names.items() if not inspect.isroutine(found))
    return [(name, "attribute") for name in sorted(data) if not name.startswith("_")]
