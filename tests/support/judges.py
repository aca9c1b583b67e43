"""Judges that do as a test says, and votes that ask them, on the virtual clock."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fakes import USED, Fake, run_context
from virtual_time import run_virtual

from parallm_magics import VoteRun
from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Model, Task
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.vote import VotePattern

Judge = Callable[[str], str]
BLOCK = re.compile(r"<<(\w{12}) candidate(?: (\d+))?>>\n(.*?)\n<<end \1>>", re.DOTALL)
NO_VERDICT = "Both are good. Tough call!"


def shown(prompt: str) -> dict[int, str]:
    """The candidates of a judge's prompt by their numbers; one alone has the number 0."""
    return {int(number or 0): text for _, number, text in BLOCK.findall(prompt)}


def choosing(words: str) -> Judge:
    """A judge that answers the number of the candidate with these words."""

    def judge(prompt: str) -> str:
        at = next(number for number, text in shown(prompt).items() if words in text)
        return json.dumps({"winner": at, "reason": "it is best"})

    return judge


def saying(replies: Iterable[str]) -> Judge:
    """A judge that chooses these candidates in turn; "-" for a reply without a verdict."""
    turns = iter(replies)

    def judge(prompt: str) -> str:
        said = next(turns)
        return NO_VERDICT if said == "-" else choosing(said)(prompt)

    return judge


def scoring(scores: Mapping[str, Any]) -> Judge:
    """A judge that gives each candidate the score of the words that it holds."""

    def judge(prompt: str) -> str:
        [text] = shown(prompt).values()
        found = next(score for words, score in scores.items() if words in text)
        return NO_VERDICT if found is None else json.dumps({"score": found})

    return judge


class Bench:
    """A panel with these answers, None for a failure, and its judge.

    Attributes:
        answers: what the panel says; a test may change it between runs.
        judge: what the judge says to a prompt.
        asked: the judge's calls so far.
        fake: the provider of both.
    """

    def __init__(self, answers: list[str | None], judge: Judge) -> None:
        self.answers, self.judge = answers, judge
        self.asked: list[Task] = []
        self.late: Callable[[int], float] = lambda index: 1 + index
        self.fake = Fake(self._act)

    async def _act(self, task: Task, heard: Heard) -> Reply:
        if task.role == "judge":
            self.asked.append(task)
            await asyncio.sleep(1)
            return Reply(self.judge(task.prompt), usage=USED)
        await asyncio.sleep(self.late(task.index))
        text = self.answers[task.index]
        if text is None:
            raise CallFailed(Fault("bad_request", "no"))
        return Reply(text, usage=USED)

    def plan(self, line: str = "", body: str = "Which city?\n%judge\nPick.", **values: Any) -> Plan:
        """The plan of a vote by this panel."""
        cell = parse("vote", f"-n {len(self.answers)} {line}", body)
        plan = make_plan(cell, values, lambda text: Model("fake", text), {"model": ("m",)})
        PATTERNS[plan.pattern].check(plan)
        return plan

    def run(self, *cell: str, stop: Stop | None = None, **values: Any) -> VoteRun:
        """A vote by this panel, from the line and the body of its cell."""
        plan = self.plan(*cell, **values)
        run, _ = run_virtual(VotePattern.run(plan, run_context(self.fake, stop)))
        return run

    @property
    def prompts(self) -> list[str]:
        """What the judge was asked."""
        return [task.prompt for task in self.asked]


def judged(
    answers: list[str | None], judge: Judge, *cell: str, **values: Any
) -> tuple[VoteRun, list[str]]:
    """A vote over these answers, and the prompts of its judge."""
    bench = Bench(answers, judge)
    return bench.run(*cell, **values), bench.prompts
