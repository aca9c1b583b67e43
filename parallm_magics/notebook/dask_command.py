"""`%parallm dask`: which Dask cluster `--engine dask` uses, and a connection to one."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from parallm_magics.cell.blocks import Token
from parallm_magics.cluster.connection import (
    WAYS,
    Connection,
    address_of,
    bare,
    in_use,
    own_client,
    state_of,
)
from parallm_magics.display import count
from parallm_magics.errors import OptionError, translated
from parallm_magics.notebook.status import show_facts
from parallm_magics.providers import registry

FORM = "%parallm dask [ADDRESS | --local N | off]"
FLAGS = {
    "--local": "start a cluster of so many processes on this machine",
    "off": "close what this command has started or connected",
}
MOST_PROCESSES = 256


def dask(magics: Any, rest: Sequence[Token]) -> None:
    """Show the Dask cluster that --engine dask uses, connect to one, or start one on this machine."""
    words = [part for token in rest for part in _parted(token.text)]
    connection: Connection = magics.session.dask
    if not words:
        _show(connection)
    elif words == ["off"]:
        print(_close(connection))
    elif words[0] == "--local":
        processes = _processes(words[1:])
        _only_one(None)
        connection.start(processes)
        _show(connection)
    elif len(words) == 1 and not words[0].startswith("-"):
        _only_one(words[0])
        connection.connect(words[0])
        _show(connection)
    else:
        raise OptionError(f"%parallm dask cannot read {' '.join(words)[:60]!r}; write {FORM}")


def _show(connection: Connection) -> None:
    client = in_use(connection)
    if client is None:
        print(f"no Dask cluster is connected; {WAYS}")
        return
    state = state_of(client, connection)
    show_facts([("dask", state), *_workers(client), *_dashboard(client, connection)])


def _workers(client: Any) -> list[tuple[str, str]]:
    """What is known of the workers, unless their client is one that must be awaited."""
    if client.asynchronous or client.status != "running":
        return []
    from parallm_magics.cluster.worker_facts import facts_of

    variables = dict.fromkeys(name for each in registry.entries() for name in each.variables)
    facts = facts_of(client, [*variables])
    if not facts.workers:
        return [("workers", "none yet; a cell waits for the first")]
    versions = [
        f"{version} on {number}" if version else f"not installed on {number}"
        for version, number in sorted(facts.versions.items())
    ]
    said = [f"{name} is set on {number} of {facts.workers}" for name, number in facts.keys.items()]
    return [
        ("workers", f"{facts.workers:,}, with {count(facts.threads, 'thread')}"),
        ("parallm_magics", ", ".join(versions)),
        ("keys of the workers", ", ".join(said) or "none is set"),
    ]


def _dashboard(client: Any, connection: Connection) -> list[tuple[str, str]]:
    """Where Dask's own dashboard is, where it has one."""
    if connection.cluster is not None and importlib.util.find_spec("bokeh") is None:
        return [("dashboard", "off; %pip install bokeh, then start the cluster again")]
    link = client.dashboard_link
    return [("dashboard", link)] if link else []


def _close(connection: Connection) -> str:
    """Close what was made here; what was done, in a line."""
    client, cluster = connection.client, connection.cluster
    if client is None:
        done = "nothing was connected here"
    elif cluster is None:
        done = "disconnected; the cluster goes on"
    else:
        done = (
            f"closed the cluster that was started here, of {count(len(cluster.workers), 'worker')}"
        )
    connection.close()
    own = own_client()
    return done if own is None else f"{done}; the notebook's own Client goes on, and is used"


def _only_one(address: str | None) -> None:
    """Refuse a connection that would not be used, as the notebook's own client goes before it."""
    own = own_client()
    if own is None:
        return
    at = address_of(own)
    if address is None or bare(at) != bare(address):
        raise OptionError(
            f"%parallm dask: the notebook has a Client of its own, at {at}, and that one is used; "
            "close it first, or leave this command out"
        )


def _processes(words: Sequence[str]) -> int:
    text = words[0] if len(words) == 1 else ""

    def told(error: ValueError) -> OptionError:
        return OptionError(f"%parallm dask --local needs the number of processes; write {FORM}")

    number = translated(lambda: int(text), told, ValueError)
    if not 1 <= number <= MOST_PROCESSES:
        raise OptionError(
            f"%parallm dask --local takes 1 to {MOST_PROCESSES} processes, not {number}"
        )
    return number


def _parted(word: str) -> list[str]:
    """`--local=2` as two words."""
    return word.split("=", 1) if word.startswith("--local=") else [word]
