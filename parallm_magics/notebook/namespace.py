"""The names that belong to the user of a shell."""

from __future__ import annotations

from typing import Any


def names_of(shell: Any) -> dict[str, Any]:
    """The user's own names with their values: what IPython puts into the namespace is none of them."""
    hidden, nothing = shell.user_ns_hidden, object()
    return {
        name: value
        for name, value in shell.user_ns.items()
        if value is not hidden.get(name, nothing)
    }
