"""What a guardrail says of a run, and for which of several guards its work is withheld."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from parallm_magics.answers.label_probabilities import most_probable
from parallm_magics.cell.auxiliary_calls import Guard
from parallm_magics.cell.verdict_words import PAIRS, VERDICTS, Pair, way_out
from parallm_magics.core.tasks import Record
from parallm_magics.patterns.ballots import Ballot, count_ballots
from parallm_magics.voting import decide, read_answer

_ANSWER_LINE = re.compile(r"^\W{0,8}answer\W{0,8}:.*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """What one guardrail said of a run.

    Attributes:
        name: the guard's name.
        passed: whether the work may be shown as far as this guard goes.
        verdict: the label that it gave; None where it gave none.
        reason: its own words, or why there is no verdict.
        records: its calls.
        refusal: what stands in place of the work that it blocks.
        block: the label by which it blocks.
        probability: how probable that label is, by a decision model; None where it is counted.
    """

    name: str
    passed: bool
    verdict: str | None
    reason: str
    records: tuple[Record, ...]
    refusal: str = ""
    block: str = ""
    probability: float | None = None

    def __repr__(self) -> str:
        said = self.verdict or f"no verdict ({self.reason})"
        return f"<Verdict {self.name!r}: {'passed' if self.passed else 'blocked'}, {said}>"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the records as plain JSON types."""
        return {
            "name": self.name,
            "passed": self.passed,
            "verdict": self.verdict,
            "reason": self.reason,
            **({} if self.probability is None else {"probability": self.probability}),
        }


def verdict_of(guard: Guard, records: Sequence[Record]) -> Verdict:
    """What a guard's calls come to: its label by plurality, or none.

    A label that lets pass needs more than half of the guard's votes, so that votes which failed
    never let anything pass; a label that blocks needs no more than the lead. With a threshold so
    many votes for it block, and the work passes only where votes that are missing could not.
    """
    if guard.least_probability is not None:
        return _by_probability(guard, guard.least_probability, records[0])
    read, ballots = count_ballots(records, guard.reading)
    counts = Counter(ballot.label for ballot in ballots if ballot.label is not None)
    status, label = decide(counts, len(guard.tasks), quorum=1)
    # One that was stopped has not failed: nothing passes because of it.
    stopped = any(record.status == "cancelled" for record in records)
    in_favour = counts.total() - counts[guard.block]
    if guard.least is not None:
        label = _by_threshold(counts, guard.block, guard.least, len(guard.tasks))
        if stopped and label != guard.block:
            label = None
    elif label != guard.block and (stopped or 2 * in_favour <= len(guard.tasks)):
        label = None
    if label is None:
        passed = guard.passes_on_error and not stopped
        reason = _no_verdict(guard, status, records, ballots)
    else:
        passed = label != guard.block
        said = next(b.text for b in ballots if b.label == label)
        reason = " ".join(_ANSWER_LINE.sub("", said).split())
    shares = read[0].probabilities if len(read) == 1 else None
    likely = shares.get(guard.block) if shares and label is not None else None
    if likely is not None:
        reason = f"P({guard.block}) = {percent(likely)}"
    known = (guard.refusal, guard.block, likely)
    return Verdict(guard.name, passed, label, reason, tuple(read), *known)


def _by_probability(guard: Guard, least: float, record: Record) -> Verdict:
    """What one call of a decision model comes to: it blocks from this probability of the label on."""
    [read], ballots = count_ballots([record], guard.reading)
    shares = read.probabilities
    if ballots[0].state != "valid" or not shares or guard.block not in shares:
        passed = guard.passes_on_error and record.status != "cancelled"
        reason = _no_verdict(guard, "", [read], ballots) or "the model gave no probabilities"
        return Verdict(guard.name, passed, None, reason, (read,), guard.refusal, guard.block)
    passed = shares[guard.block] < least
    others = {label: share for label, share in shares.items() if label != guard.block}
    label = most_probable(others) if passed else guard.block
    likely = shares[guard.block]
    reason = f"P({guard.block}) = {percent(likely)}, blocks from {percent(least)}"
    read = replace(read, value=label)
    known = (guard.refusal, guard.block, likely)
    return Verdict(guard.name, passed, label, reason, (read,), *known)


def percent(share: float) -> str:
    """The share in words, finer than a threshold is written."""
    return f"{100 * share:.4g} %"


def _by_threshold(counts: Counter[str], block: str, least: int, votes: int) -> str | None:
    """The label that blocks from so many votes on; else the leading other one; None if open."""
    if counts[block] >= least:
        return block
    others = Counter({label: count for label, count in counts.items() if label != block})
    is_open = votes - others.total() >= least
    return None if is_open else others.most_common(1)[0][0]


def _no_verdict(
    guard: Guard, status: str, records: Sequence[Record], ballots: Sequence[Ballot]
) -> str:
    """Why a guard has no verdict."""
    if len(records) > 1 and status == "tie":
        return "its votes are tied"
    for record, ballot in zip(records, ballots, strict=True):
        if record.error is not None:
            return record.error.message
        if ballot.state != "valid":
            return _off_the_menu(guard, record.text) or (
                "it declined to choose" if ballot.state == "abstain" else "it cannot be read"
            )
    return ""


def _off_the_menu(guard: Guard, said: str) -> str:
    """What to add where a guard without labels of its own answers by other ones than it has."""
    choices = guard.reading.choices
    if choices != VERDICTS:
        return ""
    found = (pair for pair in PAIRS if not set(pair) & set(choices) and _is_of(said, pair))
    pair = next(found, guard.asks_for)
    return (
        "" if pair is None else f"it cannot be read as {' or '.join(choices)}; add {way_out(pair)}"
    )


def _is_of(said: str, pair: Pair) -> bool:
    """Whether an answer is one of these two labels."""
    return read_answer(said, pair).state == "valid"


def why_blocked(verdict: Verdict) -> str:
    """Why the work is withheld, in a few words."""
    said = f"said {verdict.verdict}" if verdict.verdict else "gave no verdict"
    if verdict.probability is not None:
        said += f" ({verdict.reason})"
    return f"withheld: guardrail '{verdict.name}' {said}"


def is_whole(verdict: Verdict) -> bool:
    """Whether all of a guard's calls have come to an end of their own."""
    return all(record.status != "cancelled" for record in verdict.records)


def blocking(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The verdict for which the work is withheld; None where all have passed."""
    against = [verdict for verdict in verdicts if not verdict.passed]
    return next(iter([*filter(is_whole, against), *against]), None)
