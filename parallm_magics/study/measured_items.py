"""The items of a study, from the records of its calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Record
from parallm_magics.patterns.ballots import count_ballots
from parallm_magics.study.object_items import Counted, of_objects
from parallm_magics.study.outcomes import Item, outcome_of, reading_of_all, rules_of
from parallm_magics.voting.pick_rules import rule_named

_NOT_ASKED = ("cancelled", "blocked")
_NEVER_CAME = ("budget", "bad_item", "cancelled")


def items_of(plan: Plan, records: Sequence[Record]) -> list[Item]:
    """The items of which every call has been made, in order."""
    assert plan.study is not None
    labels, reading = plan.study.labels, reading_of_all(plan)
    countings = rules_of(plan)
    main = plan.study.main.places
    found = []
    for number, round_ in _rounds(records, plan.calls.size):
        truth = labels.truth.get(number)
        counted: Counted = {}
        outcomes = {}
        for counting in countings:
            places = counting.system.places
            if places not in counted:
                mine = [replace(round_[place], index=at) for at, place in enumerate(places)]
                confident = rule_named(plan.calls.options(places[0]).pick).states_confidence
                counted[places] = count_ballots(
                    mine, reading, counting.weights, confident=confident
                )
            read, ballots = counted[places]
            outcomes[counting.system.name] = outcome_of(counting, read, ballots, truth)
        item = Item(number, labels.words.get(number, ""), truth, counted[main][1], outcomes)
        found.append(item if reading.schema is None else of_objects(item, countings, counted))
    return found


def _rounds(records: Sequence[Record], size: int) -> Iterator[tuple[int, list[Record]]]:
    """The number of each item and its records, where all of its calls were made."""
    by_place = {record.index: record for record in records}
    for number in sorted({record.index // size + 1 for record in records}):
        places = range((number - 1) * size, number * size)
        round_ = [by_place[place] for place in places if place in by_place]
        if len(round_) == size and all(map(_was_asked, round_)):
            yield number, round_


def _was_asked(record: Record) -> bool:
    if record.status in _NOT_ASKED:
        return False
    return record.error is None or record.error.kind not in _NEVER_CAME
