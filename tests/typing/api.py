"""Uses of the public names as a user would write them; checked by strict mypy and never run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, assert_type

from parallm_magics import (
    BudgetExceeded,
    CellSyntaxError,
    FanoutRun,
    GuardrailBlocked,
    MissingKeyError,
    ModelError,
    OptionError,
    ParallmError,
    RecordingMissing,
    StudyRun,
    TooFewSucceeded,
    VariableError,
    VoteRun,
    fanout,
    load_ipython_extension,
    register_provider,
    unload_ipython_extension,
    vote,
)
from parallm_magics.core.tasks import Attempt, Fault, Record, Status, Usage
from parallm_magics.patterns.dry_run import Preview
from parallm_magics.providers import ProviderEntry
from parallm_magics.voting import (
    FieldVote,
    PickRule,
    decide,
    number_rule,
    read_answer,
    register_rule,
    shares,
    wilson,
)


async def sections() -> str:
    """A fan-out is a mapping of names to what was read, with its numbers beside it."""
    run = await fanout(
        "%section style\nReport naming in {{code}}.",
        variables={"code": "x = 1"},
        model="sim",
        deadline=30,
    )
    assert_type(run, FanoutRun | Preview)
    assert isinstance(run, FanoutRun)
    assert_type(run["style"], Any)
    for name, value in run.items():
        assert_type(name, str)
        assert_type(value, Any)
    assert_type(run.results, Sequence[Record])
    assert_type(run.failed, Sequence[Record])
    assert_type(run.flagged, Sequence[str])
    assert_type(run.usage, Usage | None)
    assert_type(run.cost, Decimal | None)
    assert_type(run.seconds, float)
    assert_type(run.speedup, float | None)
    assert_type(run.simulated, bool)
    assert_type(run.to_dict(), dict[str, Any])
    again = await run.retry()
    assert_type(again, FanoutRun)
    return again.text or ""


async def votes() -> str:
    """A vote has a winner or none, and says how it came about."""
    run = await vote("Is 91 prime?", n=5, choices="yes,no", model="sim")
    assert_type(run, VoteRun | StudyRun | Preview)
    assert isinstance(run, VoteRun)
    assert_type(run.fields, Mapping[str, FieldVote])
    assert_type(run.label, str | None)
    assert_type(run.tally, Counter[str])
    assert_type(run.agreement, float | None)
    assert_type(run.interval, tuple[float, float] | None)
    assert_type(run.results, Sequence[Record])
    assert_type(await run.retry(), VoteRun)
    return f"{run.winner} ({run.status}), {run.how}"


async def study(items: list[dict[str, str]]) -> str:
    """A vote on each of many items is a study."""
    run = await vote("{{item}}", each=items, truth="{{item.label}}", choices=["a", "b"])
    assert isinstance(run, StudyRun)
    assert_type(run.recommendation, str | None)
    assert_type(await run.retry(), StudyRun)
    assert_type(run.reason, str)
    return run.reason


def provider() -> str:
    """A provider is added by its address, and its entry says all that is known of it."""
    entry = register_provider("mine", "http://localhost:1/v1", "MINE_KEY", models="m")
    assert_type(entry, ProviderEntry)
    return entry.example


def rule() -> PickRule:
    """A rule over numbers is a function of what was voted."""
    entry = register_rule(number_rule("highest", "the highest number", max))
    assert_type(entry, PickRule)
    return entry


def one_record(record: Record) -> float:
    """A record says how one worker ended."""
    assert_type(record.status, Status)
    assert_type(record.ok, bool)
    assert_type(record.value, Any)
    assert_type(record.usage, Usage | None)
    assert_type(record.cost, Decimal | None)
    assert_type(record.error, Fault | None)
    assert_type(record.attempts, tuple[Attempt, ...])
    return record.start + record.seconds


async def errors() -> tuple[Record, ...]:
    """Every error is a ParallmError; those of an unfinished run carry its records."""
    try:
        await fanout("", model="sim")
    except (TooFewSucceeded, BudgetExceeded, GuardrailBlocked) as error:
        assert_type(error.records, tuple[Record, ...])
        return error.records
    except (CellSyntaxError, OptionError, VariableError, RecordingMissing):
        return ()
    except MissingKeyError as error:
        model_error: ModelError = error
        raise model_error from None
    except ParallmError as error:
        print(str(error))
    return ()


def counting() -> None:
    """The voting functions are pure: counts and texts in, decisions and shares out."""
    outcome, winner = decide({"yes": 3, "no": 2}, 5, rule="majority")
    assert_type(winner, str | None)
    assert outcome == "decided"
    answer = read_answer("Yes.", choices=["yes", "no"], kind="choice")
    assert_type(answer.value, Any)
    assert_type(wilson(3, 5), tuple[float, float] | None)
    assert_type(shares([3, 2], 5)["share_valid"], float | None)


def extension(shell: Any) -> None:
    """What `%load_ext` and `%unload_ext` call."""
    load_ipython_extension(shell)
    unload_ipython_extension(shell)
