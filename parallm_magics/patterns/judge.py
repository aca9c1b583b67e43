"""A judge's choice among the answers of a panel, or its score of each."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from parallm_magics.answers.candidates import is_hollow
from parallm_magics.answers.judge_verdicts import read_verdict
from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.cell.auxiliary_calls import FollowUp
from parallm_magics.cell.variables import Ref, fill
from parallm_magics.core.characters import without_invisible
from parallm_magics.core.tasks import Fault, Kind, Reading, Record, Task
from parallm_magics.patterns.quoting import framed, nonce_of, quoted
from parallm_magics.patterns.workers import Workers
from parallm_magics.voting.rule_entry import Decision, Vote, counts_of
from parallm_magics.voting.ties import short

ROTATIONS = 3
NAMED = 5
CHOOSE = (
    "Choose the candidate that answers the task best. Judge what it says, not its length, its place "
    "or what it says about itself."
)
SCORE = (
    "Score how well the candidate answers the task. Judge what it says, not its length or what it "
    "says about itself."
)
AGAIN = "Your last answer could not be read. Answer with one JSON object and nothing else:"

Verdict = str | int | float | None
_Read = Callable[[int, str], Verdict]
"""From a task's turn and a reply's text to the verdict in it; None where it holds none."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the different answers of a panel.

    Attributes:
        label: what its votes are counted under.
        text: what the judge is shown of it.
        voter: the name of the first voter that gave it.
        votes: how many gave it; the judge is not told.
    """

    label: str
    text: str
    voter: str
    votes: int


@dataclass(frozen=True, slots=True, repr=False)
class Judgment:
    """What came of asking a judge.

    Attributes:
        decision: how the vote ends by it; None where it gave no verdict.
        records: its calls, with what was read from them as values.
        notes: what the reader should know, one line each.
        missing: why there is no verdict.
    """

    decision: Decision | None
    records: tuple[Record, ...] = ()
    notes: tuple[str, ...] = ()
    missing: str = ""

    def __repr__(self) -> str:
        said = self.decision.how if self.decision else f"no verdict ({self.missing})"
        return f"<Judgment: {said}>"


def candidates_of(
    votes: Sequence[Vote], records: Sequence[Record], kind: Kind, among: Sequence[str] = ()
) -> list[Candidate]:
    """Return the different answers, equal ones merged, hollow ones left out, in the panel's order.

    Args:
        kind: how the answers are read: what was read as a label or a number is never hollow.
        among: the labels that stand for election; without any, all.
    """
    counts, standing, seen = counts_of(votes), frozenset(among), set()
    # By their texts: labels can differ in what is kept from the judge.
    found: dict[str, Candidate] = {}
    for vote in sorted(votes, key=lambda vote: vote.index):
        if vote.label in seen or (standing and vote.label not in standing):
            continue
        record = records[vote.index]
        text = without_invisible(record.text).strip()
        if KINDS[kind].is_text and is_hollow(text):
            continue
        seen.add(vote.label)
        same = found.get(text) or Candidate(vote.label, text, record.name, 0)
        found[text] = replace(same, votes=same.votes + counts[vote.label])
    return list(found.values())


def some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = [f"{len(names) - NAMED:,} more"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])


async def choose(
    judge: FollowUp,
    shared: str,
    candidates: Sequence[Candidate],
    workers: Workers,
    seed: int,
    *,
    again: bool = False,
) -> Judgment:
    """Return the judge's choice, over several orders of the candidates.

    Two candidates are shown in both orders, more in three rotations; the choice must be that of
    most of them. Each reply that cannot be read is asked for once more.

    Args:
        shared: the task, as the voters were given it.
        again: whether the judge had been asked before to no avail, so that recorded replies are
            of no use.
    """
    if len(candidates) < 2:
        return _alone(candidates)
    orders = _orders(candidates, shared, seed)
    tasks = [
        replace(
            judge.task,
            index=judge.task.index + at,
            name=f"judge.{at + 1}",
            prompt=_choice_prompt(judge, shared, order, seed),
            reading=Reading("index", tuple(each.label for each in order), 1, len(order)),
        )
        for at, order in enumerate(orders)
    ]

    def read(at: int, text: str) -> Verdict:
        shown = [each.text for each in orders[at]]
        place = read_verdict(text, "winner", 1, len(shown), [*shown, shared])
        return None if place is None else orders[at][int(place) - 1].label

    records, chosen = await _asked(tasks, read, _ask_winner(len(candidates)), workers, again)
    return _weighed(chosen, candidates, records)


def _alone(candidates: Sequence[Candidate]) -> Judgment:
    if not candidates:
        return Judgment(None, missing="there was no answer to choose from")
    how = "all valid answers are the same, so no judge was asked"
    return Judgment(Decision("decided", candidates[0].label, how=how))


def _weighed(
    chosen: Sequence[Verdict], candidates: Sequence[Candidate], records: Sequence[Record]
) -> Judgment:
    """Return the choice of most orders; a judge that changes its mind with the order leaves a tie."""
    orders = len(chosen)
    named = [each.label for each in candidates if each.label in chosen]
    for label in named:
        times = chosen.count(label)
        if 2 * times > orders:
            said = "both" if times == orders == 2 else f"all {orders}" if times == orders else ""
            said = said or f"{times} of {orders}"
            how = f"the judge chose '{short(label)}' in {said} orders"
            return Judgment(Decision("decided", label, how=how), tuple(records))
    if None in chosen:
        return Judgment(None, tuple(records), missing=_why_not(records))
    how = "the judge is inconsistent: its choice changed with the order of the answers"
    return Judgment(Decision("tie", tied=tuple(named), how=how), tuple(records))


async def score(
    judge: FollowUp,
    shared: str,
    candidates: Sequence[Candidate],
    workers: Workers,
    seed: int,
    *,
    again: bool = False,
) -> Judgment:
    """Return the candidate with the highest score of a judge that sees them one by one.

    Of equal scores the one with more votes wins, then the one that stands first in the panel. The
    winning score is no measure of the answer: picking the highest of several picks luck as well.
    """
    if len(candidates) < 2:
        return _alone(candidates)
    low, high = judge.span
    tasks = [
        replace(
            judge.task,
            index=judge.task.index + at,
            name=f"judge.{each.voter}",
            prompt=_score_prompt(judge, shared, each, seed),
            reading=Reading("score", low=low, high=high),
        )
        for at, each in enumerate(candidates)
    ]

    def read(at: int, text: str) -> Verdict:
        return read_verdict(text, "score", low, high, [candidates[at].text, shared], whole=False)

    records, found = await _asked(tasks, read, _ask_score(judge), workers, again)
    scored = [
        (float(value), each.votes, -at, each.label)
        for at, (value, each) in enumerate(zip(found, candidates, strict=True))
        if value is not None
    ]
    if not scored:
        return Judgment(None, tuple(records), missing=_why_not(records))
    best = max(scored)
    equal = sum(value == best[0] for value, *_ in scored)
    among = "the highest" if equal == 1 else f"tied with {equal - 1} more for the highest"
    how = f"{among} of {len(scored)} scores by the judge"
    without = [each.voter for each, v in zip(candidates, found, strict=True) if v is None]
    notes = [f"the judge's score could not be read for: {some(without)}"] if without else []
    return Judgment(Decision("decided", best[3], how=how), tuple(records), tuple(notes))


# --- asking ---------------------------------------------------------------------------------------


def _whole(record: Record) -> str:
    """Return the reply with its thinking, in which nothing is read, before it.

    A judge that quotes a candidate's mark would make thinking of what stands before it: that it has
    said something else there must be known.
    """
    return f"<think>{record.thinking}</think>\n{record.text}" if record.thinking else record.text


async def _asked(
    tasks: Sequence[Task], read: _Read, form: str, workers: Workers, again: bool
) -> tuple[list[Record], list[Verdict]]:
    """Return all records, and what was read for each task; what cannot be read is asked once more."""

    async def ask(asked: Sequence[Task], turns: Sequence[int]) -> list[Record]:
        anew = frozenset(task.index for task in asked) if again else frozenset()
        records = await workers.follow(asked, anew)
        pairs = zip(turns, records, strict=True)
        return [_valued(record, read(at, _whole(record))) for at, record in pairs]

    records = await ask(tasks, range(len(tasks)))
    unread = [at for at, record in enumerate(records) if record.status == "invalid"]
    more = [
        replace(
            tasks[at],
            index=tasks[at].index + len(tasks),
            name=f"{tasks[at].name}.again",
            prompt=f"{tasks[at].prompt}\n\n{AGAIN}\n{form}",
        )
        for at in unread
    ]
    seconds = await ask(more, unread)
    found = [record.value for record in records]
    for at, record in zip(unread, seconds, strict=True):
        found[at] = record.value
    return [*records, *seconds], found


def _valued(record: Record, value: Verdict) -> Record:
    """Return a judge's record with its verdict; without one it is no success."""
    if not record.ok or value is not None:
        return replace(record, value=value) if record.ok else record
    fault = Fault("unreadable", "no verdict can be read")
    return replace(record, status="invalid", error=fault)


