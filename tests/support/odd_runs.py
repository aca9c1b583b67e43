"""Runs in which many kinds of odd answers are mixed at random, and what the server has seen of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from asking import MODELS, fanned, price_of
from odd_answers import FED, GAVE, ODD, Odd, Way, good
from provider import Act, Call, Loopback

from parallm_magics import FanoutRun
from parallm_magics.core.tasks import Usage

KINDS = 20
GOOD_SHARE = 0.6
# Passing faults beyond this share are taken as an outage, whose calls are only made when it is over.
MOST_PASSING = 3
# These end the whole run, as they must: a key that is not accepted, an account that must wait.
OF_ALL = frozenset({"a wrong key as 400 in a list", "a day to wait"})


@dataclass
class Mixture:
    """What each item meets first; whatever is asked again is answered well.

    Attributes:
        way: the dialect, streamed or not.
        kinds: the kinds that are mixed with good answers.
        items: the kind of each item.
        calls: how often each item's request arrived.
    """

    way: Way
    kinds: list[Odd]
    items: list[Odd]
    calls: Counter[str] = field(default_factory=Counter)

    def act(self, call: Call) -> Act:
        """What an item's request gets."""
        item = call.prompt.rpartition(" ")[2]
        self.calls[item] += 1
        act = self.items[int(item)].act(self.way) if self.calls[item] == 1 else good(self.way)
        assert act is not None
        return act


def mixture(way: Way, items: int, seed: int) -> Mixture:
    """Twenty kinds, and which of the items meets which; the same for one seed."""
    chance = random.Random(f"{seed} {way}")
    can = [odd for odd in ODD[1:] if odd.name not in OF_ALL and odd.act(way) is not None]
    passing = chance.sample([odd for odd in can if odd.attempts[0] == "server"], MOST_PASSING)
    others = [odd for odd in can if odd.attempts[0] != "server"]
    kinds = passing + chance.sample(others, KINDS - MOST_PASSING)
    drawn = [ODD[0] if chance.random() < GOOD_SHARE else chance.choice(kinds) for _ in range(items)]
    return Mixture(way, kinds, drawn)


async def mixed_run(server: Loopback, mixed: Mixture) -> FanoutRun:
    """The run over all items, each read as a label."""
    model = MODELS[mixed.way.dialect]
    server.script(model, mixed.act)
    return await fanned(
        "is it safe or unsafe? {{item}}",
        each="items",
        variables={"items": [str(at) for at in range(len(mixed.items))]},
        choices=["safe", "unsafe"],
        no_ask=True,
        model=f"{mixed.way.dialect}:{model}",
        stream="on" if mixed.way.stream else "off",
    )


def differences(run: FanoutRun, mixed: Mixture, calls: int) -> dict[str, Any]:
    """Where the run's sums are not the server's; empty where all of them are."""
    records = {record.name: record for record in run.results}
    wrong: dict[str, Any] = {}
    if calls != sum(len(record.attempts) for record in run.results):
        wrong["calls"] = calls
    for at, odd in enumerate(mixed.items):
        record = records[str(at + 1)]
        used = record.usage and (record.usage.input_tokens, record.usage.output_tokens)
        attempts = tuple(each.outcome for each in record.attempts)
        vote = "unsafe" if odd.status == "ok" else None
        seen = (record.status, record.value, used, attempts, mixed.calls[str(at)])
        if seen != (odd.status, vote, odd.billed, odd.attempts, len(odd.attempts)):
            wrong[f"item {at}: {odd.name}"] = (seen, record.error)
    told = [odd.billed for odd in mixed.items if odd.billed is not None]
    usage = Usage(sum(fed for fed, _ in told), 0, 0, sum(gave for _, gave in told))
    if run.usage != usage:
        wrong["usage"] = (run.usage, usage)
    billed = price_of(mixed.way.dialect, usage)
    if run.cost != billed or run.cost_complete != (len(told) == len(mixed.items)):
        wrong["cost"] = (run.cost, run.cost_complete, billed)
    assert usage.input_tokens % FED == usage.output_tokens % GAVE == 0
    assert billed is None or billed > Decimal(0)
    return wrong
