"""From the end of one request to a record of each of its questions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Attempt, Fault, Record, Task, Usage
from parallm_magics.engine.fault_status import STATUS
from parallm_magics.engine.worker import fault_of

FINER = Decimal("1e-6")
"""How much finer than the cost of a request the share of a question is."""


def question_records(
    task: Task, record: Record, end: Reply | CallFailed | None
) -> Iterator[tuple[Task, Record]]:
    """Yield each question of a request with its record.

    Tokens and cost are shared out so that their sums are those of the request.

    Args:
        record: how the request as a whole ended.
        end: what came back; None where it was not asked, or was stopped.
    """
    count = len(task.questions)
    answers = end.answers if record.ok and isinstance(end, Reply) else ()
    usages, costs = _usages(record.usage, count), _amounts(record.cost, count)
    saved = _amounts(record.saved, count)
    for place, question in enumerate(task.questions):
        own = replace(
            record,
            index=question.index,
            name=question.name,
            key=question.key,
            item=question.item,
            temperature=question.temperature,
            effort=question.effort,
            usage=usages[place],
            cost=costs[place],
            saved=saved[place],
        )
        yield question, _answered(own, answers[place]) if answers else own


def _answered(record: Record, answer: Reply | Fault) -> Record:
    """Return the record of a question with its answer, which may be none."""
    fault = answer if isinstance(answer, Fault) else fault_of(answer)
    if isinstance(answer, Reply):
        record = replace(
            record,
            text=answer.text,
            probabilities=answer.probabilities,
            finish=answer.finish,
        )
    if fault is None:
        return record
    last = Attempt(fault.kind, record.attempts[-1].seconds)
    return replace(
        record,
        status=STATUS.get(fault.kind, "failed"),
        error=fault,
        attempts=(*record.attempts[:-1], last),
    )


def _usages(usage: Usage | None, count: int) -> list[Usage | None]:
    """Return the tokens shared out as evenly as whole tokens can be."""
    if usage is None:
        return [None] * count
    classes = [_whole(tokens, count) for tokens in usage.to_dict().values()]
    return [Usage(*shares) for shares in zip(*classes, strict=True)]


def _whole(total: int, count: int) -> list[int]:
    least, more = divmod(total, count)
    return [least + (place < more) for place in range(count)]


def _amounts(total: Decimal | None, count: int) -> list[Decimal | None]:
    """Return US dollars shared out evenly; the first question takes what cannot be."""
    if total is None:
        return [None] * count
    exponent = total.as_tuple().exponent
    assert isinstance(exponent, int)
    share = (total / count).quantize(Decimal(1).scaleb(exponent) * FINER, ROUND_DOWN)
    return [total - share * (count - 1), *[share] * (count - 1)]
