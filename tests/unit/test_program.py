"""The program that `%parallm code` prints runs, asks the same, and comes to the same result."""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import io
import re
import runpy
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import MODELS, each_known, lead
from provider import KEY, Act, Loopback

from parallm_magics import OptionError, StudyRun, fanout, vote
from parallm_magics.api import plan_cell
from parallm_magics.errors import UnfinishedError
from parallm_magics.export.code_text import literal, name_of, quoted
from parallm_magics.export.inlining import free_names
from parallm_magics.export.program import program
from parallm_magics.export.prompt_code import frame_of
from parallm_magics.providers import registry
from parallm_magics.providers.address import shown_query
from parallm_magics.voting import label_of

CODE = 'def f(x):\n\treturn """a\\n"""\n'
DOCS = ["a good lamp", 'a "bad" lamp', "two\nlines", ""]
VARIABLES = {"code": CODE, "docs": DOCS, "text": "Call me {now} {{x}}.", "three": ["x", "y", "x"]}
SECTIONS = (
    'Review this code.\n\n{{code}}\n\n%section security --system "You\'re an \\"expert\\"."\nAttacks?\n\n'
    "%section style\nNames?\n"
)
LABELS = {"security": "yes", "style": "no"}


def source(head: str, body: str, **variables: Any) -> str:
    """The program of a cell."""
    magic, _, line = head.partition(" ")
    return program(plan_cell(magic, line, body, {**VARIABLES, **variables}))


def imported(text: str) -> list[str]:
    """What a program imports."""
    lines = (line for line in ast.parse(text).body if isinstance(line, ast.Import | ast.ImportFrom))
    return [ast.unparse(line) for line in lines]


def runs(text: str, home: Path) -> str:
    """What a program prints; it must end well. In this process, as an SDK's import takes a second."""
    path = home / "program.py"
    path.write_text(text)
    assert "parallm_magics" not in "\n".join(imported(text))
    assert not free_names(text) - {*dir(builtins)}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(path), run_name="__main__")
    return printed.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        "vote -n 3 --choices yes,no",
        "vote -n 3 --score 1..10 --pick median",
        "vote -n 3 --choices yes,no --pick judge",
        "vote -n 3 --choices yes,no --pick confidence",
        "fanout -n 2 --choices yes,no",
        "fanout -n 2",
    ],
)
def test_the_program_to_be_read_does_what_the_one_by_itself_does(
    server: Loopback, tmp_path: Path, line: str
) -> None:
    """It is short, as it imports what reads and counts, and prints the same."""
    server.answers = lambda body: "I am sure.\nCONFIDENCE: 90\nANSWER: 7" if "1" in line else "yes"
    magic, _, options = f"{line} -m gpt-6-luna".partition(" ")
    plan = plan_cell(magic, options, "Is it?", {})
    short = program(plan, by_itself=False)
    assert len(short.splitlines()) <= 140
    printed = io.StringIO()
    path = tmp_path / "short.py"
    path.write_text(short)
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(path), run_name="__main__")
    assert printed.getvalue() == runs(program(plan), tmp_path)


