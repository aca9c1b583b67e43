"""What the votes of a study's items tell of its voters: their errors, and what could be learnt of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from parallm_magics.cell.plan import Plan
from parallm_magics.cell.true_labels import key_of
from parallm_magics.core.tasks import Record
from parallm_magics.study.learned_panels import (
    Panel,
    choose_panel,
    halves,
    learned_weights,
    weighted_winners,
)
from parallm_magics.study.measured_items import items_of
from parallm_magics.study.measures import Comparison, Outcome, compare, rejudged
from parallm_magics.study.outcomes import Item, is_true, reading_of_all
from parallm_magics.voting import (
    accuracy_by_votes,
    error_correlations,
    error_diagnostics,
    fleiss_kappa,
    independent_accuracy_by_votes,
    krippendorff_alpha,
    same_wrong_rate,
)

LEAST_TO_LEARN = 20
"""Labelled items below which nothing is learnt from one half and tested on the other."""


@dataclass(frozen=True, slots=True)
class LearnedWeights:
    """Log-odds weights from one half of the labelled items, tested on the other.

    Attributes:
        items: how many they were learnt from.
        weights: one a voter; 0 for one that is no better than chance.
        tested: against a plurality of equal weights.
    """

    items: int
    weights: tuple[float, ...]
    tested: Comparison


@dataclass(frozen=True, slots=True)
class LearnedPanel:
    """The number of votes and the threshold that do best on one half, tested on the other.

    Attributes:
        items: how many they were chosen on.
        tested: against a plurality of all voters.
    """

    items: int
    panel: Panel
    tested: Comparison


@dataclass(frozen=True, slots=True)
class LearnedThreshold:
    """From which probability on a single call is taken for one of two labels; tested on the other half.

    Attributes:
        items: how many it was chosen on.
        share: the probability of `label` from which on that is said, and `other` below it.
        tested: against the single call as it answers.
    """

    items: int
    share: float
    label: str
    other: str
    tested: Comparison


class MeasuredItems:
    """The items of a study.

    Attributes:
        systems: what is measured, in the order of the report.
    """

    def __init__(self, plan: Plan, records: Sequence[Record]) -> None:
        assert plan.study is not None
        self._plan, self._records = plan, records
        self._reading = reading_of_all(plan)
        self.systems = plan.study.systems

    @cached_property
    def measured(self) -> tuple[Item, ...]:
        """The items of which every call was made, in order."""
        return tuple(self._items())

    def _items(self) -> Iterable[Item]:
        return items_of(self._plan, self._records)

    @cached_property
    def labelled(self) -> tuple[Item, ...]:
        """The items whose truth is known."""
        return tuple(item for item in self.measured if item.truth is not None)

    @property
    def unmeasured(self) -> int:
        """How many items, as far as they are known, lack some of their calls."""
        size = self._plan.calls.size
        known = self._plan.calls.known
        begun = len({record.index // size for record in self._records})
        return (begun if known is None else known // size) - len(self.measured)

    @property
    def failures(self) -> list[str]:
        """Why rules could not decide, each reason once."""
        outcomes = (each for item in self.measured for each in item.outcomes.values())
        return [*dict.fromkeys(each.problem for each in outcomes if each.problem)]

    @property
    def wrong(self) -> tuple[Item, ...]:
        """The items that the vote has wrong, those first on which most voters were of one mind."""
        lost = [item for item in self.labelled if not item.outcomes[self.vote].right]
        return tuple(sorted(lost, key=lambda item: (-most_votes(item), item.number)))

    @property
    def vote(self) -> str:
        """The name of the cell's own vote among the systems."""
        return next(system.name for system in self.systems if system.is_main)


