"""What a panel is asked, and by which rule its winner is picked; settled before any call."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from parallm_magics.answers.reading_kinds import is_free_text
from parallm_magics.cell.options import Options
from parallm_magics.core.schemas import SchemaField
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.errors import OptionError
from parallm_magics.voting.counting import Base
from parallm_magics.voting.field_ballots import labels_of_field
from parallm_magics.voting.object_votes import misfit, rule_of_field
from parallm_magics.voting.pick_rules import (
    DEFAULT,
    DEFAULT_OF_NUMBERS,
    PICKS,
    rule_named,
)
from parallm_magics.voting.rule_entry import Decision, PickRule, Terms, Vote
from parallm_magics.voting.ties import break_tie


@dataclass(frozen=True, slots=True)
class Rule:
    """How a winner is picked.

    Attributes:
        pick: the rule's name, as `--pick` takes it.
        share: the share of the base that the winner needs ("threshold"), or the flag ("any").
        base: "requested" or "valid".
        quorum: the least number of valid votes.
        flag: the label that is looked for.
        choices: the labels of a closed set.
        ties: what becomes of a tie.
        seed: decides ties by lot.
        stop: when the vote ends: "all", "clinch" or "beta".
        level: the level of "beta".
        least: the valid votes that "beta" waits for. The default quorum is more than it needs, and
            the votes that it leaves out could have filled that.
        lazy: whether only as many are asked at once as are still needed.
    """

    pick: str = DEFAULT
    share: Fraction | None = None
    base: Base = "requested"
    quorum: int = 1
    flag: str | None = None
    choices: tuple[str, ...] = ()
    ties: str = "report"
    seed: int = 0
    stop: str = "all"
    level: Fraction = Fraction(95, 100)
    least: int = 1
    lazy: bool = False

    @property
    def entry(self) -> PickRule:
        """The rule's entry in the table."""
        return rule_named(self.pick)

    def of_field(self, field: SchemaField) -> Rule:
        """The rule by which a field of an object is decided."""
        entry = rule_of_field(self.entry, field)
        return replace(self, pick=entry.name, choices=labels_of_field(field))

    @property
    def waves(self) -> bool:
        """Whether the votes are asked in waves rather than all at once."""
        return self.lazy or self.stop == "beta"

    def counts(self, reading: Reading) -> bool:
        """Whether votes are counted, rather than texts of which a judge chooses one."""
        return not (self.entry.asks and is_free_text(reading))

    def settled(self, votes: Sequence[Vote], requested: int, stopped: int = 0) -> Decision:
        """How a vote ends, ties not yet broken.

        Args:
            requested: all votes asked for.
            stopped: those that were stopped because they could not change the outcome: a quorum that
                they could have filled is no reason against it.
        """
        terms = self.terms(requested)
        if stopped and len(votes) < terms.quorum <= len(votes) + stopped:
            terms = replace(terms, quorum=1)
        return self.entry.decide(votes, terms)

    def broken(self, decision: Decision, votes: Sequence[Vote]) -> Decision:
        """The decision with a tie broken, where that is asked for."""
        return break_tie(decision, votes, self.ties, self.seed)

    def terms(self, votes: int) -> Terms:
        """What the rule needs to know besides the votes."""
        return Terms(votes, self.quorum, self.share, self.base, self.flag, self.choices)


def rule_of(
    options: Options, votes: int, reading: Reading | None = None, flag: str | None = None
) -> Rule:
    """The rule that a cell's or a section's options ask for.

    Args:
        votes: how many are asked for.
        reading: how the answers are read.
        flag: the flag label as the choices spell it.

    Raises:
        OptionError: options that exclude each other, or that no vote could fulfil.
    """
    entry = _entry_asked_for(options, flag)
    reading = reading or Reading("open")
    schema = reading.schema
    if schema is None and reading.kind not in entry.kinds:
        raise OptionError(f"--pick {entry.name} {entry.wants}")
    if schema is not None and (problem := misfit(entry, options.ties, schema)):
        raise OptionError(problem)
    quorum = options.quorum or math.ceil(votes / 2)
    if quorum > votes:
        raise OptionError(
            f"--quorum {quorum}: there are only {_votes(votes)}; lower the quorum, or raise -n"
        )
    # A field's votes are those of the objects that have it.
    base: Base = options.base or ("requested" if schema is None else "valid")
    share = None
    if options.threshold is not None:
        asked = options.threshold
        found = Fraction(asked.removesuffix("%")) / (100 if asked.endswith("%") else 1)
        if found > 1:
            if found > votes:
                share_hint = f"; for a share, write {asked}%" if found <= 100 else ""
                raise OptionError(
                    f"--threshold {asked}: there are only {_votes(votes)}; lower the threshold, or raise -n"
                    f"{share_hint}"
                )
            found, base = found / votes, "requested"
        share = found
    return Rule(
        entry.name,
        share,
        base,
        quorum,
        flag=flag,
        choices=reading.choices,
        ties=options.ties,
        seed=options.seed,
        **_early(options, entry),
    )


