"""What to deploy, given how a vote and a bigger model did against a single call."""

from __future__ import annotations

from typing import Literal

from parallm_magics.voting.paired_tests import Verdict

Recommendation = Literal["single", "vote", "bigger_model", "undecided"]
_SETTLED = ("worse", "same")


def recommend(
    vote_vs_single: Verdict,
    big_vs_single: Verdict,
    big_vs_vote: Verdict,
    cost_vote: float,
    cost_big: float,
) -> Recommendation:
    """The system to take: what is shown to be better, and of two such systems the cheaper one.

    Where one of the two beats the other and also costs more, it is the user's call, as it is where
    too little is known: "undecided". A single call is recommended where neither is better and both
    comparisons are settled.

    Args:
        vote_vs_single, big_vs_single, big_vs_vote: verdicts on the first against the second.
        cost_vote, cost_big: cost of an item, in one currency.
    """
    vote, big = vote_vs_single == "better", big_vs_single == "better"
    if vote and big:
        cheaper: Recommendation = "vote" if cost_vote <= cost_big else "bigger_model"
        winner = {"better": "bigger_model", "worse": "vote"}.get(big_vs_vote, cheaper)
        return cheaper if winner == cheaper else "undecided"
    if vote or big:
        return "vote" if vote else "bigger_model"
    settled = vote_vs_single in _SETTLED and big_vs_single in _SETTLED
    return "single" if settled else "undecided"
