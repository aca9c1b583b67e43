"""One call through an SDK's client: sent, read and translated, whatever comes back."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from parallm_magics.errors import ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.address import host_of, split_url
from parallm_magics.providers.body import MOST_BYTES, Body, TooMuchError, events
from parallm_magics.providers.faults import Asked, fault_of, fault_of_answer, request_id
from parallm_magics.providers.prompt_cache import prefix_tokens
from parallm_magics.providers.reading import parsed, string
from parallm_magics.providers.terms import told
from parallm_magics.providers.texts import mended, one_line
from parallm_magics.providers.transport import http_client
from parallm_magics.types import CallFailed, Fault, Finish, Heard, Model, Reply, Task, Terms, Usage


class NotAnAnswerError(Exception):
    """What came is not an answer of this API; says what it is instead."""


@dataclass(slots=True)
class Draft:
    """What has been received of one answer so far.

    Attributes:
        parts: pieces of text.
        finish: why the model stopped; None until it has said so.
        ended: whether the answer is complete.
        over: whether nothing more is to come, not even the usage.
        counts: the usage as sent, merged over the events.
        usage: the same in our classes.
        terms: what it says of its price.
        model: the model as the provider names it.
        request_id: the provider's id of the request.
        begun: whether a good status has arrived.
    """

    parts: list[str] = field(default_factory=list)
    finish: Finish | None = None
    ended: bool = False
    over: bool = False
    counts: dict[str, Any] = field(default_factory=dict)
    usage: Usage | None = None
    terms: Terms = ()
    model: str | None = None
    request_id: str | None = None
    begun: bool = False

    @property
    def text(self) -> str:
        """The text so far, without half characters."""
        return mended("".join(self.parts))

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
        if name := one_line(string(model), 100):
            self.model = sys.intern(name)


class SdkProvider:
    """A provider that is reached by an SDK; the dialects differ in what they say, not in how.

    Attributes:
        sdk, client_class: the SDK's module, and its client in there.
        variables: the environment variables that the usual key may stand in.
        base_variable: the environment variable by which the SDK's users move the address.
        usual: the usual base URL.
        path: where calls are posted.
    """

    simulated = False
    keeps_time = False
    sdk: ClassVar[str]
    client_class: ClassVar[str]
    variables: tuple[str, ...]
    base_variable: str
    usual: str
    path: ClassVar[str]

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
        self._made_for = ""
        self._retired: list[Any] = []
        self._building = asyncio.Lock()

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
            mark = self._mark()
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
        asked = Asked(self.host, task.model.name, self._key_env)
        draft = Draft()
        fault: Fault | None = None
        try:
            await self._ask(task, heard, draft, asked)
        except CallFailed as failed:
            fault = failed.fault
        except NotAnAnswerError as wrong:
            fault = Fault("not_an_answer", f"{self.host}: {wrong}")
        except Exception as exc:  # the door: no exception of an SDK, which holds the key, leaves
            fault = fault_of(exc, asked)
        draft.usage = draft.counted(task)
        if draft.ended:  # a connection that breaks after the stop has lost nothing
            return _reply(draft)
        if fault is None or (fault.kind in ("connection", "timeout") and draft.begun):
            fault = _cut(fault, self.host, task, draft)
        if fault.kind == "refusal":
            return Reply(fault.message, "refusal", request_id=fault.request_id)
        # Raised outside of the except blocks, so that no SDK exception hangs on it as its context.
        fault = replace(fault, request_id=fault.request_id or draft.request_id)
        raise CallFailed(
            fault, text=draft.text, usage=draft.usage, model=draft.model, terms=draft.terms
        )

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

    def _base_url(self) -> str:
        return self._given or os.environ.get(self.base_variable, "").strip() or self.usual

    def _build(self, module: Any) -> Any:
        """The SDK's client: no retries and no time limits of its own, no redirects, a wide pool."""
        transport = http_client(module)
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

    async def _ask(self, task: Task, heard: Heard, draft: Draft, asked: Asked) -> None:
        from httpx2 import Response

        response = await self._client.post(
            self.path,
            # The raw response, unread: typed models hide what foreign or broken servers send.
            cast_to=Response,
            body=self._request(task) | ({"stream": True} if task.stream else {}),
            stream=True,
            stream_cls=object,
        )
        draft.begun = True
        draft.request_id = request_id(response.headers)
        body = Body(response)
        try:
            if task.stream and "json" not in body.kind and "html" not in body.kind:
                await self._read_events(body, heard, draft, asked)
            else:
                await self._read_whole(body, task, draft, asked)
        except TooMuchError:
            raise NotAnAnswerError(
                f"more than {MOST_BYTES >> 20} MB of {body.kind or '?'}"
            ) from None
        finally:
            await response.aclose()

    async def _read_whole(self, body: Body, task: Task, draft: Draft, asked: Asked) -> None:
        data = parsed(await body.whole())
        if isinstance(data, dict) and data.get("error"):
            raise CallFailed(fault_of_answer(200, {}, data, asked))
        if task.stream or not isinstance(data, dict) or not self._whole(data, draft):
            wanted = "a stream" if task.stream else "an answer of this API"
            raise NotAnAnswerError(_instead(wanted, body))
        draft.ended = True

    async def _read_events(self, body: Body, heard: Heard, draft: Draft, asked: Asked) -> None:
        came = False
        async for event in events(aiter(body)):
            before = len(draft.parts)
            if event == "[DONE]":
                draft.over = True
            elif event:
                came = True
                self._take_event(event, body, draft, asked)
            heard(mended("".join(draft.parts[before:])))
            if draft.over:
                await body.drain()
                return
        if body.head.strip() and not came:
            raise NotAnAnswerError(_instead("a stream", body))

    def _take_event(self, event: str, body: Body, draft: Draft, asked: Asked) -> None:
        data = parsed(event)
        if not isinstance(data, dict):
            raise NotAnAnswerError(_instead("a stream of this API", body))
        if data.get("error"):
            raise CallFailed(fault_of_answer(200, {}, data, asked))
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
    return Reply(draft.text, finish, draft.usage, draft.model, draft.request_id, terms=draft.terms)


def _cut(fault: Fault | None, host: str, task: Task, draft: Draft) -> Fault:
    broken = "the connection broke in the middle of the answer"
    how = f"{host}: {broken if fault else 'the stream ended without a stop event'}"
    if not task.stream:
        return Fault("connection", how)
    kept = f"; {len(draft.text)} characters had arrived" if draft.parts else ""
    return Fault("cut", f"{how}{kept}")


def _instead(wanted: str, body: Body) -> str:
    start = one_line(keys.scrub(body.head.decode("utf-8", "replace")))
    kind = one_line(body.kind, 60) or "no content type"
    return f"status 200, but not {wanted} ({kind}): {start or 'empty'}"