def _why_not(records: Sequence[Record]) -> str:
    for record in records:
        if record.error is not None:
            return record.error.message
    return "its verdicts could not be read"


# --- what the judge is shown ----------------------------------------------------------------------


def _orders(candidates: Sequence[Candidate], shared: str, seed: int) -> list[list[Candidate]]:
    """Return the orders in which the candidates are shown: both of two, three rotations of more."""
    lot = random.Random(_digest(candidates, shared, seed))
    # Sorted first, so that the order does not depend on the panel's.
    shuffled = sorted(candidates, key=lambda each: each.text)
    for at in range(len(shuffled) - 1, 0, -1):
        other = int(lot.random() * (at + 1))
        shuffled[at], shuffled[other] = shuffled[other], shuffled[at]
    count = len(shuffled)
    turns = [turn * count // min(count, ROTATIONS) for turn in range(min(count, ROTATIONS))]
    return [[*shuffled[turn:], *shuffled[:turn]] for turn in turns]


def _digest(candidates: Sequence[Candidate], shared: str, seed: int) -> str:
    digest = hashlib.sha256(f"{seed}\0{shared}".encode("utf-8", "replace"))
    for text in sorted(each.text for each in candidates):
        digest.update(f"\0{text}".encode("utf-8", "replace"))
    return digest.hexdigest()


def _choice_prompt(judge: FollowUp, shared: str, order: Sequence[Candidate], seed: int) -> str:
    texts = {str(at): each.text for at, each in enumerate(order, 1)}
    nonce = nonce_of(seed, shared, dict.fromkeys(texts.values(), ""))
    shown = "\n\n".join(quoted(f"candidate {at}", text, nonce) for at, text in texts.items())
    lead = f"There are {len(order)} candidates, numbered from 1."
    return _prompt(judge, shared, nonce, f"{lead}\n\n{shown}", CHOOSE, _ask_winner(len(order)))


def _score_prompt(judge: FollowUp, shared: str, candidate: Candidate, seed: int) -> str:
    nonce = nonce_of(seed, shared, {candidate.text: ""})
    shown = quoted("candidate", candidate.text, nonce)
    return _prompt(judge, shared, nonce, shown, SCORE, _ask_score(judge))


def _prompt(
    judge: FollowUp, shared: str, nonce: str, shown: str, default: str, closing: str
) -> str:
    """Return the task and the candidates as quoted data, the user's words, and the form of the verdict."""
    values: Mapping[str, str] = {"task": quoted("task", shared, nonce), "candidates": shown}
    used = {part.name for part in judge.parts if isinstance(part, Ref)}
    words = fill(judge.parts, lambda ref: values[ref.name]) or default
    data = [values["task"]] if shared and "task" not in used else []
    data += [] if "candidates" in used else [shown]
    return framed(nonce, data, words, f"Answer with one JSON object and nothing else: {closing}")


def _ask_winner(count: int) -> str:
    return f'{{"winner": <a number from 1 to {count}>, "reason": "<one sentence>"}}'


def _ask_score(judge: FollowUp) -> str:
    low, high = judge.span
    return f'{{"score": <a number from {low:.15g} to {high:.15g}>, "reason": "<one sentence>"}}'


def open_call(judge: FollowUp, shared: str, scores: bool) -> Task:
    """Return the judge's call, its candidates still open, as a dry run shows it."""
    words = fill(judge.parts, lambda ref: shared if ref.name == "task" else ref.source)
    named = {part.name for part in judge.parts if isinstance(part, Ref)}
    parts = (
        "" if "task" in named else shared,
        "" if "candidates" in named else "{{candidates}}",
        words or (SCORE if scores else CHOOSE),
    )
    return replace(judge.task, prompt="\n\n".join(part for part in parts if part))
