"""Voting: the same task several times, an answer chosen by consensus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from parallm_magics import display
from parallm_magics.cell.plan import Plan
from parallm_magics.patterns.ballots import (
    CAME_BACK,
    BallotState,
    count_ballots,
    label_of,
    winning_value,
)
from parallm_magics.patterns.ending import raise_if_unfinished, run_again
from parallm_magics.patterns.panel import Rule, panel_reading, repeats, rule_of, warnings
from parallm_magics.patterns.run import Again, Picture, Run
from parallm_magics.patterns.workers import Surroundings, open_workers
from parallm_magics.types import Reading, Record
from parallm_magics.voting import (
    decide,
    leaders,
    p_mode,
    share_range_after_cancel,
    shares,
    wilson,
)

OutcomeStatus = Literal["decided", "tie", "no_majority", "no_quorum"]

P_MODE_VOTES = 500
_RULES = {"unanimous": "unanimity"}


class VoteRun(Run):
    """The result of a vote.

    Attributes:
        ballots: one a requested vote, in the cell's order.
        tally: votes by label, most first; labels nobody chose count 0.
        winner: the winning label or number, or None when nobody won.
        status: `decided`, `tie`, `no_majority` or `no_quorum`.
    """

    def __init__(
        self,
        records: Sequence[Record],
        rule: Rule,
        reading: Reading,
        *,
        repeats: bool = False,
        notes: Sequence[str] = (),
        addresses: Sequence[str] = (),
        again: Again | None = None,
    ) -> None:
        read, ballots = count_ballots(records, reading)
        super().__init__(read, notes=notes, addresses=addresses, again=again)
        self.ballots = ballots
        self._rule, self._reading, self._repeats = rule, reading, repeats
        self.tally: Counter[str] = Counter(b.label for b in ballots if b.label is not None)
        self.tally = Counter(dict(sorted(self.tally.items(), key=lambda pair: -pair[1])))
        found = decide(
            dict(self.tally),
            len(ballots),
            _RULES.get(rule.pick, rule.pick),
            rule.share,
            rule.base,
            rule.quorum,
        )
        self.status: OutcomeStatus = found[0]
        self.winner = winning_value(found[1], read, ballots)

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

    confidence = agreement

    @property
    def share_requested(self) -> float:
        """The leading label's share of all requested votes."""
        return max(self._counts, default=0) / len(self.ballots)

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
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the agreement; None without a valid vote.

        How often this prompt would give this label again, not how likely it is right.
        """
        return wilson(max(self._counts, default=0), self.valid)

    @property
    def p_mode(self) -> float | None:
        """Probability that the leader is this prompt's most frequent answer, under a flat prior.

        None unless all votes repeat one prompt on one model: other votes are not exchangeable. None
        too beyond 500 votes, where the exact number takes seconds and says nothing new.
        """
        if not self._repeats or not 0 < self.valid <= P_MODE_VOTES:
            return None
        seen = self._counts
        choices = self._reading.choices
        unseen = len(choices) - len(seen) if choices else 1
        return float(p_mode([*seen, *[0] * unseen]))

    @property
    def is_majority(self) -> bool:
        """Whether the leader has more than half of all requested votes."""
        return 2 * max(self._counts, default=0) > len(self.ballots)

    @property
    def tied(self) -> tuple[str, ...]:
        """The labels that share the lead; empty unless `status` is `tie`."""
        return tuple(leaders(dict(self.tally))) if self.status == "tie" else ()

    def _in_state(self, state: BallotState) -> int:
        return sum(ballot.state == state for ballot in self.ballots)

    @property
    def _title(self) -> str:
        lead = max(self._counts, default=0)
        of = f"{lead} of {len(self.ballots)} votes"
        if self.status == "tie":
            return f"tie between {', '.join(self.tied)}: {lead} votes each, of {len(self.ballots)}"
        if self.status == "no_quorum":
            return f"no quorum: {self.valid} of {len(self.ballots)} votes are valid, {self._rule.quorum} are needed"
        if self.status == "no_majority":
            return f"no winner by {self._rule.pick}: {leaders(dict(self.tally))[0]} leads with {of}"
        kind = "" if self.is_majority else ": a plurality, not a majority"
        return f"{self.winner}: {of}{kind}"

    def _view(self) -> display.View:
        return display.View(
            title=self._title,
            pattern="vote",
            records=self.results,
            notes=(*self.notes, *self._advice()),
            simulated=self.simulated,
            addresses=self.addresses,
            tally=display.Tally(
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
                interval=self.interval
                if self._repeats
                else None,  # else there is no prompt to repeat
                range=self.confidence_range,
            ),
            ballots=tuple(ballot.state for ballot in self.ballots),
        )

    def _shown_counts(self) -> list[tuple[str, int]]:
        unseen = [(label, 0) for label in self._reading.choices if label not in self.tally]
        return [*self.tally.items(), *unseen]

    def _advice(self) -> list[str]:
        """The line that a fuzzy question earns."""
        unreadable = self._in_state("invalid") / len(self.ballots)
        if (self.agreement is not None and self.agreement < 0.6) or unreadable > 0.2:
            return ["the question may be too fuzzy: change the prompt before adding votes"]
        return []

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        return {
            "pattern": "vote",
            "winner": self.winner,
            "status": self.status,
            "tally": dict(self.tally),
            "agreement": self.agreement,
            "share_requested": self.share_requested,
            "interval": self.interval,
            "p_mode": self.p_mode,
            "is_majority": self.is_majority,
            "margin": self.margin,
            "ballots": [{"name": b.name, "state": b.state, "label": b.label} for b in self.ballots],
            **super().to_dict(),
        }

    def tally_bars(self) -> Picture:
        """The picture alone: one bar a label."""
        tally = self._view().tally
        assert tally is not None
        return Picture(
            display.tally_html(tally, self.results),
            "\n".join(display.tally_plain(tally, self.results)),
        )

    def __repr__(self) -> str:
        mark = "SIMULATED " if self.simulated else ""
        return f"<{mark}VoteRun: {self._title}>"


async def run_vote(plan: Plan, around: Surroundings, before: VoteRun | None = None) -> VoteRun:
    """Run a vote's plan.

    Args:
        before: a run of the same plan whose successful calls are kept.

    Raises:
        TooFewSucceeded: with every record; not where the run was stopped from outside.
        BudgetExceeded: likewise, where a cap on cost left calls unasked.
    """
    tasks = plan.tasks
    votes = len(tasks)
    rule = rule_of(plan.options, votes)
    async with open_workers(plan, around, goes_on=before is not None) as workers:
        records = await workers.run(before.results if before is not None else (), CAME_BACK)

    async def again(run: VoteRun) -> VoteRun:
        return await run_again(plan, around, lambda new: run_vote(plan, new, before=run))

    run = VoteRun(
        records,
        rule,
        panel_reading(tasks),
        repeats=repeats(tasks),
        notes=[*plan.notes, *workers.notes, *warnings(tasks)],
        addresses=workers.addresses,
        again=again,
    )
    if not around.stop.reason:
        back = sum(record.status in CAME_BACK for record in records)
        raise_if_unfinished(plan, records, back, "calls came back", run)
    return run
