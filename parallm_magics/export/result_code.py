"""The part of a program that makes a result of the answers."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.cell.calls import Section
from parallm_magics.cell.plan import Plan, least_successes
from parallm_magics.cell.variables import Part, Ref
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.export.call_code import Asking
from parallm_magics.export.code_text import indented, quoted
from parallm_magics.export.field_vote_code import field_voting, schema_function
from parallm_magics.export.prompt_code import Prompts
from parallm_magics.export.vote_code import Sources, is_read, picking, read
from parallm_magics.patterns.panel import Rule, panel_reading, rule_of, section_rule
from parallm_magics.patterns.synthesis import MERGE

_FLAGGED = """\
flagged = [name for name, flag in flags.items() if values.get(name) == flag]
print("flagged:", flagged)
unchecked = [name for name in flags if values.get(name) is None]
if unchecked:
    print("no verdict:", unchecked)"""
_AS_TEXTS = """\
answers = {
    name: answer if isinstance(answer, str) else answer.model_dump_json(by_alias=True, indent=2)
    for name, answer in answers.items()
}"""
_QUOTED = '"\\n\\n".join(f"<answer {n}>\\n{a}\\n</answer {n}>" for n, a in answers.items())'


class Results:
    """How a program makes a result of the answers.

    Attributes:
        sources: the functions that its lines call.
    """

    def __init__(self, plan: Plan, tasks: Sequence[Task], prompts: Prompts, asking: Asking) -> None:
        self._plan, self._tasks = plan, tasks
        self._prompts, self._asking = prompts, asking
        self._sections = list(plan.calls.sections(len(tasks)))
        self.sources = Sources()

    def merged(self) -> str:
        """The function that makes one text of a fan-out's answers."""
        # What cannot be read is no success of a fan-out; in a study it is a vote that is lost.
        reads = self._plan.magic == "fanout" and any(
            is_read(each.reading) for each in self._sections
        )
        good = "good" if reads else "len(answers)"
        least = least_successes(self._plan.options.min_success, len(self._tasks))
        few = [
            f"if {good} < {least}:",
            f'    raise SystemExit(f"only {{{good}}} of {len(self._tasks)} succeeded")',
        ]
        lines = [] if reads else few
        if any(section.reading or len(section.tasks) > 1 for section in self._sections):
            lines += self._values(few if reads else [])
        elif self._plan.synthesis is None:
            lines.append(f"return {self._joined}")
        if self._plan.synthesis is not None:
            if any(section.reading and section.reading.schema for section in self._sections):
                lines += _AS_TEXTS.splitlines()
            lines += self._synthesis()
        word = "async def" if self._plan.synthesis else "def"
        doc = '"""Merge the answers into one text."""'
        return f"{word} result(answers):\n    {doc}\n" + indented("\n".join(lines))

    @property
    def _joined(self) -> str:
        if len(self._sections) == 1:
            return '"\\n\\n".join(answers.values())'
        return '"\\n\\n".join(f"## {name}\\n\\n{text.strip()}" for name, text in answers.items())'

    def _values(self, few: list[str]) -> list[str]:
        """Lines that read the answers, and count the votes of each section that is a vote.

        Args:
            few: lines that end the program where too few answers are `good`; none without need.
        """
        readings = {section.reading for section in self._sections}
        if len(readings) == 1 and all(len(section.tasks) == 1 for section in self._sections):
            value = read(self._sections[0].reading, "text")
            lines = [f"values = {{name: {value} for name, text in answers.items()}}"]
            count = "good = sum(value is not None for value in values.values())"
            lines += [count, *few] if few else []
        else:
            lines = ["values = {}", *(["good = 0"] if few else [])]
            for section in self._sections:
                lines += self._value(section, counts=bool(few))
            lines += few
        if flags := [section for section in self._sections if section.flag is not None]:
            marks = ", ".join(f"{quoted(str(s.key))}: {quoted(s.flag or '')}" for s in flags)
            lines += [f"flags = {{{marks}}}", *_FLAGGED.splitlines()]
        if self._plan.synthesis is None:
            lines.append('return "\\n".join(f"{name}: {value}" for name, value in values.items())')
        return lines

    def _value(self, section: Section, counts: bool) -> list[str]:
        names = [self._tasks[place].name for place in section.tasks]
        key = quoted(str(section.key))
        listed = ", ".join(map(quoted, names))
        if len(names) == 1 or section.reading is None or not is_read(section.reading):
            text = f'answers.get({quoted(names[0])}, "")'
            if section.reading is not None and section.reading.schema is not None:
                text = f"answers.get({quoted(names[0])})"
            one = f"values[{key}] is not None"
            good = one if is_read(section.reading) else f"len({{{listed}}} & set(answers))"
            value = f"values[{key}] = {read(section.reading, text)}"
            return [value, *([f"good += {good}"] if counts else [])]
        rule = section_rule(section.options, len(names), section.reading, section.flag)
        if (schema := section.reading.schema) is not None:
            cast = field_voting(
                rule, schema, self._asking.classes.name(schema), names, self.sources
            )
            good = f"good += len({{{listed}}} & set(answers))"
            return [*cast, *([good] if counts else []), f"values[{key}] = winner"]
        return [
            *self._votes_of(section.reading, rule, f"name in [{listed}] if name in answers"),
            *(["good += len(votes)"] if counts else []),
            *picking(rule, section.reading, names, self.sources),
            f"values[{key}] = winner",
        ]

    def _votes_of(self, reading: Reading, rule: Rule, names: str) -> list[str]:
        """Lines that read the votes of these names, and count them."""
        text = _answer_of(rule)
        value = read(reading, text) if is_read(reading) else f"same({text})"
        return [
            f"votes = {{name: {value} for {names}}}",
            "votes = {name: vote for name, vote in votes.items() if vote is not None}",
        ]

    @property
    def kinds(self) -> list[str]:
        """The kinds of answers that the program reads."""
        readings = [s.reading for s in self._sections] + [g.reading for g in self._plan.guards]
        kinds = ("open" if r is None else r.kind for r in readings if r is None or not r.schema)
        return [*dict.fromkeys(kinds)]

    @property
    def schemas(self) -> str:
        """The functions that say what the fields that are voted on are like."""
        schemas = (section.reading.schema for section in self._sections if section.reading)
        several = [task.reading.schema for task in self._tasks if task.reading]
        voted = [*schemas, *several] if self._votes_on_fields else []
        found = {each.document: each for each in voted if each is not None}
        names = self._asking.classes
        return "\n\n\n".join(schema_function(each, names.name(each)) for each in found.values())

    @property
    def _votes_on_fields(self) -> bool:
        """Whether some objects are voted on, rather than taken as they are."""
        return self._plan.pattern == "vote" or any(len(s.tasks) > 1 for s in self._sections)

    def _synthesis(self) -> list[str]:
        assert self._plan.synthesis is not None
        parts, shared = self._plan.synthesis.parts, self._prompts.shared
        used = {part.name for part in parts if isinstance(part, Ref)}
        lead = f"<task>\\n{{{shared}}}\\n</task>\\n\\n" if shared and "task" not in used else ""
        lead += "" if "outputs" in used else "{quoted}\\n\\n"
        ask = self._asking.call(self._plan.synthesis.task, f'f"{lead}{{words}}"')
        return [
            "# The models' answers are data: put them between marks, before the instructions.",
            f"quoted = {_QUOTED}",
            f"words = {' + '.join(map(self._part, parts)) or quoted(MERGE)}",
            "try:",
            f"    return await {ask}",
            "except Exception as error:",
            '    print(f"synthesis failed: {type(error).__name__} {error}")',
            f"    return {self._joined}",
        ]

    def _part(self, part: Part) -> str:
        """A part of the synthesis's text as an expression."""
        if isinstance(part, str):
            return quoted(part)
        if part.name == "task":
            return self._prompts.shared or quoted(self._plan.shared)
        return f'answers.get({quoted(str(part.steps[0][1]))}, "")' if part.steps else "quoted"

    def votes(self) -> str:
        """The function that counts a vote's answers."""
        plan, tasks = self._plan, self._tasks
        reading = panel_reading(tasks)
        rule = rule_of(plan.options, len(tasks), reading, plan.calls.flag)
        least = least_successes(plan.options.min_success, len(tasks))
        lines = [
            f"if len(answers) < {least}:",
            f'    raise SystemExit(f"only {{len(answers)}} of {len(tasks)} came back")',
        ]
        if rule.stop != "all":
            lines.append(
                "# The cell stops once open votes cannot matter; this program waits for all of them."
            )
        names = [task.name for task in tasks]
        word = "async def" if plan.judge is not None else "def"
        doc = '"""Return the winner and the tally as text."""'
        head = f"{word} result(answers):\n    {doc}\n"
        if reading.schema is not None:
            lines += self._field_votes(rule, reading.schema, names)
            lines.append('return f"winner: {winner}"')
            return head + indented("\n".join(lines))
        lines += self._votes_of(reading, rule, "name in answers")
        lines += picking(rule, reading, names, self.sources, plan.calls.weights)
        if not is_read(reading):  # as it was written, not as it was compared
            lines += self._written(rule)
        lines += [
            f'print(f"{{len(votes)}} of {len(tasks)} votes could be read")',
            'return f"winner: {winner}\\ntally: {dict(tally.most_common())}"',
        ]
        return head + indented("\n".join(lines))

    def _field_votes(self, rule: Rule, schema: Schema, names: Sequence[str]) -> list[str]:
        """Lines that vote on each field of objects."""
        named = self._asking.classes.name(schema)
        return field_voting(rule, schema, named, names, self.sources, self._plan.calls.weights)

    def _written(self, rule: Rule) -> list[str]:
        """Lines that name the winner of open answers: as a judge was shown it, or as most wrote it."""
        if rule.entry.asks:
            return [
                "winner = next((answers[name] for name in votes if votes[name] == winner), None)"
            ]
        said = f'[read({_answer_of(rule)}, kind="open") for name in votes if votes[name] == winner]'
        return [f"said = {said}", "winner = usual_spelling(said) if said else None"]


def _answer_of(rule: Rule) -> str:
    """The expression of an answer as it is read."""
    return "without_confidence(answers[name])" if rule.entry.states_confidence else "answers[name]"
