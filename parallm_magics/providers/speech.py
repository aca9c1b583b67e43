"""How a provider is spoken to, for whoever makes more of its requests than one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from parallm_magics.core.tasks import Task
from parallm_magics.providers.draft import Draft
from parallm_magics.providers.faults import Asked
from parallm_magics.providers.receiving import TakeWhole
from parallm_magics.providers.server_refusals import ServerRefusals


@dataclass(frozen=True, slots=True)
class Speech:
    """How a provider is spoken to.

    Attributes:
        asked: whom requests go to.
        client: the SDK's client.
        path: where a single call is posted.
        draft: a draft for a task's answer.
        drafted: puts the request that asks for it into a draft.
        take: takes in an answer that came whole.
        refusals: what the server does not take.
    """

    asked: Asked
    client: Any
    path: str
    draft: Callable[[Task], Draft]
    drafted: Callable[[Task, Draft], Draft]
    take: TakeWhole
    refusals: ServerRefusals

    def request(self, task: Task) -> Draft:
        """A draft for a task's answer, with the request that asks for it."""
        return self.drafted(task, self.draft(task))
