"""What calls cost before they are made: at most, and at each tier at which they might be answered."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from parallm_magics import display
from parallm_magics.answers.questions import sent_texts
from parallm_magics.core.prices import TIER
from parallm_magics.core.tasks import CHARS_PER_TOKEN, Record, Said, Task, Terms, Tier, Usage
from parallm_magics.providers import bill, registry

AT: dict[Tier, str] = {
    "": "at the usual price",
    "flex": "at the flex tier",
    "batch": "in a batch",
}
"""How each tier is told."""
FLEX: Terms = ((TIER, "flex"),)
_NOTHING = Said()


class TierCosts:
    """The costs of a cell's calls if every answer uses all of its max_tokens.

    Attributes:
        most: US dollars at most; None where no price is known.
        at: the same if all calls that are asked at a cheaper tier were answered at this one, for each
            tier that all of their providers have; empty where all are asked at the usual one.
    """

    def __init__(self, kinds: Iterable[Task]) -> None:
        """Take a call of each kind that will be added."""
        cheaper = [task for task in kinds if task.tier]
        had = [tier for tier in AT if all(_has(task, tier) for task in cheaper)]
        self.most: Decimal | None = Decimal(0)
        self.at: dict[Tier, Decimal | None] = dict.fromkeys(had if cheaper else (), Decimal(0))

    def add(self, task: Task, times: int = 1, read: int = 0) -> None:
        """Take in a call that is made so often, and each time reads so many tokens of answers."""
        most = most_cost(task, read)
        self.most = _sum(self.most, most, times)
        for tier, so_far in self.at.items():
            cost = most
            if task.tier:
                cost = most_cost(replace(task, tier=tier), read, Said(((TIER, tier or "default"),)))
            self.at[tier] = _sum(so_far, cost, times)


def _has(task: Task, tier: Tier) -> bool:
    """Whether a call could be answered at a tier."""
    return tier in ("", task.tier) or tier in registry.entry_of(task.model.provider).tiers


def _sum(so_far: Decimal | None, cost: Decimal | None, times: int) -> Decimal | None:
    return None if so_far is None or cost is None else so_far + times * cost


def most_cost(task: Task, read: int = 0, said: Said = _NOTHING) -> Decimal | None:
    """The cost where the answer, and the answers that it reads, use all of their max_tokens."""
    wrote = 0 if task.model.decides else task.max_tokens
    return bill.price(task, Usage(tokens_of(task) + read, output_tokens=wrote), said)


def tokens_of(task: Task) -> int:
    """The tokens that a call is fed, estimated at four characters each."""
    return math.ceil(sum(map(len, sent_texts(task))) / CHARS_PER_TOKEN)


def told(most: Decimal | None, at: Mapping[Tier, Decimal | None]) -> str:
    """The costs in words.

    >>> told(Decimal("0.02"), {"": Decimal("0.02"), "flex": Decimal("0.01")})
    'at most $0.0200 ($0.0200 at the usual price, $0.0100 at the flex tier)'
    """
    words = "unknown" if most is None else f"at most {display.money(most)}"
    known = [f"{display.money(cost)} {AT[tier]}" for tier, cost in at.items() if cost is not None]
    return f"{words} ({', '.join(known)})" if known else words


def dearer_than_flex(kinds: Sequence[Task], records: Iterable[Record]) -> list[str]:
    """A note where calls at the flex tier have cost more than that; else nothing.

    Args:
        kinds: a call of each kind in a round.
    """
    if all(task.tier != "flex" for task in kinds):
        return []
    asked = [each for each in records if kinds[each.index % len(kinds)].tier == "flex"]
    priced = [(each.cost, bill.repriced(each, FLEX)) for each in asked]
    dearer = sum(cost is not None and flex is not None and cost > flex for cost, flex in priced)
    if not dearer:
        return []
    calls, which = display.count(len(asked), "flex call"), "it was" if dearer == 1 else "they were"
    why = f"{which} answered at another tier, or the reply does not name one"
    return [f"{dearer:,} of {calls} cost more than the flex tier does: {why}"]
