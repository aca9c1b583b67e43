"""From the records of a study to what each of its systems made of each item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from parallm_magics.cell.plan import Plan
from parallm_magics.cell.study_plan import System
from parallm_magics.cell.true_labels import key_of
from parallm_magics.core.tasks import Reading, Record
from parallm_magics.errors import OptionError
from parallm_magics.patterns.ballots import Ballot, votes_of
from parallm_magics.patterns.early_stopper import EarlyStopper
from parallm_magics.patterns.panel import Rule, one_reading, rule_of
from parallm_magics.providers.bill import repriced
from parallm_magics.study.measures import Outcome
from parallm_magics.voting import label_of
from parallm_magics.voting.rule_entry import Vote

Records = Sequence[Record]
Ballots = Sequence[Ballot]


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a study whose calls have all been made.

    Attributes:
        number: its place among the items, from 1.
        words: what the prompts say of it, of long ones the beginning.
        truth: its true label as answers are counted; None where that is not known.
        ballots: the votes of the cell's own panel, in the panel's order.
        outcomes: by the system's name.
        fields: of answers that are objects, each field as an item of its own, by its name.
    """

    number: int
    words: str
    truth: str | None
    ballots: tuple[Ballot, ...]
    outcomes: Mapping[str, Outcome]
    fields: Mapping[str, Item] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str | None, ...]:
        """What the voters say; None where no vote could be read."""
        return tuple(ballot.label for ballot in self.ballots)


@dataclass(frozen=True, slots=True)
class Counting:
    """How the calls of one system are counted.

    Attributes:
        weights: what each of its votes counts.
        repeats: whether all of its calls ask one model the same.
        cheaper: whether any of them asks at a cheaper tier than the usual one.
    """

    system: System
    reading: Reading
    rule: Rule
    weights: tuple[Fraction, ...]
    repeats: bool
    cheaper: bool = False


def rules_of(plan: Plan) -> list[Counting]:
    """How each system of a study is counted.

    Raises:
        OptionError: votes that no rule can count, or that are read in different ways.
    """
    assert plan.study is not None
    calls, found, reading = plan.calls, [], reading_of_all(plan)
    tiers = [task.tier for task in calls.kinds]
    for system in plan.study.systems:
        weights = tuple(calls.weights[place] for place in system.places)
        rule = _rule(system, reading, calls.flag)
        cheaper = any(tiers[place] for place in system.places)
        repeats = calls.repeats(system.places)
        found.append(Counting(system, reading, rule, weights, repeats, cheaper))
    return found


def _rule(system: System, reading: Reading, flag: str | None) -> Rule:
    """The rule of a system that is a vote; what is asked once has none to keep."""
    if not system.entry.votes:
        return Rule()
    try:
        rule = rule_of(system.options, len(system.places), reading, flag)
    except OptionError as error:
        if system.is_main:
            raise
        raise OptionError(f"{system.name}: {error}") from None
    if system.is_main and system.options.sure is not None and not rule.entry.by_votes:
        raise OptionError(
            f"--pick {rule.pick}: its winner is computed, so that no share of votes agrees on it; "
            f"--sure needs the votes for a label; use --pick plurality"
        )
    return rule


def reading_of_all(plan: Plan) -> Reading:
    """How every answer of a study is read.

    Raises:
        OptionError: the systems answer in different ways, so that they cannot be compared.
    """
    return one_reading(plan.calls.reading(place) for place in range(plan.calls.size))


def _single(counting: Counting, records: Records, ballots: Ballots, truth: str | None) -> Outcome:
    """One call: every vote is a draw of it where all ask the same, else it is the first voter's."""
    drawn = len(ballots) if counting.repeats else 1
    answers = [ballot.label for ballot in ballots[:drawn]]
    seconds = [record.seconds for record in records[:drawn]]
    found = _outcome(counting, answers, seconds, records[:drawn], ballots, truth)
    stated = _stated(counting, records[0], found.answer)
    usual = None if found.usual is None else found.usual / drawn
    return replace(found, cost=found.cost / drawn, usual=usual, calls=1.0, **stated)


def _vote(counting: Counting, records: Records, ballots: Ballots, truth: str | None) -> Outcome:
    """All votes at once."""
    votes = votes_of(records, ballots)
    found = _decided(counting, votes, records, ballots, truth)
    if len(records) == 1:  # its one vote agrees with itself, whatever it says
        return replace(found, **_stated(counting, records[0], found.answer))
    return replace(found, **_agreed(counting, votes, found.answer))


