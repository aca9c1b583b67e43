"""The scripted provider in a process of its own, so that its CPU is nobody else's."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from provider import Act, Loopback


def main(milliseconds: str, *models: str) -> None:
    """Say the address; then for each line, a moment, how many calls came after it, and forget them.

    Args:
        milliseconds: how long each answer takes.
        models: the names that answer like this.
    """
    with Loopback() as server:
        for model in models:
            server.script(model, Act(delay=int(milliseconds) / 1000))
        print(server.url, flush=True)
        for line in sys.stdin:
            print(sum(call.at > float(line) for call in server.log), flush=True)
            server.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
