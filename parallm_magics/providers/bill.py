"""What a call costs, and at most: by its tokens, its request's fields and what the reply says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from parallm_magics.core import prices
from parallm_magics.core.batches import AT_BATCH_PRICE
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Record, Said, Task, Terms, Usage
from parallm_magics.providers import registry
from parallm_magics.providers.terms import TERMS, told, unusual

# Fields that change the answer and not the price of a token. What is in no table here may do
# anything to a bill, so that its cost is unknown.
FREE = frozenset(
    re.findall(
        r"\w+",
        """
        temperature top_p top_k top_a min_p typical_p tfs mirostat mirostat_eta mirostat_tau seed
        random_seed stop stop_sequences ignore_eos presence_penalty frequency_penalty n best_of
        repetition_penalty repeat_penalty logit_bias logprobs top_logprobs n_probs
        max_tokens max_completion_tokens max_output_tokens max_new_tokens num_predict num_ctx
        response_format output_config output_format text verbosity structured_outputs json_schema
        grammar guided_choice guided_json guided_regex guided_grammar
        effort reasoning reasoning_effort include_reasoning reasoning_format thinking prompt_mode
        chat_template chat_template_kwargs truncation include stream_options
        tool_choice parallel_tool_calls prompt_cache_key cache_prompt id_slot keep_alive options
        user metadata safety_identifier safe_prompt store anthropic_beta
        """,
    )
)
# What these cost is counted in tokens, and nobody knows how many before the reply.
COUNTED = frozenset(
    re.findall(
        r"\w+",
        """
        messages input system instructions prediction previous_response_id conversation
        context_management
        """,
    )
)
CLIENT_TOOLS = re.compile(
    r"function|custom|local_shell|apply_patch|(?:bash|text_editor|computer|memory)_\d+"
)
"""Types of tools that whoever asks runs: they cost their tokens alone."""


def doubt(task: Task) -> str:
    """What in the request may cost something that no count of tokens tells; "" for nothing."""
    for name, value in task.params.items():
        if why := _doubt(name, value):
            return why
    return ""


def _doubt(name: str, value: Any) -> str:
    if name == "tools":
        for tool in value if isinstance(value, Sequence) else ():
            kind = tool.get("type") if isinstance(tool, Mapping) else ""
            if kind is not None and not CLIENT_TOOLS.fullmatch(str(kind)):
                return f"the provider bills the tool {str(kind)[:40]!r} of --param tools separately"
        return _kept_longer(value, "tools")
    if name == "cache_control" or name in COUNTED or name in TERMS:
        return _kept_longer(value, name)
    return "" if name in FREE else f"--param {name} may change the price"


def _kept_longer(value: Any, name: str) -> str:
    """Whether a part of a prompt is to be cached at another price than the usual one."""
    if isinstance(value, Mapping):
        ttl = value.get("ttl", "5m")
        if ttl not in ("5m", "30m"):
            return f"a cache of {str(ttl)[:20]} in --param {name} has its own price"
        value = list(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return next((why for each in value if (why := _kept_longer(each, name))), "")
    return ""


def asked_terms(task: Task) -> Terms:
    """The terms of the price that the request asks for."""
    return unusual(told(task.params), ((prices.TIER, task.tier),) if task.tier else ())


def tariff(model: Model, terms: Terms = ()) -> prices.Tariff | None:
    """Where the model's price stands; None where its provider has no prices."""
    entry = registry.find(model.provider)
    return None if entry is None else entry.tariff(model.name, terms)


def cost(model: Model, usage: Usage, terms: Terms = ()) -> Decimal | None:
    """US dollars for these tokens; None where no price is known."""
    found = tariff(model, terms)
    return None if found is None else prices.at_once(found, usage)


def price(task: Task, usage: Usage, said: Said) -> Decimal | None:
    """US dollars of a call by its tokens and by what its reply says; None where it is not known.

    Where the reply does not say which tier it was answered at, it may have been the usual one: the dearer
    of the two counts. What is asked within a batch is answered within it.
    """
    if doubt(task):
        return None
    model = task.model
    if said.model and _deployed(model):
        model = Model(model.provider, said.model)
    asked = asked_terms(task)
    if task.tier == "batch":
        return cost(model, usage, unusual(said.terms, asked))
    terms = unusual(asked, said.terms)
    found = cost(model, usage, terms)
    if prices.TIER not in dict(asked) or prices.TIER in dict(said.terms):
        return found
    usual = cost(model, usage, tuple(term for term in terms if term[0] != prices.TIER))
    return None if found is None or usual is None else max(found, usual)


def repriced(record: Record, terms: Terms = ()) -> Decimal | None:
    """US dollars of a record's tokens at the usual price or on these terms; None where either cost is unknown."""
    if record.cost is None or record.usage is None:
        return None
    provider, _, name = record.model.partition(":")
    model = Model(provider, name)
    if record.model_answered and _deployed(model):
        model = Model(provider, record.model_answered)
    return cost(model, record.usage, terms)


def _deployed(model: Model) -> bool:
    """Whether the model's name is the user's own."""
    entry = registry.find(model.provider)
    return entry is not None and entry.deployments


def unbounded(task: Task) -> str:
    """Why nobody can know before the call what it costs at most; "" where that is known."""
    counted = next((name for name in task.params if name in COUNTED), "")
    remove = "the parameter"
    if why := doubt(task):
        pass
    elif counted:
        why = f"the cost of --param {counted} is known only afterwards"
    elif worst(task.model, 1, 1) is None:
        return (
            f"no price is known for {task.model}, so a cost cap cannot be kept; remove the cap, or choose a model "
            f"with a known price"
        )
    elif worst(task.model, 1, 1, asked_terms(task)) is None:
        terms = ", ".join(f"{name}={value}" for name, value in asked_terms(task))
        option = {"flex": "--tier flex", "batch": "--batch"}.get(task.tier, "")
        why = f"no price is known for {task.model} with {option or terms}"
        remove = option or remove
    return why and f"{why}, so a cost cap cannot be kept; remove the cap or {remove}"


def worst(model: Model, prompt_bytes: int, max_tokens: int, terms: Terms = ()) -> Decimal | None:
    """US dollars that one call can cost at most; None where no price is known.

    What is asked for at another price may still be answered at the usual one, but for a batch.
    """
    found = tariff(model)
    if AT_BATCH_PRICE[0] in terms:
        found = tariff(model, terms)
        return found and prices.worst(found, prompt_bytes, max_tokens)
    usual = found and prices.worst(found, prompt_bytes, max_tokens)
    if not terms or usual is None:
        return usual
    found = tariff(model, terms)
    asked = found and prices.worst(found, prompt_bytes, max_tokens)
    return None if asked is None else max(usual, asked)
