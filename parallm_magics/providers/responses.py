"""OpenAI's Responses API, for the models that exist only there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from parallm_magics.core.tasks import Reading, Task
from parallm_magics.providers.answer_formats import json_schema_format
from parallm_magics.providers.draft import Content, Draft, content_of
from parallm_magics.providers.json_values import mapping, merged, string
from parallm_magics.providers.openai import OpenAIProvider, thinking_tokens, usage_of
from parallm_magics.providers.prompt_cache import Content as Prompt

COMMENTARY = "commentary"
"""The phase of messages that a model writes on its way, before its answer."""


class ResponsesProvider(OpenAIProvider):
    """The same key, address, faults and prices; other words."""

    path: ClassVar[str] = "/responses"
    only_responses = True

    def _request(self, task: Task) -> dict[str, Any]:
        rules, prompt, cache = self._cached(task)
        turns = [{"role": "user", "content": _parts(prompt)}]
        body: dict[str, Any] = {
            "model": task.model.name,
            "max_output_tokens": task.max_tokens,
            # Chat completions keep nothing there, and a cell must not depend on which API it uses.
            "store": False,
            **cache,
        }
        if isinstance(rules, str):
            body["instructions"] = rules
        elif rules is not None:
            turns.insert(0, {"role": "system", "content": _parts(rules)})
        body["input"] = turns
        if task.temperature is not None:
            body["temperature"] = task.temperature
        if task.effort is not None:
            body["reasoning"] = {"effort": task.effort}
        if task.tier == "flex":
            body["service_tier"] = "flex"
        return merged(body, task.params)

    def holding(self, reading: Reading) -> Mapping[str, Any]:
        """The fields of a request that hold its answer to this form; empty where nothing can."""
        schema = json_schema_format(reading)
        return {"text": {"format": {"type": "json_schema", **schema}}} if schema else {}

    def _whole(self, data: Mapping[str, Any], draft: Draft) -> bool:
        if not isinstance(data.get("output"), list):
            return False
        for item in map(mapping, data["output"]):
            self._take_item(item, draft)
        self._end(data, draft)
        return True

    def _take_item(self, item: Mapping[str, Any], draft: Draft) -> None:
        if item.get("type") != "message" or item.get("phase") == COMMENTARY:
            return
        for part in item.get("content") or []:
            self._take_part(mapping(part), draft)

    def _take_part(self, part: Mapping[str, Any], draft: Draft) -> None:
        draft.take(content_of([part]))

    def _event(self, data: Mapping[str, Any], draft: Draft) -> None:
        kind = string(data.get("type"))
        place = str(data.get("output_index"))
        if kind == "response.output_item.added":
            draft.counts[place] = mapping(data.get("item")).get("phase")
        elif kind == "response.output_text.delta" and draft.counts.get(place) != COMMENTARY:
            draft.take(Content(string(data.get("delta"))))
        elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            draft.take(Content(thinking=string(data.get("delta"))))
        elif kind == "response.refusal.delta":
            draft.take(Content(refusal=string(data.get("delta"))))
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self._end(mapping(data.get("response")), draft)
            draft.over = True

    def _end(self, data: Mapping[str, Any], draft: Draft) -> None:
        """Take in how the response has ended."""
        reason = string(mapping(data.get("incomplete_details")).get("reason"))
        draft.stop(reason or data.get("status"))
        if error := data.get("error"):
            draft.break_off(error)
        draft.ended = True
        draft.named(data.get("model"))
        draft.priced(data)
        if isinstance(data.get("usage"), dict):
            draft.usage = _usage(data["usage"])
            draft.thinking_tokens = thinking_tokens(data["usage"].get("output_tokens_details"))


def _parts(content: Prompt | None) -> Prompt:
    """The content as this API writes it."""
    if isinstance(content, list):
        return [block | {"type": "input_text"} for block in content]
    return content or ""


def _usage(sent: Mapping[str, Any]) -> Any:
    """The usage in our classes: the same numbers under other names."""
    return usage_of(
        {
            "prompt_tokens": sent.get("input_tokens"),
            "completion_tokens": sent.get("output_tokens"),
            "prompt_tokens_details": sent.get("input_tokens_details"),
        }
    )
