"""What a scripted provider can do with one call, and the names of the usual things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Then = Literal["stop", "abort", "eof", "error", "hang"]
End = Literal["end", "break", "eof", "open", "beat"]


@dataclass(frozen=True, slots=True)
class Wire:
    """A body byte for byte.

    Attributes:
        pieces: what is written, each at once and as a chunk of its own; a number is a pause in seconds.
        end: what follows: "end" ends the chunked body, "break" closes the connection without that,
            "eof" is a body that only the connection's end delimits, "open" is silence until the
            client goes, and "beat" is a comment every twentieth of a second until then.
        kind: the content type; None sends none.
    """

    pieces: tuple[bytes | float, ...]
    end: End = "end"
    kind: str | None = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Act:
    """What the server does with one call; the default is a good answer.

    Attributes:
        status, headers, body: sent as they are where a body is given or the status is not 200;
            a body that is no text or bytes is sent as JSON.
        patch: dotted paths replaced in the normal answer, {"choices.0.message.content": None};
            paths that the dialect does not have are left out.
        text: the answer, instead of the server's `answers`.
        stop: why the model stopped, in the Anthropic spelling ("end_turn", "max_tokens", "refusal",
            "tool_use", "pause_turn", …) or "content_filter"; translated for the other dialect.
        thinking: sent before the answer as thinking.
        delay: seconds before the headers.
        gap: seconds between the pieces of a stream.
        pieces: into how many pieces a streamed answer is cut.
        then: what follows the text: "stop" ends well, "abort" breaks the connection, "eof" ends the
            stream cleanly without a stop event, "error" sends `error` in the stream, "hang" is silence.
            Unstreamed, "abort" and "hang" come after half of the body and the others mean nothing.
        error: type of the error sent in the stream.
        hang: says nothing at all until the client goes.
        drip: seconds between single bytes.
        reset: "before" or "close": the connection ends before the headers, by RST or by FIN.
        gzip: whether the body is compressed.
        usage: False leaves the usage out.
        wire: the body byte for byte, instead of all that.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    patch: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None
    stop: str = "end_turn"
    thinking: str = ""
    delay: float = 0.0
    gap: float = 0.0
    pieces: int = 4
    then: Then = "stop"
    error: str = "overloaded_error"
    hang: bool = False
    drip: float = 0.0
    reset: Literal["", "before", "close"] = ""
    gzip: bool = False
    usage: bool = True
    wire: Wire | None = None


HTML = "<html><img src=x: onerror=alert(1)>proxy login</html>"
KEY_ECHO = "Incorrect API key provided: {key}. You can find your key at https://example.com/keys."
NAMED: dict[str, Act] = {
    "ok": Act(),
    "hang": Act(hang=True),
    "hang-mid": Act(then="hang"),
    "drip": Act(drip=0.5),
    "cut": Act(text="partial answer", then="abort"),
    "no-stop": Act(text="partial answer", then="eof"),
    "error-event": Act(text="partial answer", then="error"),
    "html-200": Act(headers={"content-type": "text/html"}, body=HTML),
    "empty-200": Act(body=""),
    "badjson-200": Act(body='{"id": '),
    "null-200": Act(body="null"),
    "list-200": Act(body="[]"),
    "obj-200": Act(body="{}"),
    "no-content": Act(text="", patch={"content": [], "choices": []}),
    "null-content": Act(text="", patch={"content": None, "choices.0.message.content": None}),
    "empty-text": Act(text=""),
    "blank-text": Act(text=" \n "),
    "no-usage": Act(usage=False),
    "null-usage": Act(patch={"usage": None}),
    "absurd-usage": Act(
        patch={
            f"usage.{name}": value
            for name, value in (
                ("input_tokens", 10**30),
                ("output_tokens", -5),
                ("prompt_tokens", 10**30),
                ("completion_tokens", -5),
            )
        }
    ),
    "refusal": Act(text="I cannot help with that.", stop="refusal"),
    "filter": Act(text="", stop="content_filter"),
    "length": Act(text="partial answer", stop="max_tokens"),
    "tool-use": Act(text="let me look", stop="tool_use"),
    "pause": Act(text="let me look", stop="pause_turn"),
    "thinking": Act(thinking="hm, let me see"),
    "gzip": Act(gzip=True),
    "reset": Act(reset="before"),
    "close": Act(reset="close"),
    "quota": Act(
        status=429,
        body={
            "error": {
                "type": "insufficient_quota",
                "code": "insufficient_quota",
                "message": "You exceeded your current quota",
            }
        },
    ),
    "echo-key": Act(status=401, body={"error": {"message": KEY_ECHO, "code": "invalid_api_key"}}),
    "no-model": Act(
        status=404,
        body={"error": {"type": "not_found_error", "message": "model: no-model does not exist"}},
    ),
    "bad-param": Act(
        status=400,
        body={
            "error": {
                "type": "invalid_request_error",
                "code": "unsupported_parameter",
                "param": "temperature",
                "message": "Unsupported parameter: 'temperature' is not supported with this model.",
            }
        },
    ),
    "too-long": Act(
        status=400,
        body={
            "error": {
                "type": "invalid_request_error",
                "code": "context_length_exceeded",
                "message": "prompt is too long: 250000 tokens > 200000 maximum",
            }
        },
    ),
}


def act_of(fault: dict[str, Any], other: str) -> Act:
    """The list's wording of a fault as an act."""
    if "hang_s" in fault:
        return Act(hang=True)
    if "drip_byte_every_s" in fault:
        return Act(drip=fault["drip_byte_every_s"])
    if "stream" in fault:
        then = {"abort_chunked": "abort", "close_without_stop": "eof"}
        return Act(text="partial ", then=then.get(fault.get("then", ""), "error"))  # type: ignore[arg-type]
    if "json_patch" in fault:
        empty = "content" in fault["json_patch"]
        return Act(patch=fault["json_patch"], text="" if empty else None)
    headers = {k: v.replace("{OTHER}", other) for k, v in fault.get("headers", {}).items()}
    kind = {"content-type": fault["content_type"]} if "content_type" in fault else {}
    body = fault.get("body", fault.get("body_json"))
    return Act(status=fault["status"], headers=headers | kind, body=body)
