"""A program made whole: what its parts use is imported, or put there by its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parallm_magics.answers import reading_kinds
from parallm_magics.answers.cleaning import label_of, same_answer_key, usual_spelling
from parallm_magics.answers.judge_verdicts import read_verdict
from parallm_magics.answers.read_answer import read_answer
from parallm_magics.answers.reading_kinds import KINDS, ReadingKind
from parallm_magics.answers.stated_confidence import parse_confidence
from parallm_magics.export.code_text import quoted
from parallm_magics.export.inlining import (
    Import,
    Inlined,
    Place,
    defined_names,
    free_names,
    import_lines,
)
from parallm_magics.export.vote_code import HELPERS, function_name
from parallm_magics.voting.counting import leaders
from parallm_magics.voting.rule_entry import Terms, Vote

_STANDARD: Mapping[str, Import] = {
    "Counter": ("collections", "Counter", "Counter"),
    "Fraction": ("fractions", "Fraction", "Fraction"),
    **{name: (name, "", name) for name in ("asyncio", "os", "random", "re")},
}
_INLINED: Mapping[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        Terms,
        Vote,
        label_of,
        leaders,
        parse_confidence,
        read_answer,
        read_verdict,
        same_answer_key,
        usual_spelling,
    )
}
_HEADING = """\
# --- how answers are read and votes are counted: the source of parallm_magics --------------"""
_END = "# In a notebook: await main()\nasyncio.run(main())"
_OF_READING = [
    "tidied",
    "is_answer",
    "is_label",
    "is_number",
    "is_text",
    "marker_words",
    "first_fields",
    "last_fields",
]
_KINDS: Place = (reading_kinds.__name__, "KINDS")


def written(
    title: str,
    first: Sequence[str],
    then: Sequence[str],
    sdks: Sequence[str],
    functions: Mapping[str, Callable[..., Any]],
    kinds: Sequence[str],
) -> str:
    """The program of these parts.

    Args:
        title: what it does.
        first, then: its definitions; what helps them stands between.
        sdks: the lines that import what makes the calls.
        functions: further ones that it calls, which are written out by their source.
        kinds: the kinds of answers that it reads.
    """
    helpers: list[str] = []
    own = "\n\n\n".join([*first, *then, _END])
    while more := [name for name in free_names(own) & HELPERS.keys() if name not in helpers]:
        helpers += more
        own = "\n\n\n".join([own, *(HELPERS[name] for name in more)])
    used = free_names(own)
    called = {name: each for name, each in _INLINED.items() if name in used}
    # What reads is known by name where the kinds are told, so it comes first.
    readers = {each.__name__: each for name in kinds for each in _readers(KINDS[name])}
    inlined = Inlined(
        {**readers, **functions, **called}, defined_names(own), {_KINDS: _kinds(kinds)}
    )
    imports = inlined.imports | {_STANDARD[name] for name in used & _STANDARD.keys()}
    head = ["\n".join(import_lines(imports)), "\n".join(sdks)]
    if "\nclass " in f"\n{inlined.source}":
        head.insert(0, "from __future__ import annotations")
    parts = [*first, *(HELPERS[name] for name in HELPERS if name in helpers), *then]
    if inlined.source:
        parts.append(f"{_HEADING}\n\n\n{inlined.source}")
    body = "\n\n\n".join(part for part in [*parts, _END] if part)
    return "\n\n".join([f'"""{title}"""', *head, body]) + "\n"


def _kinds(names: Sequence[str]) -> str:
    """The statement of the kinds of answers that a program reads, as far as reading needs it."""
    entries = "".join(f"    {quoted(name)}: {_kind(KINDS[name])},\n" for name in names)
    return f"KINDS = {{\n{entries}}}"


def _kind(kind: ReadingKind) -> str:
    given = [function_name(kind.read)]
    for name, value in _told(kind).items():
        shown = function_name(value) if callable(value) else repr(value)
        given.append(f"{name}={shown}")
    return f"ReadingKind({', '.join(given)})"


def _told(kind: ReadingKind) -> dict[str, Any]:
    """What reading needs of a kind, as far as it is not as usual."""
    usual = ReadingKind(kind.read)
    fields = {name: getattr(kind, name) for name in _OF_READING}
    return {name: value for name, value in fields.items() if value != getattr(usual, name)}


def _readers(kind: ReadingKind) -> list[Callable[..., Any]]:
    return [kind.read, *filter(callable, _told(kind).values())]
