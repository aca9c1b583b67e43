"""What a call is asked, and how its answer is read: the first half of the table of options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from parallm_magics.cell import option_lists as lists
from parallm_magics.cell import option_values as read
from parallm_magics.cell.option_entry import MAGICS, option, switch, words

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
        "store the run in this variable, and still show it",
        setting=False,
        keyword=False,
    )
    model: tuple[str, ...] = option(
        "--model -m A[,B…]",
        lists.models,
        "the model; several models take turns over the workers",
        where=CALL_PLACES,
        default=(),
        offers="models",
    )
    n: int | None = option(
        "-n N",
        read.workers,
        "number of workers",
        where={FANOUT, VOTE, "section", "guardrail", "panel"},
        setting=False,
        also="votes voters samples workers count k num times repeats",
    )
    each: Any = option(
        "--each NAME",
        read.items,
        "run once for each item of this variable, as {{item}} and {{index}}; %%vote also measures "
        "the votes",
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
        "what else to measure on the same items; separate several with commas",
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
        "one temperature, or a range to spread over the workers",
        where=CALL_PLACES,
    )
    effort: str | None = option(
        "--effort LEVEL",
        read.word,
        "reasoning effort, such as low or high; models differ in their levels",
        where=CALL_PLACES,
    )
    tier: str = words(
        "--tier",
        ("default", "flex"),
        "flex: about half the price for answers that may take minutes, where the provider has it",
        where=CALL_PLACES,
        default="default",
        also="service_tier flex",
    )
    param: tuple[tuple[str, Any], ...] = option(
        "--param KEY=JSON",
        read.parameter,
        "an extra request field, sent unchanged; may be repeated",
        where=CALL_PLACES,
        default=(),
        repeats=True,
    )
    max_tokens: int = option(
        "--max-tokens N",
        read.count,
        "maximum output tokens per worker, thinking included",
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
        "give each voter the choices in a different order, so that position bias averages out",
        where={VOTE},
    )
    score: tuple[float, float] | None = option(
        "--score LO..HI",
        read.span,
        "the answer is a score in this range",
        where=ANSWER_PLACES | {"judge"},
    )
    number: bool = switch("--number", "the answer is a number", where=ANSWER_PLACES)
    enforce: str = words(
        "--enforce",
        ("auto", "on", "off"),
        "let the model write nothing but such an answer; then every vote can be read, but no "
        "reasoning comes before it (auto: a schema always, labels where that costs nothing)",
        where=ANSWER_PLACES | GUARD_PLACES,
        default="auto",
        also="guided grammar constrain strict",
    )
    open: bool = switch("--open", "the answer is free text", where=ANSWER_PLACES)
    schema: Any = option(
        "--schema CLASS|FIELDS",
        read.schema,
        "the answer is an object of this class, dict or list of fields, such as "
        "'vendor, total: number'",
        where=ANSWER_PLACES,
        setting=False,
        offers="schemas",
        also="response_model response_format output_type output_schema fields",
    )
    flag: str | None = option(
        "--flag LABEL",
        read.text,
        "list answers with this label in run.flagged; --pick any looks for it",
        where={FANOUT, VOTE, "section"},
        setting=False,
        offers="labels",
        also="flags",
    )
    aggregate: str | None = words(
        "--aggregate",
        ("join", "synthesis", "none"),
        "how to merge the sections into one text (default join; synthesis with a %synthesis block)",
        where={FANOUT},
    )
