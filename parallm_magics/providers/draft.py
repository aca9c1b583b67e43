"""What has been received of one answer so far, in whatever form it is sent, and what it comes to."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from parallm_magics.core.finish_reasons import ending_of
from parallm_magics.core.foreign_text import mended, one_line
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Fault, Finish, Task, Terms, Usage
from parallm_magics.providers import keys
from parallm_magics.providers.faults import Asked, fault_in_answer
from parallm_magics.providers.format_refusals import Asking
from parallm_magics.providers.json_values import mapping, string
from parallm_magics.providers.label_logprobs import Token, label_probabilities
from parallm_magics.providers.terms import told

UNSEEN = frozenset({403, 451})  # statuses by which a prompt is turned away
TEXT = frozenset({"text", "output_text"})
THINKING = frozenset({"thinking", "reasoning", "reasoning_text", "summary_text"})
# Parts that hold nothing which a person reads as the answer.
SILENT = re.compile(
    r"redacted_thinking|(?:.+_)?tool_(?:use|result|call|calls|file|reference)|function_call|"
    r"container_upload|reference|citation|compaction|"
    r"(?:input_|output_)?(?:image|audio|file|document|video)(?:_url)?"
)


MOST_NAME = 1_000  # characters of a model's name that are looked at


class Content(NamedTuple):
    """What the parts of a message, or of a piece of one, hold.

    Attributes:
        text: the answer's text.
        thinking: the thinking's.
        refusal: the words of a refusal.
        unknown: the type of a part that nobody knows; "" where there is none.
    """

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    unknown: str = ""


def content_of(content: object) -> Content:
    """What a message's content holds, in whatever form it is sent.

    >>> content_of([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, "yes"])
    Content(text='yes', thinking='hm', refusal='', unknown='')
    """
    if not isinstance(content, list):
        return Content(string(content))
    parts = [Content(part) if isinstance(part, str) else _part(mapping(part)) for part in content]
    return Content(
        "".join(part.text for part in parts),
        "".join(part.thinking for part in parts),
        "".join(part.refusal for part in parts),
        next((part.unknown for part in parts if part.unknown), ""),
    )


def _part(part: Any) -> Content:
    """One part by its type; where it tells none, by what it holds."""
    kind = string(part.get("type")) or ("text" if "text" in part else "")
    if kind in TEXT:
        return Content(string(part.get("text")))
    if kind in THINKING:
        held = part.get(kind, part.get("text"))
        return Content(thinking=content_of(held).text if isinstance(held, list) else string(held))
    if kind == "refusal":
        return Content(refusal=string(part.get("refusal")))
    if not part or SILENT.fullmatch(kind):
        return Content()
    return Content(unknown=one_line(kind, 60) or "?")


@functools.lru_cache(256)
def _name_of(model: str) -> str:
    """A model's name as it is shown; one text serves all the records of a map."""
    return one_line(keys.scrub(model), 100)


