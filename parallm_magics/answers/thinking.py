"""What a model wrote to itself, told from what it answers.

Servers without a reasoning parser leave the thinking in the answer's text. What is known to be
thinking is taken out of it; a text that merely speaks of such marks stays as it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

# What models call it by themselves. "analysis" and the like are tags that prompts ask for as part
# of the answer: they are not read as a vote, and stay in the text.
_THOUGHT = r"(?:think|thinking|thought|thoughts|reasoning)"
_NAMED = rf"(?:[\w-]{{1,30}}:)?{_THOUGHT}(?:[_-][\w-]{{1,60}})?"
_TOKEN_NAME = rf"[^<>|｜\n]{{0,40}}{_THOUGHT}[^<>|｜\n]{{0,40}}"
_KNOWN = re.compile(
    rf"<\s{{0,4}}(?P<tag>/?)\s{{0,4}}{_NAMED}(?:\s[^<>/]{{0,80}})?(?P<empty>\s{{0,4}}/)?>"
    rf"|◁\s{{0,4}}(?P<triangle>/?)\s{{0,4}}{_NAMED}\s{{0,4}}▷"
    r"|\[(?P<bracket>/?)THINK(?:ING)?\]"
    rf"|<[|｜](?P<token>{_TOKEN_NAME})[|｜]>"
    r"|(?P<channel><\|channel>\s{0,4}(?:thought|analysis)|<channel\|>)",
    re.IGNORECASE,
)
_ENDS = re.compile(r"/|end|stop|close", re.IGNORECASE)
_MAY_THINK = re.compile(
    r"[<◁]|\[/?(?i:think)|assistant(?:analysis|commentary|final)|\A\s{0,40}(?:analysis|commentary)"
)
"""What every text with thinking in it holds."""

_LONGEST_MARK = 140
"""Characters of the longest mark."""

# Blocks that a prompt may ask for: part of the answer, and no part of the vote.
_REFLECTING = re.compile(
    r"<\s{0,4}(/?)\s{0,4}(?:reflection|scratchpad|analysis)\b[^<>]{0,80}>", re.IGNORECASE
)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.MULTILINE)
_BLANK = re.compile(r"\s*")
_QUOTES = "`\"'“”‘’«»([{"

# OpenAI's Harmony: every message has a channel, and only "final" is for the reader.
_CHANNEL = r"[a-z]{1,20}(?:[ \t][^<|\n]{0,120})?"
_HEADER = re.compile(
    rf"(?:<\|start\|>[^<|\n]{{0,120}})?<\|channel\|>\s{{0,4}}(?P<channel>{_CHANNEL})"
    r"(?:<\|constrain\|>[^<|\n]{0,80})?<\|message\|>|<\|start\|>[^<|\n]{0,120}<\|message\|>"
    r"|\A\s{0,40}(?P<bare>analysis|commentary|final)\s{0,4}<\|message\|>",
    re.IGNORECASE,
)
_MESSAGE_END = re.compile(r"<\|(?:end|return|call)\|>")
# Anywhere else such a header is quoted by somebody who writes about it.
_FRAMED = re.compile(
    r"\A\s{0,40}(?:<\|(?:channel|start)\|>|(?:analysis|commentary|final)\s{0,4}<\|message\|>)"
    r"|<\|end\|>\s{0,4}<\|start\|>assistant"
)
# The same where a server drops its special tokens: "analysisWe need … assistantfinalIt is …".
_BARE_HEADER = re.compile(r"assistant(?P<channel>analysis|commentary|final)")
_NO_TOKEN = re.compile(r"\Z")
_BARE_START = re.compile(r"\s{0,40}(?:analysis|commentary)(?P<glued>(?=[A-Z]))?")
_ANSWER_BEGINS = re.compile(
    r"<[|｜](?:start|begin)[^<>|｜\n]{0,40}(?:response|solution|answer|text|output)[|｜]>\s*",
    re.IGNORECASE,
)
_ANSWER_ENDS = re.compile(r"\s{0,40}<[|｜]end[^<>|｜\n]{0,40}[|｜]>\s{0,40}\Z", re.IGNORECASE)

ONLY_THINKING = "the model only thought and gave no answer; raise --max-tokens, or lower --effort"
"""Why there is no answer where there is thinking."""

_HARMONY_BEGINS = re.compile(r"<\|(?:channel|start)\|>|(?:analysis|commentary)(?=[A-Z<])")
_FINAL_BEGINS = re.compile(r"<\|channel\|>\s{0,4}final[^<|\n]{0,80}<\|message\|>|assistantfinal")
_CHANNEL_NAMES = ("analysis", "commentary")
_MARK_BEGUN = re.compile(r"[<◁\[][^>▷\]\n]*|<\|channel>\s{0,4}[a-z]{0,9}")
_MOST_BLOCKS = 50


class _Mark(NamedTuple):
    """A mark that begins or ends thinking.

    Attributes:
        closes: whether it ends thinking.
        is_empty: whether it is both, as `<think/>` is.
    """

    start: int
    end: int
    closes: bool
    is_empty: bool = False


def split_thinking(text: str) -> tuple[str, str]:
    """Return what a model wrote to itself, and its answer.

    Thinking is what known marks enclose at the very start; what comes before a closing mark that
    nothing has opened, as chat templates open it themselves, unless that mark is quoted or code;
    and every Harmony message that is not on the final channel. Without any of it the answer is the
    text itself. Thinking that never ends leaves no answer.

    >>> split_thinking("<think>The user greets.</think>\\n\\nHello!")
    ('The user greets.', 'Hello!')
    >>> split_thinking("Close it with `</think>`.")
    ('', 'Close it with `</think>`.')
    """
    if not _MAY_THINK.search(text):
        return "", text
    harmony = _harmony(text)
    if harmony is not None:
        return harmony
    marks = [*_known_marks(text)]
    thoughts: list[str] = []
    place = 0
    fences = [fence.start() for fence in _FENCE.finditer(text)]
    while block := _next_block(text, place, marks, fences):
        begin, end, place = block
        thoughts.append(text[begin:end])
    if not place:
        return "", text
    return _joined(thoughts), _unframed(text[place:].lstrip())


def without_reasoning(text: str) -> str:
    """Return what of an answer may be a vote: no thinking, wherever in it that stands.

    An unclosed block reaches to the end; a closing mark without an opening one ends a block that
    began before the text did.
    """
    _, text = split_thinking(text)
    kept: list[str] = []
    start, inside = 0, False
    asked_for = (_Mark(m.start(), m.end(), bool(m[1])) for m in _REFLECTING.finditer(text))
    for mark in sorted([*_known_marks(text), *asked_for]):
        if mark.closes:
            if not inside:
                kept.clear()
            start, inside = mark.end, False
        elif not inside and not mark.is_empty:
            kept.append(text[start : mark.start])
            inside = True
    if not inside:
        kept.append(text[start:])
    return "\n".join(kept)


def _unframed(answer: str) -> str:
    """Return the answer without the tokens that enclose it where thinking had such tokens too."""
    opened = _ANSWER_BEGINS.match(answer)
    return _ANSWER_ENDS.sub("", answer[opened.end() :]) if opened else answer


def _next_block(
    text: str, place: int, marks: Sequence[_Mark], fences: Sequence[int]
) -> tuple[int, int, int] | None:
    """Tell where the next thought begins and ends, and where the text goes on; None without one."""
    begins = _BLANK.match(text, place)
    start = begins.end() if begins else place
    at = bisect_left(marks, start, key=lambda mark: mark.start)
    if at == len(marks):
        return None
    if marks[at].start == start and not marks[at].closes:
        if marks[at].is_empty:
            return marks[at].end, marks[at].end, marks[at].end
        later = (marks[place] for place in range(at + 1, len(marks)))
        close = next((mark for mark in later if mark.closes), _Mark(len(text), len(text), True))
        return marks[at].end, close.start, close.end
    before = bisect_left(fences, place)
    for mark in (marks[place] for place in range(at, len(marks))):
        if not _is_quoted(text, mark, bisect_left(fences, mark.start) - before):
            return (start, mark.start, mark.end) if mark.closes else None
    return None


def _is_quoted(text: str, mark: _Mark, fences: int) -> bool:
    """Tell whether a mark that stands at no start is spoken of: quoted, code, or a word among words."""
    before, after = text[mark.start - 1 : mark.start], text[mark.end : mark.end + 1]
    if fences % 2 or before in tuple(_QUOTES) or (after and after in _QUOTES[:7]):
        return True
    if not mark.closes:
        return False
    on_line = text[max(0, mark.start - 40) : mark.start].rpartition("\n")[2]
    is_line_end = not after or re.match(r"[ \t]*(?:\n|\Z)", text[mark.end : mark.end + 40])
    return before in (" ", "\t") and bool(on_line.strip()) and not is_line_end


def _harmony(text: str) -> tuple[str, str] | None:
    """Return thinking and answer of a text in Harmony's form; None for one in another form."""
    if "<|" in text and _FRAMED.search(text):
        headers = list(_HEADER.finditer(text))
        if headers:
            return _messages(text, 0, headers, _MESSAGE_END)
    return _bare_harmony(text)


