"""The part of a program that reads answers and counts them, as its cell does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from fractions import Fraction
from functools import partial
from typing import Any

from parallm_magics.answers.reading_kinds import KINDS, ReadingKind
from parallm_magics.core.tasks import Reading
from parallm_magics.errors import OptionError
from parallm_magics.export.code_text import quoted
from parallm_magics.patterns.panel import Rule
from parallm_magics.voting.rule_entry import Terms
from parallm_magics.voting.ties import DEFAULT_TIES, TIES

HELPERS = {
    "read": '''\
def read(text, choices=None, **how):
    """Read an answer as the cell does; None if it cannot be read with certainty."""
    answer = read_answer(text, choices, **how)
    return answer.value if answer.state == "valid" else None''',
    "same": '''\
def same(text):
    """Return a key that ignores case, spaces and a final full stop; None if there is no answer."""
    said = read(text, kind="open")
    return None if said is None else same_answer_key(said)''',
    "likeliest": '''\
def likeliest(shares, scored=False, blocks=None):
    """Return the most probable label; the mean of a score; a label that blocks from its share on."""
    print(", ".join(f"{label} {share:.0%}" for label, share in shares.items()))
    if scored:
        return f"{expected_level(shares):.15g}"
    if blocks is not None and shares[blocks[0]] >= blocks[1]:
        return blocks[0]
    return most_probable({label: s for label, s in shares.items() if not blocks or label != blocks[0]})''',
    "validated": '''\
async def validated(ask, kind, prompt, **how):
    """Return an object of this class; ask once more, with the error, where the first is none."""
    try:
        return await ask(kind, prompt, **how)
    except ValidationError as error:
        return await ask(kind, f"{prompt}\\n\\nYour last answer did not conform: {error}", **how)''',
}
"""Functions that a program may need, in the order in which they stand in it."""

_JUDGED = """\
texts = {{}}  # the first of equal answers
for vote, name in zip(cast, votes):
    texts.setdefault(vote.label, answers[name])
tied = [*decision.tied] or [decision.winner]
if len({among}) > 1 and decision.status != "no_quorum":
    tied = await judged({texts}, tied{tally})
    ended = ("decided", tied[0]) if len(tied) == 1 else ("tie", None, tuple(tied))
    decision = Decision(*ended)"""


def is_read(reading: Reading | None) -> bool:
    """Whether something is read out of such answers, rather than taken as free text."""
    return reading is not None and not KINDS[reading.kind].is_text


def read(reading: Reading | None, text: str) -> str:
    """The expression that reads an answer."""
    if reading is not None and reading.schema is not None:
        return text  # an object, validated as it came
    if reading is None or KINDS[reading.kind].is_text:
        return f"{text}.strip()"
    how = f", [{', '.join(map(quoted, reading.choices))}]" if reading.choices else ""
    if not KINDS[reading.kind].is_label:
        how += f", kind={quoted(reading.kind)}"
    if reading.low is not None and reading.high is not None:
        how += f", range=({reading.low:g}, {reading.high:g})"
    return f"read({text}{how})"


class Sources:
    """What a program calls that is written out by its source, by name."""

    def __init__(self) -> None:
        self.functions: dict[str, Callable[..., Any]] = {}

    def call(self, function: Callable[..., Any], *arguments: str) -> str:
        """The expression of a call; of a partial one with the arguments that it has.

        Raises:
            OptionError: the function's source cannot be told from what stands around it.
        """
        if isinstance(function, partial):
            own = [self.value(each) for each in function.args]
            return f"{self.value(function.func)}({', '.join([*own, *arguments])})"
        return f"{self.value(function)}({', '.join(arguments)})"

    def value(self, value: Any) -> str:
        """The expression of a function or of a plain value."""
        if not callable(value):
            return quoted(value) if isinstance(value, str) else repr(value)
        name = getattr(value, "__name__", "")
        if not name.isidentifier() or not inspect.isroutine(value):
            raise OptionError(
                "%parallm code: a program needs the rule's source code, and a lambda or an object has none; define "
                "the rule with def"
            )
        self.functions[name] = value
        return str(name)


def picking(
    rule: Rule,
    reading: Reading,
    names: Sequence[str],
    sources: Sources,
    weights: Sequence[Fraction] = (),
) -> list[str]:
    """The lines that find `winner` from `votes`, a vote by name, and their `tally`.

    Args:
        reading: how the answers are read.
        names: the voters.
        sources: where functions are noted that the lines call.
        weights: what each vote counts.
    """
    entry, kind = rule.entry, KINDS[reading.kind]
    usual = kind.label is ReadingKind(kind.read).label
    vote = "index, vote, vote" if usual else f"index, {sources.call(kind.label, 'vote')}, vote"
    lines = []
    if entry.weighs:
        pairs = zip(names, weights, strict=True)
        lines.append(f"weights = {{{', '.join(f'{quoted(n)}: {exact(w)}' for n, w in pairs)}}}")
        vote += ", weight=weights[name]"
    if entry.states_confidence:
        vote += ", confidence=parse_confidence(answers[name])"
    ended = sources.call(entry.settle, "cast", terms(rule, len(names)))
    lines += [
        f"cast = [Vote({vote}) for index, (name, vote) in enumerate(votes.items())]",
        "tally = Counter(vote.label for vote in cast)",
        f"decision = {ended}",
    ]
    asks_of_ties = not entry.asks and TIES[rule.ties].asks
    if entry.asks or asks_of_ties:
        form = {
            "among": "tied" if asks_of_ties else "texts",
            "texts": "{vote: texts[vote] for vote in tied}" if asks_of_ties else "texts",
            "tally": ", tally" if entry.asks == "score" else "",
        }
        lines += _JUDGED.format(**form).splitlines()
    if rule.ties != DEFAULT_TIES:
        lines.append(f"decision = break_tie(decision, cast, {quoted(rule.ties)}, {rule.seed})")
    return [*lines, "winner = decision.winner"]


def terms(rule: Rule, requested: int) -> str:
    """The expression of what the rule needs to know besides the votes, as far as it is not as usual."""
    own, usual = rule.terms(requested), Terms(requested)
    told = [str(requested)]
    for field in fields(Terms):
        value = getattr(own, field.name)
        if value != getattr(usual, field.name):
            shown = exact(value) if isinstance(value, Fraction) else repr(value)
            told.append(f"{field.name}={shown}")
    return f"Terms({', '.join(told)})"


def exact(number: Fraction) -> str:
    """A number without rounding: thirds add up to one."""
    return str(number) if number.denominator == 1 else f"Fraction({quoted(str(number))})"
