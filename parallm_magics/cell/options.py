"""The options: one field each is flag, type, help, default, setting, completion and script keyword in one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, get_args

from parallm_magics.cell import option_lists as lists
from parallm_magics.cell import option_values as read
from parallm_magics.cell.call_options import (
    CALL_PLACES,
    GUARD_PLACES,
    VOTE,
    VOTE_PLACES,
    AnswerOptions,
)
from parallm_magics.cell.option_entry import NAMES, Option, option, switch, words
from parallm_magics.voting.counting import Base
from parallm_magics.voting.pick_rules import DEFAULT, PICKS
from parallm_magics.voting.ties import TIES


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions(AnswerOptions):
    """How votes are counted."""

    pick: str = words(
        "--pick",
        PICKS,
        "the rule that picks the winner (default for numbers in a section: median)",
        where=VOTE_PLACES,
        default=DEFAULT,
        also="rule method aggregation",
    )
    threshold: str | None = option(
        "--threshold Q",
        read.threshold,
        "votes needed to win, or for a guard to block: 0.6, 2/3, 60% or a count",
        where=VOTE_PLACES | GUARD_PLACES,
        also="agreement",
    )
    base: Base | None = words(
        "--base",
        get_args(Base),
        "whether majority, threshold and unanimous count all requested votes or only valid ones "
        "(default requested; with --schema valid)",
        where=VOTE_PLACES,
    )
    quorum: int | None = option(
        "--quorum N",
        read.count,
        "fewest valid votes for a result (default: half of the requested votes)",
        where=VOTE_PLACES,
    )
    ties: str = words(
        "--ties",
        TIES,
        "how to settle a tie: no winner, the lowest index, a random choice by --seed, or a judge",
        where=VOTE_PLACES,
        default="report",
    )
    weight: Fraction | None = option(
        "--weight W",
        read.weight,
        "the weight of this voter's vote; switches to --pick weighted",
        where={"voter"},
        setting=False,
    )
    weights: str | None = words(
        "--weights",
        ("learned",),
        "learn the voters' weights on one half of the labelled items and test them on the other "
        "half",
        where={VOTE},
        setting=False,
    )
    sure: Fraction | None = option(
        "--sure P%",
        read.sureness,
        "answer only where answers are right this often: the lowest share is chosen on one half of the "
        "labelled items and tested on the other half; below it the answer is None",
        where={VOTE},
        setting=False,
        also="abstain selective precision confidence_threshold",
    )
    stop: str = option(
        "--stop all|clinch|beta:LEVEL",
        read.stop,
        "when to end a vote: after all votes, once open votes cannot change the winner (clinch), "
        "or by a heuristic, such as beta:0.95",
        where={VOTE},
        default="all",
    )
    launch: str = words(
        "--launch",
        ("all", "lazy"),
        "lazy asks only as many voters at once as are still needed: saves money, not time",
        where={VOTE},
        default="all",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardOptions(RuleOptions):
    """What a guard does."""

    block: str | None = option(
        "--block LABEL",
        read.text,
        "the label that blocks (default BLOCK; required if BLOCK is not one of the choices)",
        where=GUARD_PLACES,
        setting=False,
        offers="labels",
    )
    refusal: str = option(
        "--refusal TEXT",
        read.text,
        "the text to show in place of blocked work",
        where=GUARD_PLACES,
        default="Blocked by the guardrail.",
    )
    on_error: str = words(
        "--on-error",
        ("block", "pass"),
        "what to do when a guard gives no verdict",
        where=GUARD_PLACES,
        default="block",
    )
    on_block: str = words(
        "--on-block",
        ("return", "raise"),
        "return a blocked run, or raise an error",
        where=GUARD_PLACES,
        default="return",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(GuardOptions):
    """Every option with its value, as one cell or block sees them."""

    timeout: float | None = option(
        "--timeout S",
        read.seconds,
        "seconds of silence before a worker times out (default 15; 60 for the first token and "
        "without streaming; with --tier flex 60 and 600)",
        where=CALL_PLACES,
    )
    deadline: float | None = option(
        "--deadline S",
        read.seconds,
        "total seconds for one worker, retries included (default 120; with --tier flex 900)",
        where=CALL_PLACES,
    )
    retries: int = option(
        "--retries N",
        read.count_or_none,
        "how often to retry after a temporary error",
        where=CALL_PLACES,
        default=2,
    )
    retry_timeouts: bool = switch(
        "--retry-timeouts",
        "also retry after a timeout, although the first call may be billed",
        where=CALL_PLACES,
    )
    batch: bool = switch(
        "--batch",
        "send the calls as a batch: about half the price, answers within 24 hours; the cell can be left and "
        "run again",
        setting=False,
        also="batches bulk offline",
    )
    concurrency: int | None = option(
        "--concurrency -c N",
        read.concurrency,
        "maximum workers at once (default: starts at 20 and adapts to the provider, up to 200)",
        also="max_concurrency max_workers parallel workers_at_once",
    )
    rpm: int | None = option(
        "--rpm N", read.count, "maximum requests to one provider in any 60 seconds"
    )
    tpm: int | None = option(
        "--tpm N", read.count, "maximum tokens to and from one provider in any 60 seconds"
    )
    max_cost: Decimal | None = option(
        "--max-cost USD",
        read.dollars,
        "start no call that could take the cell's cost above this",
        also="budget cost",
    )
    min_success: str = option(
        "--min-success N|P%", read.minimum, "raise an error if fewer workers succeed", default="50%"
    )
    seed: int = option(
        "--seed N",
        read.whole_number,
        "the seed for simulated answers and random choices",
        default=0,
    )
    cache: str = words(
        "--cache",
        ("auto", "off"),
        "use the provider's prompt cache when prompts share a long beginning",
        default="auto",
    )
    stream: str = words(
        "--stream",
        ("auto", "on", "off"),
        "stream the answers (auto: for up to 200 workers)",
        default="auto",
    )
    out_file: str | None = option(
        "--out-file PATH",
        read.any_path,
        "write each result to this file as a JSON line; DIR/ becomes Parquet parts, and memory stays small",
        setting=False,
    )
    engine: str = words(
        "--engine",
        ("local", "dask"),
        "where the calls are made: in this process, or on the workers of a Dask cluster (%parallm dask)",
        default="local",
        also="backend executor cluster",
    )
    dry_run: bool = switch(
        "--dry-run",
        "show the prompts and the estimated cost without calling a model",
        setting=False,
    )
    quiet: bool = switch("--quiet", "show nothing")
    columns: tuple[str, ...] = option(
        "--columns A[,B…]",
        lists.columns,
        "extra columns of the table, such as request (the provider's request id)",
        default=(),
    )
    no_vars: bool = switch("--no-vars", "leave {{variables}} in the text as they are")
    no_ask: bool = switch(
        "--no-ask", "do not add the closing lines of --choices, --score or --schema"
    )

    def __getstate__(self) -> list[Any]:
        """What is pickled with a run: the options as they were typed, without a script's own items."""
        bare = {name for name, option in TABLE.items() if option.offers in NAMES}
        values = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
        return [None if n in bare and not isinstance(v, str) else v for n, v in values]


def table_of(kind: type[Options]) -> dict[str, Option]:
    """Make an entry for each field, by its name."""
    return {
        field.name: Option(name=field.name, default=field.default, **field.metadata)
        for field in dataclasses.fields(kind)
    }


TABLE = table_of(Options)
