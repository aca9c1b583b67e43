"""The scripted provider in a process of its own, so that its CPU is nobody else's."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from provider import Act, Call, Loopback

NUMBER = re.compile(r"number (\d+)")
WAIT = {"retry-after": "1"}


@dataclass
class Behaviour:
    """How the server answers; what goes wrong is chosen by the number in the prompt.

    Attributes:
        delay: seconds before each answer.
        tokens: into how many pieces a streamed answer is cut, if not as usual.
        gap: seconds between the pieces.
        faulty: of so many prompts one is answered at first by a 429 or, in turn, by a 500.
        rate: requests a second that are borne, the others get a 429; 0 is without limit.
        hang: the first so many prompts get no answer at all.
        dead: so many after them lose their connection every time.
        limited: so many after them get a 429 first.
        delays: seconds before each answer by its place among those that came together, in turn.
        text: what is answered, if not an echo.
    """

    delay: float = 0.0
    tokens: int = 0
    gap: float = 0.0
    faulty: int = 0
    rate: float = 0.0
    hang: int = 0
    dead: int = 0
    limited: int = 0
    delays: Sequence[float] = ()
    text: str | None = None
    _seen: set[str] = field(default_factory=set)
    _room: float = 0.0
    _at: float = 0.0
    _asked: int = 0

    def clear(self) -> None:
        """Forget who has had a fault."""
        self._seen.clear()
        self._asked = 0

    def act(self, call: Call) -> Act:
        """What this call gets."""
        first = call.prompt not in self._seen
        self._seen.add(call.prompt)
        found = NUMBER.search(call.prompt)
        number = int(found[1]) if found else -1
        fault = self._fault(number, first)
        if fault is not None:
            return fault
        if self.rate and not self._has_room():
            return Act(status=429, headers=WAIT)
        if self.delays:
            self._asked += 1
            return Act(delay=self.delays[(self._asked - 1) % len(self.delays)], text=self.text)
        if self.tokens:
            text = "word " * self.tokens
            return Act(delay=self.delay, text=text, pieces=self.tokens, gap=self.gap)
        return Act(delay=self.delay, text=self.text)

    def _fault(self, number: int, first: bool) -> Act | None:
        if number < 0:
            return None
        if number < self.hang:
            return Act(hang=True)
        if number < self.hang + self.dead:
            return Act(reset="before")
        if first and number < self.hang + self.dead + self.limited:
            return Act(status=429)
        if first and self.faulty and number % self.faulty == 0:
            limited = number // self.faulty % 2 == 0
            return Act(status=429, headers=WAIT) if limited else Act(status=500)
        return None

    def _has_room(self) -> bool:
        """A bucket that holds a tenth of a second's requests."""
        now = time.monotonic()
        self._room = min(self.rate / 10, self._room + (now - self._at) * self.rate)
        self._at = now
        if self._room < 1:
            return False
        self._room -= 1
        return True


def main(behaviour: str, *models: str) -> None:
    """Say the address; then answer a question a line, about the calls since they were forgotten.

    "count": how many there are. "last": when the last of their answers was sent, by `time.time()`.
    "since MOMENT": how many came after that moment of the monotonic clock. "calls": all of them as
    JSON, each its prompt, when it came, and whether its answer went out whole. "behave FIELDS": answer
    like this from now on. The last three forget the calls.

    Args:
        behaviour: the fields of `Behaviour` as JSON.
        models: the names that answer like this.
    """
    behaves = Behaviour(**json.loads(behaviour))

    def act(call: Call) -> Act:
        return behaves.act(call)

    with Loopback() as server:
        for model in models:
            server.script(model, act)
        print(server.url, flush=True)
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            match word:
                case "count":
                    told: object = len(server.log)
                case "last":
                    told = max((call.sent for call in server.log), default=0.0)
                case "since":
                    told = sum(call.at > float(rest) for call in server.log)
                case "calls":
                    told = json.dumps([[c.prompt, c.at, c.finished] for c in server.log])
                case _:
                    told, behaves = "", Behaviour(**json.loads(rest))
            if word not in ("count", "last"):
                server.clear()
                behaves.clear()
            print(told, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