class VoterFindings(MeasuredItems):
    """What the votes tell of the voters, computed when it is first asked for."""

    @property
    def _correct(self) -> list[list[bool]]:
        return [
            [is_true(label, item.truth or "", self._reading) for label in item.labels]
            for item in self.labelled
        ]

    @cached_property
    def diagnostics(self) -> dict[str, Any]:
        """How far the voters share their errors.

        As `voting.error_diagnostics`, and besides: `voters`, their names; `correlations` of each
        two of them; `same_wrong`, of the items that two voters both have wrong the share for which
        they say the same, mean over pairs, and `same_wrong_by_chance`; `fleiss_kappa` where every
        vote could be read, `krippendorff_alpha` in any case.
        """
        correct = self._correct
        labels = [
            [None if label is None else key_of(label, self._reading) for label in item.labels]
            for item in self.labelled
        ]
        truth = [item.truth or "" for item in self.labelled]
        pairs = combinations(zip(*labels, strict=True), 2)
        found = [same_wrong_rate(one, other, truth) for one, other in pairs]
        rates = [rate for rate in found if rate is not None]
        kinds = self.label_count
        everyone = [list(item.labels) for item in self.measured]
        seen = sorted({label for row in everyone for label in row if label is not None})
        whole = all(label is not None for row in everyone for label in row)
        table = [[counts[label] for label in seen] for counts in map(Counter, everyone)]
        return {
            **error_diagnostics(correct),
            "voters": self._voters,
            "correlations": error_correlations(correct),
            "same_wrong": sum(rates) / len(rates) if rates else None,
            "same_wrong_by_chance": 1 / (kinds - 1) if kinds > 1 else None,
            "fleiss_kappa": fleiss_kappa(table) if whole else None,
            "krippendorff_alpha": krippendorff_alpha(everyone),
        }

    @property
    def label_count(self) -> int:
        """How many labels there are in a closed set; 0 in an open one."""
        return len(self._reading.choices)

    @property
    def _voters(self) -> list[str]:
        first = next(iter(self.measured), None)
        return [ballot.name.partition(".")[2] for ballot in first.ballots] if first else []

    @cached_property
    def curve(self) -> tuple[list[float], list[float]]:
        """How often 1, 2, … voters are right: as they voted, and were their errors independent.

        Ties are decided by lot. Of answers without a closed set of labels a vote is right where
        more than half of it is.
        """
        labels, truth = _told(self.labelled)
        if not self.label_count:
            labels = [["right" if right else "wrong" for right in row] for row in self._correct]
            truth = ["right"] * len(labels)
        seed = self._plan.options.seed
        return accuracy_by_votes(labels, truth), independent_accuracy_by_votes(labels, truth, seed)

    @property
    def learned_weights(self) -> LearnedWeights | None:
        """With `--weights learned`: the voters' weights, and what they are worth on other items."""
        if not (self.asks_for_weights and self._can_learn):
            return None
        learn, test = self._halves
        weights = learned_weights(*_told(learn), max(self.label_count, 2))
        winners = weighted_winners([item.labels for item in test], weights)
        tested = self._tested("learned weights", test, winners, len(self._voters))
        return LearnedWeights(len(learn), tuple(weights), tested)

    @property
    def learned_panel(self) -> LearnedPanel | None:
        """The smaller panel or the threshold that one half of the items asks for."""
        if not self._can_learn:
            return None
        learn, test = self._halves
        panel = choose_panel(*_told(learn), self._reading.choices)
        winners = [panel.winner(item.labels) for item in test]
        tested = self._tested("chosen panel", test, winners, len(panel.voters))
        return LearnedPanel(len(learn), panel, tested)

    @property
    def asks_for_weights(self) -> bool:
        """Whether the voters are to be weighed."""
        return self._plan.options.weights is not None

    @property
    def _can_learn(self) -> bool:
        enough = len(self.labelled) >= LEAST_TO_LEARN
        return enough and len(self._voters) > 1 and self.label_count > 0

    @property
    def _halves(self) -> tuple[list[Item], list[Item]]:
        """The labelled items to learn from, and those to test on."""
        learn, test = halves(len(self.labelled), self._plan.options.seed)
        return [self.labelled[at] for at in learn], [self.labelled[at] for at in test]

    def _tested(
        self, name: str, test: Sequence[Item], winners: Sequence[str | None], calls: int
    ) -> Comparison:
        """These winners against a plurality of all voters, whatever the vote's own rule."""
        whole = Panel(tuple(range(len(self._voters))))
        base = [(item, whole.winner(item.labels)) for item in test]
        return compare(
            name,
            "plurality of all",
            [self._recounted(*each, calls) for each in zip(test, winners, strict=True)],
            [self._recounted(*each, len(self._voters)) for each in base],
        )

    def _recounted(self, item: Item, winner: str | None, calls: int) -> Outcome:
        """What the same votes come to if they are counted in another way."""
        right = winner is not None and winner == item.truth
        return rejudged(item.outcomes[self.vote], winner, right, calls)


def _told(items: Sequence[Item]) -> tuple[list[Sequence[str | None]], list[str]]:
    """The labels that voters gave to items, and the true ones."""
    return [item.labels for item in items], [item.truth or "" for item in items]


def most_votes(item: Item) -> int:
    """How many votes the leading label of an item has."""
    counts = Counter(label for label in item.labels if label is not None)
    return max(counts.values(), default=0)


def agreement(item: Item) -> float | None:
    """The leading label's share of the valid votes; None without one."""
    valid = sum(label is not None for label in item.labels)
    return most_votes(item) / valid if valid else None
