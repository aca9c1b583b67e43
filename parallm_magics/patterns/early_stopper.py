"""When the votes that are still open cannot change the outcome any more, and how many are needed."""

from __future__ import annotations

import bisect
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from parallm_magics.core.tasks import Reading, Record
from parallm_magics.patterns.ballots import count_ballots, votes_of
from parallm_magics.patterns.panel import Rule
from parallm_magics.voting import same_answer_key
from parallm_magics.voting.rule_entry import Vote, counts_of
from parallm_magics.voting.stopping import beta_stops, next_wave

# Of many open votes it is asked after every hundredth part of them whether they still matter.
PARTS = 100


class EarlyStopper:
    """Counts votes as they end, and sees when the open ones cannot change the outcome.

    Attributes:
        heard: the places of the votes that it has counted.
        stopped: whether the vote has been ended early.
    """

    def __init__(self, rule: Rule, reading: Reading, weights: Sequence[Fraction]) -> None:
        self._rule, self._reading, self._weights = rule, reading, weights
        self._terms = rule.terms(len(weights))
        self._votes: dict[int, Vote] = {}
        self._since: list[int] = []  # counted since it was last looked whether they decide
        self.heard: set[int] = set()
        self.stopped = False

    def hear(self, record: Record) -> None:
        """Count one vote that has ended."""
        at = record.index
        self.heard.add(at)
        read, ballots = count_ballots([record], self._reading, [self._weights[at]])
        for vote in votes_of(read, ballots):
            label = vote.label
            if self._reading.kind == "open":
                label = same_answer_key(label)
            self._votes[at] = replace(vote, index=at, label=label)

    def check(self) -> bool:
        """Whether the vote is decided while votes are open."""
        open_ = self._open(self.heard)
        self.stopped = bool(open_) and self._over([*self._votes.values()], open_)
        return self.stopped

    def decides(self, record: Record) -> bool:
        """Count one vote; whether the vote is decided by it, or was by one shortly before it.

        What is certain stays certain, so that of many votes the one that decided is found later;
        those counted since then are taken back.
        """
        self.hear(record)
        self._since.append(record.index)
        if len(self._since) < (len(self._weights) - len(self.heard)) // PARTS:
            return False
        since, self._since = self._since, []
        if not self.check():
            return False
        places = range(len(since))
        last = bisect.bisect_left(places, True, key=lambda at: self._over_without(since[at + 1 :]))
        for at in since[last + 1 :]:
            self.heard.discard(at)
            self._votes.pop(at, None)
        return True

    def _over_without(self, places: Sequence[int]) -> bool:
        """Whether the vote would be decided while the votes of these places were open too."""
        heard = self.heard.difference(places)
        votes = [vote for at, vote in self._votes.items() if at in heard]
        return self._over(votes, self._open(heard))

    def wave(self) -> int:
        """How many votes are to be asked next: the fewest that could decide."""
        votes, open_ = [*self._votes.values()], self._open(self.heard)
        counts: Mapping[str, int] = counts_of(votes)
        if (leader := self._rule.entry.needs_fewest(votes, self._terms)) is not None:
            counts = {leader: counts.get(leader, 0)}

        def over(counts: Mapping[str, int], left: int) -> bool:
            asked = len(open_) - left
            return self._over(_with_more(votes, counts, open_[:asked]), open_[asked:])

        return next_wave(counts, len(open_), over)

    def _open(self, heard: Container[int]) -> list[Fraction]:
        return [weight for at, weight in enumerate(self._weights) if at not in heard]

    def _over(self, votes: Sequence[Vote], open_: Sequence[Fraction]) -> bool:
        if self._rule.entry.certain(votes, open_, self._terms) is not None:
            return True
        if self._rule.stop != "beta":
            return False
        labels = len(self._reading.choices) or None
        enough = len(votes) >= self._rule.least
        return enough and beta_stops([*counts_of(votes).values()], self._rule.level, labels)


def _with_more(
    votes: Sequence[Vote], counts: Mapping[str, int], weights: Sequence[Fraction]
) -> list[Vote]:
    """The votes, and so many more for each label that they come to these counts."""
    have = counts_of(votes)
    more = [label for label, count in counts.items() for _ in range(count - have[label])]
    start = 1 + max((vote.index for vote in votes), default=-1)
    pairs = zip(more, weights, strict=False)
    return [*votes, *(Vote(start + at, label, label, w) for at, (label, w) in enumerate(pairs))]
