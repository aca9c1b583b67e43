"""System One: the wire of decision models that local servers speak, at any provider's address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from parallm_magics.answers.label_probabilities import has_levels, labels_of_reading
from parallm_magics.answers.questions import split_prompt
from parallm_magics.core.tasks import Task
from parallm_magics.providers.decision_answers import MISSING, no_answer, probable_answer
from parallm_magics.providers.decisions import Answered, DecisionProvider, name_of
from parallm_magics.providers.draft import Draft
from parallm_magics.providers.json_values import mapping, merged, string


class SystemOneProvider(DecisionProvider):
    """A server that speaks System One: questions and answers by name."""

    path: ClassVar[str] = "/systemone"

    def _request(self, task: Task) -> dict[str, Any]:
        body = {
            "model": task.model.name,
            "state": split_prompt(task)[0],
            "questions": {name_of(at): _question(each) for at, each in enumerate(task.asked)},
        }
        return merged(body, task.params)

    def _whole(self, data: Mapping[str, Any], draft: Draft) -> bool:
        answers = data.get("answers")
        if not isinstance(answers, dict):
            return False
        asked = draft.sent["questions"]
        found = [_answer(question, answers.get(name)) for name, question in asked.items()]
        return self._take(found, data, draft)


def _question(task: Task) -> dict[str, Any]:
    """Return a task as a question."""
    reading = task.reading
    assert reading is not None
    labels, instructions = labels_of_reading(reading), split_prompt(task)[1]
    if has_levels(reading):
        return {"type": "score", "instructions": instructions, "criteria": [*labels]}
    return {"type": "choice", "instructions": instructions, "criteria": dict.fromkeys(labels)}


def _answer(question: Mapping[str, Any], sent: object) -> Answered:
    """Return what was sent for a question as an answer; a question without an answer is left out."""
    if sent is None:
        return MISSING
    said, wanted = mapping(sent), question["type"]
    kind = string(said.get("type"))
    if kind != wanted:
        return no_answer(f"it is a {kind or 'thing without a type'} and not a {wanted}")
    labels = [*question["criteria"]]
    shares = mapping(said.get("probabilities"))
    of_score = wanted == "score"
    if of_score:  # its levels are counted from 0
        places = {str(place): label for place, label in enumerate(labels)}
        shares = {places.get(place, place): share for place, share in shares.items()}
    return probable_answer(labels, shares, levels=of_score)
