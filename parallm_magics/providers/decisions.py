"""Decision models: OpenAI's Decisions, and what is common to all that answer with probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from parallm_magics.answers.label_probabilities import (
    has_levels,
    labels_of_reading,
    refuse_undecidable,
)
from parallm_magics.answers.questions import split_prompt
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Task
from parallm_magics.providers.decision_answers import MISSING, REFUSED, no_answer, probable_answer
from parallm_magics.providers.draft import Draft
from parallm_magics.providers.json_values import mapping, merged, string
from parallm_magics.providers.openai import OpenAIProvider, usage_of
from parallm_magics.providers.sdk import SdkProvider

NOT_THERE = frozenset({404, 405, 501})
"""Statuses by which a server says that it has no such model, or does not know decision models at all."""

Answered = Reply | Fault


class DecisionProvider(OpenAIProvider):
    """A server of decision models, reached by OpenAI's SDK. One request asks all questions of a task."""

    def check(self, task: Task) -> None:
        """Refuse, before any call, what no decision model answers."""
        SdkProvider.check(self, task)
        refuse_undecidable(task)

    def caches(self, task: Task) -> bool:
        """Nothing is marked: a request holds all questions that share its state."""
        return False

    async def complete(self, task: Task, heard: Heard) -> Reply:
        """Ask all questions of a task.

        Raises:
            CallFailed: with the fault, for all that is no whole reply; also where the only question
                has no usable answer.
        """
        unknown: Fault | None = None
        try:
            reply = await super().complete(replace(task, stream=False), heard)
        except CallFailed as failed:
            if failed.fault.http not in NOT_THERE:
                raise
            unknown = failed.fault
        if unknown is not None:
            raise CallFailed(replace(unknown, kind="model", message=_unknown(task, unknown)))
        if task.questions:
            return reply
        [answer] = reply.answers
        if isinstance(answer, Fault):
            raise CallFailed(answer, usage=reply.usage, model=reply.model, terms=reply.terms)
        return replace(
            reply,
            text=answer.text,
            finish=answer.finish,
            probabilities=answer.probabilities,
            answers=(),
        )

    def _take(self, answers: Sequence[Answered], data: Mapping[str, Any], draft: Draft) -> bool:
        """Take in the answers, and what else the reply says."""
        draft.answers = tuple(answers)
        draft.finish = "stop"
        draft.named(data.get("model"))
        draft.priced(data)
        if isinstance(used := data.get("usage"), dict):
            draft.usage = usage_of(
                {
                    "prompt_tokens": used.get("input_tokens"),
                    "completion_tokens": used.get("output_tokens"),
                    "prompt_tokens_details": used.get("input_tokens_details"),
                }
            )
        return True


class OpenAIDecisions(DecisionProvider):
    """OpenAI's Decisions: answers in the order of the questions."""

    path: ClassVar[str] = "/decisions"

    def _request(self, task: Task) -> dict[str, Any]:
        questions = [
            {"name": name_of(place), **_question(each)} for place, each in enumerate(task.asked)
        ]
        body = {
            "model": task.model.name,
            "input": split_prompt(task)[0],
            "questions": questions,
        }
        return merged(body, task.params)

    def _whole(self, data: Mapping[str, Any], draft: Draft) -> bool:
        answers, asked = data.get("answers"), draft.sent["questions"]
        if not isinstance(answers, list):
            return False
        found = [mapping(each) for each in answers]
        named = {string(each.get("name")): each for each in found}
        if len(found) == len(asked) and "" in named:  # not every server keeps the names
            named = {question["name"]: each for question, each in zip(asked, found, strict=True)}
        answered = [_answer(question, named.get(question["name"], {})) for question in asked]
        return self._take(answered, data, draft)


def name_of(place: int) -> str:
    """Return the name of the question at this place, from 0, in its request."""
    return f"q{place + 1}"


def _question(task: Task) -> dict[str, Any]:
    """Return a task as a question."""
    reading = task.reading
    assert reading is not None
    labels, instructions = labels_of_reading(reading), split_prompt(task)[1]
    if has_levels(reading):
        levels = [{"label": label} for label in labels]
        return {"type": "score", "instructions": instructions, "levels": levels}
    choices = [{"value": label} for label in labels]
    return {"type": "choice", "instructions": instructions, "choices": choices}


def _answer(question: Mapping[str, Any], sent: Mapping[str, Any]) -> Answered:
    """Return what was sent for a question as an answer."""
    kind, wanted = string(sent.get("type")), question["type"]
    if not sent:
        return MISSING
    if kind == "refusal":
        return REFUSED
    if kind != wanted:
        return no_answer(f"it is a {kind or 'thing without a type'} and not a {wanted}")
    of_score = kind == "score"
    asked = question["levels" if of_score else "choices"]
    labels = [each["label" if of_score else "value"] for each in asked]
    listed = sent.get("probabilities")
    parts = [mapping(each) for each in listed] if isinstance(listed, list) else []
    names = [each.get("label" if of_score else "value") for each in parts]
    if len(set(map(str, names))) < len(names):
        return no_answer("a label has two probabilities")
    shares = {str(name): each.get("probability") for name, each in zip(names, parts, strict=True)}
    return probable_answer(labels, shares, levels=of_score)


def _unknown(task: Task, fault: Fault) -> str:
    """Say that the model is no decision model there, and the way out."""
    name = task.model.name
    return f"{fault.message}; {name} may be no decision model there, or the server knows none: ask another model"
