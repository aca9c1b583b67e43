"""The nouns that every part shares: tasks, what they use, records and events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.models import Model
from parallm_magics.core.plain_values import plain_value
from parallm_magics.core.schemas import Schema

if TYPE_CHECKING:
    from parallm_magics.core.batches import BatchProgress
    from parallm_magics.core.cluster_workers import ClusterWorker

Status = Literal[
    "ok", "truncated", "refused", "invalid", "failed", "timed_out", "cancelled", "blocked"
]
Role = Literal["worker", "guard", "judge", "synthesis"]
ROLES: tuple[Role, ...] = get_args(Role)
"""What a call may be for, in the order in which the calls of a run stand."""
Kind = str
"""The name of an entry of `answers/reading_kinds.py`."""

NUMERIC: tuple[Kind, ...] = ("number", "score", "index")
"""The kinds whose values are numbers."""
Tier = Literal["", "flex", "batch"]
BallotState = Literal["valid", "abstain", "invalid", "failed", "cancelled"]
Finish = Literal["stop", "length", "refusal"]
CHARS_PER_TOKEN = 4
"""By this a text's tokens are estimated before a provider has counted them."""


Plain = str | int | float | bool | None
"""A value that JSON holds as it is."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How an answer is to be read.

    Attributes:
        kind: what is read; "open" takes the text as it is.
        choices: the labels as the user spelt them (kind "choice").
        low, high: the range, both ends included (kind "score").
        schema: what the object must be like (kind "object").
    """

    kind: Kind
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    schema: Schema | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One call to a model, complete: nothing about it is looked up later.

    Attributes:
        index: place in the cell's order, from 0; of an auxiliary call a number that no worker has.
        name: the worker's name, unique in the cell.
        model: the model asked.
        prompt: the whole user message; begins with `shared` where that is not empty.
        shared: the rendered preamble that all workers of the cell have in common.
        begins: the beginning that its prompt has in common with others, where that is less than
            `shared`, as in a map whose items stand in the preamble.
        role: what the call is for.
        key: the key of the item that it is about, as the run's; None without items.
        item: what the prompts say of that item, clipped; a number as it is.
        questions: the tasks that one request to a decision model answers, this one the first of them.
        persona: the system prompt as the cell has it, where that holds the item; else None.
        cache_key: the same for all workers whose prompts begin with one text that is worth the
            provider's prompt cache; empty where there is none, or nobody wants it cached.
        system: the system prompt, or None.
        temperature, effort: None where the user did not ask for one (then none is sent).
        max_tokens: most output tokens, thinking included.
        params: further request fields, sent as given.
        tier: the price that it is asked at: "" the usual one, "flex" the provider's cheaper and slower
            tier, "batch" within a batch. It decides when an answer comes, not what it says.
        stream: whether the answer is read as a stream.
        sample: ordinal among identical requests of one cell.
        seed: makes simulated answers reproducible.
        reading: what is asked of the answer, or None for free text.
        enforced: whether the provider is asked to let the model write nothing else than such an answer.
        truth: the true label of the item, where a study knows it: what a simulation takes as right.
            No provider is ever sent it.
        silence: seconds without any sign of life after the first token, of the answer or of thinking,
            before the worker has timed out.
        first: seconds of silence before that; also the limit of an unstreamed call.
        deadline: seconds for the worker as a whole, retries and waits included.
        retries: further tries after a passing fault.
        retry_timeouts: whether a time-out is a passing fault.
    """

    index: int
    name: str
    model: Model
    prompt: str
    shared: str = ""
    system: str | None = None
    temperature: float | None = None
    effort: str | None = None
    max_tokens: int = 4096
    params: Mapping[str, Any] = field(default_factory=dict)
    tier: Tier = ""
    stream: bool = True
    sample: int = 0
    seed: int = 0
    reading: Reading | None = None
    truth: str | None = None
    silence: float = 15.0
    first: float = 60.0
    deadline: float = 120.0
    retries: int = 2
    retry_timeouts: bool = False
    begins: str | None = None
    cache_key: str = ""
    role: Role = "worker"
    key: Plain = None
    item: Plain = None
    persona: str | None = None
    enforced: bool = False
    questions: tuple[Task, ...] = ()

    @property
    def asked(self) -> tuple[Task, ...]:
        """The tasks that its call answers."""
        return self.questions or (self,)

    def ended(self, status: Status, **fields: Any) -> Record:
        """Return a record of this call, with all that was known of it before it was made."""
        return Record(
            index=self.index,
            name=self.name,
            status=status,
            model=str(self.model),
            role=self.role,
            key=self.key,
            item=self.item,
            temperature=self.temperature,
            effort=self.effort,
            system=self.system if self.persona is None else self.persona,
            **fields,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call in four classes that do not overlap; the total input is the first three."""

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """All tokens, in and out."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.output_tokens
        )

    def to_dict(self) -> dict[str, int]:
        """Return the four classes as plain JSON types."""
        return {
            "input_tokens": self.input_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "output_tokens": self.output_tokens,
        }

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.output_tokens + other.output_tokens,
        )


Terms = tuple[tuple[str, str], ...]
"""What decides a price besides the model and the tokens, such as `(("service_tier", "flex"),)`."""


class Said(NamedTuple):
    """What a reply says that its price depends on.

    Attributes:
        terms: the terms that it names.
        model: the model as the provider names it.
    """

    terms: Terms = ()
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call has no answer, as plain data: never an SDK's exception, never a key.

    Attributes:
        kind: the class of the fault.
        message: one line for a person.
        http: the HTTP status, where there was one.
        retry_after: seconds the provider asks to wait; None without a usable hint.
        request_id: the provider's id of the request, where it gave one.
        final: whether the provider says that asking again is of no use.
        refused: whether the machine that was called says that nobody listens there.
    """

    kind: FaultKind
    message: str
    http: int | None = None
    retry_after: float | None = None
    request_id: str | None = None
    final: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a call: the outcome in a word, and its seconds."""

    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """How one worker ended. Every worker ends in exactly one.

    Attributes:
        index: place in the cell's order, from 0.
        name: the worker's name.
        status: how it ended; only "ok" is a success.
        model: the model asked, as `provider:name`.
        text: the answer, or what had arrived of it; thinking is no part of it.
        thinking: what the model wrote to itself, where it is known; nothing ever reads a vote in it.
        thinking_tokens: how many of the output tokens were thinking, where the provider says so.
        value: the label, number or object read, where one was asked for.
        probabilities: the probability of each label, where the model gives them.
        usage: tokens in four classes, all attempts together; None where unknown.
        cost: US dollars; None where unknown.
        saved: US dollars that the provider's prompt cache saved; negative where writing it cost
            more, None where it took no part or no price is known.
        start: seconds from the run's start to this worker's.
        queued: seconds of those spent waiting for a free place.
        seconds: the worker's length, retries included.
        attempts: one entry a try.
        model_answered: the model as the provider names it.
        finish: why the model stopped.
        request_id: the provider's id of the last request.
        error: why there is no success; None for "ok".
        simulated: whether no model was asked.
        replayed: whether it comes from a recording, so that nothing was spent on it now.
        address: the host that was asked, where it is not the provider's usual one.
        adapted: what was sent otherwise than usual, as the endpoint does not take it, in words.
        role: what the call was for: "worker", "guard", "judge" or "synthesis".
        key: the key of the item that it was about, as the run's; None without items.
        item: what the prompts said of that item, clipped; a number as it is.
        temperature, effort: as asked for; None where nobody did.
        system: the system prompt; where that holds the item, as the cell has it.
        batch: the provider's id of the batch in which it was asked, or stands; "" for a call of its own.
    """

    index: int
    name: str
    status: Status
    model: str
    text: str = ""
    value: Any = None
    usage: Usage | None = None
    cost: Decimal | None = None
    saved: Decimal | None = None
    start: float = 0.0
    queued: float = 0.0
    seconds: float = 0.0
    attempts: tuple[Attempt, ...] = field(default=())
    model_answered: str | None = None
    finish: str | None = None
    request_id: str | None = None
    error: Fault | None = None
    simulated: bool = False
    replayed: bool = False
    address: str = ""
    adapted: str = ""
    role: Role = "worker"
    key: Plain = None
    item: Plain = None
    temperature: float | None = None
    effort: str | None = None
    system: str | None = None
    thinking: str | None = None
    thinking_tokens: int | None = None
    probabilities: Mapping[str, float] | None = None
    batch: str = ""

    def __repr__(self) -> str:
        mark = "SIMULATED " if self.simulated else ""
        said = self.error.message if self.error and not self.ok else self.text
        said = " ".join(said[:400].split())
        said = said if len(said) <= 60 else f"{said[:60]}…"
        return f"<{mark}Record {self.name!r}: {self.status}, {self.seconds:.2f} s, {said!r}>"

    @property
    def ok(self) -> bool:
        """Whether the worker gave a complete answer."""
        return self.status == "ok"

    @property
    def is_in_batch(self) -> bool:
        """Whether it goes on in its batch, from which its answer may still be collected."""
        return self.status == "cancelled" and bool(self.batch) and not self.attempts

    @property
    def end(self) -> float:
        """Seconds from the run's start to this worker's end."""
        return self.start + self.seconds

    def to_dict(self) -> dict[str, Any]:
        """Return what a reader of results asks for, as plain JSON types."""
        error = self.error
        return {
            "name": self.name,
            "role": self.role,
            "key": self.key,
            "item": self.item,
            "status": self.status,
            "text": self.text,
            "thinking": self.thinking,
            "thinking_tokens": self.thinking_tokens,
            "value": plain_value(self.value),
            **({"probabilities": dict(self.probabilities)} if self.probabilities else {}),
            "model": self.model,
            "model_answered": self.model_answered,
            "temperature": self.temperature,
            "effort": self.effort,
            "system": self.system,
            "usage": self.usage.to_dict() if self.usage else None,
            "cost": None if self.cost is None else float(self.cost),
            "saved": None if self.saved is None else float(self.saved),
            "start": self.start,
            "queued": self.queued,
            "seconds": self.seconds,
            "attempts": [{"outcome": a.outcome, "seconds": a.seconds} for a in self.attempts],
            "finish": self.finish,
            "request_id": self.request_id,
            **({"batch": self.batch} if self.batch else {}),
            "error": None if error is None else {"kind": error.kind, "message": error.message},
            "simulated": self.simulated,
        }


Call = Task | Record
"""A call to make, or the record of one that is not to be made: answered before, or impossible."""


EventKind = Literal[
    "started", "heard", "waiting", "ended", "released", "said", "loading", "loaded",
    "batches", "cluster",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one worker, told to whoever listens.

    Attributes:
        kind: "started" (an attempt begins), "heard" (text arrived), "waiting" (before a retry),
            "ended" (the record is final); of the run as a whole: "released" (its guards have passed),
            "said" (a line about it), "loading" and "loaded" (no worker's time runs between the two),
            "batches" (something has become of one of its batches), "cluster" (how the workers of a cluster
            that make its calls stand).
        index: the worker's place; -1 for the run as a whole.
        at: seconds since the run's start.
        text: the piece that arrived, why the worker waits, or what is said.
        record: the final record, on "ended" only.
        task: what is asked, on "started" only.
        batches: all batches of the run, on "batches" only.
        cluster: all workers of the cluster, on "cluster" only.
    """

    kind: EventKind
    index: int
    at: float
    text: str = ""
    record: Record | None = None
    task: Task | None = None
    batches: tuple[BatchProgress, ...] = ()
    cluster: tuple[ClusterWorker, ...] = ()


Listener = Callable[[Event], None]
