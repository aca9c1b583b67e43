"""OpenAI's models and all servers that speak its chat completions, by OpenAI's SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Reading, Task, Usage
from parallm_magics.errors import ModelError
from parallm_magics.providers import answer_formats
from parallm_magics.providers.batched import BatchedProvider
from parallm_magics.providers.draft import Content, Draft, content_of
from parallm_magics.providers.json_values import (
    count,
    first,
    mapping,
    merged,
    optional_count,
    string,
)
from parallm_magics.providers.label_logprobs import tokens_of
from parallm_magics.providers.openai_batches import OpenAIBatches
from parallm_magics.providers.prompt_cache import Content as Prompt
from parallm_magics.providers.prompt_cache import marked

RESPONSES_ONLY = re.compile(r"(?:gpt|o\d|codex).*?-(?:pro|codex)(?:-|$)|codex-")
LEAST_PREFIX = 1024
# From GPT-5.6 on only what ends in a mark is found again, and writing to the cache costs more.
WITH_MARKS = re.compile(r"gpt-(?:5\.[6-9]|[6-9])")
MARK: dict[str, Any] = {"prompt_cache_breakpoint": {"mode": "explicit"}}
MOST_KEY = 64  # characters of a prompt_cache_key; a longer one is refused
THINKING = ("reasoning_content", "reasoning", "thinking")


class OpenAIProvider(BatchedProvider):
    """Chat completions: OpenAI's own, or of a server of which its entry says all that is known."""

    path: ClassVar[str] = "/chat/completions"
    unasked: ClassVar[Mapping[str, str]] = {
        "max_tokens": "max_completion_tokens",
        "max_completion_tokens": "max_tokens",
        "stream_options": "",
        "prompt_cache_key": "",
        "prompt_cache_options": "",
    }
    batch_api = OpenAIBatches
    custom_headers: ClassVar[str] = "OPENAI_CUSTOM_HEADERS"
    own_headers: ClassVar[tuple[str, ...]] = ("OpenAI-Organization", "OpenAI-Project")
    only_responses = False

    @property
    def _official(self) -> bool:
        """Whether calls go to OpenAI's own address."""
        return self.host == "api.openai.com" or self.host.endswith(".api.openai.com")

    def check(self, task: Task) -> None:
        """Refuse, before any call, what this model cannot do."""
        super().check(task)
        name = task.model.name
        if not self.entry.official:
            return
        if RESPONSES_ONLY.match(name) and not self.only_responses:
            raise ModelError(
                f"{name} exists only on OpenAI's Responses API: write -m openai-responses:{name}, "
                "or choose a chat model, such as gpt-6-luna"
            )
        effort = task.params.get("reasoning_effort", task.effort)
        asked = task.temperature is not None or "temperature" in task.params
        if asked and name.startswith("gpt-6") and effort != "none":
            raise ModelError(
                f"{name} takes a temperature only without reasoning: remove -t, or add --effort none if the model "
                f"supports it"
            )

    def least_prefix(self, model: Model) -> int | None:
        """The fewest tokens of a common beginning that OpenAI's prompt cache keeps."""
        return LEAST_PREFIX if self.entry.official else None

    def _headers(self, module: Any) -> dict[str, Any]:
        if self.entry.official:
            return {}
        # Said explicitly, as the SDK lets an authorization among its custom headers replace the key.
        return super()._headers(module) | {"Authorization": f"Bearer {self._key()}"}

    @property
    def _limit(self) -> str:
        """The field that bounds the output tokens."""
        if self._official:
            return "max_completion_tokens"
        # OpenAI's own by name at another address is asked as any server.
        return ("" if self.entry.official else self.entry.limit) or self._dialect.limit

    def _cached(self, task: Task) -> tuple[Prompt | None, Prompt, dict[str, Any]]:
        """System prompt and prompt, marked where that is worth it, and the fields that ask for a cache."""
        if not self.caches(task):
            return task.system, task.prompt, {}
        fields: dict[str, Any] = {"prompt_cache_key": task.cache_key[:MOST_KEY]}
        if not (self._official and WITH_MARKS.match(task.model.name)):
            return task.system, task.prompt, fields
        return *marked(task, MARK), fields | {"prompt_cache_options": {"mode": "explicit"}}

    def _request(self, task: Task) -> dict[str, Any]:
        rules, prompt, cache = self._cached(task)
        system = [] if rules is None else [{"role": "system", "content": rules}]
        body: dict[str, Any] = {
            "model": task.model.name,
            "messages": [*system, {"role": "user", "content": prompt}],
            self._limit: task.max_tokens,
            **cache,
        }
        if task.temperature is not None:
            body["temperature"] = task.temperature
        if task.effort is not None:
            body["reasoning_effort"] = task.effort
        if task.tier == "flex":
            body["service_tier"] = "flex"
        if task.stream and self.entry.stream_options:
            body["stream_options"] = {"include_usage": True}
        return merged(body, task.params)

    def holding(self, reading: Reading) -> Mapping[str, Any]:
        """The fields of a request that hold its answer to this form; empty where nothing can."""
        return answer_formats.chat_format(reading, self.entry.enforces or "schema")

    def _whole(self, data: Mapping[str, Any], draft: Draft) -> bool:
        if not isinstance(data.get("choices"), list):
            return False
        _take(_choice(data, draft), data, draft)
        draft.finish = draft.finish or "stop"
        return True

    def _event(self, data: Mapping[str, Any], draft: Draft) -> None:
        _take(_choice(data, draft), data, draft)