def _entry_asked_for(options: Options, flag: str | None) -> PickRule:
    """The entry of the rule that `--pick`, `--threshold` and `--flag` make together.

    Raises:
        OptionError: they exclude each other, or one of them is missing.
    """
    entry = PICKS[options.pick]
    if options.threshold is not None:
        if not entry.with_share:
            raise OptionError(f"--threshold cannot be combined with --pick {entry.name}")
        shared = PICKS[entry.with_share]
        # So many votes for a flag are enough, whatever the others say.
        entry = shared if flag is None else PICKS[shared.with_flag or shared.name]
    elif entry.needs_share:
        raise OptionError(
            f"--pick {entry.name} needs --threshold, such as 2/3, 60% or a count of votes"
        )
    if entry.needs_flag and flag is None:
        raise OptionError(
            f"--pick {entry.name} needs --flag LABEL, one of the --choices, to look for"
        )
    return entry


def _votes(count: int) -> str:
    return "1 vote" if count == 1 else f"{count} votes"


def _early(options: Options, rule: PickRule) -> dict[str, Any]:
    """When the vote may end before all have voted.

    Raises:
        OptionError: a rule by which any open vote may still win.
    """
    stop, _, level = options.stop.partition(":")
    lazy = options.launch == "lazy"
    if lazy and stop == "all":
        stop = "clinch"
    if stop == "all":
        return {}
    pick = rule.name
    if rule.sure is None:
        raise OptionError(
            f"--stop {options.stop} cannot be used with --pick {pick}, where any open vote may still win; use "
            f"--stop all"
            if options.stop != "all"
            else f"--launch lazy cannot be used with --pick {pick}, which needs every vote; use --launch all"
        )
    if stop == "beta" and not rule.heuristic:
        fit = " or ".join(each.name for each in PICKS.values() if each.heuristic)
        raise OptionError(
            f"--stop beta works with --pick {fit}, not with {pick}; use --stop clinch"
        )
    found = {"stop": stop, "lazy": lazy, "least": options.quorum or 1}
    return {**found, "level": Fraction(level)} if level else found


def section_rule(options: Options, votes: int, reading: Reading, flag: str | None) -> Rule:
    """The rule of a section: where none is named, numbers are merged by their median."""
    unnamed = options.pick == DEFAULT and options.threshold is None
    if unnamed and reading.kind in rule_named(DEFAULT_OF_NUMBERS).kinds:
        options = replace(options, pick=DEFAULT_OF_NUMBERS)
    return rule_of(options, votes, reading, flag)


def panel_reading(tasks: Sequence[Task]) -> Reading:
    """How the panel's answers are read.

    Raises:
        OptionError: the voters' readings differ.
    """
    return one_reading(task.reading for task in tasks)


def one_reading(readings: Iterable[Reading | None]) -> Reading:
    """How all of these are read; voters who answer in different ways cannot be counted.

    Raises:
        OptionError: the readings differ.
    """
    found = {reading or Reading("open") for reading in readings}
    if len(found) > 1:
        raise OptionError(
            "the voters give different kinds of answers; give all of them the same --choices or --schema"
        )
    return found.pop()


def repeats(tasks: Sequence[Task]) -> bool:
    """Whether all votes are draws of one prompt on one model."""
    return alike(tasks, [task.prompt for task in tasks])


def alike(tasks: Sequence[Task], prompts: Sequence[str], but_for_temperature: bool = False) -> bool:
    """Whether all votes ask one model in one way, by these prompts."""
    asked = {
        (
            t.model,
            prompt,
            t.system,
            None if but_for_temperature else t.temperature,
            t.effort,
            repr(sorted(t.params.items())),
        )
        for t, prompt in zip(tasks, prompts, strict=True)
    }
    return len(asked) == 1
