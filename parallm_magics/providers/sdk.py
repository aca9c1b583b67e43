"""One call through an SDK's client: sent, read and translated, whatever comes back."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from parallm_magics.errors import ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.address import host_of, is_local, split_url
from parallm_magics.providers.body import BOM, MOST_BYTES, Body, TooMuchError
from parallm_magics.providers.content import Content
from parallm_magics.providers.endings import ending_of
from parallm_magics.providers.error_body import read_error
from parallm_magics.providers.events import DONE, events
from parallm_magics.providers.faults import (
    Asked,
    fault_in_answer,
    fault_of,
    fault_of_answer,
    request_id,
)
from parallm_magics.providers.prompt_cache import prefix_tokens
from parallm_magics.providers.proxies import Proxy, proxy_of
from parallm_magics.providers.reading import parsed, parsed_start, string
from parallm_magics.providers.terms import told
from parallm_magics.providers.texts import mended, one_line
from parallm_magics.providers.transport import http_client, surroundings
from parallm_magics.providers.unwanted import Unwanted
from parallm_magics.types import CallFailed, Fault, Finish, Heard, Model, Reply, Task, Terms, Usage

# What may still come once the model has said why it stopped: the usage, and behind that nothing that
# anybody needs. Servers leave out the end of the stream, or keep the connection open for ever.
USAGE_SECONDS = 2.0
END_SECONDS = 0.5
GOOD = frozenset({200, 201, 203})
UNSEEN = frozenset({403, 451})


class NotAnAnswerError(Exception):
    """What came is not an answer of this API; says what it is instead."""


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
        waiting: the end of what has arrived, where it may be the beginning of a key.
        sent: the request.
        adapted: what was sent otherwise than usual, as the endpoint does not take it, in words.
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
    waiting: str = ""
    sent: Mapping[str, Any] = field(default_factory=dict)
    adapted: str = ""

    @property
    def text(self) -> str:
        """The text so far, without half characters and without a key that a server echoes."""
        return keys.without_keys(mended("".join(self.parts)))

    @property
    def thought(self) -> str:
        """The thinking so far, likewise."""
        return keys.without_keys(mended("".join(self.thinking))).strip()

    def tellable(self, piece: str) -> str:
        """What may be told of a piece: what may be the beginning of a key waits for the next one."""
        text = keys.without_keys(self.waiting + piece)
        size = keys.begun(text)
        self.waiting = text[len(text) - size :]
        return text[: len(text) - size]

    def priced(self, data: Mapping[str, Any]) -> None:
        """Take in what an answer, or its usage, says of its price."""
        if new := [each for each in told(data) if each not in self.terms]:
            self.terms += tuple(new)

    def counted(self, task: Task) -> Usage | None:
        """The usage, where it can be true: no prompt takes no token, and no text comes of none."""
        used = self.usage
        if used is None or used.total_tokens == used.output_tokens:
            return None
        return None if self.text and not used.output_tokens else used

    def named(self, model: object) -> None:
        """Take in the model's name; one text serves all the records of a map."""
        if name := one_line(keys.scrub(string(model)), 100):
            self.model = sys.intern(name)

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
            self.spoil(f"it holds a part of a type that is not known here ({content.unknown!r})")

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
            broken = f"{self.asked.host}: the provider broke the answer off (finish reason {said})"
            self.spoilt = self.spoilt or Fault("server", broken)
        elif ending == "unknown":
            self.spoil(f"the model stopped for a reason that is not known here ({said})")
        else:
            self.finish = self.finish or ending

    def spoil(self, why: str) -> None:
        """Note why the answer is not to be taken as one."""
        fault = Fault("not_an_answer", f"{self.asked.host}: not taken as an answer: {why}")
        self.spoilt = self.spoilt or fault

    def break_off(self, error: object) -> None:
        """Take in an error that stands in the place of the rest of the answer."""
        self.ended = True
        self.spoilt = fault_in_answer(error, self.asked)


