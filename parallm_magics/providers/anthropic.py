"""Claude models, by Anthropic's SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Reading, Task, Usage
from parallm_magics.errors import ModelError
from parallm_magics.providers.answer_formats import anthropic_format
from parallm_magics.providers.anthropic_batches import AnthropicBatches
from parallm_magics.providers.batched import BatchedProvider
from parallm_magics.providers.draft import Content, Draft, content_of
from parallm_magics.providers.json_values import count, mapping, merged, optional_count, string
from parallm_magics.providers.prompt_cache import marked

# Opus 4.7 was the first that takes no temperature; everything since then is like it.
WITH_TEMPERATURE = re.compile(
    r"claude-(?:instant|[123]\b|3-|4-(?:opus|sonnet)|(?:opus|sonnet|haiku)-4(?:-[0-6])?(?:[-@]\d{8}.*)?$)"
)
# The fewest tokens that the prompt cache keeps, by family; the first that matches holds. Where
# the documentation has changed its number, it is the greater one: below the true one a prompt that
# is marked costs nothing more, but workers would wait for a cache that is never filled.
_DATED = r"(?:[-@]\d{8}.*|-latest)?$"
LEAST_PREFIX = (
    (re.compile(r"claude-(?:haiku|sonnet|opus|fable|mythos)-5-\d(?!\d)"), 512),
    (re.compile(rf"claude-(?:opus|fable|mythos)-5{_DATED}"), 512),
    (
        re.compile(rf"claude-(?:sonnet-5|opus-4-8|sonnet-4-5|(?:opus|sonnet)-4(?:-[01])?){_DATED}"),
        1024,
    ),
    (re.compile(r"claude-(?:4-(?:opus|sonnet)|3-opus|3-[57]-sonnet)"), 1024),
    (re.compile(rf"claude-(?:sonnet-4-6|3-haiku|3-5-haiku){_DATED}"), 2048),
)
LEAST_PREFIX_ELSE = 4096
MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
MOST_BYTES = 32_000_000  # of one request
DELTAS = frozenset({"text_delta", "thinking_delta"})


class AnthropicProvider(BatchedProvider):
    """Anthropic's messages."""

    path: ClassVar[str] = "/v1/messages"
    batch_api = AnthropicBatches
    custom_headers: ClassVar[str] = "ANTHROPIC_CUSTOM_HEADERS"

    def check(self, task: Task) -> None:
        """Refuse, before any call, what this model cannot do."""
        super().check(task)
        size = len(task.prompt.encode("utf-8", "replace")) + len((task.system or "").encode())
        if size > MOST_BYTES:
            raise ModelError(
                f"{task.name}: the prompt has {size / 1e6:.1f} MB, but {self.host} takes at most "
                f"{MOST_BYTES / 1e6:.0f} MB; split it into parts and run them with --each"
            )
        name = self._plain(task.model.name)
        asked = task.temperature is not None or "temperature" in task.params
        if asked and name.startswith("claude-") and not WITH_TEMPERATURE.match(name):
            raise ModelError(
                f"{name} takes no temperature: remove -t (repeated answers differ anyway)"
            )

    def least_prefix(self, model: Model) -> int | None:
        """The fewest tokens of a common beginning that the prompt cache keeps."""
        if not self.entry.reads_itself:  # of a server that speaks like Anthropic nothing is known
            return None
        known = (least for shape, least in LEAST_PREFIX if shape.match(self._plain(model.name)))
        return next(known, LEAST_PREFIX_ELSE)

    def _plain(self, name: str) -> str:
        """The model's name as Anthropic writes it."""
        return name

    def _request(self, task: Task) -> dict[str, Any]:
        cached = self.caches(task)
        system, prompt = marked(task, MARK) if cached else (task.system, task.prompt)
        body: dict[str, Any] = {
            "model": task.model.name,
            "max_tokens": task.max_tokens,
            "messages": [{"role": "user", "content": prompt}],
        }
        if system is not None:
            body["system"] = system
        if task.temperature is not None:
            body["temperature"] = task.temperature
        if task.effort is not None:
            body["output_config"] = {"effort": task.effort}
        return merged(body, task.params)

    def holding(self, reading: Reading) -> Mapping[str, Any]:
        """The fields of a request that hold its answer to this form; empty where nothing can."""
        held = anthropic_format(reading)
        return {"output_config": {"format": held}} if held else {}

    def _whole(self, data: Mapping[str, Any], draft: Draft) -> bool:
        content = data.get("content", False)
        if not (content is None or isinstance(content, list)):
            return False
        draft.take(content_of(content))
        draft.stop(data.get("stop_reason"))
        draft.finish = draft.finish or "stop"
        _take_usage(data, draft)
        return True

    def _event(self, data: Mapping[str, Any], draft: Draft) -> None:
        kind = data.get("type")
        if kind == "message_start":
            _take_usage(mapping(data.get("message")), draft)
            draft.usage = None  # its output is a placeholder: a stream that breaks off tells no sum
        elif kind == "content_block_start":
            draft.take(content_of([data.get("content_block")]))
        elif kind == "content_block_delta":
            delta = mapping(data.get("delta"))
            texts = Content(string(delta.get("text")), string(delta.get("thinking")))
            draft.take(texts if delta.get("type") in DELTAS else Content())
        elif kind == "message_delta":
            draft.stop(mapping(data.get("delta")).get("stop_reason"))
            _take_usage(data, draft)
        elif kind == "message_stop":
            draft.over = True
        elif kind == "message":  # a whole answer in the place of a stream's events
            self._whole(data, draft)
            draft.ended = True


def _take_usage(data: Mapping[str, Any], draft: Draft) -> None:
    """Merge the usage of a message or an event: later events correct earlier ones."""
    draft.named(data.get("model"))
    sent = mapping(data.get("usage"))
    draft.priced(sent)
    draft.counts.update({name: value for name, value in sent.items() if value is not None})
    draft.usage = usage_of(draft.counts)


def usage_of(sent: Mapping[str, Any]) -> Usage | None:
    """The usage in our classes; `input_tokens` is what no cache took part in."""
    took = count(sent.get("input_tokens"))
    read = optional_count(sent.get("cache_read_input_tokens"))
    wrote = optional_count(sent.get("cache_creation_input_tokens"))
    gave = count(sent.get("output_tokens"))
    if took is None or read is None or wrote is None or gave is None:
        return None
    return Usage(took, read, wrote, gave)
