"""What `%parallm` shows of a session."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from IPython.display import display as show

from parallm_magics import display
from parallm_magics.api import default_model
from parallm_magics.cell.options import TABLE
from parallm_magics.display import Fact
from parallm_magics.notebook.settings import spoken_settings
from parallm_magics.patterns.run import Picture
from parallm_magics.providers import keys, registry
from parallm_magics.providers.address import host_of
from parallm_magics.providers.services import Service
from parallm_magics.providers.well_known import WELL_KNOWN
from parallm_magics.recordings.modes import offline


def show_status(magics: Any) -> None:
    """The settings in force, the providers, the recordings and the spend of the session."""
    session = magics.session  # where its settings are wrong, that is all there is to say
    spoken = spoken_settings(magics)
    model = ", ".join(spoken.get("model", ())) or default_model() or "none (give -m MODEL)"
    facts = [("model", model)]
    facts += [
        (name, f"{value} (default {TABLE[name].default})")
        for name, value in spoken.items()
        if name != "model"
    ]
    facts += [(f"provider {each.name}", _state(each)) for each in registry.definitions()]
    facts += [("recordings", recordings_state(session)), *_spent(magics)]
    _show(facts)


def show_models() -> None:
    """How models are named, a line for each provider."""
    _show([(definition.name, _models(definition)) for definition in registry.definitions()])


def show_providers() -> None:
    """Every provider by its name: a model as an example, where it is, and what is set for it."""
    known = registry.definitions()
    _show([(f"{each.name}:", f"{_example(each)}; {_state(each)}") for each in known])


def _example(definition: registry.Definition) -> str:
    if definition.service is not None:
        return f"{definition.name}:{definition.service.model}"
    return f"{definition.name}:NAME"


def show_usage(magics: Any) -> None:
    """Calls, tokens and cost of the session, and what is left of its cap."""
    _show(_spent(magics))


def _show(facts: Sequence[Fact]) -> None:
    show(Picture(display.facts_html(facts), display.facts_plain(facts)))


def _models(definition: registry.Definition) -> str:
    if definition.simulated:
        return f"{definition.name}:NAME?accuracy=0.8&latency=1"
    own = [m for m in WELL_KNOWN if registry.parse_model(m).provider == definition.name]
    return ", ".join(own) or _example(definition)


def _state(definition: registry.Definition) -> str:
    """Whether a provider can be asked, in words; never its key."""
    if definition.simulated:
        return "SIMULATED, needs no key"
    if definition.service is not None:
        return _settings(definition.service)
    at = f"at {host_of(definition.base_url)}, " if definition.base_url else ""
    if definition.key_env is None:
        return f"{at}needs no key"
    return f"{at}{_said(definition.key_env)}"


def _settings(service: Service) -> str:
    """Which of the variables that a known provider reads are set."""
    key = next(filter(keys.is_set, service.keys), next(iter(service.keys), None))
    return ", ".join(map(_said, [*([key] if key else []), *(name for name, _ in service.needs)]))


def _said(variable: str) -> str:
    return f"{variable} is {'set' if keys.is_set(variable) else 'not set'}"


def _spent(magics: Any) -> list[Fact]:
    spend, ledger, cap = magics.session.spend, magics.session.ledger, magics.session_max_cost
    calls = (
        f"{display.count(spend.runs, 'run')}, {display.count(spend.calls, 'call')}, "
        f"{display.count(spend.usage.total_tokens, 'token')}, "
        f"cost {display.money(spend.cost, spend.complete)}"
    )
    facts = [("session", calls)]
    if cap is not None:
        left = max(cap - ledger.spent - ledger.held, Decimal(0))
        counted = "calls whose cost is unknown count as the most that they can have cost"
        worth = f"{display.money(cap)}: {display.money(left)} left ({counted})"
        facts.append(("session_max_cost", worth))
    return facts


def recordings_state(session: Any, *, with_mode: bool = True) -> str:
    """Where answers are kept, in a line."""
    store = session.recordings
    if store is None:
        alone = with_mode and offline()
        return "off; only simulated models may be asked" if alone else "off"
    mode = f" (mode {store.mode})" if with_mode and store.mode != "auto" else ""
    return display.one_line(f"{_shown(store.path)}{mode}")


def _shown(path: Path) -> str:
    """The path as it may stand in a notebook that is shared: without the folders of this computer."""
    if not path.is_absolute():
        return str(path)
    for base, short in ((Path.cwd(), ""), (Path.home(), "~")):
        if path.is_relative_to(base):
            return str(short / path.relative_to(base))
    return f"…/{path.name}"
