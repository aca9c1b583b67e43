"""The options: one field each is flag, type, help, default, setting, completion and script keyword in one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from parallm_magics.cell import option_lists as lists
from parallm_magics.cell import option_values as read
from parallm_magics.cell.option_entry import MAGICS, Option, option, switch, words
from parallm_magics.voting.pick_rules import DEFAULT, PICKS
from parallm_magics.voting.ties import TIES

FANOUT, VOTE = "fanout", "vote"
WORKER_WORDS = frozenset({"section", "voter", "panel"})
CALL_PLACES = MAGICS | WORKER_WORDS | {"synthesis", "judge", "guardrail"}
ANSWER_PLACES = MAGICS | WORKER_WORDS
VOTE_PLACES = frozenset({VOTE, "section", "panel"})
GUARD_PLACES = frozenset({"guardrail"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What is asked of whom."""

    out: str | None = option(
        "--out -o NAME",
        read.identifier,
        "store the run under this name, and still show it",
        setting=False,
        keyword=False,
    )
    model: tuple[str, ...] = option(
        "--model -m A[,B…]",
        lists.models,
        "the model, or several to deal the workers to",
        where=CALL_PLACES,
        default=(),
        offers="models",
    )
    n: int | None = option(
        "-n N",
        read.workers,
        "how many workers",
        where={FANOUT, VOTE, "section", "guardrail", "panel"},
        setting=False,
        also="votes voters samples workers count k num times repeats",
    )
    each: Any = option(
        "--each NAME",
        read.items,
        "run once per item of this variable, as {{item}} and {{index}}; votes are measured",
        setting=False,
        offers="variables",
        also="items map data docs",
    )
    truth: Any = option(
        "--truth LABELS",
        read.truth,
        "the true labels: a list, a column of the items, or {{item.label}}",
        where={VOTE},
        setting=False,
        offers="variables",
    )
    compare: tuple[str, ...] = option(
        "--compare single|MODEL|PANEL|stop=clinch",
        read.comparisons,
        "what else to measure on the same items, several with commas",
        where={VOTE},
        default=(),
        setting=False,
        offers="models",
    )
    system: str | None = option(
        "--system TEXT",
        read.text,
        "the system prompt",
        where=CALL_PLACES,
        also="instructions persona",
    )
    temperature: tuple[float, float] | None = option(
        "--temperature -t X|LO..HI",
        read.temperature,
        "one temperature, or a range spread over the workers",
        where=CALL_PLACES,
    )
    effort: str | None = option(
        "--effort LEVEL", read.word, "reasoning effort, as the model names it", where=CALL_PLACES
    )
    param: tuple[tuple[str, Any], ...] = option(
        "--param KEY=JSON",
        read.parameter,
        "one more request field, sent as given",
        where=CALL_PLACES,
        default=(),
        repeats=True,
    )
    max_tokens: int = option(
        "--max-tokens N",
        read.count,
        "most output tokens a worker, thinking included",
        where=CALL_PLACES,
        default=4096,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions(CallOptions):
    """How an answer is read, and how several become one text."""

    choices: tuple[str, ...] | None = option(
        "--choices A,B",
        lists.choices,
        "the answer is one of these labels",
        where=ANSWER_PLACES | GUARD_PLACES,
        also="labels options classes categories enum",
    )
    shuffle_choices: bool = switch(
        "--shuffle-choices",
        "name the choices in another order to each voter, so that their places average out",
        where={VOTE},
    )
    score: tuple[float, float] | None = option(
        "--score LO..HI",
        read.span,
        "the answer is a score in this range",
        where=ANSWER_PLACES | {"judge"},
    )
    number: bool = switch("--number", "the answer is a number", where=ANSWER_PLACES)
    open: bool = switch("--open", "the answer is free text", where=ANSWER_PLACES)
    flag: str | None = option(
        "--flag LABEL",
        read.text,
        "answers with this label are listed in run.flagged; --pick any looks for it",
        where={FANOUT, VOTE, "section"},
        setting=False,
        offers="labels",
        also="flags",
    )
    aggregate: str | None = words(
        "--aggregate",
        ("join", "synthesis", "none"),
        "how the sections become one text (join; with a %synthesis block: synthesis)",
        where={FANOUT},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions(AnswerOptions):
    """How votes are counted."""

    pick: str = words(
        "--pick",
        PICKS,
        "the rule that picks the winner (a section's numbers: median)",
        where=VOTE_PLACES,
        default=DEFAULT,
        also="rule method aggregation",
    )
    threshold: str | None = option(
        "--threshold Q",
        read.threshold,
        "votes the winner needs, or a guard's block: 0.6, 2/3, 60% or a count",
        where=VOTE_PLACES | GUARD_PLACES,
        also="agreement",
    )
    base: str = words(
        "--base",
        ("requested", "valid"),
        "what majority, threshold and unanimous are shares of",
        where=VOTE_PLACES,
        default="requested",
    )
    quorum: int | None = option(
        "--quorum N",
        read.count,
        "least valid votes for a result (half of the requested)",
        where=VOTE_PLACES,
    )
    ties: str = words(
        "--ties",
        TIES,
        "what becomes of a tie: no winner, the lowest index, a lot by --seed, or a judge's choice",
        where=VOTE_PLACES,
        default="report",
    )
    weight: Fraction | None = option(
        "--weight W",
        read.weight,
        "what this voter's vote counts; makes the rule weighted",
        where={"voter"},
        setting=False,
    )
    weights: str | None = words(
        "--weights",
        ("learned",),
        "weigh the voters by the labels of one half of the items, and test that on the other half",
        where={VOTE},
        setting=False,
    )
    stop: str = option(
        "--stop all|clinch|beta:LEVEL",
        read.stop,
        "when a vote ends: with all votes, once the open ones cannot change it, or by a heuristic, "
        "such as beta:0.95",
        where={VOTE},
        default="all",
    )
    launch: str = words(
        "--launch",
        ("all", "lazy"),
        "lazy asks only as many at once as are still needed: saves money, not time",
        where={VOTE},
        default="all",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardOptions(RuleOptions):
    """What a guard does."""

    block: str | None = option(
        "--block LABEL",
        read.text,
        "the guard's label that blocks (BLOCK; needed where that is none of its choices)",
        where=GUARD_PLACES,
        setting=False,
        offers="labels",
    )
    refusal: str = option(
        "--refusal TEXT",
        read.text,
        "what stands in place of blocked work",
        where=GUARD_PLACES,
        default="Blocked by the guardrail.",
    )
    on_error: str = words(
        "--on-error",
        ("block", "pass"),
        "what a guard does that gives no verdict",
        where=GUARD_PLACES,
        default="block",
    )
    on_block: str = words(
        "--on-block",
        ("return", "raise"),
        "whether a blocked run is a result or an error",
        where=GUARD_PLACES,
        default="return",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(GuardOptions):
    """Every option with its value, as one cell or block sees them."""

    timeout: float | None = option(
        "--timeout S",
        read.seconds,
        "seconds of silence before a worker has timed out (15; 60 for the first token and for unstreamed calls)",
        where=CALL_PLACES,
    )
    deadline: float = option(
        "--deadline S",
        read.seconds,
        "seconds for a worker as a whole",
        where=CALL_PLACES,
        default=120.0,
    )
    retries: int = option(
        "--retries N",
        read.count_or_none,
        "further tries after a passing fault",
        where=CALL_PLACES,
        default=2,
    )
    retry_timeouts: bool = switch(
        "--retry-timeouts",
        "try again after a time-out too, although it may have been billed",
        where=CALL_PLACES,
    )
    concurrency: int | None = option(
        "--concurrency -c N",
        read.concurrency,
        "most workers at once (without it 20 at first, then as many as the provider bears, up to 200)",
        also="max_concurrency max_workers parallel workers_at_once",
    )
    rpm: int | None = option(
        "--rpm N", read.count, "most requests to one provider in any 60 seconds"
    )
    tpm: int | None = option(
        "--tpm N", read.count, "most tokens to and from one provider in any 60 seconds"
    )
    max_cost: Decimal | None = option(
        "--max-cost USD",
        read.dollars,
        "no call begins that could take the cell's cost above this",
        also="budget cost",
    )
    min_success: str = option(
        "--min-success N|P%", read.minimum, "fewer successes than this are an error", default="50%"
    )
    seed: int = option(
        "--seed N", read.whole_number, "makes simulated answers reproducible", default=0
    )
    cache: str = words(
        "--cache",
        ("auto", "off"),
        "use the provider's prompt cache for a long beginning that several prompts share",
        default="auto",
    )
    stream: str = words(
        "--stream",
        ("auto", "on", "off"),
        "read answers as they are written (auto: up to 200 workers)",
        default="auto",
    )
    out_file: str | None = option(
        "--out-file PATH",
        read.file_path,
        "write each result there as it ends, as JSON lines; never read back",
        setting=False,
    )
    dry_run: bool = switch(
        "--dry-run", "show the rendered prompts and the estimated cost; no call", setting=False
    )
    quiet: bool = switch("--quiet", "show nothing")
    columns: tuple[str, ...] = option(
        "--columns A[,B…]",
        lists.columns,
        "further columns of the table, such as request: each call's id with its provider",
        default=(),
    )
    no_vars: bool = switch("--no-vars", "put no variables into the text")
    no_ask: bool = switch("--no-ask", "leave out the closing line that --choices or --score adds")

    def __getstate__(self) -> list[Any]:
        """What is pickled with a run: the options as they were typed, without a script's own items."""
        bare = {name for name, option in TABLE.items() if option.offers == "variables"}
        values = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
        return [None if n in bare and not isinstance(v, str) else v for n, v in values]


def table_of(kind: type[Options]) -> dict[str, Option]:
    """Make an entry for each field, by its name."""
    return {
        field.name: Option(name=field.name, default=field.default, **field.metadata)
        for field in dataclasses.fields(kind)
    }


TABLE = table_of(Options)
