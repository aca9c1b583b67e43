"""Batches that go wrong in every known way, through the real SDKs: what can be read is read, and told."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest
from batch_cases import ANSWERS, FREE, RESULTS, STATES, WAYS, changed
from batches_asked import (
    MODELS,
    NONCE,
    each_dialect,
    gathered,
    opened,
    read,
    requests,
    through,
)
from provider import KEY, Loopback
from provider_acts import Act
from provider_batches import Operation

from parallm_magics.core.batches import AT_BATCH_PRICE, BatchResult, BatchUnsentError
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Reading, Task, Usage
from parallm_magics.providers.registry import Clients

SILENT = 0.3


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is told as such after a moment."""
    for module in ("anthropic_batches", "openai_batches"):
        for name in ("SECONDS", "SENDING_SECONDS"):
            monkeypatch.setattr(f"parallm_magics.providers.{module}.{name}", SILENT)


def leaks(error: BaseException) -> bool:
    """Whether a key, or an exception that holds one, hangs on this one."""
    shown = "".join(traceback.format_exception(error)) + repr(vars(error))
    foreign = [error.__cause__, error.__context__]
    return KEY in shown or any(type(each).__module__ not in OURS for each in foreign if each)


OURS = ("parallm_magics.core.provider", "parallm_magics.core.batches")


# What became of the requests.


@each_dialect
@pytest.mark.parametrize("name", RESULTS)
def test_a_file_of_results_may_hold_anything(server: Loopback, dialect: str, name: str) -> None:
    """Every line that says what became of a request is read; that another one cannot be is told at the end."""
    case = RESULTS[name]
    server.batches.rewrite = lambda lines: case.rewrite(sorted(lines, key=lambda line: line[:400]))
    sent = requests(dialect, [MODELS[dialect]] * 4)

    async def main() -> tuple[list[BatchResult], CallFailed | None]:
        async with opened(dialect) as batches:
            return await gathered(batches, await batches.create(sent, NONCE), sent)

    found, failed = asyncio.run(main())
    fault = failed and failed.fault
    assert not (failed and leaks(failed))
    known = {request.id: request.id.rpartition("-")[2] for request in sent}
    assert tuple(known.get(result.id, "?") for result in found) == case.read
    assert (fault and fault.kind) == case.fault
    assert case.says in (fault.message if fault else "")
    for result in found:
        wrong = known.get(result.id) in case.failed
        assert isinstance(result.end, CallFailed if wrong else Reply)
        assert KEY not in result.end.text
        result.end.text.encode()


@each_dialect
def test_one_answer_may_be_anything(server: Loopback, dialect: str) -> None:
    """A line that is none of an answer is the fault of its request alone; what was never done is free."""
    cases = ANSWERS[dialect]
    sent = requests(dialect, [MODELS[dialect]] * len(cases))
    fields = dict(zip((request.id for request in sent), cases.values(), strict=True))

    def rewrite(lines: list[bytes]) -> list[bytes]:
        names = [line.partition(b'"custom_id": "')[2].partition(b'"')[0].decode() for line in lines]
        return [changed(line, **fields[name][0]) for line, name in zip(lines, names, strict=True)]

    server.batches.rewrite = rewrite
    ends = asyncio.run(through(dialect, sent))
    for (name, (_, kind)), request in zip(cases.items(), sent, strict=True):
        end = ends[request.id]
        assert isinstance(end, CallFailed), name
        assert end.fault.kind == kind, name
        if name in FREE:
            assert end.usage == Usage()
        if name == "an older error":
            assert end.fault.http == 529


ASKED = ("ok", "refusal", "filter", "length", "tool-use", "pause", "thinking")
ODD = ("no-content", "null-content", "empty-text", "no-usage", "null-usage", "absurd-usage")
WRONG = ("quota", "echo-key", "no-model", "bad-param", "too-long")
NONE = ("obj-200", "list-200", "null-200", "html-200", "badjson-200")
STATUSES = ("err-400", "err-403", "err-429", "err-500", "err-529")


