"""What a page notes besides the outcome: every note of a vote, a judge and a fan-out, and when it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from parallm_magics.answers.candidates import addresses_judge, is_hollow
from parallm_magics.answers.reading_kinds import is_free_text
from parallm_magics.core.characters import without_invisible
from parallm_magics.core.tasks import Reading, Record, Task
from parallm_magics.display import count
from parallm_magics.patterns.ballots import Ballot
from parallm_magics.patterns.judge import Candidate, some
from parallm_magics.patterns.panel import alike
from parallm_magics.patterns.tallies import open_in_batches
from parallm_magics.voting.field_votes import FieldVote
from parallm_magics.voting.pick_rules import rule_named
from parallm_magics.voting.rule_entry import PickRule

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Note(Generic[Seen]):
    """One note.

    Attributes:
        told: whether it says something here.
        words: what it says.
    """

    told: Callable[[Seen], bool]
    words: Callable[[Seen], str]


def noted(table: Sequence[Note[Seen]], seen: Seen) -> list[str]:
    """The notes of that table that say something of this, in its order."""
    return [note.words(seen) for note in table if note.told(seen)]


# --- of a vote ------------------------------------------------------------------------------------

COPIED = 60
"""Characters from which on equal answers are no coincidence of a short label."""

HIGH, LOW, UNREADABLE = 0.8, 0.6, 0.2
"""Agreement that may be taken for accuracy, agreement that decides little, and a share that tells of the prompt."""


@dataclass(frozen=True, slots=True)
class Votes:
    """What a panel was asked, and how its votes fell.

    Attributes:
        shuffled: whether the choices are named in another order to each voter.
        measured: whether labels show what the votes are worth, so that nobody need be warned.
        records, ballots: how each voter ended; None where there are many votes, as in a study.
        fields: how the vote on each field of objects ended.
    """

    tasks: Sequence[Task]
    rule: PickRule
    reading: Reading
    counted: bool
    shuffled: bool = False
    measured: bool = False
    records: Sequence[Record] | None = None
    ballots: Sequence[Ballot] | None = None
    fields: Mapping[str, FieldVote] = field(default_factory=dict)

    @property
    def labels(self) -> Counter[str]:
        """The valid votes by label."""
        return Counter(each.label for each in self.ballots or () if each.label is not None)

    @property
    def agreement(self) -> float | None:
        """The leader's share of the valid votes, of several fields the lowest; None without a vote."""
        if self.fields:
            return min((each or 0.0 for each in self._by_field.values()), default=None)
        labels = self.labels
        return max(labels.values()) / labels.total() if labels else None

    @property
    def _by_field(self) -> dict[str, float | None]:
        """The agreement on each field that somebody gave, where votes for one value are counted."""
        counted = {n: f for n, f in self.fields.items() if f.valid and rule_named(f.pick).agrees}
        return {name: vote.agreement for name, vote in counted.items()}

    @property
    def disputed(self) -> list[str]:
        """The fields on which answers scatter; where few gave one, as after an interrupt, they tell nothing."""
        return [
            name
            for name, share in self._by_field.items()
            if (share or 0.0) < LOW and self.fields[name].status != "no_quorum"
        ]

    @property
    def one_prompt(self) -> bool:
        """Whether one model is asked one thing, at whatever temperature."""
        # The closing line is the last paragraph.
        prompts = [
            t.prompt.rpartition("\n\n")[0] if self.shuffled else t.prompt for t in self.tasks
        ]
        return alike(self.tasks, prompts, but_for_temperature=True)

    @property
    def pinned(self) -> str:
        """What makes answers to one prompt copies; "" where nothing does."""
        task = self.tasks[0]
        if not alike(self.tasks, [task.prompt for task in self.tasks]):
            return ""
        if task.temperature == 0:
            return "at temperature 0"
        return "with one seed" if "seed" in task.params else ""

    @property
    def unlike(self) -> bool:
        """Whether votes fell on several labels, as far as that is known."""
        return self.ballots is None or len(self.labels) > 1

    @property
    def copied(self) -> bool:
        """Whether one prompt was answered by one long text, word for word.

        An object is written in one way only.
        """
        if self.reading.schema is not None:
            return False
        pairs = zip(self.records or (), self.ballots or (), strict=True)
        texts = {record.text for record, ballot in pairs if ballot.label}
        long = len(texts) == 1 and len(min(texts)) >= COPIED
        return (
            long and self.labels.total() > 1 and alike(self.tasks, [t.prompt for t in self.tasks])
        )


def _level(votes: Votes) -> bool:
    """Whether an even number of voters is level, or may be."""
    may = votes.rule.wants_odd and len(votes.tasks) % 2 == 0 and len(votes.reading.choices) == 2
    return may and (votes.ballots is None or votes.agreement == 0.5)


def _pinned(votes: Votes) -> bool:
    """Whether votes that agree could hardly do otherwise."""
    agree = votes.ballots is None or votes.agreement == 1
    return len(votes.tasks) > 1 and votes.pinned != "" and agree and not votes.copied


def _taken_for_accuracy(votes: Votes) -> bool:
    """Whether one model agrees with itself so often that this may be taken for being right."""
    asked = len(votes.tasks) > 1 and votes.counted and not votes.measured and votes.one_prompt
    agree = votes.ballots is None or (votes.agreement or 0.0) >= HIGH
    return asked and agree and not (_pinned(votes) or votes.copied)


