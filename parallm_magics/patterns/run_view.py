"""What each kind of run shows, as data: outcome, notes, text, votes and guards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from parallm_magics import display
from parallm_magics.answers.reading_kinds import is_free_text
from parallm_magics.cell.calls import Section
from parallm_magics.core.tasks import Reading, Record
from parallm_magics.display.looks import STATES
from parallm_magics.patterns.ballots import votes_of
from parallm_magics.patterns.fields_shown import field_tallies, outcome_of_fields
from parallm_magics.patterns.guard_verdicts import blocking, why_blocked
from parallm_magics.patterns.panel import Rule
from parallm_magics.voting import leaders
from parallm_magics.voting.rule_entry import Vote
from parallm_magics.voting.ties import short

if TYPE_CHECKING:
    from parallm_magics.patterns.fanout_run import FanoutRun, Value
    from parallm_magics.patterns.run import Run
    from parallm_magics.patterns.section_votes import SectionVote
    from parallm_magics.patterns.vote_run import VoteRun

MOST_NAMED, MOST_TIED = 10, 5
"""Flagged or unchecked sections that are named, and tied labels that a title names."""


def run_view(
    run: Run,
    title: str,
    pattern: Literal["fanout", "vote", "study"],
    text: str | None,
    text_title: str,
    notes: Sequence[str] = (),
    records: tuple[Record, ...] | None = None,
    **shown: Any,
) -> display.View:
    """The view of a run, or the refusal in place of what a guardrail blocks.

    Args:
        notes: what this kind of run has to say of its result, one line each.
        records: those that have a row, where that is not all of them.
        shown: further fields of the view.
    """
    blocked = run.blocked
    return display.View(
        title=blocked_title(run) if blocked else title,
        pattern=pattern,
        records=tuple(run.results) if records is None else records,
        extra=run.auxiliary,
        text=text,
        text_title="Refusal" if blocked else text_title,
        notes=(*run.notes, *([] if blocked else notes), *run.adapted),
        simulated=run.simulated,
        addresses=run.addresses,
        guards=tuple(
            display.Guard(each.name, each.passed, each.verdict, each.reason, each.block)
            for each in run.guards
        ),
        blocked=blocked,
        columns=run.columns,
        **shown,
    )


def blocked_title(run: Run) -> str:
    """By which guardrail the run is blocked; "" where it is not."""
    verdict = blocking(run.guards)
    return "" if verdict is None else why_blocked(verdict).replace("withheld", "blocked", 1)


# --- a fan-out ------------------------------------------------------------------------------------


def fanout_view(run: FanoutRun, title: str, counts: display.Counts, **shown: Any) -> display.View:
    """The view of a fan-out.

    Args:
        title: the outcome in words.
        counts: how often each label was read, of a map.
        shown: further fields of the view.
    """
    merged = run.synthesis is not None and run.synthesis.ok
    return run_view(
        run,
        title,
        "fanout",
        run.text if run.blocked or merged else None,
        "Synthesis",
        _flags(run),
        counts=counts,
        section_votes=tuple(map(_drawn, run.votes.values())),
        **shown,
    )


def fanout_title(run: FanoutRun, sections: Sequence[Section]) -> str:
    """The outcome in words."""
    if run.blocked:
        return blocked_title(run)
    total = len(run.results)
    begun = {record.index for record in run.results}
    named = sum(not begun.isdisjoint(section.tasks) for section in sections)
    noun = "section" if total == named else "worker"
    if run.results and total == len({record.key for record in run.results} - {None}):
        noun = "item"
    checks = sum(section.flag is not None for section in sections)
    counts = Counter(display.state_of(record) for record in run.results)
    return outcome_in_words(counts, noun, len(run.unchecked), checks)


def outcome_in_words(
    counts: Mapping[str, int], noun: str, unchecked: int = 0, checks: int = 0
) -> str:
    """How many workers ended how, and how many of the checks gave no verdict."""
    total, good = sum(counts.values()), counts.get("ok", 0)
    outcome = f"{good:,} of {display.count(total, noun)} succeeded"
    outcome = f"{outcome} ({_in_words(counts)})" if good < total else outcome
    if not unchecked:
        return outcome
    return f"{outcome}; {unchecked:,} of {display.count(checks, 'check')} gave no verdict"


def counts_in_words(records: Sequence[Record]) -> str:
    """How the workers that did not succeed ended, such as "1 timed out, 2 failed"."""
    return _in_words(Counter(display.state_of(record) for record in records))


def _in_words(counts: Mapping[str, int]) -> str:
    lost = ((state, n) for state, n in counts.items() if n and state != "ok")
    return ", ".join(f"{n} {STATES[state].word}" for state, n in lost)


def _flags(run: FanoutRun) -> list[str]:
    """Which sections say what `--flag` looks for, and which say nothing, a line each."""
    told = ((run.flagged, "flagged"), (run.unchecked, "without a verdict"))
    return [f"{said}: {_some(keys)}" for keys, said in told if keys]


def _some(keys: Sequence[str]) -> str:
    """The first few sections, and how many more there are."""
    more = len(keys) - MOST_NAMED
    return ", ".join([*map(str, keys[:MOST_NAMED]), *([f"{more:,} more"] if more > 0 else [])])


def label_counts(run: FanoutRun, sections: Sequence[Section]) -> display.Counts:
    """How often each label was read, for each section that is asked of several items."""
    by_section: dict[str, tuple[tuple[str, ...], list[Value]]] = {}
    for section in sections:
        if section.reading is not None and section.reading.choices:
            _, values = by_section.setdefault(section.name, (section.reading.choices, []))
            values.append(run.get(section.key))
    found = []
    for name, (choices, values) in by_section.items():
        if len(values) > 1:
            labels = [(label, values.count(label)) for label in choices]
            lost = [("without an answer", values.count(None))] if None in values else []
            found.append((name if len(by_section) > 1 else "", (*labels, *lost)))
    return tuple(found)


def _drawn(vote: SectionVote) -> display.SectionVote:
    """The vote of one section, under the section's key."""
    reading = vote.section.reading
    fallen = _fallen(vote, vote.rule.pick, reading.choices if reading else ())
    fields = field_tallies(vote.fields, vote.ballots)
    return display.SectionVote(str(vote.section.key), display.Tally(**fallen), vote.records, fields)


