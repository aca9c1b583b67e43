"""What `%parallm` shows of a session."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from IPython.display import display as show

from parallm_magics import display
from parallm_magics.cell.option_layers import of_environment
from parallm_magics.cell.options import TABLE
from parallm_magics.cluster.connection import in_use, state_of
from parallm_magics.notebook.settings import spoken_settings
from parallm_magics.patterns.shown import Picture
from parallm_magics.providers import keys, registry
from parallm_magics.providers.address import host_of
from parallm_magics.providers.entry import NO_MODEL, ProviderEntry
from parallm_magics.recordings.modes import offline

DECIDES = (
    f"decision models at the address of NAME, by System One, such as ollama{registry.DECIDE}:jev"
)


def show_status(magics: Any) -> None:
    """The settings in force, the providers, the recordings and the spend of the session."""
    session = magics.session  # where its settings are wrong, that is all there is to say
    spoken = spoken_settings(magics)
    chosen = {**of_environment(), **spoken}.get("model", ())
    model = ", ".join(chosen) or "none (use -m MODEL)"
    facts = [("model", model)]
    facts += [
        (name, f"{value} (default {TABLE[name].default})")
        for name, value in spoken.items()
        if name != "model"
    ]
    facts += [(f"provider {each.name}", _state(each)) for each in registry.entries()]
    facts += _broken()
    facts += [("recordings", recordings_state(session)), *_dask(session), *_spent(magics)]
    show_facts(facts)


def show_models() -> None:
    """Tell how models are named, a line for each provider."""
    known = [(entry.name, _models(entry)) for entry in registry.entries()]
    show_facts([*known, (f"NAME{registry.DECIDE}", DECIDES)])


def show_providers() -> None:
    """Every provider by its name: a model as an example, where it is, and what is set for it."""
    known = registry.entries()
    show_facts(
        [*((f"{each.name}:", f"{each.example}; {_state(each)}") for each in known), *_broken()]
    )


def _dask(session: Any) -> list[tuple[str, str]]:
    """Return the Dask cluster in use, where there is one."""
    client = in_use(session.dask)
    return [] if client is None else [("dask", state_of(client, session.dask))]


def _broken() -> list[tuple[str, str]]:
    """Return the providers of installed packages that cannot be loaded, and why."""
    return [(f"provider {name}", why) for name, why in registry.PROBLEMS.items()]


def show_usage(magics: Any) -> None:
    """Calls, tokens and cost of the session, and what is left of its cap."""
    show_facts(_spent(magics))


def show_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Show names and what is to be known of each."""
    show(Picture([display.Facts(tuple(facts))], framed=True))


def _models(entry: ProviderEntry) -> str:
    if entry.simulated:
        return f"{entry.name}:NAME?accuracy=0.8&latency=1"
    if entry.bare != NO_MODEL:
        return ", ".join(entry.models)
    return entry.example


def _state(entry: ProviderEntry) -> str:
    """Tell whether a provider can be asked, in words; never its key."""
    if entry.simulated:
        return "SIMULATED, needs no key"
    is_shown = entry.shows_address or entry.is_local
    at = f"at {host_of(entry.base_url)}, " if is_shown else ""
    return f"{at}{', '.join(map(_said, entry.variables)) or 'needs no key'}"


def _said(variable: str) -> str:
    return f"{variable} is {'set' if keys.is_set(variable) else 'not set'}"


def _spent(magics: Any) -> list[tuple[str, str]]:
    spend, ledger, cap = magics.session.spend, magics.session.ledger, magics.session_max_cost
    calls = (
        f"{display.count(spend.runs, 'run')}, {display.count(spend.calls, 'call')}, "
        f"{display.count(spend.usage.total_tokens, 'token')}, "
        f"cost {display.money(spend.cost, spend.complete)}"
    )
    facts = [("session", calls)]
    if cap is not None:
        left = max(cap - ledger.spent - ledger.held, Decimal(0))
        counted = "a call with unknown cost counts with the most it can cost"
        worth = f"{display.money(cap)}: {display.money(left)} left ({counted})"
        facts.append(("session_max_cost", worth))
    return facts


def recordings_state(session: Any, *, with_mode: bool = True) -> str:
    """Tell where answers are kept, in a line."""
    store = session.recordings
    if store is None:
        alone = with_mode and offline()
        return "off; only simulated models can be called" if alone else "off"
    mode = f" (mode {store.mode})" if with_mode and store.mode != "auto" else ""
    return display.one_line(f"{_shown(store.path)}{mode}")


def _shown(path: Path) -> str:
    """Return the path as it may stand in a notebook that is shared: without the folders of this computer."""
    if not path.is_absolute():
        return str(path)
    for base, short in ((Path.cwd(), ""), (Path.home(), "~")):
        if path.is_relative_to(base):
            return str(short / path.relative_to(base))
    return f"…/{path.name}"