@each_dialect
def test_answers_in_a_batch_are_read_as_any(server: Loopback, dialect: str) -> None:
    """Thinking, refusals, cut and broken answers and errors: the same end as of a single call, at half price."""
    names = (*ASKED, *ODD, *WRONG, *NONE, *STATUSES)
    sent = requests(dialect, names, stream=False)
    ends = asyncio.run(through(dialect, sent))

    async def singly() -> list[Reply | CallFailed]:
        clients = Clients()
        provider = await clients.get(sent[0].task.model)
        found: list[Reply | CallFailed] = []
        for request in sent:
            try:
                found.append(await provider.complete(request.task, lambda *_: None))
            except CallFailed as failed:
                found.append(failed)
        await clients.close()
        return found

    for request, name, single in zip(sent, names, asyncio.run(singly()), strict=True):
        end = ends[request.id]
        assert type(end) is type(single), name
        assert (end.text, end.model, end.thinking) == (single.text, single.model, single.thinking)
        assert AT_BATCH_PRICE[0] in end.terms
        if isinstance(end, Reply) and isinstance(single, Reply):
            assert (end.finish, end.usage) == (single.finish, single.usage), name
        elif isinstance(end, CallFailed) and isinstance(single, CallFailed):
            assert end.fault.kind == single.fault.kind, name
            assert KEY not in end.fault.message
            assert not leaks(end)
            if name in (*WRONG, *STATUSES):
                assert end.usage == Usage(), name


@each_dialect
def test_a_form_that_is_not_taken_is_asked_for_in_words_the_next_time(
    server: Loopback, dialect: str
) -> None:
    """An enforced answer comes as one; a refusal of the form fails in this batch and is known after it."""
    reading = Reading("choice", ("safe", "unsafe"))
    names = ("format-held", "format-400", "format-ignored")
    sent = requests(dialect, names, reading=reading, enforced=True)

    async def main() -> None:
        async with opened(dialect) as batches:
            made = await batches.create(sent, NONCE)
            held, refused, ignored = [r.end for r in sorted(await read(batches, made, sent))]
            assert isinstance(held, Reply)
            assert "safe" in held.text
            assert isinstance(ignored, Reply)
            assert isinstance(refused, CallFailed)
            assert refused.fault.kind == "bad_request"
            again = await batches.create([sent[1]], NONCE)
            [result] = await read(batches, again, [sent[1]])
            assert isinstance(result.end, Reply)
            assert "asked in words" in result.end.adapted

    asyncio.run(main())


# What is told of a batch.


@pytest.mark.parametrize(
    ("dialect", "name"), [(dialect, name) for dialect, cases in STATES.items() for name in cases]
)
def test_what_is_told_of_a_batch_may_be_anything(server: Loopback, dialect: str, name: str) -> None:
    """Counts, times and names that cannot be true are not believed, and cost no result."""
    case = STATES[dialect][name]
    sent = requests(dialect, [MODELS[dialect]] * 2)

    async def main() -> None:
        async with opened(dialect) as batches:
            made = await batches.create(sent, NONCE)
            server.batches.patch = case.patch
            state = await batches.state(made.id)
            for field, value in case.expected.items():
                assert getattr(state, field) == value, field
            assert [batch.id async for batch in batches.listed(None)] == [made.id]
            if "output_file_id" not in case.patch:
                assert len(await read(batches, state, sent)) == 2

    asyncio.run(main())


TOO_MUCH = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached for m."}
WRONG_LINE = {"code": "invalid_json_line", "message": "This line is not parseable.", "line": 3}


@pytest.mark.parametrize("dialect", ["openai", "openai-responses"])
@pytest.mark.parametrize(
    ("errors", "why", "passing"),
    [
        ([TOO_MUCH], "Enqueued token limit", True),
        ([WRONG_LINE], "not parseable. (line 3)", False),
        ([WRONG_LINE, TOO_MUCH], "; 1 more", False),
        ([{"code": 7, "line": "x"}], "no message", False),
    ],
)
def test_a_batch_may_be_refused_as_a_whole(
    server: Loopback, dialect: str, errors: list[dict[str, Any]], why: str, passing: bool
) -> None:
    """It says why, and whether it may be taken later; nothing of it was done."""
    server.batches.refusal = errors

    async def main() -> None:
        async with opened(dialect) as batches:
            made = await batches.create(requests(dialect, ["m"]), NONCE)
            state = await batches.state(made.id)
            assert (state.status, state.passing, state.total) == ("refused", passing, None)
            assert why in state.why
            assert await batches.cancel(made.id) == state

    asyncio.run(main())


