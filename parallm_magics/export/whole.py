"""A program made whole: what its parts use is imported, or put there by its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from parallm_magics import voting
from parallm_magics.answers import reading_kinds
from parallm_magics.answers.cleaning import same_answer_key, usual_spelling
from parallm_magics.answers.judge_verdicts import read_verdict
from parallm_magics.answers.label_probabilities import expected_level, most_probable
from parallm_magics.answers.read_answer import read_answer
from parallm_magics.answers.reading_kinds import KINDS, ReadingKind
from parallm_magics.answers.stated_confidence import parse_confidence, without_confidence
from parallm_magics.answers.thinking import split_thinking
from parallm_magics.core.schemas import Schema, SchemaField
from parallm_magics.export.code_text import quoted
from parallm_magics.export.inlining import (
    PACKAGE,
    Inlined,
    Place,
    defined_names,
    free_names,
    import_lines,
)
from parallm_magics.export.vote_code import HELPERS, Sources
from parallm_magics.voting.counting import leaders
from parallm_magics.voting.field_ballots import field_ballots
from parallm_magics.voting.rule_entry import Decision, Terms, Vote
from parallm_magics.voting.ties import break_tie

_STANDARD: Mapping[str, Place] = {
    "Counter": ("collections", "Counter"),
    "Fraction": ("fractions", "Fraction"),
    **{name: (name, "") for name in ("asyncio", "json", "os", "re")},
    **{name: ("datetime", name) for name in ("date", "datetime", "time")},
    **{name: ("typing", name) for name in ("Any", "Literal")},
    **{
        name: ("pydantic", name) for name in ("BaseModel", "ConfigDict", "Field", "ValidationError")
    },
}
_INLINED: Mapping[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        Decision,
        Terms,
        Vote,
        Schema,
        SchemaField,
        break_tie,
        expected_level,
        field_ballots,
        leaders,
        most_probable,
        parse_confidence,
        read_answer,
        read_verdict,
        same_answer_key,
        split_thinking,
        usual_spelling,
        without_confidence,
    )
}
_HEADING = """\
# --- how answers are read and votes are counted: the source of parallm_magics --------------"""
_IMPORTED = (
    "# `%parallm code NAME.py` writes the source of these into the program, so that it runs alone."
)
_END = "# In a notebook: await main()\nasyncio.run(main())"
_NOT_OF_READING = (
    "read",
    "asks",
    "key",
    "label",
    "noun",
    "all_answers",
    "levels",
    "is_place",
    "is_enforceable",
)
_KINDS: Place = (reading_kinds.__name__, "KINDS")


def written(
    title: str,
    first: Sequence[str],
    then: Sequence[str],
    sdks: Sequence[str],
    sources: Sources,
    kinds: Sequence[str],
    *,
    by_itself: bool,
) -> str:
    """The program of these parts.

    Args:
        title: what it does.
        first, then: its definitions; what helps them stands between.
        sdks: the lines that import what makes the calls.
        sources: further functions that it calls.
        kinds: the kinds of answers that it reads.
        by_itself: whether the source of what reads and counts is put into it; else it is imported.
    """
    helpers: list[str] = []
    own = "\n\n\n".join([*first, *then, _END])
    while more := [name for name in free_names(own) & HELPERS.keys() if name not in helpers]:
        helpers += more
        own = "\n\n\n".join([own, *(HELPERS[name] for name in more)])
    used = free_names(own)
    called = {name: each for name, each in _INLINED.items() if name in used}
    # A kind of the user's own is known to a program by its source alone.
    by_itself = by_itself or not all(_is_ours(KINDS[name].read) for name in kinds)
    # What reads is known by name where the kinds are told, so it comes first.
    told = kinds if by_itself else ()
    known = (
        "KINDS = {\n"
        + "".join(f"    {quoted(n)}: {_kind(KINDS[n], sources)},\n" for n in told)
        + "}"
    )
    functions = {**sources.functions, **called}
    ours = {} if by_itself else {n: each for n, each in functions.items() if _is_ours(each)}
    rest = {n: each for n, each in functions.items() if n not in ours}
    inlined = Inlined(rest, {*defined_names(own), *ours}, {_KINDS: known})
    imports = inlined.imports | {name: _STANDARD[name] for name in used & _STANDARD.keys()}
    head = ["\n".join(import_lines(imports)), "\n".join(sdks)]
    if ours:
        places = {name: _home(each) for name, each in ours.items()}
        head.append("\n".join([_IMPORTED, *import_lines(places)]))
    if "\nclass " in f"\n{inlined.source}":
        head.insert(0, "from __future__ import annotations")
    parts = [*first, *(HELPERS[name] for name in HELPERS if name in helpers), *then]
    if inlined.source:
        parts.append(f"{_HEADING}\n\n\n{inlined.source}")
    body = "\n\n\n".join(part for part in [*parts, _END] if part)
    apart = "\n" if body.startswith(("class ", "# ")) else ""
    return "\n\n".join([f'"""{title}"""', *head, apart + body]) + "\n"


def _home(function: Any) -> Place:
    """Where a function is imported from: from `parallm_magics.voting` where that has it."""
    name = function.__name__
    public = getattr(voting, name, None) is function
    return (voting.__name__ if public else function.__module__), name


def _is_ours(function: Any) -> bool:
    return str(function.__module__).partition(".")[0] == PACKAGE


def _kind(kind: ReadingKind, sources: Sources) -> str:
    """The expression of a kind of answers, as far as reading needs it."""
    usual = ReadingKind(kind.read)
    names = [each.name for each in fields(kind) if each.name not in _NOT_OF_READING]
    told = [name for name in names if getattr(kind, name) != getattr(usual, name)]
    own = [f"{name}={sources.value(getattr(kind, name))}" for name in told]
    return f"ReadingKind({', '.join([sources.value(kind.read), *own])})"