class SdkProvider:
    """A provider that is reached by an SDK; the dialects differ in what they say, not in how.

    Attributes:
        sdk, client_class: the SDK's module, and its client in there.
        variables: the environment variables that the usual key may stand in.
        base_variable: the environment variable by which the SDK's users move the address.
        usual: the usual base URL.
        path: where calls are posted.
        unasked: the fields of a request that a server may refuse and that nobody has asked for, each
            with its other name or "".
    """

    simulated = False
    keeps_time = False
    local = False
    sdk: ClassVar[str]
    client_class: ClassVar[str]
    variables: tuple[str, ...]
    base_variable: str
    usual: str
    path: ClassVar[str]
    unasked: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        base_url: str | None = None,
        key_env: str | None = None,
        key_required: bool = True,
        usual: str = "",
    ) -> None:
        """Take the address and the name of the key's variable.

        A given `base_url` gets no key unless `key_env` names one: the official provider's key must
        never reach another host by default.

        Args:
            usual: the usual address, where it is another one than the class's.
        """
        self.usual = usual or self.usual
        self._given = base_url
        self._keys = (key_env,) if key_env else () if base_url else self.variables
        self._key_required = key_required
        for name in self._keys:
            keys.register(name)
        self._locate()
        self._client: Any = None
        self._proxy: Proxy | None = None
        self._made_for = ""
        self._retired: list[Any] = []
        self._building = asyncio.Lock()
        self._unwanted = Unwanted(self.unasked)

    def check(self, task: Task) -> None:
        """Refuse, before any call, what this model cannot do.

        Raises:
            ModelError: names the model, the option and the way out.
        """
        if not task.model.name:
            raise ModelError(
                f"{task.model.provider} needs a model name: {task.model.provider}:NAME"
            )
        if "stream" in task.params:
            raise ModelError("--param stream=… is not possible: use --stream on or --stream off")

    @property
    def account(self) -> str:
        """The same for providers that share one key at one address, and so its limits."""
        return f"{self.sdk} {self._mark()}"

    def _mark(self) -> str:
        """Tells a changed key or address from an unchanged one."""
        return keys.fingerprint(self._key_env, self._base_url())

    @property
    def _key_env(self) -> str | None:
        """The variable of the key: the first that is set."""
        usual = next(iter(self._keys), None)
        return next(filter(keys.is_set, self._keys), usual)

    @property
    def _to_check(self) -> str | None:
        """The variable to look at where the provider does not accept who asks."""
        return self._key_env

    def _require(self) -> None:
        """Refuse what could not be asked anyway, before the SDK is imported.

        Raises:
            ModelError: names what is missing, and the way out.
        """

    def least_prefix(self, model: Model) -> int | None:
        """The fewest tokens of a common beginning that are cached; None where nothing is."""
        raise NotImplementedError

    def caches(self, task: Task) -> bool:
        """Whether the provider keeps the beginning that the task shares with others in its cache."""
        least = self.least_prefix(task.model) if task.cache_key else None
        return least is not None and prefix_tokens(task) >= least

    def lasts(self, task: Task) -> float | None:
        """Nobody knows before it has been made."""
        return None

    async def prepare(self) -> None:
        """Import the SDK and build its client; again where key or address have changed.

        Raises:
            MissingKeyError: the key's variable is not set.
            ModelError: the address is none.
        """
        async with self._building:
            mark = f"{self._mark()} {surroundings()}"
            if self._client is not None and mark == self._made_for:
                return
            self._require()
            if self._key_env and (self._key_required or self._has_key()):
                keys.read(self._key_env)  # a missing key is told before the slow import
            self._locate()
            module = await asyncio.to_thread(importlib.import_module, self.sdk)
            if self._client is not None:
                self._retired.append(self._client)
            self._client, self._made_for = self._build(module), mark

    async def complete(self, task: Task, heard: Heard) -> Reply:
        """Make one call.

        Raises:
            CallFailed: with the fault and what had been received, for all that is no whole reply.
        """
        through = str(self._proxy or "")
        prompt = f"{task.system or ''} {task.prompt}"
        draft = Draft(Asked(self.host, task.model.name, self._to_check, through, prompt))
        fault: Fault | None = None
        try:
            await self._ask(task, heard, draft)
        except CallFailed as failed:
            fault = failed.fault
        except NotAnAnswerError as wrong:
            fault = Fault("not_an_answer", f"{self.host}: {wrong}")
        except asyncio.CancelledError:
            if not draft.ended:  # what came whole is kept, whoever lost patience
                raise
        except Exception as exc:  # the door: no exception of an SDK, which holds the key, leaves
            fault = fault_of(exc, draft.asked)
            if fault.kind == "bad_request":
                fault = self._without(task, draft, fault, getattr(exc, "body", None))
        draft.usage = draft.counted(task)
        if draft.ended:  # a connection that breaks after the stop has lost nothing
            if draft.spoilt is None:
                return _reply(draft)
            fault = draft.spoilt
        elif fault is None or (fault.kind in ("connection", "timeout") and draft.begun):
            fault = _cut(fault, self.host, task, draft)
        # Raised outside of the except blocks, so that no SDK exception hangs on it as its context.
        fault = replace(fault, request_id=fault.request_id or draft.request_id)
        # What is turned away before a model has seen it costs nothing.
        usage = Usage() if fault.kind == "refusal" and fault.http in UNSEEN else draft.usage
        raise CallFailed(
            fault,
            text=draft.text,
            usage=usage,
            model=draft.model,
            terms=draft.terms,
            thinking=draft.thought,
        )

    def _without(self, task: Task, draft: Draft, fault: Fault, body: object) -> Fault:
        """The fault, as a passing one where the next try goes without the field that it names."""
        error = read_error(body)
        name = self._unwanted.learn(task.model.name, draft.sent, task.params, error)
        return replace(fault, kind="parameter") if name else fault

    async def close(self) -> None:
        """Give back sockets and clients; also those of a loop that is closed."""
        clients = [*self._retired, *([self._client] if self._client is not None else [])]
        self._client, self._retired = None, []
        for client in clients:
            with contextlib.suppress(Exception):  # a closed loop's sockets are gone already
                await client.close()

    def _locate(self) -> None:
        """Take in where calls go; the environment may have changed since the last time."""
        self.host = host_of(self._base_url())
        self.address = "" if self.host == host_of(self.usual) else self.host
        self.local = is_local(self._base_url())

    def _base_url(self) -> str:
        return self._given or os.environ.get(self.base_variable, "").strip() or self.usual

    def _build(self, module: Any) -> Any:
        """The SDK's client: no retries and no time limits of its own, no redirects, a wide pool."""
        self._proxy = proxy_of(self._base_url())
        plain = self._base_url().startswith("http://")
        transport = http_client(module, self._proxy.url if self._proxy else None, plain)
        base, query, credentials = split_url(self._base_url())
        with contextlib.suppress(Exception):  # its frames hold the key: only our own error leaves
            return getattr(module, self.client_class)(
                max_retries=0,
                timeout=None,
                http_client=transport,
                default_query=query,
                default_headers=self._headers(module) | credentials,
                **self._place(base),
            )
        raise ModelError(f"no client for {self.host} can be built; check its base URL and key")

    def _place(self, base: str) -> dict[str, Any]:
        """The arguments by which the client knows where to ask, and as whom."""
        return {"base_url": base, "api_key": self._key()}

    def _key(self) -> str:
        """The key, or the dummy that local servers want; never kept by its caller."""
        return keys.read(str(self._key_env)) if self._has_key() else "none"

    def _has_key(self) -> bool:
        return self._key_env is not None and keys.is_set(self._key_env)

    def _headers(self, module: Any) -> dict[str, Any]:
        """Headers besides the SDK's own."""
        return {}

    async def _ask(self, task: Task, heard: Heard, draft: Draft) -> None:
        from httpx2 import Response

        model = task.model.name
        request = self._unwanted.without(model, self._request(task))
        request |= {"stream": True} if task.stream else {}
        draft.adapted = self._unwanted.said(model)
        draft.sent = request
        draft.several = request.get("n") not in (None, 1)
        response = await self._client.post(
            self.path,
            # The raw response, unread: typed models hide what foreign or broken servers send.
            cast_to=Response,
            body=request,
            stream=True,
            stream_cls=object,
        )
        draft.begun = True
        draft.request_id = request_id(response.headers)
        body = Body(response)
        try:
            # Servers stream unasked, and answer whole where a stream was asked for.
            form = await body.form()
            if response.status_code not in GOOD:
                raise NotAnAnswerError(_instead("an answer", body, response.status_code))
            if form == "events":
                await self._read_events(body, heard, draft)
            else:
                await self._read_whole(body, draft)
        except TooMuchError:
            raise NotAnAnswerError(
                f"more than {MOST_BYTES >> 20} MB of {body.kind or '?'}"
            ) from None
        finally:
            await response.aclose()

    async def _read_whole(self, body: Body, draft: Draft) -> None:
        data = await _value(body)
        if error := _error_in(data):
            raise CallFailed(fault_of_answer(200, {}, error, draft.asked))
        if not isinstance(data, dict) or not self._whole(data, draft):
            raise NotAnAnswerError(_instead("an answer of this API", body))
        draft.ended = True

    async def _read_events(self, body: Body, heard: Heard, draft: Draft) -> None:
        came = False
        try:
            async with asyncio.timeout(None) as limit:
                async for event in self._events_of(body):
                    before, thought = len(draft.parts), len(draft.thinking)
                    if event == DONE:
                        draft.over = True
                    elif event:
                        came = True
                        self._take_event(event, body, draft)
                    _tell(heard, draft, before, thought)
                    if draft.over:
                        await body.drain()
                        return
                    if draft.ended:
                        _shorten(limit, USAGE_SECONDS if draft.usage is None else END_SECONDS)
        except TimeoutError:
            if not limit.expired():
                raise
        if body.head.strip() and not came and not _half_an_event(body.head):
            raise NotAnAnswerError(_instead("a stream", body))

    def _events_of(self, body: Body) -> AsyncIterator[str]:
        """The data of each event of a stream; "" for another sign of life."""
        return events(aiter(body))

    def _take_event(self, event: str, body: Body, draft: Draft) -> None:
        data = parsed(event)
        if error := _error_in(data):
            raise CallFailed(fault_of_answer(200, {}, error, draft.asked))
        if not isinstance(data, dict):
            raise NotAnAnswerError(_instead("a stream of this API", body))
        self._event(data, draft)

    def _request(self, task: Task) -> dict[str, Any]:
        """The request's body."""
        raise NotImplementedError

    def _whole(self, data: Mapping[str, Any], draft: Draft) -> bool:
        """Take in an unstreamed answer; False where it is none."""
        raise NotImplementedError

    def _event(self, data: Mapping[str, Any], draft: Draft) -> None:
        """Take in one event of a stream."""
        raise NotImplementedError


