"""The result of a vote: who won, by what, and what the counts may be said to mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from parallm_magics import display
from parallm_magics.core.tasks import BallotState, Reading, Record
from parallm_magics.patterns.ballots import (
    count_ballots,
    votes_of,
    winning_value,
)
from parallm_magics.patterns.gathering import Gathered
from parallm_magics.patterns.guard_verdicts import Verdict
from parallm_magics.patterns.judge import Judgment
from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.plain_data import record_dict
from parallm_magics.patterns.run import Again, Picture, Run
from parallm_magics.voting import (
    entropy_bits,
    label_of,
    leaders,
    p_mode,
    pairwise_agreement,
    share_range_after_cancel,
    shares,
    wilson,
)
from parallm_magics.voting.counting import Outcome
from parallm_magics.voting.pick_rules import break_tie, short
from parallm_magics.voting.rule_entry import Decision, Vote, counts_of

P_MODE_VOTES = 500
NAMED = 5
COPIED = 60
"""Characters from which on equal answers are no coincidence of a short label."""


class VoteRun(Run):
    """The result of a vote.

    Attributes:
        ballots: one a requested vote, in the cell's order.
        tally: votes by label, most first; labels nobody chose are left out.
        winner: the winning label or number, or None when nobody won.
        status: `decided`, `tie`, `no_majority`, `no_quorum`, or `not_cleared` where the votes that
            gave no label could have raised the flag.
        how: how the winner came about, where the counts alone do not tell it; else "".
        decided_after: how many votes had ended when the vote was decided early; None where not.
        judgment: what the judge said; None where it had no say.
    """

    def __init__(
        self,
        records: Sequence[Record],
        rule: Rule,
        reading: Reading,
        *,
        repeats: bool = False,
        weights: Sequence[Fraction] = (),
        gathered: Gathered | None = None,
        judgment: Judgment | None = None,
        notes: Sequence[str] = (),
        guards: Sequence[Verdict] = (),
        again: Again | None = None,
    ) -> None:
        uncounted = gathered.uncounted if gathered is not None else frozenset()
        confident = rule.entry.states_confidence
        asks = bool(rule.entry.asks)
        read, ballots = count_ballots(records, reading, weights, uncounted, confident, asks)
        super().__init__(read, notes=notes, guards=guards, again=again)
        self.ballots = ballots
        self.decided_after = gathered.decided_after if gathered is not None else None
        self.judgment = judgment
        self._rule, self._reading, self._repeats = rule, reading, repeats
        self._votes = votes_of(read, ballots)
        self.tally: Counter[str] = counts_of(self._votes)
        decision = self._decision(judgment)
        self.status: Outcome = decision.status
        self.how = decision.how
        self.tied = decision.tied
        self.winner: str | int | float | None = decision.winner
        if isinstance(self.winner, str):
            self.winner = winning_value(self.winner, read, ballots)

    def _decision(self, judgment: Judgment | None) -> Decision:
        decision = settled(self._rule, self._votes, len(self.ballots), self._could_have_been)
        if judgment is not None and judgment.decision is not None:
            decision = judgment.decision
        elif decision.status != "no_quorum":
            decision = replace(decision, how=self._without_verdict(decision, judgment))
        return break_tie(decision, self._votes, self._rule.ties, self._rule.seed)

    def _without_verdict(self, decision: Decision, judgment: Judgment | None) -> str:
        """How the vote ended without a judge's help, where one was to help."""
        missing = "no judge was asked"
        if judgment is not None:
            missing = f"the judge gave no verdict ({judgment.missing})"
        if self._rule.entry.asks:
            decided = "decided" if decision.status == "decided" else "a tie"
            return f"{missing}: {decided} by plurality instead"
        said = [decision.how, missing if judgment is not None else ""]
        return "; ".join(part for part in said if part)

    @property
    def judgments(self) -> tuple[Record, ...]:
        """The records of the judge's calls."""
        return self.judgment.records if self.judgment is not None else ()

    def said_the_same(self, records: Sequence[Record]) -> bool:
        """Whether the voters' answers are these."""
        return [(r.index, r.text) for r in self.results] == [(r.index, r.text) for r in records]

    @property
    def _could_have_been(self) -> int:
        """The votes that were stopped because nothing could change the outcome any more."""
        return self._in_state("cancelled") if self.decided_after is not None else 0

    @property
    def _extra(self) -> tuple[Record, ...]:
        return (*self._guard_records, *self.judgments)

    @property
    def text(self) -> str | None:
        """The winning answer in full, of equal ones the first; the refusal of a blocked run.

        None where nobody won.
        """
        if self.blocked:
            return self._refusal
        for record, ballot in zip(self.results, self.ballots, strict=True):
            if self.winner is not None and ballot.label == label_of(self.winner):
                return record.text
        return None if self.winner is None else str(self.winner)

    @property
    def flagged(self) -> bool:
        """Whether the label that `--flag` names has won."""
        return self._rule.flag is not None and self.winner == self._rule.flag

    @property
    def unchecked(self) -> bool:
        """Whether there is a `--flag`, and nobody can say whether it is raised."""
        return self._rule.flag is not None and self.winner is None

    @property
    def clean(self) -> bool | None:
        """Whether the flag was looked for and is not raised; False too where that is not known.

        None without a `--flag`.
        """
        if self._rule.flag is None:
            return None
        return not (self.flagged or self.unchecked)

    @property
    def _counts(self) -> list[int]:
        return list(self.tally.values())

    @property
    def valid(self) -> int:
        """How many votes hold a label."""
        return sum(self._counts)

    @property
    def agreement(self) -> float | None:
        """The leading label's share of the valid votes; None without one. No chance of being right."""
        return shares(self._counts, len(self.ballots))["share_valid"] if self.valid else None

    @property
    def confidence(self) -> float | None:
        """The votes for the winner as a share of the valid ones, however much each of them weighs.

        None without a winner, and by rules whose winner is no label that votes are counted for: best,
        median and mean. No chance of being right.
        """
        return self._rule.entry.share_of_winner(self.winner, self.tally)

    @property
    def share_requested(self) -> float:
        """The leading label's share of all requested votes."""
        return max(self._counts, default=0) / max(len(self.ballots), 1)

    @property
    def margin(self) -> float | None:
        """The leader's lead over the second, as a share of the valid votes."""
        return shares(self._counts, len(self.ballots))["margin_valid"] if self.valid else None

    @property
    def confidence_range(self) -> tuple[float, float] | None:
        """Where the leader's share of all votes lies, had the cancelled ones been counted too.

        None where no vote was cancelled.
        """
        cancelled = self._in_state("cancelled")
        if not cancelled:
            return None
        lead = max(self._counts, default=0)
        return share_range_after_cancel(lead, cancelled, len(self.ballots))

    @property
    def _counted(self) -> bool:
        """Whether votes were counted, rather than texts given to a judge to choose from."""
        return self._rule.counts(self._reading)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the agreement; None without a valid vote.

        How often this prompt would give this label again, not how likely it is right. None too where
        a judge chooses among texts: that is no vote, and so is it for the other statistics of one.
        """
        return wilson(max(self._counts, default=0), self.valid) if self._counted else None

    @property
    def p_mode(self) -> float | None:
        """Probability that the leader is this prompt's most frequent answer, under a flat prior.

        None unless all votes repeat one prompt on one model: other votes are not exchangeable. None
        too beyond 500 votes, where the exact number takes seconds and says nothing new.
        """
        if not (self._repeats and self._counted) or not 0 < self.valid <= P_MODE_VOTES:
            return None
        seen = self._counts
        choices = self._reading.choices
        unseen = len(choices) - len(seen) if choices else 1
        return float(p_mode([*seen, *[0] * unseen]))

    @property
    def entropy(self) -> float | None:
        """Entropy of the labels in bits; None without a valid vote."""
        return entropy_bits(self._counts) if self.valid and self._counted else None

    @property
    def pairwise_agreement(self) -> float | None:
        """The share of pairs of valid votes that agree; None for fewer than two."""
        return pairwise_agreement(self._counts) if self._counted else None

    @property
    def is_majority(self) -> bool:
        """Whether the leader has more than half of all requested votes."""
        return 2 * max(self._counts, default=0) > len(self.ballots)

    def _in_state(self, state: BallotState) -> int:
        return sum(ballot.state == state for ballot in self.ballots)

    @property
    def _title(self) -> str:
        if self.blocked:
            return self._blocked_title
        lead, votes = max(self._counts, default=0), len(self.ballots)
        of = "votes" if self._counted else "answers"
        if self.status == "tie":
            some = [*map(short, self.tied[:NAMED]), *(["…"] if len(self.tied) > NAMED else [])]
            return f"tie between {', '.join(some)}, of {votes} {of}"
        if self.status == "no_quorum":
            needed = f"{self._rule.quorum} are needed"
            return f"no quorum: {self.valid} of {votes} {of} are valid, {needed}"
        if self.status == "not_cleared":
            return f"not cleared: {self.valid} of {votes} votes gave a label"
        if self.status == "no_majority":
            first = next(iter(leaders(self.tally)), None)
            leads = (
                f": {short(first)} leads with {lead} of {votes} votes" if first is not None else ""
            )
            return f"no winner by {self._rule.pick}{leads}"
        label = label_of(self.winner) if self.winner is not None else ""
        if self._rule.entry.computes:
            return f"{label}: {self.how}"
        if not self._counted:
            return f"{self._chosen} of {votes} answers: {self.how}"
        mine = self.tally[label]
        kind = (
            "" if 2 * mine > votes or mine < lead or self.how else ": a plurality, not a majority"
        )
        return f"{short(label)}: {mine} of {votes} votes{kind}"

    def _view(self) -> display.View:
        return display.View(
            title=self._title,
            pattern="vote",
            records=self.results,
            extra=self._extra,
            text=self._shown_text,
            text_title="Refusal" if self.blocked else "Winning answer",
            notes=(*self.notes, *self._advice(), *self.adapted),
            simulated=self.simulated,
            addresses=self.addresses,
            tally=None if self.blocked else self._tally,
            ballots=() if self.blocked else tuple(ballot.state for ballot in self.ballots),
            guards=tuple(guard.shown for guard in self.guards),
            blocked=self.blocked,
        )

    @property
    def _shown_text(self) -> str | None:
        """What is shown in full: the refusal, or an answer that was chosen as a text."""
        if self.blocked:
            return self._refusal
        chosen = self._rule.entry.asks and self._reading.kind == "open"
        return self.text if chosen and self.winner is not None else None

    @property
    def _chosen(self) -> str:
        """The voter whose answer has won; of equal ones the first."""
        pairs = zip(self.results, self.ballots, strict=True)
        return next((r.name for r, b in pairs if b.label and r.value == self.winner), "")

    @property
    def _by_heuristic(self) -> bool:
        """Whether the votes that were left out might have changed the outcome."""
        sure = self._rule.entry.sure
        if self.decided_after is None or self._rule.stop != "beta" or sure is None:
            return False
        left_out = [ballot.weight for ballot in self.ballots if ballot.state == "cancelled"]
        return sure(self._votes, left_out, self._rule.terms(len(self.ballots))) is None

    @property
    def _tally(self) -> display.Tally:
        weighted = self._rule.entry.weighs
        sums: Counter[str] = Counter()
        for vote in self._votes if weighted else ():
            sums[vote.label] += vote.weight  # type: ignore[assignment] # a Counter of fractions
        return display.Tally(
            counts=tuple(self._shown_counts()),
            winner=None if self.winner is None else label_of(self.winner),
            status=self.status,
            valid=self.valid,
            requested=len(self.ballots),
            abstained=self._in_state("abstain"),
            invalid=self._in_state("invalid"),
            failed=self._in_state("failed"),
            cancelled=self._in_state("cancelled"),
            agreement=self.agreement,
            interval=self.interval if self._repeats else None,  # else there is no prompt to repeat
            range=self.confidence_range,
            pick=self._rule.pick,
            how=self.how,
            weights=tuple((label, float(weight)) for label, weight in sums.items()),
            share_requested=self.share_requested if self.valid else None,
            margin=self.margin,
            p_mode=self.p_mode,
            entropy=self.entropy,
            pairwise=self.pairwise_agreement,
            decided_after=self.decided_after,
            tied=self.tied,
            heuristic=self._by_heuristic,
            counted=self._counted,
        )

    def _shown_counts(self) -> list[tuple[str, int]]:
        unseen = [(label, 0) for label in self._reading.choices if label not in self.tally]
        return [*self.tally.items(), *unseen]

    def _advice(self) -> list[str]:
        """What the votes themselves say about the question, one line each."""
        if self.blocked:
            return []
        notes = []
        texts = {
            record.text for record, b in zip(self.results, self.ballots, strict=True) if b.label
        }
        if self._repeats and self.valid > 1 and len(texts) == 1 and len(min(texts)) >= COPIED:
            notes.append(
                "all answers are the same word for word: they are copies, not independent evidence"
            )
        if self._is_fuzzy:
            notes.append("the question may be too fuzzy: change the prompt before adding votes")
        return notes

    @property
    def _is_fuzzy(self) -> bool:
        """Whether the voters understood the question in different ways, or could not answer it.

        Answers that a judge chooses from differ as they should, numbers lie near each other without
        being equal, and a flag is one voter's to find: their agreement says nothing of the question.
        """
        pairs = zip(self.results, self.ballots, strict=True)
        unreadable = sum(b.state == "invalid" and r.status != "truncated" for r, b in pairs)
        agrees = self._counted and self._rule.entry.agrees
        low = agrees and self.agreement is not None and self.agreement < 0.6
        return low or unreadable > 0.2 * len(self.ballots)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        return {
            "pattern": "vote",
            "winner": self.winner,
            "status": self.status,
            "how": self.how,
            "tied": list(self.tied),
            "text": self.text,
            "tally": dict(self.tally),
            "agreement": self.agreement,
            "confidence": self.confidence,
            "share_requested": self.share_requested,
            "interval": self.interval,
            "p_mode": self.p_mode,
            "entropy": self.entropy,
            "pairwise_agreement": self.pairwise_agreement,
            "is_majority": self.is_majority,
            "margin": self.margin,
            "decided_after": self.decided_after,
            "flagged": self.flagged,
            "unchecked": self.unchecked,
            "clean": self.clean,
            "ballots": [
                {
                    "name": b.name,
                    "state": b.state,
                    "label": b.label,
                    "weight": float(b.weight),
                    "confidence": b.confidence,
                }
                for b in self.ballots
            ],
            "judgments": [record_dict(record) for record in self.judgments],
            **super().to_dict(),
        }

    def tally_bars(self) -> Picture:
        """The picture alone: one bar a label."""
        return Picture(
            display.tally_html(self._tally, self.results),
            "\n".join(display.tally_plain(self._tally, self.results)),
        )

    def __repr__(self) -> str:
        mark = "SIMULATED " if self.simulated else ""
        return f"<{mark}VoteRun: {self._title}>"


def settled(rule: Rule, votes: Sequence[Vote], requested: int, stopped: int = 0) -> Decision:
    """How a vote ends by its rule, ties not yet broken.

    Args:
        requested: all votes asked for.
        stopped: those that were stopped because they could not change the outcome: a quorum that
            they could have filled is no reason against it.
    """
    terms = rule.terms(requested)
    if stopped and len(votes) < terms.quorum <= len(votes) + stopped:
        terms = replace(terms, quorum=1)
    return rule.entry.settle(votes, terms)
