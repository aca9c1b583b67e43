"""The two dialects of a scripted provider: one answer as a JSON object or as a stream of events."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import unquote

from provider_acts import Act

ENDPOINTS = ("/messages", "/completions", "/responses", "/decisions", "/systemone")
CLOUDS = re.compile(
    r"/model/(?P<model>[^/]+)/invoke(?:-with-response-stream)?$"
    r"|/publishers/anthropic/models/(?P<vertex>[^/:]+):(?:streamRawPredict|rawPredict)$"
)


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
        method: of HTTP.
        finished: whether the answer was written to its end.
        sent: when the last piece of it so far was written, by `time.time()`.
        fed: the input tokens that its answer is billed for; None where it got no answer.
        gave: the output tokens.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    number: int
    at: float
    in_flight: int
    method: str = "POST"
    finished: bool = field(default=False)
    sent: float = 0.0
    fed: Fed | None = None
    gave: int = 0

    @property
    def endpoint(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    @property
    def place(self) -> re.Match[str] | None:
        """Where a cloud's path names the model, and how it is to answer."""
        return CLOUDS.search(self.endpoint)

    @property
    def answers(self) -> bool:
        """Whether this is where models are asked."""
        return self.endpoint.endswith(ENDPOINTS) or self.place is not None

    @property
    def dialect(self) -> Literal["openai", "anthropic", "responses", "decisions", "systemone"]:
        """Whose API was called."""
        if self.endpoint.endswith("/decisions"):
            return "decisions"
        if self.endpoint.endswith("/systemone"):
            return "systemone"
        if self.endpoint.endswith("/responses"):
            return "responses"
        return "anthropic" if self.endpoint.endswith("/messages") or self.place else "openai"

    @property
    def framed(self) -> bool:
        """Whether the stream is to be AWS's binary one."""
        return self.endpoint.endswith("/invoke-with-response-stream")

    @property
    def model(self) -> str:
        """The model asked for."""
        if self.place is not None:
            return unquote(self.place["model"] or self.place["vertex"])
        return str(self.body.get("model", ""))

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.body.get("stream")) or self.framed or ":stream" in self.endpoint

    @property
    def prompt(self) -> str:
        """The last message's text."""
        if "questions" in self.body:
            return str(self.body.get("input", self.body.get("state")))
        content = (self.body.get("messages") or self.body["input"])[-1]["content"]
        return "".join(text for text, _ in texts(content))

    @property
    def blocks(self) -> list[tuple[str, bool]]:
        """All texts as the model reads them, each with whether a cache mark ends it."""
        turns = self.body.get("messages") or self.body.get("input") or []
        contents = [message["content"] for message in turns]
        system = self.body.get("system") or self.body.get("instructions")
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
        self.fed = fed or Fed(
            len(json.dumps(call.body.get("messages") or call.body.get("input"))) // 4
        )
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
        if self.act.thinking:
            message["reasoning_content"] = self.act.thinking
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
        wanted = wanted or self.call.model.startswith("mistral")  # whose API tells it unasked
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


class Responses(Dialect):
    """OpenAI's other API: items of output, and events that name what they are."""

    STATUS: ClassVar = {
        "max_tokens": ("incomplete", "max_output_tokens"),
        "content_filter": ("incomplete", "content_filter"),
    }

    def whole(self) -> dict[str, Any]:
        status, reason = self.STATUS.get(self.act.stop, ("completed", None))
        refused = self.act.stop == "refusal"
        part = {"type": "output_text", "text": self.text, "annotations": []}
        if refused:
            part = {"type": "refusal", "refusal": self.text}
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self.call.model,
            "output": [*self.thought(), self.item([part])],
            "usage": {
                "input_tokens": sum(self.fed),
                "input_tokens_details": {"cached_tokens": self.fed.read, "cache_write_tokens": 0},
                "output_tokens": self.gave,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": sum(self.fed) + self.gave,
            },
        }

    def thought(self) -> list[dict[str, Any]]:
        """The item of thinking, where there is any."""
        summary = [{"type": "summary_text", "text": self.act.thinking}]
        return (
            [{"type": "reasoning", "id": "rs_1", "summary": summary}] if self.act.thinking else []
        )

    def item(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        """The item of the answer."""
        return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}

    def opening(self) -> Iterator[str]:
        begun = {**self.message(), "status": "in_progress", "output": [], "usage": None}
        yield event({"type": "response.created", "response": begun})
        yield event({"type": "response.in_progress", "response": begun})
        if self.act.thinking:
            where = {"output_index": 0, "summary_index": 0, "item_id": "rs_1"}
            kind = "response.reasoning_summary_text.delta"
            yield event({"type": kind, "delta": self.act.thinking, **where})
        added = {"type": "response.output_item.added", "output_index": self.place}
        yield event({**added, "item": self.item([])})

    @property
    def place(self) -> int:
        """Where the answer stands in the output."""
        return len(self.thought())

    def delta(self, piece: str) -> str:
        kind = "refusal" if self.act.stop == "refusal" else "output_text"
        where = {"output_index": self.place, "content_index": 0, "item_id": "msg_1"}
        return event({"type": f"response.{kind}.delta", "delta": piece, **where})

    def closing(self) -> Iterator[str]:
        message = self.message()
        yield event({"type": f"response.{message['status']}", "response": message})

    def error(self) -> str:
        text = "scripted error in the stream"
        return event({"type": "error", "code": self.act.error, "message": text, "param": None})


