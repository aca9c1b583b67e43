"""What a study's items tell of its systems: what each did, how they compare, and what to deploy."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from parallm_magics import display
from parallm_magics.cell.study_plan import SystemEntry
from parallm_magics.cell.true_labels import key_of
from parallm_magics.study.advice import Advice, advise, shown
from parallm_magics.study.calibrations import Calibration, Sure, calibrate
from parallm_magics.study.learned_panels import choose_threshold
from parallm_magics.study.measures import (
    Comparison,
    Measure,
    Outcome,
    compare,
    measure,
    rejudged,
)
from parallm_magics.study.outcomes import Item
from parallm_magics.study.voter_findings import (
    LEAST_TO_LEARN,
    LearnedThreshold,
    VoterFindings,
)


class Findings(VoterFindings):
    """What the items of a study tell, computed when it is first asked for."""

    @property
    def single(self) -> str:
        """The name of the single call; the vote's own where it is a panel of one."""
        return self._first(own=True, votes=False) or self.vote

    @property
    def panel(self) -> str:
        """What stands for the vote in the advice: it itself, or where it is one call a panel."""
        panel = self._first(own=False, votes=True) if self.vote == self.single else None
        return panel or self.vote

    @property
    def bigger(self) -> str | None:
        """The name of the first other model that is asked once; None where there is none."""
        return self._first(own=False, votes=False)

    def _first(self, *, own: bool, votes: bool) -> str | None:
        """The name of the first system of this kind; None where there is none."""
        kind = SystemEntry(votes, own)
        return next((system.name for system in self.systems if system.entry == kind), None)

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """What each system did on all items, by its name."""
        return {
            system.name: measure([item.outcomes[system.name] for item in self.measured])
            for system in self.systems
        }

    @cached_property
    def calibration(self) -> dict[str, Calibration]:
        """How far the shares of each system are met, by its name; without those that give none.

        A share is a probability that a model states, or the part of the valid votes that agree. A vote
        that is stopped early has no entry: what it saves are votes against the winner as often as for it.
        """
        asked = self._plan.options.sure
        found = (
            calibrate(
                system.name, self.labelled, self._halves, None if asked is None else float(asked)
            )
            for system in self.systems
        )
        return {each.system: each for each in found if each is not None}

    @property
    def asks_for_sureness(self) -> bool:
        """Whether answers below a share are None."""
        return self._plan.options.sure is not None

    @property
    def sure(self) -> Sure | None:
        """With `--sure`: from which share on the vote's answers count; None without it."""
        found = self.calibration.get(self.vote)
        return found.sure if found is not None else None

    def _is_sure(self, outcome: Outcome) -> bool:
        """Whether an answer of the vote counts; without `--sure` each does."""
        if not self.asks_for_sureness:
            return True
        share = self.sure.share if self.sure is not None else None
        return share is not None and outcome.share is not None and outcome.share >= share

    @property
    def learned_threshold(self) -> LearnedThreshold | None:
        """Of two labels, the probability from which on a single call is taken for the first one.

        Chosen on one half of the items, tested on the other; None where its model states no
        probabilities, or where there are too few items.
        """
        if self.label_count != 2 or len(self.labelled) < LEAST_TO_LEARN:
            return None
        label, other = self._reading.choices
        key, name = key_of(label, self._reading), self.single
        learn, test = self._halves
        told = [(item.outcomes[name], item.truth == key) for item in learn]
        known = [
            (each.shares.get(key, 0.0), true) for each, true in told if each.shares and each.stated
        ]
        if not known:
            return None
        share = choose_threshold(*zip(*known, strict=True))

        def said(item: Item) -> Outcome:
            """A single call's outcome by the threshold; one without a probability stays as it is."""
            found = item.outcomes[name]
            if not (found.shares and found.stated):
                return found
            is_first = found.shares.get(key, 0.0) >= share
            answer = label if is_first else other
            return rejudged(found, answer, is_first == (item.truth == key), found.calls)

        base = [item.outcomes[name] for item in test]
        tested = compare("the threshold", name, [said(item) for item in test], base)
        return LearnedThreshold(len(known), share, label, other, tested)

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Each system against the single call, then against the vote; two of them are primary."""
        base, voted = self.single, self.panel
        others = [each.name for each in self.systems if each.name not in (base, voted, self.vote)]
        pairs = [(voted, base)] if voted != base else []
        pairs += [(name, other) for name in others for other in dict.fromkeys([base, voted])]
        primary = {(voted, base), (self.bigger, voted)}
        return tuple(
            compare(
                name,
                other,
                [item.outcomes[name] for item in self.measured],
                [item.outcomes[other] for item in self.measured],
                primary=(name, other) in primary,
            )
            for name, other in pairs
        )

    @cached_property
    def advice(self) -> Advice | None:
        """What to deploy and why; None where a panel of one has nothing to be compared with."""
        found = {(each.alternative, each.base): each for each in self.comparisons}
        if not {(self.panel, self.single), (self.bigger, self.single)} & found.keys():
            return None
        advice = advise(
            found,
            self.measures,
            self.bigger,
            display.money,
            single=self.single,
            vote=self.panel,
        )
        return replace(advice, reason=" ".join([advice.reason, *self.also]))

    @property
    def also(self) -> list[str]:
        """What else did well, in sentences, and is no part of the rule by which is recommended."""
        said = []
        found = {(each.alternative, each.base): each for each in self.comparisons}
        others = [
            against
            for system in self.systems
            if not system.entry.own and system.name not in (self.panel, self.bigger)
            if (against := found[system.name, self.single]).verdict == "better"
            and found[system.name, self.panel].verdict != "worse"
        ]
        if others:
            best = max(others, key=lambda each: each.right)
            said.append(
                f"Look at {best.alternative} as well. Compared with a single call: {shown(best)}."
            )
        if (alone := self.best_alone) is not None:
            name, right = alone
            said.append(
                f"{name} alone has {right:,} right, the vote {self.measures[self.vote].right:,.0f}: test {name} "
                f"alone on other items, because these items picked it."
            )
        return said

    @property
    def best_alone(self) -> tuple[str, int] | None:
        """Of unlike voters the one that has more right than their vote, and how many; else None."""
        if not self.labelled or len(self.measured[0].outcomes[self.single].seconds) > 1:
            return None
        rights = [sum(column) for column in zip(*self._correct, strict=True)]
        best = max(range(len(rights)), key=rights.__getitem__)
        if len(rights) < 2 or rights[best] <= self.measures[self.vote].right:
            return None
        return self._voters[best], rights[best]

    @property
    def recommendation(self) -> str | None:
        """`single`, `vote`, `bigger_model` or `undecided`."""
        return self.advice.recommendation if self.advice else None

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return self.advice.reason if self.advice else ""

    @property
    def verdict(self) -> str | None:
        """What the items show of the vote against a single call."""
        first = next(iter(self.comparisons), None)
        return first.verdict if first and first.alternative == self.panel else None
