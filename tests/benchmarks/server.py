"""The scripted provider in a process of its own, so that its CPU is nobody else's."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from provider import Loopback


def main() -> None:
    """Say the address; then for each line, a moment, how many calls came after it, and forget them."""
    with Loopback() as server:
        print(server.url, flush=True)
        for line in sys.stdin:
            print(sum(call.at > float(line) for call in server.log), flush=True)
            server.clear()


if __name__ == "__main__":
    main()