@each_known
def test_the_program_asks_each_known_provider(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """With the SDK's own client for it, where the environment leads; no address or key is typed in."""
    lead(name, server, monkeypatch, tmp_path)
    text = source(f"fanout -n 1 -m {name}:{MODELS[name]} --effort low --system Brief.", "Say it.")
    assert "echo: Say it." in runs(text, tmp_path)
    [call] = [call for call in server.log if call.answers]
    assert call.model == MODELS[name]
    assert call.prompt == "Say it."
    assert "Brief." in [text for text, _ in call.blocks]
    assert KEY not in text
    assert server.url not in text


def test_an_addresss_query_is_in_the_program_unless_it_may_be_a_secret() -> None:
    """What is left out is said in a line."""
    url = "https://x.invalid/v1?api-version=2024-06-01&sig=CANARY"
    assert shown_query(url) == ({"api-version": "2024-06-01"}, True)
    registry.define("mine", url)
    made = program(plan_cell("fanout", "-m mine:m", "Say it.", {}))
    registry.forget("mine")
    assert "CANARY" not in made
    assert "default_query={'api-version': '2024-06-01'}" in made
    assert "it may contain a key" in made


def asked(server: Loopback) -> Counter[tuple[Any, ...]]:
    """Every request, as what it asks of whom; of a judge's only how many there are."""
    return Counter(
        (
            call.model,
            "judge" if JUDGED in call.prompt else call.prompt,
            repr(call.body.get("system")),
            call.body.get("temperature"),
        )
        for call in server.log
    )


JUDGED = "one JSON object"
CANDIDATE = re.compile(r"candidate ?(\d*)>+\n(.*?)\n<", re.DOTALL)


def judging(prompt: str) -> str:
    """The verdict of a judge that likes long answers, and that cannot make up its mind of "odd" ones."""
    found = CANDIDATE.findall(prompt)
    if "no verdict" in prompt:
        return "Both are good."
    if '"score"' in prompt:
        return f'{{"score": {len(found[0][1])}}}'
    if "the first" in prompt:
        return "1"
    return f'{{"winner": {max(found, key=lambda each: len(each[1]))[0]}}}'


def answers(body: dict[str, Any]) -> str:
    """Something to vote on, and to merge, that depends on the prompt alone."""
    prompt = str(body["messages"][-1]["content"])
    if JUDGED in prompt:
        return judging(prompt)
    if "How sure?" in prompt:
        return f"ANSWER: {'yes' if len(prompt) % 2 else 'no'}\nConfidence: {len(prompt)}"
    if "May it?" in prompt:
        return "rude\nANSWER: BLOCK" if "blocked" in prompt else "ANSWER: ALLOW"
    if "one of" in prompt:
        return "I think so.\nANSWER: " + ("yes" if len(prompt) % 2 else "no")
    if "a number" in prompt:
        value = 1 + len(prompt) % 10
        return f"ANSWER: 0.{value}" if "tenth" in prompt else f"ANSWER: {value}"
    return f"said of {len(prompt)} characters: fine"


VOTERS = "%voter a\nOne\n%voter b\nTwo, at length: 12345\n%voter c\nThree\n"

CELLS: dict[str, tuple[str, str]] = {
    "sections": ("fanout -m claude-haiku-5-5", SECTIONS),
    "the other dialect": ("fanout -m gpt-6-luna --effort none -t 0.5", SECTIONS),
    "two providers": ("fanout", "%section a -m claude-haiku-5-5\nA\n%section b -m gpt-6-luna\nB"),
    "one guarded call": ("fanout -m gpt-6-luna", "Say it.\n%guardrail\nMay it?"),
    "a failing section": (
        "fanout -m claude-haiku-5-5",
        SECTIONS + "%section c -m anthropic:err-400\nC",
    ),
    "items": ("fanout --each docs -m claude-haiku-5-5", "What is it?\n\n{{item}}\n\nBe brief."),
    "labels of items": ("fanout --each docs --choices yes,no -m gpt-6-luna", "Good?\n\n{{item}}"),
    "sections of items": (
        "fanout --each three -m claude-haiku-5-5",
        "{{item}} {{index}}\n%section a\nA\n%section b\nB",
    ),
    "repeats": ("fanout -n 3 -m claude-haiku-5-5", "Say one thing."),
    "labels and scores": (
        "fanout -m claude-haiku-5-5 --flag yes",
        "{{text}}\n%section a --choices yes,no\nA\n%section b --score 1..10\nB\n%section c\nC",
    ),
    "votes in sections": (
        "fanout -m claude-haiku-5-5",
        "{{text}}\n%section a -n 3 --choices yes,no\nA\n%section b -n 3 --score 1..10\nB",
    ),
    "passed": (
        "fanout -m claude-haiku-5-5",
        f"{SECTIONS}%guardrail g -n 3\nMay it?\n%guardrail h\nMay it? Also.",
    ),
    "blocked": (
        "fanout -m claude-haiku-5-5",
        SECTIONS + "%guardrail g --refusal \"No, 'sorry'.\"\nMay it? blocked",
    ),
    "a guard that fails": (
        "fanout -m claude-haiku-5-5",
        f"{SECTIONS}%guardrail -m gpt-6-luna --on-error pass\nWho?",
    ),
    "vote": ("vote -n 5 --choices yes,no -m gpt-6-luna", "Is it?\n\n{{text}}"),
    "panel": (
        "vote --choices yes,no -m claude-haiku-5-5",
        "{{text}}\n%voter a\nOne\n%voter b -m gpt-6-luna\nTwo!\n%voter c\nThree",
    ),
    "weights": (
        "vote --choices yes,no -m claude-haiku-5-5",
        "{{text}}\n%voter a --weight 3\nOne\n%voter b\nTwo!\n%voter c --weight 1/2\nThree",
    ),
    "a tie": ("vote --choices yes,no -m gpt-6-luna", "%voter a\nOne\n%voter b\nTwoo"),
    "a tie, first": (
        "vote --ties first --choices yes,no -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoo",
    ),
    "majority": (
        "vote --pick majority --choices yes,no -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoo\n%voter c\nTri",
    ),
    "threshold": (
        "vote --threshold 3/4 --choices yes,no -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoo\n%voter c\nTri",
    ),
    "unanimous": ("vote -n 3 --pick unanimous --choices yes,no -m gpt-6-luna", "One"),
    "any": (
        "vote --pick any --flag yes --choices yes,no -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoo\n%voter c\nTri",
    ),
    "median": (
        "vote --score 1..10 --pick median -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoooo\n%voter c\nTri",
    ),
    "mean": (
        "vote --number --pick mean -m gpt-6-luna",
        "Give a number, a number.\n%voter a\nOne\n%voter b\nTwo",
    ),
    "open": ("vote -n 3 -m claude-haiku-5-5", "What?"),
    "best of several": (
        "vote -m claude-haiku-5-5",
        f"What of {{{{text}}}}?\n{VOTERS}%judge --score 0..100 -m gpt-6-luna\nRate it.",
    ),
    "best without a verdict": (
        "vote -m claude-haiku-5-5",
        f"What?\n{VOTERS}%judge --score 0..100\nGive no verdict.",
    ),
    "judge": (
        "vote -m claude-haiku-5-5",
        f"What of {{{{text}}}}?\n{VOTERS}%judge\n{{{{candidates}}}}\nThe long one, for {{{{task}}}}.",
    ),
    "judge of labels": (
        "vote --choices yes,no --pick judge -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoo\n%voter c\nTri",
    ),
    "a judge of two minds": (
        "vote -m claude-haiku-5-5",
        f"What?\n{VOTERS}%judge\nTake the first. Respond with just the number.",
    ),
    "a judge of two minds, first": (
        "vote -m claude-haiku-5-5 --ties first --pick judge",
        f"What?\n{VOTERS}%judge\nTake the first.",
    ),
    "a judge without a verdict": (
        "vote -m claude-haiku-5-5",
        f"What?\n{VOTERS}%judge\nGive no verdict.",
    ),
    "a judge of one answer": ("vote -n 3 -m claude-haiku-5-5", "What?\n%judge\nPick."),
    "a judge of a tie": (
        "vote --ties judge --choices yes,no -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoo",
    ),
    "a tie, by lot": (
        "vote --ties random --seed 3 --choices yes,no -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoo",
    ),
    "a tie below the threshold, first": (
        "vote --ties first --threshold 3/4 --choices yes,no -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoo",
    ),
    "stated confidence": (
        "vote --pick confidence --choices yes,no -m gpt-6-luna",
        "How sure?\n%voter a\nOne\n%voter b\nTwoo\n%voter c\nTri",
    ),
    "equal weights, first": (
        "vote --choices yes,no --ties first -m gpt-6-luna",
        "%voter a --weight 1/3\nOne\n%voter b --weight 1/3\nTwoo",
    ),
    "flags by a threshold": (
        "vote --threshold 2 --flag yes --choices yes,no -m gpt-6-luna",
        "%voter a\nOne\n%voter b\nTwoo\n%voter c\nTri\n%voter d\nOn",
    ),
    "a flag that is not cleared": (
        "vote --pick any --flag yes --choices yes,no",
        "%voter a -m gpt-6-luna\nTwoo\n%voter b -m anthropic:err-400\nTwoo\n%voter c -m gpt-6-luna\nTwoo",
    ),
    "mean of tenths": (
        "vote --number --pick mean -m gpt-6-luna",
        "Give a number, a number. tenth\n%voter a\nOne\n%voter b\nTwo",
    ),
    "a lost vote": (
        "vote --choices yes,no",
        "%voter a -m gpt-6-luna\nOne\n%voter b -m anthropic:err-400\nTwoo\n%voter c -m gpt-6-luna\nTri",
    ),
    "clinch": ("vote -n 5 --stop clinch --choices yes,no -m gpt-6-luna", "Is it?"),
    "a study": (
        "vote -n 3 --each docs --choices yes,no -m gpt-6-luna --compare claude-haiku-5-5",
        "Is it {{item}}?\n%panel other --pick majority\nThink.\n%voter a\nOne\n%voter b\nTwoo",
    ),
}


@pytest.mark.parametrize("kind", CELLS)
def test_a_program_asks_and_decides_as_its_cell(
    server: Loopback, tmp_path: Path, kind: str
) -> None:
    """Every prompt arrives byte for byte, and labels, numbers, texts and winners are the same."""
    server.answers = answers
    head, body = CELLS[kind]
    magic, _, line = head.partition(" ")
    server.clear()
    function: Any = vote if magic == "vote" else fanout
    run: Any = asyncio.run(function(f"%%{magic} {line}\n{body}", variables=VARIABLES, stream="off"))
    mine = asked(server)
    server.clear()
    printed = runs(source(head, body), tmp_path)
    if "--stop" not in line and not run.blocked:
        assert asked(server) == mine
    if run.blocked:
        assert printed.strip() == run.text
    elif isinstance(run, StudyRun):
        for item in run.measured:
            for name, outcome in item.outcomes.items():
                if name != "single":
                    assert f"{item.number}.{name}: {outcome.answer}\n" in f"{printed}\n"
    elif magic == "vote":
        assert f"winner: {run.winner}" in printed.replace(".0\n", "\n")
        if kind != "clinch" and all(record.value != record.text for record in run.results):
            tally = ast.literal_eval(printed.rpartition("tally: ")[2])
            assert {label_of(label): votes for label, votes in tally.items()} == dict(run.tally)
    else:
        for record in run.results:
            if not record.ok:
                assert f"{record.name} failed: " in printed
        if any(record.value is not None for record in run.results):
            for key, value in run.items():
                assert f"{key}: {value}\n" in f"{printed}\n".replace(".0\n", "\n")
            assert ("flagged: " in printed) == ("--flag" in line)
        elif not run.failed:
            assert printed == f"{run.text.strip()}\n"


RAW = [
    "6/10",
    "**Score:** 7 out of 10",
    "I would say 8.5, as it is short.",
    "<think>9?</think> 4",
    "ANSWER: 11",
    "No, it is fine.",
    "**NO**",
    "No doubt: YES",
    "Not YES, so NO it is? Hard to say.",
    "ANSWER: YES\n\nIt names a person.",
    "YES or NO",
    "yes.",
    "I cannot help with that.",
]
ASKING = [
    pytest.param("fanout", "%section a --choices YES,NO --flag YES\nIs it?", id="choices"),
    pytest.param("fanout", "%section a --score 1..10\nHow good?", id="score"),
    pytest.param("fanout", "%section a --number\nHow many?", id="number"),
    pytest.param("vote", "-n 3 --choices YES,NO\nIs it?", id="vote"),
    pytest.param("vote", "-n 3 --score 1..10\nHow good?", id="vote of scores"),
    pytest.param(
        "fanout", "Say.\n%guardrail --choices YES,NO --block YES\nMay it not?", id="guard"
    ),
    pytest.param(
        "fanout", "Say.\n%guardrail --choices YES,NO --block YES -n 2\nMay it not?", id="guards"
    ),
]


@pytest.mark.parametrize("said", RAW)
@pytest.mark.parametrize(("magic", "cell"), ASKING)
def test_a_program_reads_what_its_cell_reads(
    server: Loopback, tmp_path: Path, magic: str, cell: str, said: str
) -> None:
    """However an answer is put, both find the same in it, or both find nothing."""
    server.answers = lambda body: said if "Say" not in str(body["messages"]) else "SAID"
    line, body = ("", cell) if cell.startswith(("%", "Say")) else cell.split("\n", 1)
    line = f"{line} -m gpt-6-luna --min-success 0"
    function: Any = vote if magic == "vote" else fanout
    run: Any = asyncio.run(function(f"%%{magic} {line}\n{body}", stream="off"))
    printed = runs(source(f"{magic} {line}", body), tmp_path).replace(".0\n", "\n")
    if magic == "vote":
        assert f"winner: {run.winner}\n" in printed
    elif "guardrail" in cell:
        assert printed.strip() == run.text
    else:
        value = run.get("a")
        assert f"a: {value}\n" in f"{printed}\n".replace(".0\n", "\n")
        assert ("no verdict: ['a']" in printed) is bool(run.unchecked)


def test_a_synthesis_gets_the_answers_as_data(server: Loopback, tmp_path: Path) -> None:
    """Between marks, and the words on what to do come last; what fails leaves the answers joined."""
    server.answers = lambda body: (
        "MERGED" if "</answer" in str(body["messages"]) else "one <answer> of them"
    )
    body = f"{SECTIONS}%synthesis\nMerge {{{{outputs.style}}}}, briefly."
    printed = runs(source("fanout -m claude-haiku-5-5", f"{SECTIONS}%synthesis\n"), tmp_path)
    assert printed == "MERGED\n"
    server.clear()
    runs(source("fanout -m claude-haiku-5-5", body), tmp_path)
    assert server.log[-1].prompt.endswith("\n\nMerge one <answer> of them, briefly.")
    failing = f"{SECTIONS}%synthesis -m anthropic:err-400\n"
    printed = runs(source("fanout -m claude-haiku-5-5", failing), tmp_path)
    assert "synthesis failed: BadRequestError" in printed
    assert "## style\n\none <answer> of them" in printed


def test_a_silent_call_ends(server: Loopback, tmp_path: Path) -> None:
    """The others are kept; it is named with the reason."""
    server.answers = None
    body = "%section a\nA\n%section b -m anthropic:hang\nB"
    printed = runs(source("fanout -m claude-haiku-5-5 --timeout 4", body), tmp_path)
    assert "b failed: TimeoutError" in printed
    assert "## a\n\necho: A" in printed


def test_too_few_answers_end_in_an_error(server: Loopback, tmp_path: Path) -> None:
    """As the cell does."""
    body = "%section a -m anthropic:err-400\nA\n%section b\nB"
    text = source("fanout -m claude-haiku-5-5 --min-success 2", body)
    with pytest.raises(SystemExit, match="only 1 of 2 succeeded"):
        runs(text, tmp_path)
    with pytest.raises(UnfinishedError):
        asyncio.run(fanout(body, model="claude-haiku-5-5", min_success="2"))


@pytest.mark.parametrize(
    ("line", "body"),
    [
        pytest.param("--choices yes,no", "%section a\nA?\n%section b\nB?", id="all alike"),
        pytest.param(
            "", "%section a --score 1..10\nA?\n%section b --choices yes,no\nB?", id="unlike"
        ),
        pytest.param(
            "", "%section a -n 3 --choices yes,no\nA?\n%section b --open\nB?", id="votes, a text"
        ),
    ],
)
@pytest.mark.parametrize("said", ["ANSWER: yes", "who knows"])
def test_what_cannot_be_read_is_no_success(
    server: Loopback, tmp_path: Path, line: str, body: str, said: str
) -> None:
    """Too few readable answers end both the cell and the program, with the same count."""
    server.answers = lambda body: said
    line = f"{line} -m gpt-6-luna --min-success 1"
    text = source(f"fanout {line}", body)
    cell = fanout(f"%%fanout {line}\n{body}", stream="off")
    if said == "who knows" and "--open" not in body:
        with pytest.raises(UnfinishedError, match="0 of 2 workers succeeded"):
            asyncio.run(cell)
        with pytest.raises(SystemExit, match="only 0 of 2 succeeded"):
            runs(text, tmp_path)
        return
    values = [f"{key}: {value}" for key, value in asyncio.run(cell).items()]
    printed = runs(text, tmp_path).splitlines()
    assert values == [each for each in printed if not each.endswith(": None")]


def test_a_cut_answer_is_none(server: Loopback, tmp_path: Path) -> None:
    """Nor is a refusal, or one without text."""
    for act in (Act(stop="max_tokens"), Act(stop="refusal"), Act(text=" ")):
        server.script("claude-cut", act)
        server.script("gpt-cut", act)
        body = "%section a -m claude-cut\nA\n%section b -m gpt-cut\nB\n%section c -m gpt-6-luna\nC"
        printed = runs(source("fanout --min-success 1", body), tmp_path)
        assert printed.count(" failed: ValueError no complete answer") == 2


def test_a_server_of_ones_own_is_reached(server: Loopback, tmp_path: Path) -> None:
    """With its address, and the variable of its key, but no key."""
    server.answers = None
    registry.define("mine", f"{server.url}/v1", "MINE_KEY")
    try:
        text = source("fanout -n 2 -m mine:m", "Hello")
    finally:
        registry.forget("mine")
    assert 'api_key=os.environ["MINE_KEY"]' in text
    assert "echo: Hello" in runs(text.replace('os.environ["MINE_KEY"]', '"x"'), tmp_path)


def test_a_simulated_cell_gives_a_program_for_a_real_model() -> None:
    """Which says so."""
    text = source("vote -n 3 --choices a,b -m sim:?truth=a", "Which?")
    assert (
        'MODEL = "claude-haiku-5-5"  # the cell used a simulated model; this is a real one' in text
    )


def test_limits_that_are_left_out_are_said() -> None:
    """A program that dropped a cap in silence would be dangerous."""
    text = source("fanout -n 2 --max-cost 0.50 --rpm 30 -m claude-haiku-5-5", "Hello")
    assert "# These options of the cell are not included: --max-cost 0.50, --rpm 30\n" in text
    assert "not included" not in source("fanout -n 2 -m sim", "Hello")


@pytest.mark.parametrize(
    ("answers", "winner"),
    [
        pytest.param(["  The Whale. "] * 3, "The Whale", id="alike"),
        pytest.param(["Unsafe", "unsafe", "unsafe."], "unsafe", id="the most frequent"),
        pytest.param(["The Whale", "the whale", "Moby"], "the whale", id="lower case of equals"),
        pytest.param(["Yes", "YES ", "no"], "YES", id="the last of equals"),
        pytest.param(["a", "b", "c"], None, id="a tie"),
    ],
)
def test_an_open_winner_has_its_usual_spelling(
    server: Loopback, tmp_path: Path, answers: list[str], winner: str | None
) -> None:
    """Compared without case and blanks, named as the cell names it."""
    body = "\n".join(f"%voter v{at}\nSay {at}!" for at in range(len(answers)))

    def said(body: dict[str, Any]) -> str:
        return answers[int(str(body["messages"][-1]["content"]).strip(" !")[-1])]

    server.answers = said
    run = asyncio.run(vote(body, model="claude-haiku-5-5"))
    printed = runs(source("vote -m claude-haiku-5-5", body), tmp_path)
    assert run.winner == winner
    assert f"winner: {winner}\n" in printed


def test_too_many_calls_are_refused() -> None:
    """So are items that their number is unknown; the error says the way out."""
    with pytest.raises(OptionError, match="300 calls are too many to write out"):
        source("fanout --each many -m sim", "{{item}}", many=[f"{n}" for n in range(300)])
    with pytest.raises(OptionError, match="their number is unknown"):
        source("fanout --each many -m sim", "{{item}}", many=(f"{n}" for n in range(3)))


# --- texts as source ------------------------------------------------------------------------------

ANY = st.text(st.characters(codec=None, exclude_categories=[]))


@given(ANY)
def test_any_text_is_a_literal(text: str) -> None:
    """As it was, on one line or several."""
    assert ast.literal_eval(literal(text)) == text
    assert ast.literal_eval(quoted(text)) == text
    assert "\n" not in quoted(text)


@given(st.lists(ANY, min_size=1), ANY)
def test_any_prompt_makes_a_program(texts: list[str], shared: str) -> None:
    """Its calls ask the prompts of the plan."""
    plan = plan_cell(
        "fanout",
        "--each texts -m sim",
        "{{shared}} a {{item}} b",
        {"texts": texts, "shared": shared},
    )
    names: dict[str, Any] = {"asyncio": asyncio, "AsyncAnthropic": lambda **_: None}
    text = (
        program(plan)
        .rpartition("asyncio.run(main())")[0]
        .replace("from anthropic", "# from anthropic")
    )
    exec(compile(text, "program", "exec"), names)  # noqa: S102
    names["ask"] = lambda prompt, **more: prompt
    assert list(names["calls"]().values()) == [task.prompt for task in plan.tasks]


@given(st.lists(st.text("ab \n", max_size=9), min_size=1))
def test_what_stands_around_items_is_common_to_all(texts: list[str]) -> None:
    """And the rest of each prompt is what was between."""
    before, after = frame_of(texts)
    for text in texts:
        assert text.startswith(before)
        assert text.endswith(after)
        assert len(before) + len(after) <= len(text)


def test_names_are_names() -> None:
    """Of whatever a section is called; no two are the same."""
    taken: set[str] = {"MODEL"}
    found = [name_of(text, taken) for text in ("style", "model", "a-b", "a_b", "größe", "1.x", "")]
    assert found == ["STYLE", "MODEL_2", "A_B", "A_B_2", "GRÖSSE", "PROMPT_1_X", "PROMPT"]


# --- in a notebook --------------------------------------------------------------------------------


INLINE = [
    ("<think>ANSWER: no</think>\nANSWER: yes", "ANSWER: yes"),
    ("<seed:think>ANSWER: no", ""),
    ("<|channel|>analysis<|message|>no<|channel|>final<|message|>yes", "yes"),
    ("analysisNo.assistantfinalyes", "yes"),
    ("The `<think>` tag\n", "The `<think>` tag\n"),
]


@pytest.mark.parametrize(("text", "answer"), INLINE)
def test_a_program_of_a_local_server_takes_thinking_out(text: str, answer: str) -> None:
    """Such a server may leave it in the answer; it is in no text and gives no vote."""
    written = program(plan_cell("vote", "-m ollama:m --choices yes,no", "Is it?", {}))
    space: dict[str, Any] = {"__name__": "program", "AsyncOpenAI": lambda **_: None}
    alone = written.rpartition("asyncio.run(main())")[0].replace("from openai", "# from openai")
    sys.modules["program"] = types.ModuleType("program")
    exec(alone, space)  # noqa: S102
    assert space["split_thinking"](text)[1] == answer
    assert "split_thinking(choice.message.content" in written
