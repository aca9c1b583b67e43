"""Providers that speak OpenAI's chat completions at an address of their own."""

from __future__ import annotations

from typing import Any, Self

from parallm_magics.core.tasks import Task
from parallm_magics.providers.needs import require, require_key
from parallm_magics.providers.openai import OpenAIProvider
from parallm_magics.providers.services import Service


class CompatibleProvider(OpenAIProvider):
    """One of them, as its entry says; nothing that the environment holds for OpenAI reaches it."""

    def __init__(self, service: Service) -> None:
        """Take what is particular of it."""
        self._service = service
        self.variables = service.keys
        self.base_variable = service.base_env
        self.limit = service.limit
        super().__init__(usual=service.base_url)

    @classmethod
    def for_service(cls, service: Service) -> Self:
        """One of them, as its entry says."""
        return cls(service)

    @property
    def _own(self) -> bool:
        return False

    def _require(self) -> None:
        require(self._service)
        require_key(self._service)

    def _request(self, task: Task) -> dict[str, Any]:
        body = super()._request(task)
        if not self._service.stream_options and "stream_options" not in task.params:
            body.pop("stream_options", None)
        return body