@pytest.mark.parametrize("dialect", ["openai", "openai-responses"])
def test_both_files_of_results_are_read(server: Loopback, dialect: str) -> None:
    """Answers and errors stand apart; a file that cannot be had keeps none of the other back."""
    sent = requests(dialect, ["ok", "err-400", "ok", "err-500"])

    async def main() -> None:
        async with opened(dialect) as batches:
            made = await batches.create(sent, NONCE)
            good = [isinstance(r.end, Reply) for r in sorted(await read(batches, made, sent))]
            assert good == [True, False, True, False]
            gone: Operation
            for gone, left in (("results", CallFailed), ("errors", Reply)):
                server.batches.script(gone, Act(status=500))
                found, failed = await gathered(batches, made, sent)
                assert [type(result.end) for result in found] == [left] * 2
                assert failed is not None
                assert failed.fault.kind == "server"
                server.batches.script(gone, Act())
            server.batches.patch = {"output_file_id": None}
            assert len(await read(batches, made, sent)) == 2
            server.batches.patch = {"output_file_id": None, "error_file_id": None}
            with pytest.raises(CallFailed, match="names no file of results"):
                await read(batches, made, sent)

    asyncio.run(main())


# The way to a batch.

OPERATIONS: tuple[Operation, ...] = ("create", "retrieve", "list", "cancel", "results")


@each_dialect
@pytest.mark.parametrize("name", WAYS)
def test_whatever_the_way_to_a_batch_does_is_told_as_a_fault(
    server: Loopback, dialect: str, name: str
) -> None:
    """One line without a key, whatever is asked; a batch counts as unsent only where that is certain."""
    way = WAYS[name]
    uploads = dialect != "anthropic"

    async def main() -> None:
        async with opened(dialect) as batches:
            sent = requests(dialect, [MODELS[dialect]])
            made = await batches.create(sent, NONCE)
            asked = {
                "upload": lambda: batches.create(sent, NONCE),
                "create": lambda: batches.create(sent, NONCE),
                "retrieve": lambda: batches.state(made.id),
                "list": batches.newest,
                "cancel": lambda: batches.cancel(made.id),
                "results": lambda: read(batches, made, sent),
            }
            for operation, ask in asked.items():
                if operation == "upload" and not uploads:
                    continue
                if operation == "cancel":  # else the state of a batch that has ended is told
                    server.batches.script("retrieve", way.act)
                if operation == "results" and way.fault == "not_an_answer" and name in EMPTY:
                    continue
                server.batches.script(operation, way.act)  # type: ignore[arg-type]
                with pytest.raises(CallFailed) as failed:
                    await ask()
                fault = failed.value.fault
                assert not leaks(failed.value), operation
                assert KEY not in fault.message
                assert fault.kind == way.fault, (operation, fault)
                assert len(fault.message.splitlines()) == 1
                if operation in ("create", "upload"):
                    unsent = way.certain or operation == "upload"
                    assert isinstance(failed.value, BatchUnsentError) == unsent
                    assert way.says in fault.message
                server.batches.script(operation, Act())  # type: ignore[arg-type]
                server.batches.script("retrieve", Act())

    asyncio.run(main())


EMPTY = ("empty",)
"""What is no answer, but a file of results that holds none."""


@each_dialect
def test_a_server_without_batches_says_so(server: Loopback, dialect: str) -> None:
    """A server of one's own at the address of a known provider: one clear fault, with the way out."""
    for operation in ("create", "upload", "list"):
        server.batches.script(operation, Act(status=404, body="404 page not found"))  # type: ignore[arg-type]

    async def main() -> None:
        async with opened(dialect) as batches:
            with pytest.raises(BatchUnsentError, match=r"has no batch API .*without --batch"):
                await batches.create(requests(dialect, ["m"]), NONCE)
            with pytest.raises(CallFailed, match=r"has no batch API .*without --batch"):
                await batches.newest()

    asyncio.run(main())


@each_dialect
def test_a_batch_that_is_gone_is_told_by_its_id(server: Loopback, dialect: str) -> None:
    """Whatever was typed as its id: nothing else is asked for."""

    async def main() -> None:
        async with opened(dialect) as batches:
            for name in ("batch_x", "msgbatch_x", "../../models", "a?b=c", "a b"):
                with pytest.raises(CallFailed, match=r"there is no batch "):
                    await batches.state(name)

    asyncio.run(main())


