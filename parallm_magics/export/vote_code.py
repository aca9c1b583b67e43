"""The part of a program that reads answers and counts them, as its cell does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from fractions import Fraction

from parallm_magics.answers.reading_kinds import KINDS, ReadingKind
from parallm_magics.core.tasks import Reading
from parallm_magics.errors import OptionError
from parallm_magics.export.code_text import quoted
from parallm_magics.patterns.panel import Rule
from parallm_magics.voting.pick_rules import TIES
from parallm_magics.voting.rule_entry import ProgramLines

HELPERS = {
    "read": '''\
def read(text, choices=None, **how):
    """What an answer says, read as the cell reads it; None where nothing can be read for certain."""
    answer = read_answer(text, choices, **how)
    return answer.value if answer.state == "valid" else None''',
    "same": '''\
def same(text):
    """What answers have in common that differ in case, space and a full stop only; None for none."""
    said = read(text, kind="open")
    return None if said is None else same_answer_key(said)''',
    "unstated": '''\
CONFIDENCE = re.compile(r"^[\\s*_#>-]{0,8}confidence[\\s*_]{0,8}[:=].*$", re.I | re.M)


def unstated(text):
    """An answer without the line that states how sure it is, which is no part of it."""
    return CONFIDENCE.sub("", text)''',
    "leader": '''\
def leader(votes):
    """The label with the most votes; None for a tie, or without any."""
    first, second = (Counter(votes).most_common(2) + [(None, 0), (None, 0)])[:2]
    return first[0] if first[1] > second[1] else None''',
}
"""Functions that a program may need, in the order in which they stand in it."""

_BY_SOURCE = """\
cast = [Vote(at, {label}, vote) for at, vote in enumerate(votes.values())]
decision = {rule}(cast, Terms({requested}, {quorum}, choices={choices}))
tied = list(decision.tied) if decision.winner is None else [decision.winner]"""
_TEXTS = [
    "texts = {}  # of equal answers the first",
    "for name, vote in votes.items():",
    "    texts.setdefault(vote, answers[name])",
]


def is_read(reading: Reading | None) -> bool:
    """Whether something is read out of such answers, rather than taken as free text."""
    return reading is not None and not KINDS[reading.kind].is_text


def read(reading: Reading | None, text: str) -> str:
    """The expression that reads an answer."""
    if reading is None or KINDS[reading.kind].is_text:
        return f"{text}.strip()"
    how = f", [{', '.join(map(quoted, reading.choices))}]" if reading.choices else ""
    if not KINDS[reading.kind].is_label:
        how += f", kind={quoted(reading.kind)}"
    if reading.low is not None and reading.high is not None:
        how += f", range=({reading.low:g}, {reading.high:g})"
    return f"read({text}{how})"


def function_name(function: Callable[..., object]) -> str:
    """What a program calls a function whose source it holds.

    Raises:
        OptionError: it is one whose source cannot be told from what stands around it.
    """
    name = getattr(function, "__name__", "")
    if not name.isidentifier() or not inspect.isroutine(function):
        raise OptionError(
            "%parallm code: a rule is written out by its source, and a lambda, a partial or an object has "
            "none of its own; write it as a def"
        )
    return name


def label(kind: ReadingKind, value: str) -> str:
    """The expression of what a vote is counted under."""
    usual = kind.label is ReadingKind(kind.read).label
    return value if usual else f"{function_name(kind.label)}({value})"


def lines_of(rule: Rule) -> ProgramLines:
    """How a program finds the winner by this rule; by the source of the rule where nobody says."""
    own = rule.entry.program
    return own or ProgramLines(_BY_SOURCE, leads="", rule=rule.entry.settle)


def picking(
    rule: Rule, reading: Reading, requested: int, weights: Mapping[str, Fraction] | None = None
) -> list[str]:
    """The lines that find `winner` from `votes`, a vote by name, and their `tally`.

    Args:
        reading: how the answers are read.
        requested: how many votes were asked for.
        weights: what each vote counts, by the name of the voter.
    """
    lines = lines_of(rule)
    terms = {
        "base": "len(votes)" if rule.base == "valid" else requested,
        "requested": requested,
        "quorum": rule.quorum,
        "flag": quoted(rule.flag or ""),
        "enough": rule.terms(requested).flags if rule.flag else 1,
        "share": rule.share,
        "choices": rule.choices,
        "label": label(KINDS[reading.kind], "vote"),
        "weights": _weights(weights or {}),
        "rule": function_name(lines.rule) if lines.rule is not None else "",
    }
    found = lines.before.format_map(terms).splitlines()
    if lines.winner:
        found.append(f"winner = {lines.winner.format_map(terms)}")
    elif rule.entry.asks:
        found += _judged(rule)
    else:
        found += _broken(rule, lines.leads)
    if rule.quorum > 1:
        found += [f"if len(votes) < {rule.quorum}:", "    winner = None  # no quorum"]
    return [*found, *lines.after.format_map(terms).splitlines()]


def _weights(weights: Mapping[str, Fraction]) -> str:
    """The weights by name, without rounding: thirds add up to one."""
    given = (
        f"{quoted(name)}: {weight if weight.denominator == 1 else f'Fraction({quoted(str(weight))})'}"
        for name, weight in weights.items()
    )
    return f"{{{', '.join(given)}}}"


def _judged(rule: Rule) -> list[str]:
    """The lines that let a judge decide."""
    scores = ", tally" if rule.entry.asks == "score" else ""
    return [
        *_TEXTS,
        "tied = list(leaders(tally))",
        f"if len(texts) > 1 and len(votes) >= {rule.quorum}:",
        f"    tied = await judged(texts, tied{scores})",
        *_of_tied(rule),
    ]


def _broken(rule: Rule, counts: str) -> list[str]:
    """The label that leads these counts, a tie broken as the rule says."""
    ties = TIES[rule.ties]
    if counts and not ties.asks and not ties.program:
        return [f"winner = leader({counts})"]
    asking = []
    if ties.asks:
        asking = [
            *_TEXTS,
            f"if len(tied) > 1 and len(votes) >= {rule.quorum}:",
            "    tied = await judged({vote: texts[vote] for vote in tied}, tied)",
        ]
    return [*([f"tied = list(leaders({counts}))"] if counts else []), *asking, *_of_tied(rule)]


def _of_tied(rule: Rule) -> list[str]:
    """The winner of `tied`."""
    alone = "winner = tied[0] if len(tied) == 1 else None"
    return (TIES[rule.ties].program or alone).format(seed=quoted(str(rule.seed))).splitlines()
