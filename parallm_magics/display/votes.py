"""Votes as bars and what is said of them: of a run that goes on, and of one that has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

from parallm_magics.answers.cleaning import label_of
from parallm_magics.core.tasks import BallotState, Record
from parallm_magics.display import looks, text, vote_words
from parallm_magics.display.kinds import Bar, Bars
from parallm_magics.display.view import Tally
from parallm_magics.voting import wilson

MOST_BARS = 20
"""Most labels that get a bar."""


def vote_bars(
    tally: Tally, records: Sequence[Record] = (), *, brief: bool = False, told: str = ""
) -> Bars:
    """The bars and what they say; in brief only how the vote ended and what became of all votes.

    Args:
        told: what a heading has said of the outcome, so that it need not be said twice.
    """
    states, statistics = vote_words.states_line(tally, records), []
    if tally.counted and not brief:
        statistics = [vote_words.agreement(tally), vote_words.most_frequent(tally)]
        statistics.append(vote_words.further(tally))
    bars = _bars(tally) if tally.counted else []
    more = len(tally.counts) - MOST_BARS if tally.counted else 0
    ended = vote_words.verdict(tally)
    if told and not vote_words.says_more(tally, told):
        statistics, ended = [ended, *statistics] if tally.counted else [], ""
    said = () if tally.valid + tally.cancelled == tally.requested else (states,)
    return Bars(tuple(bars), tally.requested, more, ended, said, tuple(filter(None, statistics)))


def _bars(tally: Tally) -> list[Bar]:
    """The labels that get a bar: numbers in their order, others by what decided."""
    weights = dict(tally.weights)
    mark = tally.pick if tally.rule.computes else "winner"
    bars = []
    for label, votes in tally.counts:
        weight = weights.get(label, 0.0) if weights else None
        won = mark if label == tally.winner else ""
        bars.append(Bar(label, votes, won, weight))
    bars.sort(key=_strength)
    if len(bars) > MOST_BARS:
        # A judge may have picked what hardly anybody voted for.
        bars = sorted(bars, key=lambda bar: not bar.mark)[:MOST_BARS]
    bars.sort(key=lambda bar: (not bar.mark, _strength(bar)))
    if tally.rule.computes:
        bars.sort(key=lambda bar: vote_words.number(bar.label))
    return bars


def _strength(bar: Bar) -> tuple[float, int]:
    return -(bar.weight or 0.0), -bar.votes


# --- while a run goes on ---------------------------------------------------------------------------

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
        top, counts = self._labels.most_common(2), self._counts()
        first, most = top[0] if top else ("", 0)
        leads = len(top) == 1 or (len(top) == 2 and most > top[1][1])
        bars = tuple(
            Bar(label, votes, "leads" if leads and label == first else "")
            for label, votes in counts[:MOST_BARS]
        )
        standing = f"level at {most:,} of {requested:,}" if top else "no votes yet"
        if leads:
            standing = f"'{text.isolated(first, 60)}' leads with {most:,} of {requested:,}"
        # Of the votes that come in before a decision more agree than of all.
        agreement = self._agreement(most) if leads and not self._states["cancelled"] else ""
        # In one line, so that the view does not grow with the first vote.
        said = (" · ".join(filter(None, (standing, agreement))), self.states(requested))
        return Bars(bars, requested, len(counts) - MOST_BARS, lines=said)

    def _counts(self) -> list[tuple[str, int]]:
        if len(self._choices) <= MOST_BARS and self._labels.keys() <= set(self._choices):
            return [(label, self._labels[label]) for label in self._choices]
        return self._labels.most_common()

    def _agreement(self, votes: int) -> str:
        valid = self._states["valid"]
        said = f"Agreement so far: {votes:,} of {text.count(valid, 'valid vote')}"
        if votes < valid:
            said += f", {text.percent(votes / valid)} %"
        interval = wilson(votes, valid) if self._repeats else None
        if interval is None:
            return said
        return f"{said} (a repeat of this prompt would agree {text.between(interval)} of the time)"

    def states(self, requested: int) -> str:
        """How many ballots are in which state, and how many are open, in words."""
        count, pending = self._states, max(requested - self._states.total(), 0)
        words = {
            "valid": "valid",
            "abstain": "abstained",
            "invalid": "unreadable",
            "failed": "failed",
        }
        if count["cancelled"]:
            words["cancelled"] = "cancelled"
        parts = (f"{count[state]:,} {word}" for state, word in words.items())
        return f"{', '.join(parts)}; {f'{pending:,} still open' if pending else 'all in'}"
