"""What is known of a provider: one entry holds all that is particular of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from parallm_magics.core.models import Enforcement
from parallm_magics.core.prices import TIER, Tariff
from parallm_magics.core.provider import Provider
from parallm_magics.core.tasks import Terms
from parallm_magics.providers import keys
from parallm_magics.providers.address import is_local, public
from parallm_magics.providers.dialects import CHAT, Dialect

NO_MODEL = "(?!)"  # matches no name
Enforces = Literal["schema", "structured_outputs", "grammar", "nothing"]
"""By what an answer is held to its form: a JSON Schema, or for labels and numbers vLLM's field of that name
or llama.cpp's grammar."""


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One provider that can be asked by name.

    Attributes:
        name: what stands before the colon.
        base_url: its usual address; a `{VARIABLE}` in it is filled from the environment.
        keys: the environment variables that its key may stand in; the first that is set is used.
        prices: the id of its prices in genai-prices; "" where they are found by its address. Or US dollars
            for a million tokens that go in and that come out, by the model's name.
        models: models' names as they are written here, as examples.
        dialect: what it speaks: chat completions, unless it is made otherwise; None where only that knows.
        provider: its own class, or a function of the entry that makes what asks it; None for the
            dialect's. A text is a class as `module.Class` in this folder.
        client: the SDK's client class, where it is not the dialect's.
        base_env: the variable that moves it elsewhere.
        official: whether it is of the SDK's maker, so that the SDK finds address and key by itself.
        needs: further variables, each with what is said where it is not set.
        bare: which names of models say by themselves that they are its own.
        unpriced: the models that charge for more than their tokens.
        priced_where: a variable, and the value of it that the prices are of.
        tiers: the cheaper tiers that it has, "flex" and "batch", each with the share of the usual price
            that the provider states for all of its models; None where it states none, so that the price
            is known only where the table has it. "batch" is its dialect's batch API.
        deployments: whether a model's name is the user's own, and only the reply tells the model.
        limit: the field that bounds the output tokens, where it is not the dialect's.
        stream_options: whether it takes this field, and needs it to count a stream's tokens.
        enforces: by what it holds an answer to its form: a schema where it has a dialect, nothing where
            only its own class knows. A server that refuses it is asked in words.
        enforces_free: whether holding a label costs nothing: no tokens, no prompt cache, no price.
        extra: what of this package's extras must be installed for it, or "".
        quirks: where it differs, for people.
        fixed: whether nothing else can be given its name.
        shows_address: whether its address is told even where nobody has moved it.
        decides: whether its models are decision models, which give each label a probability and write no
            text; a text is the parameter that makes a simulated model one.
        simulated: whether no model is asked.
        answers: what the user gave a simulated model to answer, or None.
    """

    name: str
    base_url: str = field(default="", repr=False)  # may hold credentials
    keys: tuple[str, ...] = ()
    prices: str | Mapping[str, tuple[float, float]] = field(default="", hash=False)
    models: tuple[str, ...] = ()
    dialect: Dialect | None = None
    provider: str | Callable[[ProviderEntry], Provider] | None = None
    client: str = ""
    base_env: str = ""
    official: bool = False
    needs: tuple[tuple[str, str], ...] = ()
    bare: str = NO_MODEL
    unpriced: str = NO_MODEL
    priced_where: tuple[str, str] | None = None
    tiers: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    deployments: bool = False
    limit: str = ""
    stream_options: bool = True
    enforces: Enforces | None = None
    enforces_free: bool = False
    extra: str = ""
    quirks: str = ""
    fixed: bool = False
    shows_address: bool = False
    decides: bool | str = False
    simulated: bool = False
    answers: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """One variable or name may be given as it is; the usual dialect is filled in."""
        for name in ("keys", "models"):
            if isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, (value,))
        if self.dialect is None and self.provider is None:
            object.__setattr__(self, "dialect", CHAT)
        if self.enforces is None:
            object.__setattr__(self, "enforces", "schema" if self.dialect else "nothing")

    @property
    def reads_itself(self) -> bool:
        """Whether the SDK's client finds address and key by itself."""
        return self.official or bool(self.client)

    @property
    def key_env(self) -> str | None:
        """The variable of the key: the first that is set, else the first; None where none is needed."""
        return next(filter(keys.is_set, self.keys), next(iter(self.keys), None))

    @property
    def may_decide(self) -> bool:
        """Whether decision models can be asked at its address, by System One."""
        return bool(self.base_url) and not (self.client or self.decides or self.simulated)

    @property
    def is_local(self) -> bool:
        """Whether its usual address is one of the own network."""
        return self.base_url.startswith("http") and is_local(self.base_url)

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that must be set; for the key the one that is."""
        key = [] if self.key_env is None else [self.key_env]
        return (*key, *(name for name, _ in self.needs))

    @property
    def batches(self) -> bool:
        """Whether its calls can be asked in batches."""
        return self.simulated or "batch" in self.tiers

    @property
    def enforcement(self) -> Enforcement:
        """Whether it holds answers to their form, and whether that costs nothing where they are labels."""
        if self.enforces == "nothing":
            return "none"
        return "free" if self.enforces_free else "on request"

    @property
    def example(self) -> str:
        """A model as it is written, as an example."""
        return f"{self.name}:{self.models[0] if self.models else 'NAME'}"

    def tariff(self, model: str, terms: Terms = ()) -> Tariff | None:
        """Where the model's price stands; None where it is another one, or for more than tokens."""
        if self.simulated or (self.unpriced != NO_MODEL and re.search(self.unpriced, model)):
            return None
        if self.priced_where is not None:
            variable, value = self.priced_where
            if os.environ.get(variable, "").strip() != value:
                return None
        share = self._share(terms)
        if not isinstance(self.prices, str):
            known = self.prices.get(model)
            if known is None or (terms and share is None):
                return None
            return Tariff("", "", model, terms, share, known)
        if self.prices:
            return Tariff(self.prices, "", model.removeprefix("models/"), terms, share)
        if not self.base_url or self.is_local:
            return None
        return Tariff("", public(self.base_url), model, terms, share)

    def _share(self, terms: Terms) -> Decimal | None:
        """The share of the usual price that it states for these terms."""
        if len(terms) != 1 or terms[0][0] != TIER:
            return None
        share = self.tiers.get(terms[0][1])
        return None if share is None else Decimal(str(share))
