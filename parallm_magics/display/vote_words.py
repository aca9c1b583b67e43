"""What a vote's counts say, and what they do not say, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from parallm_magics.core.tasks import Record
from parallm_magics.display import text
from parallm_magics.display.looks import STATES
from parallm_magics.display.view import Tally

_PROBABLY = 0.75
_CAVEAT = "Agreement is not the chance that the answer is right."


def verdict(tally: Tally) -> str:
    """How the vote ended, and how that came about where the counts do not tell it."""
    how = " ".join(tally.how.split()).rstrip(".")
    how = text.isolated(how, 300) if how else ""
    if tally.winner is None:
        ended = _lost(tally)
    elif tally.rule.computes:
        how = how or f"the {tally.pick} of {text.count(tally.valid, 'valid vote')}"
        return f"{text.isolated(tally.winner, 60)}: {how}"
    else:
        ended = _won(tally, tally.winner)
    return f"{ended}; {how}" if how else ended


def says_more(tally: Tally, told: str) -> bool:
    """Whether how the vote ended is more than its counts and this heading tell."""
    how = " ".join(tally.how.split()).rstrip(".")
    return bool(tally.heuristic or tally.cancelled or (how and how not in told))


def _won(tally: Tally, label: str) -> str:
    counts = dict(tally.counts)
    winner, votes = _quoted(label), counts.get(label, 0)
    second = max((count for other, count in tally.counts if other != label), default=0)
    of = f"{votes:,} of {tally.requested:,}"
    if not tally.counted:
        return f"{winner} was picked"
    if tally.heuristic or tally.cancelled:
        return f"{winner}, {of} requested; {_early(tally, votes - second)}"
    if label not in counts:
        return f"{text.isolated(label, 60)}, from {text.count(tally.valid, 'valid vote')}"
    if not tally.rule.by_count or votes < second:
        return f"{winner} was picked, with {of} votes"
    if votes == tally.requested == 1:
        return f"{winner} has the only vote"
    if votes == tally.requested:
        repeat = "" if tally.interval is None else f" ({_repeat(tally.interval)})"
        return f"{of} votes agree on {winner}{repeat}"
    if 2 * votes > tally.requested:
        return f"{winner} has {of} votes: a majority"
    if tally.rule.claim and 2 * votes > tally.valid:
        return f"{winner} has {of} votes: {tally.rule.claim} of the {tally.valid:,} valid ones"
    if votes == second:
        return f"{winner} has {of} votes"
    return f"{winner} leads with {of}: a plurality, not a majority"


def _early(tally: Tally, lead: int) -> str:
    """How a vote ended that did not wait for all, and whether the rest could have changed it."""
    left = tally.cancelled
    cancelled = f", {left:,} cancelled" if left else ""
    others = "the other one" if left == 1 else "the others"
    if tally.heuristic:
        after = tally.decided_after
        when = "" if after is None else f" after {after:,} of {tally.requested:,}"
        return f"decided early by a stopping heuristic{when}{cancelled}; {others} might have changed it"
    # What weighs or is flagged cannot be seen from the counts.
    seen = tally.rule.by_count or tally.rule.sure is None
    trusted = tally.decided_after is not None and not seen
    if trusted or lead > left:
        others = "the other one" if left == 1 else f"the other {text.word(left)}"
        return f"decided early{cancelled}; {others} could not change it"
    return f"{left:,} cancelled, which might have changed it"


def _lost(tally: Tally) -> str:
    if tally.status == "no_quorum":
        return (
            f"No quorum: only {tally.valid:,} of {text.count(tally.requested, 'vote')} "
            "could be counted; no winner"
        )
    if tally.status == "rule_failed":
        return "No decision"
    if tally.status == "not_cleared":
        return f"No verdict: {_standing(tally)}; no winner"
    if tally.status == "tie":
        return f"{_tied(tally)}; no winner"
    return f"{tally.rule.unmet}: {_standing(tally)}; no winner"


def _tied(tally: Tally) -> str:
    if tally.weights:
        most = max(weight for _, weight in tally.weights)
        labels = [label for label, weight in tally.weights if weight == most]
        have = f"have the weight {most:.4g} each"
    elif tally.rule.by_count:
        labels, votes = leaders(tally)
        have = f"have {votes:,} of {tally.requested:,} votes each"
    elif tally.tied:
        return f"A tie between {_listed(tally.tied)}"
    else:
        return "A tie"
    return f"A tie: {_listed(labels)} {have}" if len(labels) > 1 else "A tie"


def _standing(tally: Tally) -> str:
    labels, votes = leaders(tally)
    if not labels:
        return "there is no vote"
    of = f"{votes:,} of {text.count(tally.requested, 'vote')}"
    if len(labels) == 1:
        return f"{_quoted(labels[0])} leads with {of}"
    return f"{_listed(labels)} have {of} each"


def agreement(tally: Tally) -> str:
    """The share that agrees and how steady it is; "" where no share can be told.

    Where votes were left out there is only a range: the share of those that came in first is higher
    than the share of all would be.
    """
    if tally.rule.computes:
        return _spread(tally)
    after = ""
    if tally.decided_after is not None and not tally.heuristic:
        after = f"Decided after {tally.decided_after:,} of {tally.requested:,}. "
    labels, votes = leaders(tally)
    span = _span(tally, votes)
    if span is not None and labels:
        leader = _quoted(labels[0]) if len(labels) == 1 else "each of those that lead"
        on = "" if labels == [tally.winner] else f" on {leader}"
        all_of = f"Of all {text.count(tally.requested, 'vote')}"
        return f"{after}{all_of}, {text.between(span)} would have agreed{on}."
    if tally.agreement is None or tally.heuristic or not labels:
        return after.strip()
    caveat = _CAVEAT if tally.p_mode is None else ""
    return f"{after}{_agreed(tally, labels, votes)} {caveat}".strip()


def _spread(tally: Tally) -> str:
    """How far apart the numbers lie, which is what a median or a mean leaves out."""
    labels = sorted((label for label, votes in tally.counts if votes), key=number)
    if not labels:
        return ""
    low, high = text.isolated(labels[0], 40), text.isolated(labels[-1], 40)
    if len(labels) == 1:
        return f"All votes say {low}." if tally.valid > 1 else ""
    return f"The votes lie between {low} and {high}."


def number(label: str) -> float:
    """The value of a number as it was read; infinite where it is none."""
    try:
        value = float(label.strip().rstrip("%"))
    except ValueError:
        return math.inf
    return math.inf if math.isnan(value) else value


def _agreed(tally: Tally, labels: Sequence[str], votes: int) -> str:
    share = tally.agreement or 0.0
    percent = f", {text.percent(share)} %" if votes < tally.valid else ""
    of = f"{votes:,} of {text.count(tally.valid, 'valid vote')}"
    by_count = tally.rule.by_count
    if len(labels) > 1:
        said, give = f"Agreement: {of} each{percent}", "give each of them"
    elif by_count and tally.winner in (None, labels[0]):
        if tally.winner and 1 < votes == tally.requested and tally.interval:
            return ""  # the verdict says it all
        said, give = f"Agreement: {of}{percent}", "agree"
    else:
        said = f"Most frequent: {_quoted(labels[0])} with {of}{percent}"
        give = "give it"
    repeat = "" if tally.interval is None else f" ({_repeat(tally.interval, give)})"
    return f"{said}{repeat}."


def _repeat(interval: tuple[float, float], give: str = "agree") -> str:
    return f"a repeat of this prompt would {give} {text.between(interval)} of the time"


def most_frequent(tally: Tally) -> str:
    """What the votes say of the prompt itself; "" where they do not repeat one prompt."""
    labels, _ = leaders(tally)
    if tally.p_mode is None or not labels or tally.rule.computes:
        return ""
    sure = "more than 0.99" if tally.p_mode >= 0.995 else f"{tally.p_mode:.2f}"
    stopped = ", and the vote stopped because it was high" if tally.heuristic else ""
    if len(labels) > 1:
        said = "Each of those that lead may be this prompt's most frequent answer"
        sure += " each"
    else:
        is_ = "is probably" if tally.p_mode >= _PROBABLY else "may be"
        said = f"{_quoted(labels[0])} {is_} this prompt's most frequent answer"
    return f"{said} ({sure} under a flat prior{stopped}); that is not the chance that it is right."


def further(tally: Tally) -> str:
    """The other numbers in a row; "" after an early decision, which makes all of them look good.

    For a median or a mean they would count equal numbers, which says nothing of near ones.
    """
    if _span(tally, 0) is not None or tally.heuristic or tally.rule.computes:
        return ""
    told = tally.interval is not None and tally.agreement is not None and leaders(tally)[0]
    parts = ["intervals at 95 % (Wilson)"] if told else []
    if tally.share_requested is not None:
        parts.append(f"of all requested: {text.percent(tally.share_requested)} %")
    if tally.margin is not None:
        parts.append(f"margin {text.percent(tally.margin)} %")
    if tally.entropy is not None:
        bits = min(max(tally.entropy, 0.0), 64.0)
        different = f"{2**bits:.1f}"
        answers = "one answer" if different == "1.0" else f"about {different} different answers"
        parts.append(f"entropy {bits:.2f} bits ({answers})")
    if tally.pairwise is not None:
        parts.append(f"{text.percent(tally.pairwise)} % of the pairs agree")
    line = " · ".join(parts)
    return line[:1].upper() + line[1:]


def states_line(tally: Tally, records: Sequence[Record] = ()) -> str:
    """What became of the votes: `4 valid, 1 timed out, 0 abstained, 0 unreadable`.

    With the records, votes that ran out of time are told from those that failed otherwise.
    """
    late = min(sum(record.status == "timed_out" for record in records), tally.failed)
    failed = tally.failed - late
    parts = [f"{tally.valid:,} valid"]
    parts += [f"{late:,} {STATES['timed_out'].word}"] if late else []
    parts += [f"{failed:,} {STATES['failed'].word}"] if failed or not late else []
    parts += [f"{tally.abstained:,} abstained", f"{tally.invalid:,} unreadable"]
    parts += [f"{tally.cancelled:,} {STATES['cancelled'].word}"] if tally.cancelled else []
    return ", ".join(parts)


def leaders(tally: Tally) -> tuple[list[str], int]:
    """The labels with most votes, and how many each of them has; none where nobody voted."""
    most = max((votes for _, votes in tally.counts), default=0)
    return [label for label, votes in tally.counts if votes == most > 0], most


def _span(tally: Tally, votes: int) -> tuple[float, float] | None:
    if tally.range is not None or not tally.cancelled or tally.requested <= 0:
        return tally.range
    return votes / tally.requested, (votes + tally.cancelled) / tally.requested


def _quoted(label: str) -> str:
    return f"'{text.isolated(label, 60)}'"


def _listed(labels: Sequence[str]) -> str:
    return text.listed([f"'{text.isolated(label, 40)}'" for label in labels[:5]], len(labels) - 5)
