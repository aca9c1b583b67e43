"""Random cells of valid and nearly valid lines: each line has one place, or the cell one error.

RANDOM_CELLS=5000 in the environment tries so many; tests/benchmarks/random_cells.py does.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from parallm_magics.cell.blocks import NBVAL, Block, Cell, Text, parse
from parallm_magics.cell.directives import BLOCK_WORDS, PERCENT_SIGNS, lead
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.tasks import Model
from parallm_magics.errors import ParallmError

CELLS = int(os.environ.get("RANDOM_CELLS", "300"))
VARIABLES = {"code": "a value", "docs": ["p", "q"], "empty": ""}

LEADS = ("", "", "", "    ", "\t", "  ", "\u00a0", "\u200b", "\u3000", "\ufeff", " \t")
ENDS = (
    "",
    ".",
    ":",
    ",",
    " for",
    " if x:",
    " (open",
    " [",
    ' "quoted',
    " 100 %",
    " {x} $y",
    "\t",
    " \\",
    " # no comment",
    " — “typographic”",
)
STARTS = (
    "",
    "- ",
    "# ",
    "> ",
    "1. ",
    "```",
    "def f(): ",
    "%matplotlib ",
    "% ",
    "%s ",
    "%%bash ",
    "\\section{",
    "{{code}} ",
    "\\{{code}} ",
    "{code} ",
    "{{ other | f }} ",
    '{"a": 1} ',
    "％ ",
    "%part of the ",
)
# What stays text once its backslash is off.
ESCAPED = ("%section", "%guard", "%synthesis x", "%%vote", "％section", "%summary", "%Prompt")
WRONG = (
    "%guard",
    "%Section a",
    "%sections",
    "%synthesize",
    "%workers a",
    "%jury",
    "%judgment",
    "％section a",
    "%sec\u200btion",
    "%%fanout -o q",
    "%%vote",
    "%system be kind",
    "{{code.upper()}}",
    "{{unknown}}",
    "{{outputs.first}}",
    "{{item}}",
    "%section a --chioces b",
    "%section <b>",
    "%section “a”",
    "%guardrail —n 3",
)
DROPPED = ("# NBVAL_IGNORE_OUTPUT", "  # NBVAL_SKIP", "# PYTEST_VALIDATE_IGNORE_OUTPUT")
OPTIONS = ("", "", " --system 'Be kind.'", ' -m "x"', " --max-tokens 9", " -t 0.5 --retries 1")


@dataclass(frozen=True)
class Typed:
    """One line as it is typed.

    Attributes:
        kind: "text", "directive", "dropped", "option" (`#|`) or "wrong".
        text: the whole line.
        kept: what stands in a prompt for it, its leading blanks included.
        word: a directive's word.
        name: a directive's name.
    """

    kind: str
    text: str
    kept: str = ""
    word: str = ""
    name: str | None = None


@st.composite
def lines(draw: st.DrawFn, magic: str, number: int) -> Typed:
    """A line with a word of its own, by which it is found again."""
    before = draw(st.sampled_from(LEADS))
    kind = draw(st.sampled_from(["text"] * 8 + ["directive"] * 5 + ["rare"]))
    if kind == "rare":
        kind = draw(st.sampled_from(["escaped", "dropped", "option", "blank", "wrong"]))
    if kind == "text":
        text = f"{before}{draw(st.sampled_from(STARTS))}word{number}q{draw(st.sampled_from(ENDS))}"
        return Typed("text", text, text)
    if kind == "escaped":
        bare = f"{draw(st.sampled_from(ESCAPED))} word{number}q"
        return Typed("text", f"{before}\\{bare}", f"{before}{bare}")
    if kind == "blank":
        return Typed("text", before, before)
    if kind == "dropped":
        return Typed("dropped", draw(st.sampled_from(DROPPED)))
    if kind == "option":
        text = f"#| word{number}q"
        return Typed("option", text, text)
    if kind == "wrong":
        return Typed("wrong", before + draw(st.sampled_from(WRONG)))
    word = draw(st.sampled_from([each for each in BLOCK_WORDS[magic] if each != "panel"]))
    name = draw(st.sampled_from([None, f"n{number}", f"n{number}-x"]))
    options = draw(st.sampled_from(OPTIONS))
    blank = draw(st.sampled_from([" ", "\t", "\u00a0"]))
    named = f"{blank}{name}" if name else ""
    trailing = draw(st.sampled_from(["", " "]))
    return Typed("directive", f"{before}%{word}{named}{options}{trailing}", word=word, name=name)


@dataclass
class Sheet:
    """A cell as it is typed, and where its lines belong."""

    magic: str
    lines: list[Typed] = field(default_factory=list)
    ending: str = "\n"

    @property
    def body(self) -> str:
        """The text below the magic."""
        return self.ending.join(line.text for line in self.lines)

    def regions(self) -> list[tuple[Typed | None, list[str]]]:
        """Each directive with the lines of its block as they are to be sent; first the preamble."""
        found: list[tuple[Typed | None, list[str]]] = [(None, [])]
        at_top, prefix = True, ""
        for line in self.lines:
            if line.kind == "dropped" or (line.kind == "option" and at_top):
                continue
            at_top = False
            if line.kind == "directive":
                prefix = lead(line.text)
                found.append((line, []))
            else:
                found[-1][1].append(line.kept.removeprefix(prefix))
        return found


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    """A cell of up to fourteen lines."""
    magic = draw(st.sampled_from(["fanout", "vote"]))
    count = draw(st.integers(1, 14))
    first, *others = [draw(lines(magic, number)) for number in range(count)]
    # A BOM at the beginning of the text is the file's, and no blank of the line.
    first = replace(
        first, text=first.text.removeprefix("\ufeff"), kept=first.kept.removeprefix("\ufeff")
    )
    return Sheet(magic, [first, *others], draw(st.sampled_from(["\n", "\n", "\r\n"])))


def joined(kept: list[str]) -> str:
    """Lines as one text, without the blank ones at its edges."""
    while kept and not kept[0].strip():
        kept = kept[1:]
    while kept and not kept[-1].strip():
        kept = kept[:-1]
    return "\n".join(kept)


def outcome(sheet: Sheet) -> tuple[Cell, Plan] | ParallmError:
    """The cell and its plan, or the error."""
    try:
        cell = parse(sheet.magic, "", sheet.body)
        plan = make_plan(cell, VARIABLES, lambda text: Model("p", text), {"model": ("m",)})
    except ParallmError as error:
        return error
    return cell, plan


def said(text: Text | None) -> str:
    """What a text holds."""
    return text.value if text is not None else ""


def in_one_place(sheet: Sheet, cell: Cell) -> None:
    """Every line stands where it was typed, byte for byte, and nowhere else."""
    (_, preamble), *blocks = sheet.regions()
    assert said(cell.preamble) == joined(preamble)
    assert len(cell.blocks) == len(blocks)
    for block, (directive, kept) in zip(cell.blocks, blocks, strict=True):
        assert directive is not None
        assert (block.word, block.name) == (directive.word, directive.name)
        assert sheet.lines[block.line - 2] is directive
        assert said(block.text) == joined(kept)
    everything = "\n".join([said(cell.preamble), *(said(block.text) for block in cell.blocks)])
    for word in re.findall(r"word\d+q", sheet.body):
        dropped = any(word in line.text and line.kind == "option" for line in sheet.lines)
        assert everything.count(word) == 1 or (dropped and everything.count(word) == 0)


def asked(block: Block, plan: Plan) -> list[Any]:
    """The calls of a plan that are a block's."""
    if block.word == "guardrail":
        return [task for guard in plan.guards for task in guard.tasks]
    if block.word == "synthesis":
        return ["".join(str(part) for part in plan.synthesis.parts)] if plan.synthesis else []
    if block.word == "judge":
        return ["".join(str(part) for part in plan.judge.parts)] if plan.judge else []
    return list(plan.tasks)