def _stated(counting: Counting, record: Record, answer: str | None) -> dict[str, Any]:
    """The probabilities that a model states, by labels as answers are counted."""
    if not record.probabilities:
        return {}
    shares: dict[str, float] = {}
    for label, probability in record.probabilities.items():
        key = key_of(label, counting.reading)
        shares[key] = shares.get(key, 0.0) + probability
    return {**_shares_of(counting, shares, answer), "stated": True}


def _agreed(counting: Counting, votes: Sequence[Vote], answer: str | None) -> dict[str, Any]:
    """The share of the valid votes that each label has; nothing where no label wins by its votes."""
    if not votes or not counting.rule.entry.by_votes:
        return {}
    counts = Counter(key_of(vote.label, counting.reading) for vote in votes)
    shares = {label: count / len(votes) for label, count in counts.items()}
    return _shares_of(counting, shares, answer)


def _shares_of(
    counting: Counting, shares: Mapping[str, float], answer: str | None
) -> dict[str, Any]:
    """The shares of all labels and that of the answer, as an outcome has them."""
    own = None if answer is None else shares.get(key_of(answer, counting.reading), 0.0)
    return {"shares": dict(shares), "share": own}


def _stopped(counting: Counting, records: Records, ballots: Ballots, truth: str | None) -> Outcome:
    """The same votes, ended as soon as those still open could not change the outcome."""
    heard, ended = until_decided(counting, records)
    votes = [vote for vote in votes_of(records, ballots) if vote.index in heard]
    found = _decided(counting, votes, ended, ballots, truth)
    # What a call has cost that is ended before its answer is known is not told.
    return replace(found, priced=found.priced and len(ended) == len(records))


def until_decided(counting: Counting, records: Records) -> tuple[set[int], list[Record]]:
    """The places of the votes that count where a vote ends early, and the calls that have ended by then."""
    stopper = EarlyStopper(counting.rule, counting.reading, counting.weights)
    order = sorted(records, key=lambda record: (record.seconds, record.index))
    last = next((at for at, each in enumerate(order) if stopper.decides(each)), len(order) - 1)
    ended = sorted(order[: last + 1], key=lambda record: record.index)
    return stopper.heard, ended


def outcome_of(
    counting: Counting, records: Records, ballots: Ballots, truth: str | None
) -> Outcome:
    """What a system made of an item.

    Args:
        records: those of its calls, with what was read of them, in its own order.
        ballots: the same as votes.
        truth: the true label as answers are counted; None where that is not known.
    """
    entry = counting.system.entry
    ended = (_stopped if entry.early else _vote) if entry.votes else _single
    return ended(counting, records, ballots, truth)


def _decided(
    counting: Counting,
    votes: Sequence[Vote],
    records: Records,
    ballots: Ballots,
    truth: str | None,
) -> Outcome:
    """What a vote comes to once these have ended: it takes as long as the longest of them."""
    rule, requested = counting.rule, len(ballots)
    decision = rule.broken(rule.settled(votes, requested, requested - len(records)), votes)
    answer = None if decision.winner is None else label_of(decision.winner)
    longest = max(record.seconds for record in records)
    found = _outcome(counting, [answer], [longest], records, ballots, truth)
    return replace(found, problem=decision.how if decision.status == "rule_failed" else "")


def _outcome(
    counting: Counting,
    answers: Sequence[str | None],
    seconds: Sequence[float],
    records: Records,
    ballots: Ballots,
    truth: str | None,
) -> Outcome:
    """What was made of an item, held against the truth.

    Args:
        answers: what it says, once for each time that it was drawn; the first one stands for it.
        seconds: the length of each draw.
        records: the calls that were made.
    """
    reading = counting.reading
    rights = [] if truth is None else [is_true(answer, truth, reading) for answer in answers]
    costs = [record.cost for record in records if record.cost is not None]
    return Outcome(
        answer=answers[0],
        right=rights[0] if rights else None,
        draws=tuple(rights),
        seconds=tuple(seconds),
        cost=sum(costs, Decimal()),
        priced=len(costs) == len(records),
        calls=float(len(records)),
        invalid=sum(ballots[r.index].state == "invalid" for r in records) / len(records),
        silent=sum(answer is None for answer in answers) / len(answers),
        usual=_at_usual_price(records) if counting.cheaper else None,
    )


def _at_usual_price(records: Records) -> Decimal | None:
    """What those cost whose cost is known, at the usual price; None where that of one is unknown."""
    costs = [repriced(record) for record in records if record.cost is not None]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal()) if len(known) == len(costs) else None


def is_true(answer: str | None, truth: str, reading: Reading) -> bool:
    """Whether an answer is the true one; none is not."""
    return answer is not None and key_of(answer, reading) == truth
