"""The content of an answer: a text, or a list of parts of which some are text and some thinking."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from parallm_magics.core.foreign_text import one_line
from parallm_magics.providers.json_values import mapping, string

TEXT = frozenset({"text", "output_text"})
THINKING = frozenset({"thinking", "reasoning", "reasoning_text", "summary_text"})
# Parts that hold nothing which a person reads as the answer.
SILENT = re.compile(
    r"redacted_thinking|(?:.+_)?tool_(?:use|result|call|calls|file|reference)|function_call|"
    r"container_upload|reference|citation|compaction|"
    r"(?:input_|output_)?(?:image|audio|file|document|video)(?:_url)?"
)


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
