"""One call through an SDK's client: sent, read and translated, whatever comes back."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any, ClassVar

from parallm_magics.core.browser import IN_BROWSER
from parallm_magics.core.foreign_text import one_line
from parallm_magics.core.models import Model
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Reading, Task
from parallm_magics.errors import ModelError
from parallm_magics.providers.address import split_url
from parallm_magics.providers.base import BaseProvider
from parallm_magics.providers.body import MOST_BYTES, Body, TooMuchError
from parallm_magics.providers.direct_requests import DirectRequests, posted_by
from parallm_magics.providers.draft import Draft
from parallm_magics.providers.entry import ProviderEntry
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
from parallm_magics.providers.server_refusals import ServerRefusals
from parallm_magics.providers.terms import told_in
from parallm_magics.providers.transport import environment, http_client, load_transport, session_of

GOOD = frozenset({200, 201, 203})
MOST_MB = MOST_BYTES >> 20
NO_CONNECTIONS = (
    "{}: a page's own Python can ask no model; play recordings back (%parallm recordings PATH), use -m sim, or open "
    "the notebook in Jupyter on a computer"
)


class SdkProvider(BaseProvider):
    """A provider that is reached by an SDK; the dialects differ in what they say, not in how.

    Attributes:
        path: where calls are posted.
        unasked: the fields of a request that a server may refuse and that nobody has asked for, each
            with its other name or "".
        custom_headers: the variable of headers that the SDK adds by itself.
        own_headers: headers that the SDK fills from its maker's variables.
    """

    path: ClassVar[str]
    unasked: ClassVar[Mapping[str, str]] = {}
    custom_headers: ClassVar[str]
    own_headers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, entry: ProviderEntry) -> None:
        """Take its entry, which must name a dialect."""
        super().__init__(entry)
        if entry.dialect is None:
            raise ModelError(f"{entry.name}: its entry has no dialect")
        self._dialect = entry.dialect
        self._client: Any = None
        self._direct: DirectRequests | None = None
        self._proxy: Proxy | None = None
        self._made_for, self._checked = "", self._to_check
        self._retired: list[Any] = []
        self._building = asyncio.Lock()
        self._refusals = ServerRefusals(self.unasked)

    def check(self, task: Task) -> None:
        """Refuse, before any call, what this model cannot do."""
        super().check(task)
        if "stream" in task.params:
            raise ModelError("--param stream=… is not allowed: use --stream on or --stream off")

    def least_prefix(self, model: Model) -> int | None:
        """The fewest tokens of a common beginning that are cached; None where nothing is."""
        raise NotImplementedError

    def caches(self, task: Task) -> bool:
        """Whether the provider keeps the beginning that the task shares with others in its cache."""
        least = self.least_prefix(task.model) if task.cache_key else None
        return least is not None and prefix_tokens(task) >= least

    def load(self) -> Any:
        """Import the SDK with all that a first call needs, and give it back; slow, and right in any thread.

        Raises:
            ModelError: it cannot be imported, or the certificates of the environment cannot be read.
        """
        return _imported(self._dialect.sdk, self.entry.name)

    async def prepare(self) -> None:
        """Import the SDK and build its client; again where key or address have changed.

        Raises:
            MissingKeyError: the key's variable is not set.
            ModelError: the address is none.
        """
        async with self._building:
            mark = f"{self._mark()} {environment()}"
            if self._client is not None and mark == self._made_for:
                return
            _refuse_in_browser(self.entry.name)
            self._require()  # a missing key is told before the slow import
            self._locate()
            module = await asyncio.to_thread(self.load)
            if self._client is not None:
                self._retired.append(self._client)
            self._client, self._made_for = self._build(module), mark
            self._checked = self._to_check

    async def complete(self, task: Task, heard: Heard) -> Reply:
        """Make one call.

        Raises:
            CallFailed: with the fault and what had been received, for all that is no whole reply.
        """
        draft = self._draft(task)
        fault: Fault | None = None
        try:
            await self._post(task, heard, draft)
        except CallFailed as failed:
            fault = self._refusals.judged(task, draft, failed.fault, failed.fault.message)
        except NotAnAnswerError as wrong:
            fault = Fault("not_an_answer", f"{self.host}: {wrong}")
        except asyncio.CancelledError:
            if not draft.ended:  # what came whole is kept, whoever gave up
                raise
        except Exception as exc:  # no exception of an SDK leaves, as it holds the key
            fault = fault_of(exc, draft.asked)
            fault = self._refusals.judged(task, draft, fault, getattr(exc, "body", None))
        # Raised outside of the except blocks, so that no SDK exception hangs on it as its context.
        end = draft.outcome(task, fault)
        if isinstance(end, CallFailed):
            raise end
        self._refusals.accepted(draft)
        return end

    async def close(self) -> None:
        """Give back sockets and clients; also those of a loop that is closed."""
        clients, self._client, self._retired = [*self._retired, self._client], None, []
        for client in filter(None, clients):
            with contextlib.suppress(Exception):  # a closed loop's sockets are gone already
                await client.close()

    def _build(self, module: Any) -> Any:
        """The SDK's client: no retries and no time limits of its own, no redirects, a wide pool."""
        self._proxy = proxy_of(self.base_url)
        plain = self.base_url.startswith("http://")
        http = http_client(module, self._proxy.url if self._proxy else None, plain)
        # What signs requests, or asks elsewhere for each model, has a place or a client of its own.
        usual = type(self)._place is SdkProvider._place and not self.entry.client  # noqa: SLF001
        session = session_of(http) if usual and self._proxy is None else None
        build = partial(self._client_on, module)
        self._direct = session and DirectRequests(session, build, self.path)
        return build(http)

    def _client_on(self, module: Any, http: Any) -> Any:
        """The SDK's client on an HTTP client."""
        base, query, credentials = split_url(self.base_url)
        with contextlib.suppress(Exception):  # its frames hold the key: only our own error leaves
            return getattr(module, self.entry.client or self._dialect.client)(
                max_retries=0,
                timeout=None,
                http_client=http,
                default_query=query,
                default_headers=self._headers(module) | credentials,
                **self._place(base),
            )
        raise ModelError(f"cannot create a client for {self.host}; check its base URL and key")

    def _place(self, base: str) -> dict[str, Any]:
        """The arguments by which the client knows where to ask, and as whom."""
        return {"base_url": base, "api_key": self._key()}

    def _headers(self, module: Any) -> dict[str, Any]:
        """Headers besides the SDK's own: nothing that the environment holds for its maker leaves else."""
        if self.entry.official:
            return {}
        return {name: module.Omit() for name in (*self.own_headers, *_named(self.custom_headers))}

    def _draft(self, task: Task) -> Draft:
        """A draft for the task's answer."""
        prompt, proxy = f"{task.system or ''} {task.prompt}", str(self._proxy or "")
        return Draft(Asked(self.host, task.model.name, self._checked, proxy, task.tier, prompt))

    def _drafted(self, task: Task, draft: Draft) -> Draft:
        """The draft with the request that asks for the answer."""
        request = self._refusals.adapted(task, self._request(task), self.holding, draft)
        draft.sent = request | ({"stream": True} if task.stream else {})
        draft.several = request.get("n") not in (None, 1)
        return draft

    async def _post(self, task: Task, heard: Heard, draft: Draft) -> None:
        response = await self._answer(self._drafted(task, draft).sent, task.stream)
        draft.begun = True
        draft.request_id = request_id(response.headers)
        draft.terms = told_in(response.headers)
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
            raise NotAnAnswerError(f"more than {MOST_MB} MB of {body.kind or '?'}") from None
        finally:
            await response.aclose()

    async def _answer(self, request: Mapping[str, Any], stream: bool) -> Any:
        """The head of the answer to a request, by the shortest way there is."""
        if self._direct is not None and (answer := await self._direct.post(request, stream)):
            return answer
        return await posted_by(self._client, self.path, request)

    def _events_of(self, body: Body) -> AsyncGenerator[list[str]]:
        """The data of the events that come at once in a stream; "" for another sign of life."""
        return events(aiter(body))

    def _request(self, task: Task) -> dict[str, Any]:
        """The request's body."""
        raise NotImplementedError

    def holding(self, reading: Reading) -> Mapping[str, Any]:
        """The fields of a request that hold its answer to this form; empty where nothing can."""
        return {}

    def _whole(self, data: Mapping[str, Any], draft: Draft) -> bool:
        """Take in an unstreamed answer; False where it is none."""
        raise NotImplementedError

    def _event(self, data: Mapping[str, Any], draft: Draft) -> None:
        """Take in one event of a stream."""
        raise NotImplementedError


def _refuse_in_browser(provider: str) -> None:
    """Tell at once that a page's own Python has no connections."""
    if IN_BROWSER:
        raise ModelError(NO_CONNECTIONS.format(provider))


def _named(variable: str) -> list[str]:
    """The names of the headers that a variable holds, but for the key's own."""
    lines = os.environ.get(variable, "").split("\n")
    names = [line.partition(":")[0].strip() for line in lines if ":" in line]
    return [name for name in names if name.lower() != "authorization"]


def _imported(package: str, provider: str) -> Any:
    """An SDK, with the transport that carries its requests."""
    try:
        module = importlib.import_module(package)
    except Exception as error:
        why = one_line(f"{type(error).__name__}: {error}")
    else:
        load_transport()
        return module
    raise ModelError(
        f"{provider}: the package {package} cannot be imported ({why}); pip install -U {package}"
    )
