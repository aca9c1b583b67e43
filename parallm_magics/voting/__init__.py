"""From raw answers to votes, and from votes to a winner and what the counts say."""

from parallm_magics.voting.answers import Answer, read_answer
from parallm_magics.voting.cleaning import same_answer_key
from parallm_magics.voting.rules import RULES, decide, leaders, need
from parallm_magics.voting.statistics import (
    beta_half_tail,
    entropy_bits,
    p_mode,
    pairwise_agreement,
    share_range_after_cancel,
    shares,
    wilson,
)

__all__ = [
    "RULES",
    "Answer",
    "beta_half_tail",
    "decide",
    "entropy_bits",
    "leaders",
    "need",
    "p_mode",
    "pairwise_agreement",
    "read_answer",
    "same_answer_key",
    "share_range_after_cancel",
    "shares",
    "wilson",
]
