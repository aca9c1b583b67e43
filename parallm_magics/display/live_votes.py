"""The votes as they come in: counts, who leads, and what is still open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

from parallm_magics.answers.cleaning import label_of
from parallm_magics.core.tasks import BallotState, Record
from parallm_magics.display import looks, text
from parallm_magics.display.kinds import Bar, Bars
from parallm_magics.display.votes import MOST_BARS
from parallm_magics.voting import wilson

ReadLabel = Callable[[Record], tuple[str, str]]
"""What a record is as a ballot: valid, abstain, invalid, failed or cancelled, and its label or ""."""

_STATES = get_args(BallotState)


def ballot(record: Record, read_label: ReadLabel | None) -> tuple[str, str]:
    """The record's state as a ballot and its label; without a reader, its value is the label."""
    state = looks.STATES[record.status].ballot or "invalid"
    try:
        if read_label is None:
            label = label_of(record.value) if record.ok and record.value is not None else ""
            return ("valid", label) if label else (state, "")
        read, label = read_label(record)
        if read not in (*_STATES, ""):
            return (state, "")
        return (read, label_of(label) if read == "valid" else "")
    except Exception:  # a reader that fails must cost no answer; the final tally reports it
        return (state, "")


class Votes:
    """Counts ballots; their states and what is still open always add up to what was requested."""

    def __init__(self, repeats: bool = False, choices: Sequence[str] = ()) -> None:
        """Take whether all votes repeat one prompt, and the labels where they are known before.

        Known ones keep their places from the first vote to the last; others stand as they lead.
        """
        self._repeats = repeats
        self._choices = tuple(map(label_of, choices))
        self._labels: Counter[str] = Counter()
        self._states: Counter[str] = Counter()

    def add(self, state: str, label: str) -> None:
        """Take in one ballot; one without a label or of no known state cannot be read."""
        known = state in _STATES and (state != "valid" or label)
        self._states[state if known else "invalid"] += 1
        if known and state == "valid":
            self._labels[label] += 1

    def bars(self, requested: int) -> Bars:
        """The bars, who leads, the states of the votes so far, and what is open."""
        pending = max(requested - self._states.total(), 0)
        top, counts = self._labels.most_common(2), self._counts()
        leads = bool(top) and (len(top) == 1 or top[0][1] > top[1][1])
        bars = tuple(
            Bar(label, votes, "leads" if leads and label == top[0][0] else "")
            for label, votes in counts[:MOST_BARS]
        )
        said = (self._standing(leads, requested), self._agreement(leads), self._identity(pending))
        return Bars(bars, requested, len(counts) - MOST_BARS, lines=said)

    def _counts(self) -> list[tuple[str, int]]:
        if len(self._choices) <= MOST_BARS and self._labels.keys() <= set(self._choices):
            return [(label, self._labels[label]) for label in self._choices]
        return self._labels.most_common()

    def _standing(self, leads: bool, requested: int) -> str:
        if not self._labels:
            return "no votes yet"
        label, votes = self._labels.most_common(1)[0]
        of = f"{votes:,} of {requested:,}"
        return f"'{text.isolated(label, 60)}' leads with {of}" if leads else f"level at {of}"

    def _agreement(self, leads: bool) -> str:
        # Of the votes that come in before a decision more agree than of all.
        if not leads or self._states["cancelled"]:
            return ""
        votes, valid = self._labels.most_common(1)[0][1], self._states["valid"]
        said = f"Agreement so far: {votes:,} of {text.count(valid, 'valid vote')}"
        if votes < valid:
            said += f", {text.percent(votes / valid)} %"
        interval = wilson(votes, valid) if self._repeats else None
        if interval is None:
            return said
        return f"{said} (a repeat of this prompt would agree {text.between(interval)} of the time)"

    def _identity(self, pending: int) -> str:
        count = self._states
        parts = [
            f"{count['valid']:,} valid",
            f"{count['abstain']:,} abstained",
            f"{count['invalid']:,} unreadable",
            f"{count['failed']:,} failed",
        ]
        if count["cancelled"]:
            parts.append(f"{count['cancelled']:,} cancelled")
        return f"{', '.join(parts)}; {f'{pending:,} still open' if pending else 'all in'}"
