"""What a provider is: a call goes in, a reply comes out or a fault is raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from parallm_magics.core.tasks import Fault, Finish, Task, Terms, Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back from one call, before anyone judges it.

    Attributes:
        text: the answer's text, thinking left out.
        finish: why the model stopped; "refusal" includes content filters.
        usage: None where the provider gave none, or one that cannot be true.
        model: the model as the provider names it.
        request_id: the provider's id of the request.
        seconds: the call's length where the provider keeps its own time (simulation, recordings).
        terms: the terms of its price that the reply names.
        adapted: what was sent otherwise than usual, as the endpoint does not take it, in words.
        thinking: what the model wrote to itself, where the provider sends it apart; else "".
        thinking_tokens: how many of the output tokens were thinking, where the provider says so.
        probabilities: the probability of each label, where the provider gives them.
        answers: where several questions were asked, what came for each: a reply, or why there is none.
    """

    text: str
    finish: Finish = "stop"
    usage: Usage | None = None
    model: str | None = None
    request_id: str | None = None
    seconds: float | None = None
    terms: Terms = ()
    adapted: str = ""
    thinking: str = ""
    thinking_tokens: int | None = None
    probabilities: Mapping[str, float] | None = None
    answers: tuple[Reply | Fault, ...] = ()


class CallFailed(Exception):
    """A provider's call ended without a complete answer; never leaves the engine.

    Attributes:
        fault: what happened.
        text: what had been received before.
        usage: tokens known to have been used, or None.
        seconds: the call's length where the provider keeps its own time.
        terms: the terms of their price, as far as the provider has named them.
        thinking: what the model had written to itself before.
    """

    def __init__(
        self,
        fault: Fault,
        *,
        text: str = "",
        usage: Usage | None = None,
        model: str | None = None,
        seconds: float | None = None,
        terms: Terms = (),
        thinking: str = "",
    ) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.text = text
        self.usage = usage
        self.model = model
        self.seconds = seconds
        self.terms = terms
        self.thinking = thinking


class NotNow(BaseException):
    """A request must not go out at this moment; never leaves the engine, and is no fault of a provider's."""


GOES_OUT: ContextVar[Callable[[], None] | None] = ContextVar("goes_out", default=None)
"""Called by the transport at the very moment at which a request of this context is sent; it may raise `NotNow`."""


class Heard(Protocol):
    """Whoever listens to an answer as it arrives."""

    def __call__(self, piece: str, thinking: str = "") -> None:
        """Take in a piece of its text, or of its thinking; both are "" for any other sign of life."""


class Provider(Protocol):
    """The one way to a model. A simulation or a recording is a provider like any other.

    Attributes:
        simulated: whether its answers come from no model; shown as SIMULATED. It applies the task's
            limits itself, and reports the seconds of a call.
        address: where it is reached, shown when it is not the provider's usual one; else "".
        local: whether calls go to a server in the own network, which may answer one at a time.
    """

    simulated: bool
    address: str
    local: bool

    @property
    def account(self) -> str:
        """The same for providers that share one key at one address, and so its limits."""

    def check(self, task: Task) -> None:
        """Refuse, before any call, what this model cannot do.

        Raises:
            ModelError: names the model, the option and the way out.
        """

    def caches(self, task: Task) -> bool:
        """Tell whether the provider keeps the beginning that the task shares with others in its cache."""

    async def prepare(self) -> None:
        """Import and build what a call needs, so that no worker's time includes it.

        Raises:
            MissingKeyError: the key's variable is not set.
        """

    async def complete(self, task: Task, heard: Heard) -> Reply:
        """Make one call.

        Raises:
            CallFailed: with the fault, for everything that is not a complete reply.
        """

    async def close(self) -> None:
        """Give back sockets and clients."""
