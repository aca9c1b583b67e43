"""How bytes become an answer, in general: forms, ends, parts and error bodies, whatever they are."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics.core.finish_reasons import ENDINGS, NONE, ending_of
from parallm_magics.providers.draft import Draft, content_of
from parallm_magics.providers.entries import BY_NAME
from parallm_magics.providers.error_body import WORDS, read_error
from parallm_magics.providers.events import events
from parallm_magics.providers.faults import Asked, fault_in_answer, fault_of_answer
from parallm_magics.providers.json_values import parsed_start
from parallm_magics.providers.openai import OpenAIProvider
from parallm_magics.providers.responses import ResponsesProvider
from parallm_magics.providers.unwanted import Unwanted

# Server-sent events.


def read(chunks: Sequence[bytes], broken: bool = False) -> tuple[list[str], bool]:
    """The data of all events of these chunks, and whether the break came through."""

    async def sent() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if broken:
            raise OSError("broken")

    async def main() -> tuple[list[str], bool]:
        found: list[str] = []
        try:
            async for ended in events(sent()):
                found += ended
        except OSError:
            return found, True
        return found, False

    return asyncio.run(main())


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The bytes cut at these places."""
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks)]


texts = st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3)


@given(
    st.lists(texts, max_size=5),
    st.lists(st.integers(0, 10_000), max_size=9),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", ": still here", "id: 7", "event: message", "retry: 100", "unknown"]),
    st.booleans(),
)
def test_events_are_the_same_however_they_are_cut(
    said: list[dict[str, str]], places: list[int], end: str, between: str, broken: bool
) -> None:
    """Chunk borders, line ends, comments, other fields and a break behind the last one change nothing."""
    lines = [
        f"{between}{end}data: {json.dumps(each, ensure_ascii=False)}{end}{end}" for each in said
    ]
    found, came_through = read(cut("".join(lines).encode(), places), broken)
    assert [json.loads(data) for data in found if data] == said
    assert came_through == broken


@given(texts, st.integers(1, 200))
def test_a_last_event_counts_only_if_it_is_whole(said: dict[str, str], missing: int) -> None:
    """Without a blank line behind it, it does; with a byte less it does not."""
    data = json.dumps(said)
    assert read([f"data: {data}".encode()]) == ([data], False)
    assert read([f"data: {data[: -min(missing, len(data))]}".encode()]) == ([], False)


def test_events_without_blank_lines_are_told_apart() -> None:
    """Lines that make sense alone only are an event each; those that belong together are one."""
    assert read([b'data: {"a": 1}\ndata: {"b": 2}\n\n']) == (['{"a": 1}', '{"b": 2}'], False)
    assert read([b'data: {"a":\ndata: 1}\n\n']) == (['{"a":\n1}'], False)


def test_what_is_named_an_error_is_one() -> None:
    """Also where its data does not say so."""
    [data], _ = read([b'event: error\ndata: {"message": "no"}\n\n'])
    assert json.loads(data) == {"error": {"message": "no"}}
    [data], _ = read([b"event: error\ndata: no luck\n\n"])
    assert json.loads(data) == {"error": {"message": "no luck"}}


# Whole answers.


@pytest.mark.parametrize("behind", [b"", b"\n\n", b"\ndata: [DONE]\n\n", b"\n: ping\n", b"\r\n"])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n\n ", b"\xef\xbb\xbf\n"])
def test_an_answer_is_read_whatever_surrounds_it(before: bytes, behind: bytes) -> None:
    """A mark and blanks before it, and the end of a stream that it is not."""
    assert parsed_start(before + b'{"a": "\xc3\xa9"}' + behind) == {"a": "é"}


@pytest.mark.parametrize(
    "sent", [b'{"a": 1', b'{"a": 1} {"b": 2}', b'{"a": 1} x', b"", b"{" * 10**5]
)
def test_half_an_answer_is_none(sent: bytes) -> None:
    """Nor is one with something else behind it."""
    assert parsed_start(sent) is None


# Unknown is not good.


@given(st.text(max_size=20))
def test_a_reason_that_nobody_knows_is_not_good(word: str) -> None:
    """Only listed words end an answer well, in any letter case and spelling of the gaps."""
    plain = word.strip().lower().replace("-", "_").replace(" ", "_").rpartition(".")[2]
    expected = ENDINGS.get(plain.removeprefix("finish_reason_"), "unknown")
    none = plain.removeprefix("finish_reason_") in NONE
    assert ending_of(word) == (None if none else expected)