@each_dialect
@pytest.mark.parametrize("broken", ["abort", "hang"])
def test_results_that_break_off_are_told_after_what_came(
    server: Loopback, dialect: str, broken: Any
) -> None:
    """Half of the file is read, then the fault says that there is more; reading again finds all."""
    server.batches.script("results", Act(then=broken), Act())
    sent = requests(dialect, [MODELS[dialect]] * 40)

    async def main() -> None:
        async with opened(dialect) as batches:
            made = await batches.create(sent, NONCE)
            found, failed = await gathered(batches, made, sent)
            assert failed is not None
            assert failed.fault.kind == ("connection" if broken == "abort" else "timeout")
            assert not leaks(failed)
            assert 15 <= len(found) <= 25
            assert all(isinstance(result.end, Reply) for result in found)
            assert len(await read(batches, made, sent)) == 40

    asyncio.run(main())


@each_dialect
def test_compressed_results_are_read(server: Loopback, dialect: str) -> None:
    """A file that comes gzipped is the same file."""
    server.batches.script("results", Act(gzip=True))
    sent = requests(dialect, [MODELS[dialect]] * 40)
    assert len(asyncio.run(through(dialect, sent))) == 40


def _turning(pages: list[dict[str, Any]]) -> list[Act]:
    return [Act(body=page) for page in pages]


ROW = {"type": "message_batch", "object": "batch", "status": "completed"}
LISTS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "a circle": ([{"data": [ROW | {"id": "a"}], "has_more": True, "last_id": "a"}], ["a"]),
    "more, but nothing": ([{"data": [], "has_more": True, "last_id": "a"}], []),
    "more, but no place": ([{"data": [ROW], "has_more": True}], []),
    "rows that are none": ([{"data": [None, 7, {}, ROW, ROW | {"id": "b"}]}], ["b"]),
    "one on two pages": (
        [
            {"data": [ROW | {"id": "a"}, ROW | {"id": "b"}], "has_more": True, "last_id": "b"},
            {"data": [ROW | {"id": "b"}, ROW | {"id": "c"}], "has_more": False},
        ],
        ["a", "b", "c"],
    ),
}


@each_dialect
@pytest.mark.parametrize("name", LISTS)
def test_a_list_may_hold_anything_and_has_an_end(server: Loopback, dialect: str, name: str) -> None:
    """Each batch comes once, and a list that turns in a circle ends."""
    pages, expected = LISTS[name]
    server.batches.script("list", *_turning(pages))

    async def main() -> list[str]:
        async with opened(dialect) as batches:
            return [batch.id async for batch in batches.listed("gone")]

    assert asyncio.run(main()) == expected


@each_dialect
def test_a_request_that_cannot_be_sent_is_known_before(server: Loopback, dialect: str) -> None:
    """Half a character or a number that JSON has not: told by its size, so that no batch fails by it."""
    good, bad = requests(dialect, [MODELS[dialect]] * 2)
    bad = bad._replace(task=Task(1, "s1", bad.task.model, "half \ud83d"))

    async def main() -> None:
        async with opened(dialect) as batches:
            assert batches.size(good) > len(good.task.prompt)
            for request in (bad, good._replace(task=nan(good.task))):
                with pytest.raises(CallFailed, match="cannot be sent"):
                    batches.size(request)
                with pytest.raises(BatchUnsentError):
                    await batches.create([good, request], NONCE)
            made = await batches.create([good], NONCE)
            assert made.id

    asyncio.run(main())
    [batch] = server.batches.made.values()
    assert list(batch.requests) == [good.id]


def nan(task: Task) -> Task:
    """A task with a parameter that no JSON holds."""
    return Task(0, "s0", task.model, "ask", params={"top_k": float("nan")})


@each_dialect
def test_the_size_is_what_is_sent(server: Loopback, dialect: str) -> None:
    """The sizes of all requests add up to what goes over the wire, but for the frame around them."""
    sent = requests(dialect, [MODELS[dialect]] * 50, system="Be brief. ö")

    async def main() -> int:
        async with opened(dialect) as batches:
            await batches.create(sent, NONCE)
            return sum(map(batches.size, sent))

    size = asyncio.run(main())
    if dialect == "anthropic":
        [call] = [call for call in server.log if call.endpoint.endswith("/batches")]
        assert int(call.headers["content-length"]) == size + len(b'{"requests":[]}') + 49
    else:
        [file] = server.batches.files.values()
        assert len(file) == size
