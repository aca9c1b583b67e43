"""The result of a fan-out: a value for each section, and how they are shown."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from parallm_magics import display
from parallm_magics.answers.reading_kinds import KINDS, is_free_text
from parallm_magics.cell.calls import Section
from parallm_magics.core.plain_values import plain_value
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Record
from parallm_magics.errors import OptionError
from parallm_magics.patterns.ballots import says_more
from parallm_magics.patterns.frame_rows import answer_rows
from parallm_magics.patterns.names import no_attribute, no_key
from parallm_magics.patterns.run import Common, Run, frame
from parallm_magics.patterns.run_view import (
    counts_in_words,
    fanout_title,
    fanout_view,
    label_counts,
)
from parallm_magics.patterns.section_votes import SectionVote, section_vote_of
from parallm_magics.patterns.synthesis import join, marked
from parallm_magics.voting import label_of

Value = Any


class FanoutRun(Run, Mapping[str, Value]):
    """The result of a fan-out: a mapping of section name to text, or to the value read from it.

    A section without a complete answer is not a key; see `failed`. With `--each`, `-n` or
    several models, every repeat is a key, in the order of the items, and its value is None if
    it has no answer.

    Attributes:
        aggregate: how `text` was made: "join", "synthesis" or "none".
        synthesis: the record of the call that merged the answers, or None.
        votes: the votes of those sections that are votes, by section.
        flagged: the sections whose value is the label of `--flag`.
        unchecked: the sections with a `--flag` that gave no verdict.
    """

    def __init__(
        self,
        records: Sequence[Record],
        sections: Sequence[Section],
        *,
        aggregate: str = "join",
        synthesis: Record | None = None,
        counted: bool = False,
        checks: bool = False,
        whole: bool = True,
        **common: Unpack[Common],
    ) -> None:
        """Read the values out of the records.

        Args:
            counted: whether keys are counted rather than written by hand.
            checks: whether sections are checked for a flag, though there may be no record of them.
            whole: whether all sections are known; else no flag is known to be down.
        """
        super().__init__(records, **common)
        self.auxiliary += () if synthesis is None else (synthesis,)
        self.votes: dict[str, SectionVote] = {}
        self._lost: dict[str, str] = {}
        self._values: dict[str, Value] = {}
        for section, records_ in _all(sections, self.results):
            if not any(record.ok for record in records_):
                self._lost[section.key] = counts_in_words(records_) or "not begun"
                continue
            vote = None if section.reading is None else section_vote_of(section, records_)
            if vote is not None:
                self.votes[section.key] = vote
            self._values[section.key] = _value(section, records_, vote)
        if counted:
            self._values = {each.key: self._values.get(each.key) for each in sections}
        # One without a verdict is never taken for a no.
        said = {s.key: (self._values.get(s.key), s.flag) for s in sections if s.flag is not None}
        self.flagged: Sequence[str] = tuple(
            key for key, (value, flag) in said.items() if value == flag
        )
        self.unchecked: Sequence[str] = tuple(
            key for key, (value, _) in said.items() if value is None
        )
        self._checked, self._whole = checks or bool(said), whole
        self._sections = sections
        self.synthesis = synthesis
        self.aggregate = aggregate

    @functools.cached_property
    def text(self) -> str | None:
        """The merged text, or the refusal of a blocked run; None with `--aggregate none`."""
        if self.blocked:
            return self._refusal
        if self.aggregate == "none":
            return None
        if self.synthesis is not None and self.synthesis.ok:
            return self.synthesis.text
        return joined(self._sections, self.results)

    def __getitem__(self, key: str) -> Value:
        if key in self._lost and key not in self._values:
            raise KeyError(f"section {key!r} has no answer ({self._lost[key]}); see run.failed")
        if key not in self._values:
            raise no_key(key, self._values)
        return self._values[key]

    def _ipython_key_completions_(self) -> list[str]:
        """What Tab offers behind `run["`."""
        return [*self]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    if not TYPE_CHECKING:  # a checker knows the attributes

        def __getattr__(self, name: str) -> NoReturn:
            # A run that is being unpickled has no values yet.
            keys = self.__dict__.get("_values", ())
            first = repr(next(iter(keys), "section"))
            asked_of_votes = name in ("value", "winner", "label", "tally")
            use = f"an answer of a fan-out is run[{first}]" if asked_of_votes else ""
            raise no_attribute(self, name, use)

    @property
    def clean(self) -> bool | None:
        """Whether every check gave a verdict and none is flagged; None if there are no checks.

        Also False for a blocked run, and for a run that stopped before all of its calls.
        """
        if not self._checked:
            return None
        return self._whole and not (self.blocked or self.flagged or self.unchecked)

    def to_pandas(self, of: str | None = None) -> Any:
        """Return a DataFrame; with `--schema`, each field is a column.

        Args:
            of: "workers" for one row per worker; "answers" for one row per key of the run, where a
                vote on a field adds a column with its agreement, such as `total_agreement`. By
                default "answers" if there are votes on fields.
        """
        if of not in (None, "workers", "answers"):
            raise OptionError(f"to_pandas(): {of!r} is not one of workers, answers")
        by_field = any(vote.fields for vote in self.votes.values())
        if of == "answers" or (of is None and by_field):
            return frame(answer_rows(self._sections, self.votes, self.results))
        return super().to_pandas()

    def _schema_at(self, place: int) -> Schema | None:
        return self._schemas.get(place)

    @functools.cached_property
    def _schemas(self) -> dict[int, Schema]:
        return {
            place: section.reading.schema
            for section in self._sections
            if section.reading is not None and section.reading.schema is not None
            for place in section.tasks
        }

    def _view(self) -> display.View:
        sections = self._sections
        return fanout_view(self, fanout_title(self, sections), label_counts(self, sections))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {
            "pattern": "fanout",
            "text": self.text,
            "aggregate": self.aggregate,
            "values": {str(key): plain_value(value) for key, value in self.items()},
            "flagged": [str(key) for key in self.flagged],
            "unchecked": [str(key) for key in self.unchecked],
            "clean": self.clean,
            "votes": {str(key): vote.to_dict() for key, vote in self.votes.items()},
            "synthesis": self.synthesis.to_dict() if self.synthesis else None,
            **super().to_dict(),
        }

    def __repr__(self) -> str:
        mark = "SIMULATED " if self.simulated else ""
        return f"<{mark}FanoutRun: {fanout_title(self, self._sections)}>"


def joined(sections: Iterable[Section], records: Sequence[Record]) -> str:
    """The answers of all sections that were begun, as one text."""
    return join(texts_of(answers_of(sections, records)))


def _all(
    sections: Iterable[Section], records: Sequence[Record]
) -> Iterator[tuple[Section, list[Record]]]:
    """Each section with the records that there are of its workers."""
    by_place = {record.index: record for record in records}
    for section in sections:
        yield section, [by_place[place] for place in section.tasks if place in by_place]


def answers_of(
    sections: Iterable[Section], records: Sequence[Record]
) -> Iterator[tuple[Section, list[Record]]]:
    """Each section with the records of its workers, as far as the run came."""
    return (each for each in _all(sections, records) if each[1])


def texts_of(answers: Iterable[tuple[Section, list[Record]]]) -> dict[str, str]:
    """The text of each section, with what was read of it."""
    texts = {}
    for section, records in answers:
        texts[str(section.key)] = "\n\n".join(marked(record) for record in records)
        if not is_free_text(section.reading):
            vote = section_vote_of(section, records)
            texts[str(section.key)] = _read_and_said(section, records, vote)
    return texts


def _read_and_said(section: Section, records: Sequence[Record], vote: SectionVote | None) -> str:
    """What was read of a section's answer, then the answer itself where it says more."""
    value = _value(section, records, vote)
    if value is None:
        return marked(records[0]) if vote is None else f"[no winner: {vote.status}]"
    assert section.reading is not None
    kind = KINDS[section.reading.kind]
    if kind.whole is not None:
        return kind.text(value)
    label = label_of(value)
    said = next((r.text for r in records if r.value is not None and label_of(r.value) == label), "")
    more = says_more(said, label)
    return f"{label}\n\n{said.strip()}" if more else label


def _value(section: Section, records: Sequence[Record], vote: SectionVote | None) -> Value:
    """A section's text, the value read from it, or what its vote has come to."""
    if vote is not None:
        return vote.winner
    good = [record for record in records if record.ok]
    if not good:
        return None
    return good[0].text if section.reading is None else good[0].value
