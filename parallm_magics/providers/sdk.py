"""One call through an SDK's client: sent, read and translated, whatever comes back."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Model, Task, Usage
from parallm_magics.errors import ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.address import host_of, is_local, split_url
from parallm_magics.providers.body import MOST_BYTES, Body, TooMuchError
from parallm_magics.providers.draft import Draft
from parallm_magics.providers.error_body import read_error
from parallm_magics.providers.events import events
from parallm_magics.providers.faults import Asked, fault_of, request_id
from parallm_magics.providers.prompt_cache import prefix_tokens
from parallm_magics.providers.proxies import Proxy, proxy_of
from parallm_magics.providers.receiving import (
    NotAnAnswerError,
    instead,
    receive_events,
    receive_whole,
)
from parallm_magics.providers.services import Service
from parallm_magics.providers.transport import http_client, surroundings
from parallm_magics.providers.unwanted import Unwanted

GOOD = frozenset({200, 201, 203})
UNSEEN = frozenset({403, 451})


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

    @classmethod
    def for_service(cls, service: Service) -> Self:
        """What asks a provider that is known by name; most classes know of one alone."""
        return cls()

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
                return draft.reply()
            fault = draft.spoilt
        elif fault is None or (fault.kind in ("connection", "timeout") and draft.begun):
            fault = draft.cut(fault, task)
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
                raise NotAnAnswerError(instead("an answer", body, response.status_code))
            if form == "events":
                await receive_events(body, self._events_of(body), heard, draft, self._event)
            else:
                await receive_whole(body, draft, self._whole)
        except TooMuchError:
            raise NotAnAnswerError(
                f"more than {MOST_BYTES >> 20} MB of {body.kind or '?'}"
            ) from None
        finally:
            await response.aclose()

    def _events_of(self, body: Body) -> AsyncGenerator[str]:
        """The data of each event of a stream; "" for another sign of life."""
        return events(aiter(body))

    def _request(self, task: Task) -> dict[str, Any]:
        """The request's body."""
        raise NotImplementedError

    def _whole(self, data: Mapping[str, Any], draft: Draft) -> bool:
        """Take in an unstreamed answer; False where it is none."""
        raise NotImplementedError

    def _event(self, data: Mapping[str, Any], draft: Draft) -> None:
        """Take in one event of a stream."""
        raise NotImplementedError
