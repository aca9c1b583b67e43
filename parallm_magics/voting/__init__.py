"""From raw answers to votes, and from votes to a winner and what the counts say."""

from parallm_magics.answers.cleaning import label_of, same_answer_key, usual_spelling
from parallm_magics.answers.judge_verdicts import read_verdict
from parallm_magics.answers.read_answer import Answer, read_answer
from parallm_magics.answers.reading_kinds import ReadingKind, register_reading
from parallm_magics.answers.stated_confidence import parse_confidence
from parallm_magics.voting.calibration import (
    ReliabilityBin,
    answered_from,
    bounded_mean_interval,
    brier_loss,
    brier_score,
    fewest_for,
    log_score,
    reliability_bins,
    shown_at_least,
    sure_share,
)
from parallm_magics.voting.counting import (
    RULES,
    decide,
    leaders,
    log_odds_weight,
    need,
    weight_sums,
    weighted_tally,
)
from parallm_magics.voting.curves import accuracy_by_votes, independent_accuracy_by_votes
from parallm_magics.voting.diagnostics import (
    error_correlations,
    error_diagnostics,
    fleiss_kappa,
    krippendorff_alpha,
    same_wrong_rate,
)
from parallm_magics.voting.field_values import field_keys
from parallm_magics.voting.field_votes import FieldVote
from parallm_magics.voting.object_votes import ObjectVote, field_votes
from parallm_magics.voting.paired_tests import (
    mcnemar_exact,
    mcnemar_midp,
    paired_bootstrap,
    paired_items_needed,
    recommend,
    verdict,
)
from parallm_magics.voting.panel_accuracy import (
    beta_binomial_majority,
    effective_votes,
    majority_accuracy,
)
from parallm_magics.voting.pick_rules import counting_rule, number_rule, register_rule
from parallm_magics.voting.position_bias import judge_swap
from parallm_magics.voting.rule_entry import Decision, PickRule, Terms, Vote
from parallm_magics.voting.stopping import (
    beta_stops,
    clinch,
    clinch_expected_arrivals,
    clinch_flag,
    clinch_weighted,
    next_wave,
)
from parallm_magics.voting.vote_statistics import (
    beta_half_tail,
    entropy_bits,
    p_better,
    p_mode,
    pairwise_agreement,
    share_range_after_cancel,
    shares,
    wilson,
)

__all__ = [
    "RULES",
    "Answer",
    "Decision",
    "FieldVote",
    "ObjectVote",
    "PickRule",
    "ReadingKind",
    "ReliabilityBin",
    "Terms",
    "Vote",
    "accuracy_by_votes",
    "answered_from",
    "beta_binomial_majority",
    "beta_half_tail",
    "beta_stops",
    "bounded_mean_interval",
    "brier_loss",
    "brier_score",
    "clinch",
    "clinch_expected_arrivals",
    "clinch_flag",
    "clinch_weighted",
    "counting_rule",
    "decide",
    "effective_votes",
    "entropy_bits",
    "error_correlations",
    "error_diagnostics",
    "fewest_for",
    "field_keys",
    "field_votes",
    "fleiss_kappa",
    "independent_accuracy_by_votes",
    "judge_swap",
    "krippendorff_alpha",
    "label_of",
    "leaders",
    "log_odds_weight",
    "log_score",
    "majority_accuracy",
    "mcnemar_exact",
    "mcnemar_midp",
    "need",
    "next_wave",
    "number_rule",
    "p_better",
    "p_mode",
    "paired_bootstrap",
    "paired_items_needed",
    "pairwise_agreement",
    "parse_confidence",
    "read_answer",
    "read_verdict",
    "recommend",
    "register_reading",
    "register_rule",
    "reliability_bins",
    "same_answer_key",
    "same_wrong_rate",
    "share_range_after_cancel",
    "shares",
    "shown_at_least",
    "sure_share",
    "usual_spelling",
    "verdict",
    "weight_sums",
    "weighted_tally",
    "wilson",
]
