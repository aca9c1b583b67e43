"""What a study answers first: whether voting pays, by how much, and what does as well."""

from __future__ import annotations

from collections.abc import Iterator

from parallm_magics import display
from parallm_magics.study.advice import by_chance, signed
from parallm_magics.study.calibration_report import sure_lead
from parallm_magics.study.findings import Findings
from parallm_magics.study.measures import Comparison
from parallm_magics.study.report_numbers import rights
from parallm_magics.voting.paired_tests import FEWEST

_VOTING = {
    "better": "Voting pays",
    "worse": "Voting does harm",
    "same": "Voting changes nothing",
    "few": "Too few items to tell whether voting pays",
}
_UNCLEAR = "It is not clear whether voting pays"
# What one call of the other model does where voting pays, by how it compares with the vote.
_BESIDE = {"better": "does better", "worse": "does less well"}
_AS_WELL = "does as well"
# The same where voting is not shown to pay, or the model is not shown to, by how it compares with a single call.
_ALONE = {
    "better": "one call of {} is better than a single call",
    "worse": "one call of {} is worse than a single call",
    "same": "one call of {} changes nothing",
}
_TAKE = {"single": "Keep the single call.", "vote": "Take the vote."}


def title_of(run: Findings) -> str:
    """The outcome in words."""
    if not run.measured:
        return "No item was measured"
    if not run.labelled:
        items = display.count(len(run.measured), "item")
        return f"{items} voted on; without labels nobody knows which answers are right"
    if all(each.unanswered == 1 for each in run.measures.values()):
        return "No answer could be counted"
    total = len(run.labelled)
    if (voted := _voted(run)) is None:
        return _without_a_vote(run, total)
    said = _VOTING.get("few" if total < FEWEST else voted.verdict, _UNCLEAR)
    beside = _beside(run, voted) if run.bigger is not None else ""
    return f"{said}: {voted.right:,} of {total:,} right, a single call {voted.base_right:,}{beside}"


def lead_of(run: Findings) -> str:
    """What to take, how large the difference is and how sure, and what else does as well."""
    return " ".join(_lead(run)) if run.labelled else ""


def _lead(run: Findings) -> Iterator[str]:
    if run.recommendation in _TAKE:
        yield _TAKE[run.recommendation]
    elif run.recommendation == "bigger_model":
        yield f"Take {run.bigger}."
    voted = _voted(run)
    if voted is not None and voted.items >= FEWEST:
        yield f"{_size(voted, 'The vote', 'a single call')}."
    base, against = (run.single, "a single call") if voted is None else (run.panel, "the vote")
    if (other := _found(run).get((run.bigger or "", base))) is not None:
        yield f"{_size(other, f'One call of {run.bigger}', against)}."
    yield from run.also
    yield from _early(run)
    if sure := sure_lead(run):
        yield sure
    mean = run.measures[run.single].right
    if voted is not None and abs(voted.base_right - mean) >= 1:
        yield (
            "(The single call compared here is the first vote on each item; "
            f"on average, the votes have {rights(mean)} right.)"
        )


def _size(found: Comparison, one: str, other: str) -> str:
    """How large a difference is with its interval, and of one that is not shown how easily chance makes it."""
    changed = found.gains + found.losses
    if not changed:
        return f"{one} and {other} differ on no item"
    if found.verdict == "too_few":
        return f"{one} and {other} differ on {display.count(changed, 'item')} only"
    share, (low, high) = found.difference or 0.0, found.interval or (0.0, 0.0)
    span = f"(95 % interval {signed(low, 0)} to {signed(high, 0)})"
    if not share:
        return f"{one} and {other} have equally many right {span}"
    if found.verdict == "not_shown":
        chance = by_chance(found.p)
        return f"{one} against {other}: {signed(share)} points {span}, but {chance}"
    return f"{one} is {abs(share) * 100:.1f} points {found.verdict} than {other} {span}"


def _voted(run: Findings) -> Comparison | None:
    """The vote against the single call; None where the vote is one call."""
    return _found(run).get((run.panel, run.single))


def _found(run: Findings) -> dict[tuple[str, str], Comparison]:
    return {(each.alternative, each.base): each for each in run.comparisons}


def _whole(run: Findings, name: str) -> str:
    """In whole answers: a heading is no place for the mean of draws."""
    return f"{run.measures[name].right:,.0f}"


def _beside(run: Findings, voted: Comparison) -> str:
    """What is shown of one call of the other model."""
    bigger, found = run.bigger or "", _found(run)
    alone, duel = found[bigger, run.single].verdict, found[bigger, run.panel].verdict
    if alone == "better" and "better" in (voted.verdict, duel):
        said = f"one call of {bigger} {_BESIDE.get(duel, _AS_WELL)}"
    elif alone in _ALONE:
        said = _ALONE[alone].format(bigger)
    elif voted.verdict == "better" and duel in _BESIDE:
        # Against a single call it may be unclear; against the vote it is not.
        said = f"one call of {bigger} {_BESIDE[duel]} than the vote"
    elif voted.verdict in _VOTING:
        said = f"whether one call of {bigger} does better than a single call is not clear"
    else:
        said = f"nor whether one call of {bigger} does"
    return f"; {said} ({_whole(run, bigger)})"


def _without_a_vote(run: Findings, total: int) -> str:
    """The heading of a panel of one: a single call, and perhaps another model."""
    mine = _whole(run, run.single)
    if run.bigger is None:
        return f"A single call: {mine} of {total:,} right"
    verdict = _found(run)[run.bigger, run.single].verdict
    said = {"better": "is better than", "worse": "is worse than", "same": "does the same as"}
    word = said.get(verdict, "is not shown to differ from")
    right = f"{_whole(run, run.bigger)} of {total:,} right against {mine}"
    return f"One call of {run.bigger} {word} a single call: {right}"


def _early(run: Findings) -> Iterator[str]:
    """What stopping early would have saved."""
    whole = run.measures[run.vote]
    for system in run.systems:
        found = run.measures[system.name]
        if system.entry.early and found.calls and whole.calls and found.median is not None:
            yield (
                f"Stopped once decided ({system.name}), the vote has the same winners after {found.calls:.1f} "
                f"of its {whole.calls:g} calls."
            )
