"""The names that belong to the user of a shell."""

from __future__ import annotations

from typing import Any

# What IPython puts there itself. Among the names that it hides are also those of start-up files, and
# those that whoever started it has given: these are the user's.
_IPYTHONS = ("In", "Out", "get_ipython", "exit", "quit", "open")


def names_of(shell: Any) -> dict[str, Any]:
    """The user's own names with their values: what IPython puts into the namespace is none of them."""
    hidden, nothing = shell.user_ns_hidden, object()
    own = {name: hidden.get(name, nothing) for name in _IPYTHONS}
    return {
        name: value
        for name, value in shell.user_ns.items()
        if name not in own or value is not own[name]
    }