def _choice(data: Mapping[str, Any], draft: Draft) -> Mapping[str, Any]:
    """The choice that counts; where one answer was asked for, its number says nothing."""
    choices = data.get("choices")
    if not draft.several or not isinstance(choices, list):
        return first(choices)
    return next((each for each in map(mapping, choices) if not each.get("index")), {})


def _take(choice: Mapping[str, Any], data: Mapping[str, Any], draft: Draft) -> None:
    """Take in a message or a piece of one."""
    said = mapping(choice.get("delta"))
    if not said and not draft.parts:  # a whole message, perhaps in the place of a piece
        said = mapping(choice.get("message"))
    draft.take(content_of(said.get("content")))
    if len(said) > 1 or "content" not in said:
        beside = Content(refusal=string(said.get("refusal")), thinking=_thinking(said))
        draft.take(beside)
    if told := choice.get("logprobs"):
        draft.tokens += tokens_of(told)
    draft.stop(choice.get("finish_reason"))
    if error := choice.get("error") or said.get("error"):
        draft.break_off(error)
    draft.named(data.get("model"))
    draft.priced(data)
    sent = data.get("usage") or mapping(data.get("x_groq")).get("usage")
    if isinstance(sent, dict):
        draft.usage = usage_of(sent)
        draft.thinking_tokens = thinking_tokens(sent.get("completion_tokens_details"))


def _thinking(said: Mapping[str, Any]) -> str:
    """Thinking beside the content, by the names that servers give it."""
    for name in THINKING:
        if name in said and (text := string(said[name])):
            return text
    details = said.get("reasoning_details")
    parts = map(mapping, details) if isinstance(details, list) else ()
    return "".join(string(part.get("text")) or string(part.get("summary")) for part in parts)


def thinking_tokens(details: object) -> int | None:
    """How many tokens of the output were thinking, where a server says so."""
    return count(mapping(details).get("reasoning_tokens"))


def usage_of(sent: Mapping[str, Any]) -> Usage | None:
    """The usage in our classes; `prompt_tokens` includes what the cache gave and took."""
    details = mapping(sent.get("prompt_tokens_details"))
    took = count(sent.get("prompt_tokens"))
    read = optional_count(details.get("cached_tokens", sent.get("prompt_cache_hit_tokens")))
    wrote = optional_count(details.get("cache_write_tokens"))
    gave = count(sent.get("completion_tokens"))
    if took is None or read is None or wrote is None or gave is None or read + wrote > took:
        return None
    # Some count the tokens of thinking in the total alone, and bill them as output.
    gave = max(gave, (count(sent.get("total_tokens")) or 0) - took)
    return Usage(took - read - wrote, read, wrote, gave)