@dataclass(slots=True)
class Draft:
    """What has been received of one answer so far.

    Attributes:
        asked: what was asked of whom.
        several: whether several answers were asked for; the first one counts.
        parts: pieces of text.
        thinking: pieces of thinking.
        finish: why the model stopped; None until it has said so.
        spoilt: why a complete answer is none that may be taken; None for a good one.
        ended: whether the answer is complete.
        over: whether nothing more is to come, not even the usage.
        counts: the usage as sent, merged over the events.
        usage: the same in our classes.
        thinking_tokens: how many of its output tokens were thinking; None where nobody says so.
        terms: what it says of its price.
        model: the model as the provider names it.
        request_id: the provider's id of the request.
        begun: whether a good status has arrived.
        sent: the request.
        adapted: what was sent otherwise than usual, as the endpoint does not take it, in words.
        answers: of a request with questions, what came for each of them.
        asking: how it was asked for the form of the answer.
        tokens: the answer's tokens, where their probabilities were asked for.
    """

    asked: Asked = field(default_factory=Asked)
    several: bool = False
    parts: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    finish: Finish | None = None
    spoilt: Fault | None = None
    ended: bool = False
    over: bool = False
    counts: dict[str, Any] = field(default_factory=dict)
    usage: Usage | None = None
    thinking_tokens: int | None = None
    terms: Terms = ()
    model: str | None = None
    request_id: str | None = None
    begun: bool = False
    sent: Mapping[str, Any] = field(default_factory=dict)
    adapted: str = ""
    answers: tuple[Reply | Fault, ...] = ()
    asking: Asking = field(default_factory=Asking)
    tokens: list[Token] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text so far, without half characters and without a key that a server echoes."""
        return keys.without_keys(mended("".join(self.parts)))

    @property
    def thought(self) -> str:
        """The thinking so far, likewise."""
        return keys.without_keys(mended("".join(self.thinking))).strip()

    def priced(self, data: Mapping[str, Any]) -> None:
        """Take in what an answer, or its usage, says of its price."""
        if new := [each for each in told(data) if each not in self.terms]:
            self.terms += tuple(new)

    def counted(self, task: Task) -> Usage | None:
        """The usage, where it can be true: no prompt takes no token, and no text comes of none."""
        used = self.usage
        if used is None or used.total_tokens == used.output_tokens:
            return None
        return used if used.output_tokens or not self.text else None

    def named(self, model: object) -> None:
        """Take in the model's name."""
        if name := _name_of(string(model)[:MOST_NAME]):
            self.model = name

    def take(self, content: Content) -> None:
        """Take in a message's content, or a piece of it."""
        if content.text:
            self.parts.append(content.text)
        if content.thinking:
            self.thinking.append(content.thinking)
        if content.refusal:
            self.parts.append(content.refusal)
            self.finish = "refusal"
        if content.unknown:
            self.spoil(f"it contains a part of an unknown type ({content.unknown!r})")

    def stop(self, reason: object) -> None:
        """Take in why the model stopped, where it has; only a known good reason is good."""
        if not reason:
            return
        ending = ending_of(word := string(reason))
        if ending is None:
            return
        self.ended = True
        said = repr(one_line(word, 60))
        if ending == "failed":
            broken = f"{self.asked.host}: the provider cut the answer short (finish reason {said})"
            self.spoilt = self.spoilt or Fault("server", broken)
        elif ending == "unknown":
            self.spoil(f"the model stopped for an unknown reason ({said})")
        elif self.finish != "refusal" and ending != "stop":
            # A filter that looks at the whole answer speaks after the model has stopped.
            self.finish = ending
        else:
            self.finish = self.finish or ending

    def spoil(self, why: str) -> None:
        """Note why the answer is not to be taken as one."""
        fault = Fault("not_an_answer", f"{self.asked.host}: not a usable answer: {why}")
        self.spoilt = self.spoilt or fault

    def break_off(self, error: object) -> None:
        """Take in an error that stands in the place of the rest of the answer."""
        self.ended = True
        self.spoilt = fault_in_answer(error, self.asked)

    def outcome(self, task: Task, fault: Fault | None) -> Reply | CallFailed:
        """What the call comes to; `fault` is what ended it, None for its own end."""
        self.usage = self.counted(task)
        if self.ended:  # a connection that breaks after the stop has lost nothing
            if self.spoilt is None:
                return self.reply(task)
            fault = self.spoilt
        elif fault is None or (fault.kind in ("connection", "timeout") and self.begun):
            fault = self.cut(fault, task)
        # What is turned away before a model has seen it costs nothing.
        is_free = fault.kind == "refusal" and fault.http in UNSEEN
        return CallFailed(
            replace(fault, request_id=fault.request_id or self.request_id),
            text=self.text,
            usage=Usage() if is_free else self.usage,
            model=self.model,
            terms=self.terms,
            thinking=self.thought,
        )

    def reply(self, task: Task) -> Reply:
        """The answer, complete as it is."""
        finish = self.finish or "stop"
        return Reply(
            self.text,
            finish,
            self.usage,
            self.model,
            self.request_id,
            terms=self.terms,
            adapted=self.adapted,
            thinking=self.thought,
            thinking_tokens=self.thinking_tokens,
            answers=self.answers,
            probabilities=label_probabilities(self.tokens, task.reading) if self.tokens else None,
        )

    def cut(self, fault: Fault | None, task: Task) -> Fault:
        """The fault of an answer that has no end; `fault` is what ended it, None for its end."""
        broken = "the connection broke during the answer"
        how = f"{self.asked.host}: {broken if fault else 'the stream ended without a stop event'}"
        if not task.stream:
            return Fault("connection", how)
        kept = f"; {len(self.text)} characters had arrived" if self.parts else ""
        return Fault("cut", f"{how}{kept}")
