"""What a server does not take of requests, so that the next ones go without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from parallm_magics.core.tasks import Fault, Reading, Task
from parallm_magics.providers.draft import Draft
from parallm_magics.providers.error_body import read_error
from parallm_magics.providers.format_refusals import FormatRefusals
from parallm_magics.providers.unwanted import Unwanted


class ServerRefusals:
    """The fields and the forms of answers that one server has refused, model by model."""

    def __init__(self, unasked: Mapping[str, str]) -> None:
        """Take the fields that nobody has asked for, each with its other name or ""."""
        self._fields, self._formats = Unwanted(unasked), FormatRefusals()

    def adapted(
        self,
        task: Task,
        request: Mapping[str, Any],
        holding: Callable[[Reading], Mapping[str, Any]],
        draft: Draft,
    ) -> dict[str, Any]:
        """The request as the server takes it; the draft notes what differs from the usual one.

        Args:
            holding: the fields that hold an answer to a form.
        """
        adapted = self._fields.without(task.model.name, request)
        draft.adapted = self._fields.said(task.model.name)
        if task.enforced and task.reading is not None:
            held = holding(task.reading)
            adapted, draft.asking = self._formats.asking(task, adapted, held)
            draft.adapted = "; ".join(filter(None, (draft.adapted, draft.asking.said)))
        return adapted

    def judged(self, task: Task, draft: Draft, fault: Fault, body: object) -> Fault:
        """The fault, as a passing one where the next try goes without what is not taken.

        Args:
            body: the error's.
        """
        if fault.kind not in ("bad_request", "server"):
            return fault
        error, learn = read_error(body), self._fields.learn
        if fault.kind == "bad_request" and learn(task.model.name, draft.sent, task.params, error):
            return replace(fault, kind="parameter")
        return self._formats.judged(draft, fault, error)

    def accepted(self, draft: Draft) -> None:
        """The call was answered."""
        self._formats.accepted(draft.asking)