@pytest.mark.parametrize("word", ENDINGS)
def test_letter_case_and_gaps_do_not_matter(word: str) -> None:
    """Gateways pass on the enumerations of all providers."""
    for spelt in (
        word.upper(),
        word.replace("_", "-"),
        f"FinishReason.{word.upper()}",
        f" {word} ",
    ):
        assert ending_of(spelt) == ENDINGS[word]
    assert ending_of(f"FINISH_REASON_{word.upper()}") == ENDINGS[word]


@given(st.text(min_size=1, max_size=12))
def test_a_part_that_nobody_knows_is_told(kind: str) -> None:
    """Every type of part is text, thinking, known to be silent, or unknown; never text by guess."""
    content = content_of(
        [{"type": "text", "text": "yes"}, {"type": kind, "text": "no", "data": "no"}]
    )
    assert content.unknown or "no" not in content.text or kind in ("text", "output_text")


@pytest.mark.parametrize(
    ("content", "text", "thinking"),
    [
        pytest.param("yes", "yes", "", id="text"),
        pytest.param(None, "", "", id="none"),
        pytest.param([], "", "", id="no part"),
        pytest.param(["ye", "s"], "yes", "", id="texts"),
        pytest.param([{"text": "yes"}], "yes", "", id="without a type"),
        pytest.param([{"type": "thinking", "thinking": "hm"}], "", "hm", id="thinking"),
        pytest.param([{"type": "reasoning", "text": "hm"}], "", "hm", id="reasoning"),
        pytest.param([{"type": "redacted_thinking", "data": "x"}], "", "", id="redacted"),
        pytest.param([{"type": "web_search_tool_result", "content": []}], "", "", id="tool result"),
        pytest.param([{"type": "reference", "reference_ids": [1]}], "", "", id="reference"),
        pytest.param([{"type": "text", "text": 7}, None, 5], "", "", id="odd types"),
    ],
)
def test_parts_are_read_for_what_they_are(content: object, text: str, thinking: str) -> None:
    """Text is the answer, thinking stands apart, and tools and files hold neither."""
    found = content_of(content)
    assert (found.text, found.thinking, found.unknown) == (text, thinking, "")


@pytest.mark.parametrize(
    ("data", "finish", "spoilt"),
    [
        ({"status": "completed"}, "stop", None),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
            None,
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "refusal",
            None,
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "spleen"}},
            None,
            "not_an_answer",
        ),
        ({"status": "incomplete"}, None, "not_an_answer"),
        ({"status": "queued"}, None, "not_an_answer"),
        ({"status": "failed", "error": {"code": "server_error", "message": "no"}}, None, "server"),
    ],
)
def test_a_responses_end_is_good_only_if_it_is_known(
    data: dict[str, object], finish: str | None, spoilt: str | None
) -> None:
    """The Responses API tells by a status, and by why an answer is incomplete."""
    part = {"type": "output_text", "text": "yes"}
    draft = Draft()
    answer = {**data, "output": [{"type": "message", "content": [part]}]}
    assert ResponsesProvider(BY_NAME["openai-responses"])._whole(answer, draft)
    assert (draft.text, draft.finish, draft.spoilt and draft.spoilt.kind) == ("yes", finish, spoilt)


# The server's own words.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*WORDS, "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(json_values, st.integers(100, 999))
def test_no_error_body_is_an_exception(body: object, status: int) -> None:
    """Whatever JSON a server sends: a fault, one line of at most 400 characters, and never a success."""
    fault = fault_of_answer(status, {}, body, Asked("host", "m", "KEY"))
    assert len(fault.message) <= 400
    assert "\n" not in fault.message
    assert fault_in_answer(body, Asked()).kind in ("server", "rate_limit", "refusal", "too_large")


def wrap(draw: st.DrawFn, words: str) -> object:
    """The words somewhere in an error body of a form that is in use."""
    inner: object = words
    for _ in range(draw(st.integers(0, 3))):
        form = draw(st.sampled_from(["object", "list", "loc", "text"]))
        if form == "object":
            inner = {draw(st.sampled_from(WORDS)): inner}
        elif form == "list":
            inner = [inner]
        elif form == "loc":
            inner = {"detail": [{"loc": ["body", "x"], "msg": inner}]}
        else:
            inner = {"error": {"message": json.dumps(inner)}}
    return inner


@given(st.data())
def test_the_words_are_found_wherever_they_stand(data: st.DataObject) -> None:
    """In objects, lists, FastAPI's details and JSON that is packed into a text."""
    words = "the frobnicator is upside down"
    body = data.draw(st.composite(wrap)(words))
    assert words in read_error(body).words
    assert words in fault_of_answer(400, {}, body, Asked()).message


TICKETS = [
    "Incorrect API key provided, what now?",
    "My account has been suspended!",
    "Your organization has been disabled",
    "my credit balance is too low",
    "You do not have permission to do this",
    "This violates your usage policies",
]


