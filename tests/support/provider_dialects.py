"""The two dialects of a scripted provider: one answer as a JSON object or as a stream of events."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from provider_acts import Act


class Fed(NamedTuple):
    """The input tokens of one call, each counted once."""

    plain: int
    read: int = 0
    written: int = 0


@dataclass(slots=True)
class Call:
    """One request as it arrived, and whether its answer went out whole.

    Attributes:
        path, headers, body: as sent; header names in lower case.
        number: its place in the log.
        at: when it arrived, on the monotonic clock.
        in_flight: how many requests were open then, this one included.
        finished: whether the answer was written to its end.
        fed: the input tokens that its answer is billed for; None where it got no answer.
        gave: the output tokens.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    number: int
    at: float
    in_flight: int
    finished: bool = field(default=False)
    fed: Fed | None = None
    gave: int = 0

    @property
    def dialect(self) -> Literal["openai", "anthropic"]:
        """Whose API was called."""
        return "anthropic" if self.path.endswith("/messages") else "openai"

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body.get("model", ""))

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.body.get("stream"))

    @property
    def prompt(self) -> str:
        """The last message's text."""
        content = self.body["messages"][-1]["content"]
        return "".join(text for text, _ in texts(content))

    @property
    def blocks(self) -> list[tuple[str, bool]]:
        """All texts as the model reads them, each with whether a cache mark ends it."""
        contents = [message["content"] for message in self.body.get("messages", [])]
        system = self.body.get("system")
        return [
            block for content in ([system] if system else []) + contents for block in texts(content)
        ]