def _reply(draft: Draft) -> Reply:
    finish = draft.finish or "stop"
    return Reply(
        draft.text,
        finish,
        draft.usage,
        draft.model,
        keys.scrub(draft.request_id) if draft.request_id else None,
        terms=draft.terms,
        adapted=draft.adapted,
        thinking=draft.thought,
        thinking_tokens=draft.thinking_tokens,
    )


def _cut(fault: Fault | None, host: str, task: Task, draft: Draft) -> Fault:
    broken = "the connection broke in the middle of the answer"
    how = f"{host}: {broken if fault else 'the stream ended without a stop event'}"
    if not task.stream:
        return Fault("connection", how)
    kept = f"; {len(draft.text)} characters had arrived" if draft.parts else ""
    return Fault("cut", f"{how}{kept}")


def _instead(wanted: str, body: Body, status: int = 200) -> str:
    start = one_line(keys.scrub(body.head.decode("utf-8", "replace")))
    kind = one_line(body.kind, 60) or "no content type"
    return f"status {status}, but not {wanted} ({kind}): {start or 'empty'}"


def _error_in(data: object) -> object:
    """The error body that came with a good status; None where it is something else."""
    if isinstance(data, list):
        return next((each for each in map(_error_in, data) if each), None)
    if not isinstance(data, dict):
        return None
    said = data.get("error") or data.get("type") == "error" or data.get("object") == "error"
    return data if said else None