def _messages(
    text: str, begin: int, headers: Sequence[re.Match[str]], message_end: re.Pattern[str]
) -> tuple[str, str]:
    """Return what of the messages from a place on is not on the final channel, and what is."""
    thoughts = [text[begin : headers[0].start()]]
    answers: list[str] = []
    ends = [*(header.start() for header in headers[1:]), len(text)]
    for header, end in zip(headers, ends, strict=True):
        stop = message_end.search(text, header.end(), end)
        said = text[header.end() : stop.start() if stop else end]
        channel = next(filter(None, header.groups()), "final").split()[0].casefold()
        (answers if channel == "final" else thoughts).append(said)
    return _joined(thoughts), _joined(answers)


def _bare_harmony(text: str) -> tuple[str, str] | None:
    start = _BARE_START.match(text)
    headers = [
        header
        for header in _BARE_HEADER.finditer(text)
        if text[header.start() - 1 : header.start()] not in tuple(_QUOTES)
        and text[header.end() : header.end() + 1] not in tuple(_QUOTES)
    ]
    if not any(header["channel"] == "final" for header in headers):
        # Only a channel's name that runs into a sentence is no word of that sentence.
        if start is None or start["glued"] is None:
            return None
        return _joined([text[start.end() :]]), ""
    return _messages(text, start.end() if start else 0, headers, _NO_TOKEN)


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(filter(None, (part.strip() for part in parts)))