def texts(content: str | list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """The texts of a message, each with whether a cache mark ends it."""
    if isinstance(content, str):
        return [(content, False)]
    return [(block.get("text", ""), "cache_control" in block) for block in content]


class Dialect:
    """What is said about one call: the answer whole, or event by event."""

    def __init__(self, call: Call, act: Act, text: str, fed: Fed | None = None) -> None:
        self.call, self.act, self.text = call, act, text
        self.fed = fed or Fed(len(json.dumps(call.body.get("messages"))) // 4)
        self.gave = max(1, len(text) // 4)

    def message(self) -> dict[str, Any]:
        """The answer as one object, with the act's patch."""
        message = self.whole()
        if not self.act.usage:
            del message["usage"]
        return patched(message, self.act.patch)

    def stream(self) -> Iterator[str | None]:
        """The answer's events; None where the act breaks off without a stop."""
        yield from self.opening()
        size = max(1, -(-len(self.text) // self.act.pieces))
        for start in range(0, len(self.text), size):
            yield self.delta(self.text[start : start + size])
        if self.act.then == "error":
            yield self.error()
        elif self.act.then in ("abort", "hang"):
            yield None
        elif self.act.then == "stop":
            yield from self.closing()

    def whole(self) -> dict[str, Any]:
        """The good answer as one object."""
        raise NotImplementedError

    def opening(self) -> Iterator[str]:
        """What comes before the text."""
        raise NotImplementedError

    def delta(self, piece: str) -> str:
        """One piece of text."""
        raise NotImplementedError

    def closing(self) -> Iterator[str]:
        """The stop and the usage."""
        raise NotImplementedError

    def error(self) -> str:
        """An error in the middle of the stream."""
        raise NotImplementedError


class OpenAI(Dialect):
    """Chat completions."""

    STOP: ClassVar = {
        "end_turn": "stop",
        "max_tokens": "length",
        "tool_use": "tool_calls",
        "refusal": "stop",
    }

    def whole(self) -> dict[str, Any]:
        refused = self.act.stop == "refusal"
        message = {
            "role": "assistant",
            "content": None if refused else self.text,
            "refusal": self.text if refused else None,
        }
        stop = self.STOP.get(self.act.stop, self.act.stop)
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": self.call.model,
            "choices": [{"index": 0, "finish_reason": stop, "message": message}],
            "usage": {
                "prompt_tokens": sum(self.fed),
                "completion_tokens": self.gave,
                "total_tokens": sum(self.fed) + self.gave,
                "prompt_tokens_details": {"cached_tokens": self.fed.read},
            },
        }

    def opening(self) -> Iterator[str]:
        yield self.part({"role": "assistant", "content": ""})
        if self.act.thinking:
            yield self.part({"reasoning_content": self.act.thinking})

    def delta(self, piece: str) -> str:
        return self.part({"refusal" if self.act.stop == "refusal" else "content": piece})

    def closing(self) -> Iterator[str]:
        yield self.part({}, self.STOP.get(self.act.stop, self.act.stop))
        wanted = (self.call.body.get("stream_options") or {}).get("include_usage")
        if wanted and self.act.usage:
            yield event({**self.shell(), "choices": [], "usage": self.message()["usage"]})
        yield "data: [DONE]\n\n"

    def error(self) -> str:
        text = "scripted error in the stream"
        return event({"error": {"type": self.act.error, "code": None, "message": text}})

    def part(self, delta: dict[str, Any], stop: str | None = None) -> str:
        """One chunk with one choice."""
        choice = {"index": 0, "delta": delta, "finish_reason": stop}
        return event({**self.shell(), "choices": [choice]})

    def shell(self) -> dict[str, Any]:
        """What every chunk has."""
        shell = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}
        return {**shell, "model": self.call.model}


class Anthropic(Dialect):
    """Messages."""

    def whole(self) -> dict[str, Any]:
        thinking = {"type": "thinking", "thinking": self.act.thinking, "signature": "s"}
        text = {"type": "text", "text": self.text}
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": self.call.model,
            "content": [thinking, text] if self.act.thinking else [text],
            "stop_reason": "refusal" if self.act.stop == "content_filter" else self.act.stop,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self.fed.plain,
                "output_tokens": self.gave,
                "cache_read_input_tokens": self.fed.read,
                "cache_creation_input_tokens": self.fed.written,
            },
        }

    def opening(self) -> Iterator[str]:
        message = {**self.message(), "content": [], "stop_reason": None}
        if isinstance(usage := message.get("usage"), dict):
            message["usage"] = {**usage, "output_tokens": 1}
        yield event({"type": "message_start", "message": message})
        yield event({"type": "ping"})
        if self.act.thinking:
            yield self.start({"type": "thinking", "thinking": "", "signature": ""}, 0)
            yield self.moved({"type": "thinking_delta", "thinking": self.act.thinking}, 0)
            yield event({"type": "content_block_stop", "index": 0})
        yield self.start({"type": "text", "text": ""}, 1)

    def delta(self, piece: str) -> str:
        return self.moved({"type": "text_delta", "text": piece}, 1)

    def closing(self) -> Iterator[str]:
        message = self.message()
        yield event({"type": "content_block_stop", "index": 1})
        stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        usage = message.get("usage")
        counted = {"usage": {"output_tokens": usage["output_tokens"]}} if usage else {}
        yield event({"type": "message_delta", "delta": stop, **counted})
        yield event({"type": "message_stop"})

    def error(self) -> str:
        text = "scripted error in the stream"
        return event({"type": "error", "error": {"type": self.act.error, "message": text}})

    def start(self, block: dict[str, Any], index: int) -> str:
        """A content block begins."""
        return event({"type": "content_block_start", "index": index, "content_block": block})

    def moved(self, delta: dict[str, Any], index: int) -> str:
        """A content block grows."""
        return event({"type": "content_block_delta", "index": index, "delta": delta})


DIALECTS: dict[str, type[Dialect]] = {"openai": OpenAI, "anthropic": Anthropic}


def event(data: dict[str, Any]) -> str:
    """One server-sent event, named by its type where it has one."""
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n"


def patched(message: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The message with each dotted path replaced that it has."""
    for path, value in patch.items():
        *way, last = [int(p) if p.isdigit() else p for p in path.split(".")]
        with contextlib.suppress(KeyError, IndexError, TypeError):
            place: Any = message
            for step in way:
                place = place[step]
            if last in place:
                place[last] = value
    return message