def _half_an_event(head: bytes) -> bool:
    """Whether a stream had begun that broke off in its first event."""
    return head.lstrip().removeprefix(BOM).lstrip().startswith((b"data:", b"event:", b":"))


def _tell(heard: Heard, draft: Draft, before: int, thought: int) -> None:
    """Tell what has been added since the draft had so many pieces of text and of thinking."""
    piece = draft.tellable(mended("".join(draft.parts[before:])))
    if thinking := keys.without_keys("".join(draft.thinking[thought:])):
        heard(piece, thinking)
    else:
        heard(piece)


def _shorten(limit: asyncio.Timeout, seconds: float) -> None:
    """Wait no longer than so many seconds from now."""
    at = asyncio.get_running_loop().time() + seconds
    if (when := limit.when()) is None or at < when:
        limit.reschedule(at)


async def _value(body: Body) -> Any:
    """The JSON value of a body, also where the body never ends behind it, or breaks off there."""
    sent, value = bytearray(), None
    try:
        async with asyncio.timeout(None) as limit:
            async for chunk in body:
                sent += chunk
                if value is not None or chunk.rstrip().endswith((b"}", b"]")):
                    value = parsed_start(sent)
                if value is None:
                    limit.reschedule(None)
                else:
                    _shorten(limit, END_SECONDS)
    except TooMuchError:
        raise
    except Exception:
        if value is None:
            raise
    return parsed_start(sent) if value is None else value