@pytest.mark.parametrize("status", [400, 403, 422])
@pytest.mark.parametrize("ticket", TICKETS)
def test_a_prompt_that_is_quoted_says_nothing_of_the_account(status: int, ticket: str) -> None:
    """An error that holds the prompt's own words must not stop the run; the same words of the server's do."""
    body = {
        "detail": [{"loc": ["body"], "msg": "cannot be read", "input": ticket}, {"msg": ticket}]
    }
    theirs = fault_of_answer(status, {}, body, Asked(prompt=f"Sort this ticket: {ticket}"))
    assert theirs.kind == ("forbidden" if status == 403 else "bad_request")
    ours = fault_of_answer(status, {}, {"error": {"message": ticket}}, Asked(prompt="hello"))
    assert ours.kind in ("auth", "quota", "refusal") or "permission" in ticket


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            403,
            {"error": {"message": "Your account has been suspended for violating usage policies"}},
            "auth",
        ),
        (403, {"error": {"type": "forbidden", "message": "Request not allowed"}}, "forbidden"),
        (403, {"message": "The security token included in the request is invalid."}, "auth"),
        (403, {"message": "User: arn is not authorized to perform: InvokeModel"}, "auth"),
        (403, "error code: 1020", "forbidden"),
        (403, "<html><title>Access denied</title></html>", "forbidden"),
        (403, None, "forbidden"),
        (400, {"error": {"code": "moderation_blocked", "message": "no"}}, "refusal"),
        (
            400,
            {"error": {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
            "refusal",
        ),
        (
            400,
            {"error": {"message": "Invalid 'safety_identifier'", "param": "safety_identifier"}},
            "bad_request",
        ),
        (401, {"detail": "Invalid API key"}, "auth"),
        (422, {"detail": "Invalid API key"}, "auth"),
        (400, {"error": "Missing API key"}, "auth"),
        (
            429,
            {"error": {"message": "would exceed the limit of 40,000 input tokens per minute"}},
            "rate_limit",
        ),
        (
            429,
            {"error": {"message": "Rate limit reached for o3 on TPM: Limit 30000, Requested 2000"}},
            "rate_limit",
        ),
        (429, {"error": {"message": "TPM: Limit 30,000, Requested 47,000"}}, "too_large"),
        (413, {"error": {"code": "rate_limit_exceeded", "message": "too much"}}, "too_large"),
        (999, "<html>", "not_an_answer"),
    ],
)
def test_whose_fault_it_is_is_told_from_the_words(status: int, body: object, kind: str) -> None:
    """The account's, the prompt's, the minute's or the server's."""
    assert fault_of_answer(status, {}, body, Asked("host", "m", "KEY")).kind == kind


# Fields that go unasked.

SENT = {"model": "m", "max_tokens": 9, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("error", "field"),
    [
        ({"param": "max_tokens", "message": "Unsupported parameter"}, "max_tokens"),
        ({"message": "'max_tokens' is not supported. Use 'max_completion_tokens'."}, "max_tokens"),
        (
            {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs"}]},
            "stream_options",
        ),
        ({"message": "Unrecognized request argument supplied: stream_options"}, "stream_options"),
        ({"message": "property 'stream_options' is unsupported", "param": None}, "stream_options"),
        ({"param": "temperature", "message": "max_tokens"}, ""),
        ({"param": "max_tokens", "message": "max_tokens is too large: at most 4096"}, ""),
        ({"message": "max_tokens must be at least 16"}, ""),
        ({"message": "the request is wrong"}, ""),
        ({"message": "max_tokens_total is unknown"}, ""),
    ],
)
def test_a_field_of_ours_that_is_refused_is_found(error: dict[str, object], field: str) -> None:
    """By its mark or its name in the words; not where only its value is wrong."""
    assert (
        Unwanted(OpenAIProvider.unasked).learn("m", SENT, {}, read_error({"error": error})) == field
    )


def test_a_refused_field_is_left_out_once_and_for_this_model_only() -> None:
    """Exchanged or dropped from then on; a field that the user asked for stays."""
    unwanted, named = (
        Unwanted(OpenAIProvider.unasked),
        read_error({"error": {"param": "max_tokens"}}),
    )
    assert unwanted.learn("m", SENT, {"max_tokens": 9}, named) == ""
    assert unwanted.learn("m", SENT, {}, named) == "max_tokens"
    sent = unwanted.without("m", SENT)
    assert sent == {
        "model": "m",
        "max_completion_tokens": 9,
        "stream_options": SENT["stream_options"],
    }
    assert unwanted.without("other", SENT) == SENT
    back = read_error({"error": {"param": "max_completion_tokens"}})
    assert unwanted.learn("m", sent, {}, back) == "", "neither is taken: there is no way on"
