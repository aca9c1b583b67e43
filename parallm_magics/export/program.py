"""The plain asyncio program that a plan stands for, as a person would write it."""

from __future__ import annotations

from parallm_magics.cell.options import Options
from parallm_magics.cell.plan import Plan
from parallm_magics.cell.time_limits import limits_of
from parallm_magics.engine.rate_limits import START_SLOTS
from parallm_magics.errors import OptionError
from parallm_magics.export.call_code import Asking
from parallm_magics.export.code_text import indented, quoted
from parallm_magics.export.judge_code import judging
from parallm_magics.export.prompt_code import Prompts
from parallm_magics.export.result_code import Results
from parallm_magics.export.whole import written
from parallm_magics.voting.pick_rules import rule_named

MOST = 200  # calls that are written out
_AT_ONCE = '''\
async def at_once(calls):
    """Make all calls at once and return the answers by name; report failures and skip them."""
    answers = await asyncio.gather(*calls.values(), return_exceptions=True)
    for name, answer in zip(calls, answers):
        if isinstance(answer, BaseException):
            print(f"{name} failed: {type(answer).__name__} {answer}")
    return {n: a for n, a in zip(calls, answers) if not isinstance(a, BaseException)}'''
_OBJECTION = '''\
async def objection(calls, choices, block, refusal, on_error=True, least=None):
    """Return the text to show in place of the work; None if the guard passes."""
    votes = [read(text, choices) for text in (await at_once(calls)).values()]
    votes = [vote for vote in votes if vote is not None]
    first = leaders(Counter(votes))
    in_favour = len(votes) - votes.count(block)
    unsure = len(first) != 1 or 2 * in_favour <= len(calls)
    blocks = first == (block,)
    if least is not None:  # this many votes block; missing votes might too
        blocks, unsure = votes.count(block) >= least, len(calls) - in_favour >= least
    return refusal if blocks or (unsure and on_error) else None'''
_MAIN = """\
async def main():
    async with {clients}:
        print({result})"""
_GUARDED = """\
async def main():
    async with {clients}:
        # The guards run beside the work; its answers are used only after every guard has passed.
        working = asyncio.create_task(at_once(calls()))
        guards = [
{guards}
        ]
        for guard in asyncio.as_completed(guards):
            if refusal := await guard:
                working.cancel()
                print(refusal)
                return
        print({result})"""


def program(plan: Plan, *, by_itself: bool = True) -> str:
    """The source of a program that asks what the plan asks, and merges or counts the answers alike.

    Args:
        by_itself: whether it needs nothing of this package; else it imports what reads and counts,
            and is short enough to be read.

    Raises:
        OptionError: the calls cannot be written out.
    """
    return _Program(plan).source(by_itself)


class _Program:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        tasks = plan.calls.rendered
        if tasks is None or len(tasks) > MOST:
            count = "its" if tasks is None else f"{len(tasks):,}"
            raise OptionError(
                f"%parallm code: {count} calls are too many to write out, or their number is unknown; run the cell "
                f"(or --dry-run) over a short list of at most {MOST} items first"
            )
        self._tasks = tasks
        options = plan.options
        systems = plan.study.systems if plan.study is not None else ()
        if any(rule_named(system.options.pick).weighs for system in systems):
            raise OptionError(
                "%parallm code: weighted votes on many items cannot be written out; run the cell without --each"
            )
        self._asking = Asking(
            [*tasks, *plan.auxiliary],
            at_once=options.concurrency or START_SLOTS,
            seconds=options.timeout or limits_of(options).deadline,
            left_out=_left_out(options),
        )
        self._prompts = Prompts(plan, tasks)
        self._results = Results(plan, tasks, self._prompts, self._asking)

    def source(self, by_itself: bool) -> str:
        """The whole program."""
        results, classes = self._results, self._asking.classes
        result = results.votes() if self._plan.pattern == "vote" else results.merged()
        guards = self._guards()
        ended = [self._calls(), result, self._main(guards)]
        return written(
            self._title,
            [classes.source, self._asking.source, self._prompts.constants],
            [results.schemas, _AT_ONCE, *self._judge, *([_OBJECTION] if guards else []), *ended],
            self._asking.imports,
            results.sources,
            results.kinds,
            by_itself=by_itself,
        )

    @property
    def _title(self) -> str:
        count = len(self._tasks)
        calls = "One call" if count == 1 else f"{count} calls at once"
        if self._asks_judge:
            return f"{calls}, a count of their votes, and a judge."
        if self._plan.pattern == "vote":
            return f"{calls}, and a count of their votes."
        beside = ", beside a guard" if self._plan.guards else ""
        return (
            f"{calls}{beside}{', and one call that merges them' if self._plan.synthesis else ''}."
        )

    def _calls(self) -> str:
        return "def calls():\n" + indented(self._prompts.calls(self._asking))

    def _main(self, guards: str) -> str:
        answers = "await working" if guards else "await at_once(calls())"
        wait = "await " if self._plan.synthesis or self._asks_judge else ""
        result = f"{wait}result({answers})"
        clients = ", ".join(self._asking.clients)
        form = _GUARDED if guards else _MAIN
        return form.format(guards=guards, result=result, clients=clients)

    @property
    def _asks_judge(self) -> bool:
        """Whether a judge is asked once the votes are in."""
        return self._plan.pattern == "vote" and self._plan.judge is not None

    @property
    def _judge(self) -> list[str]:
        """The functions that ask it; none without a judge."""
        judge = self._plan.judge
        if judge is None or not self._asks_judge:
            return []
        shared = self._prompts.shared or (quoted(self._plan.shared) if self._plan.shared else "")
        scores = rule_named(self._plan.options.pick).asks == "score"
        return [judging(judge, shared, scores, lambda text: self._asking.call(judge.task, text))]

    # --- guards -----------------------------------------------------------------------------------

    def _guards(self) -> str:
        lines = []
        for guard in self._plan.guards:
            least = guard.least_probability
            blocks = None if least is None else (guard.block, least)
            asked = self._prompts.guard(guard.tasks, self._asking, blocks)
            choices = ", ".join(map(quoted, guard.reading.choices))
            more = ", on_error=False" if guard.passes_on_error else ""
            more += "" if guard.least is None else f", least={guard.least}"
            lines.append(
                f"            objection({asked}, [{choices}], "
                f"{quoted(guard.block)}, {quoted(guard.refusal)}{more}),"
            )
        return "\n".join(lines)


def _left_out(options: Options) -> list[str]:
    """The options whose promise a page of code does not keep."""
    cost = None if options.max_cost is None else f"{options.max_cost:f}"
    caps = {"--max-cost": cost, "--rpm": options.rpm, "--tpm": options.tpm}
    left = ["the measurements of --truth and --compare"] if options.truth is not None else []
    if options.batch:
        left.append("--batch, so that each call is made at once, at its usual price")
    if options.sure is not None:
        left.append("the share below which --sure gives no answer")
    return left + [f"{flag} {cap}" for flag, cap in caps.items() if cap is not None]
