"""What a run shows, as data; the patterns fill it, everything in this package draws from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from parallm_magics.core.tasks import Record
from parallm_magics.display.batch_rows import ByBatch, by_batch
from parallm_magics.display.totals import Sums, Totals
from parallm_magics.voting.counting import Outcome
from parallm_magics.voting.pick_rules import rule_named
from parallm_magics.voting.rule_entry import PickRule

Counts = tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
"""By section, "" where there is one only: each label and how often it was read."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How the votes of one question fell: requested = the other five states' sum + pending.

    Attributes:
        counts: labels with their votes, each label once.
        winner: the winning label or number as text, or None.
        valid, requested, abstained, invalid, failed, cancelled: votes by state.
        agreement: the leader's share of the valid votes; None without one.
        interval: Wilson 95 % of the agreement; None where it means nothing.
        range: the leader's possible share of all requested votes; only after an early decision.
        pick: the rule, as `--pick` names it.
        how: how the winner came about, where the counts alone do not tell it; a sentence.
        weights: each label's sum of weights, where votes weigh differently.
        share_requested: the leader's share of all requested votes.
        margin: the leader's lead over the second, as a share of the valid votes.
        p_mode: probability that the leader is the prompt's most frequent answer; None where the
            votes are no repeats of one prompt.
        entropy: of the labels, in bits; None without a vote.
        pairwise: the share of pairs of votes that agree; None for fewer than two votes.
        decided_after: how many votes had ended by an early decision; None where there was none.
        heuristic: whether open votes might have changed the early decision.
        tied: the labels that share the lead, in a tie.
        counted: whether votes were counted, rather than texts given to a judge to choose from.
    """

    counts: tuple[tuple[str, int], ...]
    winner: str | None
    status: Outcome
    valid: int
    requested: int
    abstained: int = 0
    invalid: int = 0
    failed: int = 0
    cancelled: int = 0
    agreement: float | None = None
    interval: tuple[float, float] | None = None
    range: tuple[float, float] | None = None
    pick: str = "plurality"
    how: str = ""
    weights: tuple[tuple[str, float], ...] = ()
    share_requested: float | None = None
    margin: float | None = None
    p_mode: float | None = None
    entropy: float | None = None
    pairwise: float | None = None
    decided_after: int | None = None
    heuristic: bool = False
    tied: tuple[str, ...] = ()
    counted: bool = True

    @property
    def rule(self) -> PickRule:
        """The rule's entry in the table."""
        return rule_named(self.pick)


@dataclass(frozen=True, slots=True)
class FieldTally:
    """How the votes on one field of an object fell.

    Attributes:
        name: the field's.
        tally: its votes; the labels are the values in words.
        value: the winning value as JSON holds it; None also where nobody won.
        required: whether there is no object without it.
    """

    name: str
    tally: Tally
    value: Any = None
    required: bool = True

    @property
    def decided(self) -> bool:
        """Whether a value has won, be it null."""
        return self.tally.status == "decided"


@dataclass(frozen=True, slots=True)
class Guard:
    """What one guardrail said.

    Attributes:
        passed: whether the work may be shown as far as this guard goes.
        verdict: the label that it gave; None where it gave none.
        reason: its words, or why there is no verdict.
        block: the label by which it blocks; "" where that is not known.
    """

    name: str
    passed: bool
    verdict: str | None
    reason: str = ""
    block: str = ""


@dataclass(frozen=True, slots=True)
class SectionVote:
    """A vote within a fan-out, by the section's name, and its voters' records.

    Attributes:
        fields: of objects, the votes on each field.
    """

    name: str
    tally: Tally
    records: tuple[Record, ...]
    fields: tuple[FieldTally, ...] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    """What is told of all workers where not all of their records are at hand.

    Attributes:
        workers: how many there are.
        sums: what they add up to.
        models: one record for each pair of a model asked and the one that answered.
        batches: what each batch comes to.
    """

    workers: int
    sums: Sums
    models: tuple[Record, ...]
    batches: ByBatch


@dataclass(frozen=True, slots=True)
class View:
    """What a finished run shows.

    Attributes:
        title: the outcome in words.
        records: one a worker, in the cell's order.
        extra: records of guard, judge and synthesis.
        text: the aggregate as Markdown; None where the answers stand for themselves.
        notes: warnings, one line each.
        addresses: hosts that are not the provider's usual ones.
        tally: the votes; None for a fan-out.
        fields: the votes on each field, where objects are voted on.
        ballots: the state of each record as a ballot, in the same order; empty for a fan-out.
        section_votes, guards: in the cell's order.
        blocked: whether a guardrail withholds the work; `text` is then the refusal.
        counts: of a map.
        columns: further columns of the table that are asked for.
        whole: of all workers, where `records` are only those that have a row.
    """

    title: str
    pattern: Literal["fanout", "vote", "study"]
    records: tuple[Record, ...]
    extra: tuple[Record, ...] = ()
    text: str | None = None
    text_title: str = "Result"
    notes: tuple[str, ...] = ()
    simulated: bool = False
    addresses: tuple[str, ...] = ()
    tally: Tally | None = None
    fields: tuple[FieldTally, ...] = ()
    ballots: tuple[str, ...] = ()
    section_votes: tuple[SectionVote, ...] = ()
    guards: tuple[Guard, ...] = ()
    blocked: bool = False
    counts: Counts = ()
    columns: tuple[str, ...] = ()
    whole: Whole | None = None

    @property
    def workers(self) -> int:
        """How many workers there are."""
        return len(self.records) if self.whole is None else self.whole.workers

    @property
    def totals(self) -> Totals:
        """What all calls add up to."""
        sums = Sums().take(self.records) if self.whole is None else self.whole.sums
        return sums.totals(self.extra)

    @property
    def batches(self) -> ByBatch:
        """What each batch comes to in which workers were asked."""
        return by_batch(self.records) if self.whole is None else self.whole.batches

    @property
    def asked(self) -> tuple[Record, ...]:
        """Records of workers among which each model is that was asked."""
        return self.records if self.whole is None else self.whole.models


_OURS = ("blocked", "cancelled")


def drawable(view: View) -> View:
    """The view without anything that a guard withholds, however the records came to hold it."""
    if not view.blocked and all(r.status != "blocked" for r in (*view.records, *view.extra)):
        return view
    blocked = view.blocked
    return replace(
        view,
        records=tuple(_bare(r) if blocked or r.status == "blocked" else r for r in view.records),
        # A guard's words are about what goes in.
        extra=tuple(
            _bare(r) if r.status == "blocked" or (blocked and r.role != "guard") else r
            for r in view.extra
        ),
        tally=None if blocked else view.tally,
        fields=() if blocked else view.fields,
        section_votes=() if blocked else view.section_votes,
        counts=() if blocked else view.counts,
        ballots=() if blocked else view.ballots,
    )


def _bare(record: Record) -> Record:
    # An error may quote the answer that it is about; only those of our own making cannot.
    error = record.error if record.error and record.error.kind in _OURS else None
    return replace(record, text="", thinking=None, value=None, probabilities=None, error=error)