def _unasked(votes: Votes) -> bool:
    """Whether texts are compared that were asked for without choices, and differ."""
    unread = is_free_text(votes.reading) and not any(task.reading for task in votes.tasks)
    return unread and votes.counted and not votes.measured and votes.unlike


def _fuzzy(votes: Votes) -> bool:
    """Whether answers to the question scatter, or many cannot be read."""
    # Answers that a judge chooses from differ as they should, numbers lie near each other without
    # being equal, and a flag is one voter's to find: their agreement says nothing of the question.
    agrees = votes.counted and votes.rule.agrees and votes.agreement is not None
    pairs = [*zip(votes.records or (), votes.ballots or (), strict=True)]
    unreadable = sum(b.state == "invalid" and r.status != "truncated" for r, b in pairs)
    low = agrees and not votes.fields and (votes.agreement or 0.0) < LOW
    return low or unreadable > UNREADABLE * len(pairs)


OF_VOTES: Sequence[Note[Votes]] = (
    Note(
        _level,
        lambda votes: (
            f"{len(votes.tasks)} votes on two labels can tie; use {len(votes.tasks) - 1} votes instead"
        ),
    ),
    Note(
        _taken_for_accuracy,
        lambda votes: (
            "all votes come from one model and one prompt, so they share errors: agreement is not accuracy"
        ),
    ),
    Note(
        _pinned,
        lambda votes: (
            f"votes {votes.pinned} are almost copies of each other, not independent evidence"
        ),
    ),
    Note(
        lambda votes: votes.copied,
        lambda votes: "all answers are identical: they are copies, not independent evidence",
    ),
    Note(
        _unasked,
        lambda votes: "without --choices, answers count as the same only if their texts match",
    ),
    Note(
        _fuzzy,
        lambda votes: "the question may be unclear: improve the prompt before you add votes",
    ),
    Note(
        lambda votes: bool(votes.disputed),
        lambda votes: (
            f"the voters disagree on {some(votes.disputed)}: say more exactly what belongs there, in the prompt or "
            f"in the schema"
        ),
    ),
)
"""What the votes themselves say about the panel and the question."""


# --- of a judge -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge was shown.

    Attributes:
        records: how the voters ended.
        written: whether answers are texts of their own, which can be hollow.
    """

    candidates: Sequence[Candidate]
    records: Sequence[Record]
    written: bool

    @property
    def speaking(self) -> list[str]:
        """The voters that speak to the judge."""
        return [each.voter for each in self.candidates if addresses_judge(each.text)]

    @property
    def hidden(self) -> list[str]:
        """The voters of whose answer the judge did not see all."""
        shown = {each.voter: each.text for each in self.candidates}
        return [r.name for r in self.records if shown.get(r.name, r.text.strip()) != r.text.strip()]

    @property
    def hollow(self) -> list[str]:
        """The voters whose answer says nothing."""
        return [r.name for r in self.records if self.written and r.ok and is_hollow(r.text)]


def _speaking(judged: Judged) -> str:
    who = judged.speaking
    what = (
        f"answer of {some(who)} addresses" if len(who) == 1 else f"answers of {some(who)} address"
    )
    return f"the {what} the judge; read it before you trust the verdict"


OF_JUDGES: Sequence[Note[Judged]] = (
    Note(lambda judged: bool(judged.speaking), _speaking),
    Note(
        lambda judged: bool(judged.hidden),
        lambda judged: (
            f"invisible characters were removed before the judge read: {some(judged.hidden)}"
        ),
    ),
    Note(
        lambda judged: bool(judged.hollow),
        lambda judged: f"left out as candidates, because they say nothing: {some(judged.hollow)}",
    ),
)


# --- of a fan-out ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Merged:
    """What a synthesis was to merge.

    Attributes:
        texts: what it was given; none where it was not asked.
        synthesis: how it ended; None where it was not asked.
    """

    texts: Sequence[str]
    synthesis: Record | None

    @property
    def hidden(self) -> int:
        """How many answers it did not see all of."""
        return sum(without_invisible(text) != text for text in self.texts)


OF_SYNTHESES: Sequence[Note[Merged]] = (
    Note(
        lambda merged: merged.synthesis is None,
        lambda merged: (
            "no section succeeded, so there was nothing to merge; the sections are joined"
        ),
    ),
    Note(
        lambda merged: merged.hidden > 0,
        lambda merged: (
            f"{count(merged.hidden, 'answer')} contained invisible characters, which were removed for the synthesis"
        ),
    ),
    Note(
        lambda merged: merged.synthesis is not None and not merged.synthesis.ok,
        lambda merged: "the synthesis gave no complete answer; the sections are joined instead",
    ),
)


# --- of batches -----------------------------------------------------------------------------------


def of_batches(records: Sequence[Record]) -> list[str]:
    """That calls of a run go on in their batches, and how to get their answers; nothing where none does."""
    inside = Counter(open_in_batches(records))
    if not inside:
        return []
    batches = "1 batch" if len(inside) == 1 else f"{len(inside):,} batches"
    go = "goes" if inside.total() == 1 else "go"
    goes = f"{count(inside.total(), 'call')} {go} on in {batches}"
    ways = "run the cell again, or await run.collect(), for the answers"
    return [f"{goes}: {ways}; %parallm batches cancel ID ends a batch"]
