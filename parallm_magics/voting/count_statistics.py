"""What the counts of one vote may be said to mean: shares, intervals, and how sure the leader is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from parallm_magics.voting.vote_statistics import (
    entropy_bits,
    p_mode,
    pairwise_agreement,
    share_range_after_cancel,
    shares,
    wilson,
)

if TYPE_CHECKING:
    from parallm_magics.voting.rule_entry import Number, PickRule

P_MODE_VOTES = 500


class CountStatistics:
    """The statistics of a vote, from its tally and what its kind says of it.

    Attributes:
        tally: the votes by label, most votes first; labels without a vote are missing.
    """

    tally: Counter[str]

    # What a kind of vote says of itself.

    @property
    def requested(self) -> int:
        """The number of requested votes, those without a label included."""
        raise NotImplementedError

    @property
    def _entry(self) -> PickRule:
        """The entry of its rule."""
        raise NotImplementedError

    @property
    def _winning(self) -> str | Number | None:
        """The label or number that has won."""
        raise NotImplementedError

    @property
    def _cancelled(self) -> int:
        """The votes that were cancelled."""
        raise NotImplementedError

    @property
    def _closed_set(self) -> tuple[str, ...]:
        """The labels of a closed set; none where any label can come."""
        raise NotImplementedError

    @property
    def _repeated(self) -> bool:
        """Whether all votes repeat one prompt on one model."""
        raise NotImplementedError

    @property
    def _counted(self) -> bool:
        """Whether votes were counted, rather than texts given to a judge to choose from."""
        return True

    # What follows from it.

    @property
    def _counts(self) -> list[int]:
        return list(self.tally.values())

    @property
    def valid(self) -> int:
        """The number of votes with a label."""
        return sum(self._counts)

    @property
    def agreement(self) -> float | None:
        """The leader's share of the valid votes, or None. It is not the chance of being right."""
        return shares(self._counts, self.requested)["share_valid"] if self.valid else None

    @property
    def confidence(self) -> float | None:
        """The winner's share of the valid votes, each counted once, whatever its weight.

        None without a winner, and for rules that do not count votes for a label: best, median
        and mean. It is not the chance of being right.
        """
        return self._entry.share_of_winner(self._winning, self.tally)

    @property
    def share_requested(self) -> float:
        """The leader's share of all requested votes."""
        return max(self._counts, default=0) / max(self.requested, 1)

    @property
    def margin(self) -> float | None:
        """The leader's lead over the second label, as a share of the valid votes."""
        return shares(self._counts, self.requested)["margin_valid"] if self.valid else None

    @property
    def confidence_range(self) -> tuple[float, float] | None:
        """The range of the leader's share if the cancelled votes had been counted.

        None if no vote was cancelled.
        """
        cancelled = self._cancelled
        if not cancelled:
            return None
        lead = max(self._counts, default=0)
        return share_range_after_cancel(lead, cancelled, self.requested)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the agreement; None without a valid vote.

        It says how often this prompt would give this label again, not how likely the label is
        to be right. Also None if a judge chooses among texts, because that is not a count of
        votes; the same holds for the other statistics.
        """
        return wilson(max(self._counts, default=0), self.valid) if self._counted else None

    @property
    def p_mode(self) -> float | None:
        """The probability that the leader is the most frequent answer, under a flat prior.

        None unless all votes repeat one prompt on one model, and None above 500 votes, where
        the exact number takes seconds and adds nothing.
        """
        if not (self._repeated and self._counted) or not 0 < self.valid <= P_MODE_VOTES:
            return None
        seen, choices = self._counts, self._closed_set
        unseen = len(choices) - len(seen) if choices else 1
        return float(p_mode([*seen, *[0] * unseen]))

    @property
    def entropy(self) -> float | None:
        """The entropy of the labels in bits; None without a valid vote."""
        return entropy_bits(self._counts) if self.valid and self._counted else None

    @property
    def pairwise_agreement(self) -> float | None:
        """The share of pairs of valid votes that agree; None with fewer than two votes."""
        return pairwise_agreement(self._counts) if self._counted else None

    @property
    def is_majority(self) -> bool:
        """Whether the leader has more than half of all requested votes."""
        return 2 * max(self._counts, default=0) > self.requested

    def statistics(self) -> dict[str, Any]:
        """Return all of them by their names, as plain JSON types."""
        return {
            "agreement": self.agreement,
            "confidence": self.confidence,
            "share_requested": self.share_requested,
            "interval": self.interval,
            "p_mode": self.p_mode,
            "entropy": self.entropy,
            "pairwise_agreement": self.pairwise_agreement,
            "is_majority": self.is_majority,
            "margin": self.margin,
        }