def _fallen(vote: VoteRun | SectionVote, pick: str, choices: Sequence[str]) -> dict[str, Any]:
    """The fields of a tally that every vote has; labels that nobody chose come last."""
    states = Counter(ballot.state for ballot in vote.ballots)
    nobody = ((label, 0) for label in choices if label not in vote.tally)
    return {
        "counts": (*vote.tally.items(), *nobody),
        "winner": vote.label,
        "status": vote.status,
        "agreement": vote.agreement,
        "pick": pick,
        "how": vote.how,
        "requested": len(vote.ballots),
        "valid": states["valid"],
        "abstained": states["abstain"],
        "invalid": states["invalid"],
        "failed": states["failed"],
        "cancelled": states["cancelled"],
    }


# --- a vote ---------------------------------------------------------------------------------------


def vote_view(run: VoteRun, rule: Rule, reading: Reading, repeats: bool) -> display.View:
    """The view of a vote by this rule.

    Args:
        repeats: whether all votes repeat one prompt.
    """
    if run.blocked:
        return run_view(run, "", "vote", run.text, "Refusal")
    chosen = rule.entry.asks and is_free_text(reading) and run.winner is not None
    return run_view(
        run,
        vote_title(run, rule, reading),
        "vote",
        run.text if chosen else None,
        "Winning answer",
        [f"no object: {run.how}"] if run.fields and run.value is None else [],
        tally=vote_tally(run, rule, reading, repeats),
        fields=field_tallies(
            run.fields,
            run.ballots,
            repeats=repeats,
            decided_after=run.decided_after,
            heuristic={
                name
                for name, vote in run.fields.items()
                if _by_heuristic(run, rule.of_field(vote.field), vote.votes)
            },
        ),
        ballots=tuple(ballot.state for ballot in run.ballots),
    )


def vote_title(run: VoteRun, rule: Rule, reading: Reading) -> str:
    """The outcome in words."""
    if run.blocked:
        return blocked_title(run)
    if run.fields:
        return outcome_of_fields(run.fields, run.how, has_value=run.value is not None)
    lead, votes = max(run.tally.values(), default=0), len(run.ballots)
    of = "votes" if rule.counts(reading) else "answers"
    if run.status == "tie":
        named = [f"'{short(label)}'" for label in run.tied[:MOST_TIED]]
        tied = display.listed(named, len(run.tied) - MOST_TIED)
        level = rule.counts(reading) and {run.tally.get(label, 0) for label in run.tied} == {lead}
        return f"tie between {tied}, {f'{lead} of {votes} votes each' if level else f'of {votes} {of}'}"
    if run.status == "rule_failed":
        return f"no decision: {run.how}"
    if run.status == "no_quorum":
        return f"no quorum: {run.valid} of {votes} {of} are valid, {rule.quorum} required"
    if run.status == "not_cleared":
        return f"not cleared: {run.valid} of {votes} votes gave a label"
    if run.status == "no_majority":
        first = next(iter(leaders(run.tally)), None)
        leads = "" if first is None else f": {short(first)} leads with {lead} of {votes} votes"
        return f"no winner by {rule.pick}{leads}"
    label = run.label or ""
    if rule.entry.computes:
        return f"{label}: {run.how}"
    if not rule.counts(reading):
        return f"{_chosen(run)} of {votes} answers: {run.how}"
    mine = run.tally[label]
    leads = "" if 2 * mine > votes or mine < lead or run.how else ": a plurality, not a majority"
    return f"{short(label)}: {mine} of {votes} votes{leads}"


def _chosen(run: VoteRun) -> str:
    """The voter whose answer has won; of equal ones the first."""
    pairs = zip(run.results, run.ballots, strict=True)
    return next((r.name for r, ballot in pairs if ballot.label and r.value == run.winner), "")


def vote_tally(run: VoteRun, rule: Rule, reading: Reading, repeats: bool) -> display.Tally:
    """How the votes fell, with all that may be said of it."""
    weights: dict[str, Fraction] = {}
    for ballot in run.ballots if rule.entry.weighs else ():
        if ballot.label is not None:
            weights[ballot.label] = weights.get(ballot.label, Fraction(0)) + ballot.weight
    return display.Tally(
        **_fallen(run, rule.pick, reading.choices),
        interval=run.interval if repeats else None,  # else there is no prompt to repeat
        range=run.confidence_range,
        weights=tuple((label, float(weight)) for label, weight in weights.items()),
        share_requested=run.share_requested if run.valid else None,
        margin=run.margin,
        p_mode=run.p_mode,
        entropy=run.entropy,
        pairwise=run.pairwise_agreement,
        decided_after=run.decided_after,
        tied=run.tied,
        heuristic=_by_heuristic(run, rule, votes_of(run.results, run.ballots)),
        counted=rule.counts(reading),
    )


def _by_heuristic(run: VoteRun, rule: Rule, votes: Sequence[Vote]) -> bool:
    """Whether the votes that were left out might have changed what these say."""
    if run.decided_after is None or rule.stop != "beta":
        return False
    left_out = [ballot.weight for ballot in run.ballots if ballot.state == "cancelled"]
    return rule.entry.certain(votes, left_out, rule.terms(len(run.ballots))) is None