def _known_marks(text: str) -> Iterator[_Mark]:
    """Yield all marks whose name says that they are about thinking, in their order."""
    return map(_mark, _KNOWN.finditer(text))


def _mark(found: re.Match[str]) -> _Mark:
    if found["token"] is not None:
        closes = bool(_ENDS.search(found["token"]))
    elif found["channel"] is not None:
        closes = found["channel"].startswith("<channel")
    else:
        closes = bool(found["tag"] or found["triangle"] or found["bracket"])
    return _Mark(found.start(), found.end(), closes, bool(found["empty"]))


def _first_mark(text: str, *, closes: bool = False) -> _Mark | None:
    """Return the first known mark, or the first that ends thinking; None without one."""
    return next((mark for mark in _known_marks(text) if mark.closes or not closes), None)


class Sieve:
    """Lets the pieces of an answer pass and holds back those of the thinking before it.

    For who watches only: what counts in the end is `split_thinking` of the whole text.
    """

    __slots__ = ("_blocks", "_held", "_is_harmony", "_state")

    def __init__(self) -> None:
        self._state: Literal["open", "thinking", "answer"] = "open"
        self._held = ""
        self._is_harmony = False
        self._blocks = 0

    def shown(self, piece: str) -> str:
        """Return what of the piece, and of what was held back before it, is answer; "" while it thinks."""
        if self._state == "answer":
            return piece
        self._held += piece
        while self._blocks < _MOST_BLOCKS:
            if self._state == "thinking" and not self._ends():
                return ""
            begun = self._begins()
            if begun is None:
                return ""
            if not begun:
                break
        self._state, held, self._held = "answer", self._held, ""
        return held

    def _ends(self) -> bool:
        """Tell whether the thinking ends in what is held; what comes before that is let go."""
        if self._is_harmony:
            final = _FINAL_BEGINS.search(self._held)
            end = final.end() if final else None
        else:
            mark = _first_mark(self._held, closes=True)
            end = mark.end if mark else None
        self._held = self._held[-_LONGEST_MARK:] if end is None else self._held[end:]
        self._state = "thinking" if end is None else "open"
        return end is not None

    def _begins(self) -> bool | None:
        """Tell whether what is held begins with thinking; None where that cannot be told yet."""
        begin = self._held.lstrip()
        if not begin or any(name.startswith(begin) for name in _CHANNEL_NAMES):
            return None
        harmony = _HARMONY_BEGINS.match(begin)
        mark = _first_mark(begin[:_LONGEST_MARK])
        if harmony or (mark and mark.start == 0 and not mark.closes):
            self._state, self._is_harmony = "thinking", harmony is not None
            self._held = begin if harmony else begin[mark.end if mark else 0 :]
            self._blocks += 1
            return True
        return None if len(begin) < _LONGEST_MARK and _MARK_BEGUN.fullmatch(begin) else False