class Decisions(Dialect):
    """OpenAI's Decisions: an answer for each question, in their order.

    The server's text tells what is most probable: "spam 0.9", or one of the labels; else the first label
    is, with 0.75.
    """

    def __init__(self, call: Call, act: Act, text: str, fed: Fed | None = None) -> None:
        super().__init__(call, act, text, fed or Fed(len(json.dumps(call.body)) // 4))
        self.gave = 0

    def shares(self, labels: Sequence[str]) -> dict[str, float]:
        """The probability of each label."""
        said, _, share = self.text.rpartition(" ")
        top, much = (said, float(share)) if said in labels else (self.text, 0.75)
        top = top if top in labels else labels[0]
        rest = (1 - much) / max(1, len(labels) - 1)
        return {label: much if label == top else rest for label in labels}

    def whole(self) -> dict[str, Any]:
        answers = [self.answer(question) for question in self.call.body["questions"]]
        return {"answers": answers, "model": self.call.model, "usage": self.usage()}

    def usage(self) -> dict[str, Any]:
        """The tokens, all of them input."""
        return {
            "input_tokens": sum(self.fed),
            "input_tokens_details": {"cached_tokens": self.fed.read, "cache_write_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sum(self.fed),
        }

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """The answer to one question."""
        if self.act.stop == "refusal":
            return {"type": "refusal", "name": question["name"]}
        known = {"name": question["name"], "type": question["type"], "confidence": 0.5}
        if question["type"] == "choice":
            shares = self.shares([each["value"] for each in question["choices"]])
            listed = [{"value": label, "probability": share} for label, share in shares.items()]
            return {**known, "choice": max(shares, key=shares.__getitem__), "probabilities": listed}
        shares = self.shares([each["label"] for each in question["levels"]])
        listed = [
            {"label": label, "value": place, "probability": share}
            for place, (label, share) in enumerate(shares.items())
        ]
        score = sum(each["value"] * each["probability"] for each in listed)
        return {**known, "score": score, "probabilities": listed}


class SystemOne(Decisions):
    """System One: answers by the questions' names; one that is refused is left out."""

    def whole(self) -> dict[str, Any]:
        answers = {} if self.act.stop == "refusal" else self.answers()
        return {"model": f"{self.call.model}-1.13.0", "answers": answers, "usage": self.usage()}

    def answers(self) -> dict[str, Any]:
        """The answer to each question."""
        return {name: self.answer(each) for name, each in self.call.body["questions"].items()}

    def usage(self) -> dict[str, Any]:
        return {"input_tokens": sum(self.fed), "output_tokens": 0}

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        labels = [*question["criteria"]]
        shares = self.shares(labels)
        known = {"type": question["type"], "confidence": 0.5}
        if question["type"] == "choice":
            return {**known, "choice": max(shares, key=shares.__getitem__), "probabilities": shares}
        placed = {str(place): share for place, share in enumerate(shares.values())}
        return {
            **known,
            "score": sum(int(place) * share for place, share in placed.items()),
            "probabilities": placed,
            "legend": {str(place): label for place, label in enumerate(labels)},
        }


DIALECTS: dict[str, type[Dialect]] = {
    "decisions": Decisions,
    "systemone": SystemOne,
    "openai": OpenAI,
    "anthropic": Anthropic,
    "responses": Responses,
}


def frame(payload: bytes, headers: Mapping[str, str]) -> bytes:
    """One frame of AWS's event stream."""
    block = b"".join(
        bytes([len(name)])
        + name.encode()
        + b"\x07"
        + struct.pack(">H", len(value))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    return prelude + block + payload + struct.pack(">I", zlib.crc32(prelude + block + payload))


def as_frame(text: str) -> bytes:
    """A server-sent event as Bedrock sends it."""
    data = text.partition("data: ")[2].strip()
    payload = json.dumps({"bytes": base64.b64encode(data.encode()).decode()}).encode()
    kinds = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}
    return frame(payload, kinds)


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