def reaches_its_calls(cell: Cell, plan: Plan) -> None:
    """A block's lines are in its own calls only, and the preamble's in every worker's."""
    workers = [task.prompt for task in plan.tasks]
    shared = re.findall(r"word\d+q", said(cell.preamble))
    assert all(word in prompt for word in shared for prompt in workers)
    for block in cell.blocks:
        own = [call if isinstance(call, str) else call.prompt for call in asked(block, plan)]
        for word in re.findall(r"word\d+q", said(block.text)):
            assert sum(word in text for text in own) == 1
            if block.word not in ("section", "voter"):
                assert not any(word in prompt for prompt in workers)


@settings(max_examples=CELLS, suppress_health_check=list(HealthCheck))
@given(sheets())
def test_every_line_has_one_place_or_the_cell_one_error(sheet: Sheet) -> None:
    """A plan, or one line that names a line of the cell that is to blame; there is no third outcome."""
    found = outcome(sheet)
    kinds = {line.kind for line in sheet.lines}
    if isinstance(found, ParallmError):
        event("error")
        message = str(found)
        assert "\n" not in message
        number = re.match(r"line (\d+)", message)
        if number is None:
            assert "has no prompt" in message
            assert joined(sheet.regions()[0][1]) == ""
        else:
            blamed = sheet.lines[int(number[1]) - 2]
            assert blamed.kind in ("wrong", "directive"), message
        return
    event("plan")
    cell, plan = found
    assert "wrong" not in kinds
    in_one_place(sheet, cell)
    reaches_its_calls(cell, plan)
    assert len(plan.tasks) == (
        sum(b.word in ("section", "voter") for b in cell.blocks) or len(plan.tasks)
    )


MORE_THAN_TEXT = re.compile(rf"\\*[{PERCENT_SIGNS}]")
any_text = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=30),
        st.sampled_from(
            [
                "",
                "  ",
                "#| x",
                "# NBVAL_SKIP",
                "#|",
                "# | x",
                "\ufeff",
                "x\r",
                "%time",
                "50 %section",
            ]
        ),
    ),
    max_size=8,
).map("\n".join)


@settings(max_examples=CELLS)
@given(any_text)
def test_a_prompt_is_the_typed_text_byte_for_byte(text: str) -> None:
    """But for: the BOM, CRLF, marker lines, `#|` lines at the top, blank lines at the edges."""
    kept = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if any(MORE_THAN_TEXT.match(line[len(lead(line)) :]) and line != "%time" for line in kept):
        return
    kept = [line for line in kept if not NBVAL.fullmatch(line)]
    while kept and kept[0].lstrip().startswith("#|"):
        kept.pop(0)
    for form, magic in ((text, "vote"), (f"%section a\n{text}", "fanout")):
        if not joined(kept):
            continue
        whole = kept
        if (
            magic == "fanout"
        ):  # the directive is at the top, and keeps `#|` lines and a BOM below it
            whole = [
                line for line in text.replace("\r\n", "\n").split("\n") if not NBVAL.fullmatch(line)
            ]
        cell = parse(magic, "", form)
        plan = make_plan(
            cell, {}, lambda text: Model("p", text), {"model": ("m",), "n": None}, {"no_vars": True}
        )
        assert {task.prompt for task in plan.tasks} == {joined(whole)}
        assert plan.notes == ()
