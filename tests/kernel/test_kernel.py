"""In a real kernel, a cell is awaited on the notebook's own loop and shows what it promises."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from kernel import Kernel
from provider import KEY, Loopback

QUICK = "-m sim:?scale=0.01"


@pytest.fixture(scope="module")
def one_kernel(server: Loopback) -> Iterator[Kernel]:
    """The kernel of this module."""
    env = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}
    with Kernel(**env) as kernel:
        assert kernel.run("%load_ext parallm_magics").outputs == []
        yield kernel


def status(kernel: Kernel) -> str:
    """What `%parallm` shows as text."""
    [shown] = kernel.run("%parallm").shown
    assert "<table" in shown["text/html"]
    return str(shown["text/plain"])


@pytest.fixture
def kernel(one_kernel: Kernel) -> Kernel:
    """The kernel with its settings as at the start and no name left from another test."""
    cell = one_kernel.run(
        "%reset -f\nget_ipython().config.pop('ParallmMagics', 0)\n%reload_ext parallm_magics"
    )
    assert (cell.reply["status"], cell.stream("stdout"), cell.stream("stderr")) == ("ok", "", "")
    return one_kernel


def test_the_run_is_the_cells_result(kernel: Kernel) -> None:
    """A cell's run is its Out and `_`, and nothing besides is in the saved notebook."""
    cell = kernel.run(f"%%fanout {QUICK}\n%section a\nhello\n%section b\nthere\n")
    assert cell.outputs == ["execute_result"]
    assert set(cell.result) == {"text/plain", "text/html"}
    assert cell.plain.startswith("2 of 2 sections succeeded")
    assert kernel.value("(list(_), type(_).__name__)") == (["a", "b"], "FanoutRun")
    number = cell.of("execute_result")[0]["execution_count"]
    assert kernel.value(f"Out[{number}] is _{number} and list(Out[{number}])") == ["a", "b"]


def test_the_result_runs_on_the_notebooks_own_loop(kernel: Kernel) -> None:
    """A task of an earlier cell goes on while a run is awaited, and nothing has patched asyncio."""
    kernel.run(
        "import asyncio, sys\nticks = []\n"
        "async def tick():\n    while True:\n        ticks.append(1); await asyncio.sleep(0.001)\n"
        "task = asyncio.create_task(tick())"
    )
    kernel.run("n = len(ticks)")
    kernel.run("%%vote -n 3 -m sim:?scale=0.1&latency=1 --choices a,b\nwhich\n")
    assert kernel.value("task.cancel() and len(ticks) - n > 5")
    assert kernel.value("hasattr(asyncio, '_nest_patched')") is False


def test_out_stores_and_still_shows(kernel: Kernel) -> None:
    """`-o` keeps the run under a name, and the cell shows it as well."""
    cell = kernel.run(f"%%vote -n 3 --choices a,b -o verdict {QUICK}\nwhich\n")
    assert cell.outputs == ["execute_result"]
    assert kernel.value("verdict.winner in ('a', 'b') and verdict is _")


def test_quiet_shows_nothing(kernel: Kernel) -> None:
    """`--quiet` leaves no output and no `_`, but `-o` holds the run."""
    cell = kernel.run(f"%%fanout --quiet -o kept {QUICK}\n%section a\nhello\n")
    assert cell.messages[-1]["content"] == {"execution_state": "idle"}
    assert cell.outputs == []
    assert cell.of("comm_open", "update_display_data") == []
    assert kernel.value("list(kept)") == ["a"]


@pytest.mark.parametrize("magic", ["fanout", "vote"])
def test_help_is_shown(kernel: Kernel, magic: str) -> None:
    """`%%fanout?` is IPython's help and no run."""
    cell = kernel.run(f"%%{magic}?")
    assert cell.error == ""
    assert "--model" in cell.reply["payload"][0]["data"]["text/plain"]


@pytest.mark.parametrize("cell", ["%%fanout", "%%fanout\n", "%%vote -n 3\n\n\n"])
def test_an_empty_body_is_a_real_error(kernel: Kernel, cell: str) -> None:
    """A cell without a prompt ends in an error output of one line."""
    done = kernel.run(cell)
    assert done.outputs == ["error"]
    assert done.reply["ename"] == "CellSyntaxError"
    assert "\n" not in done.error


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("\n\n", id="blank-lines"),
        pytest.param("# NBVAL_IGNORE_OUTPUT\n", id="nbval"),
        pytest.param("\n# PYTEST_VALIDATE_IGNORE_OUTPUT\n  \n", id="both"),
        pytest.param("\ufeff", id="bom"),
        pytest.param("# my note\n", id="comment"),
        pytest.param("#| label: review\n#| echo: false\n\n  # indented\n", id="quarto"),
        pytest.param("  ", id="indented"),
        pytest.param("\u00a0\u200b", id="unseen"),
    ],
)
def test_what_may_stand_above_the_magic(kernel: Kernel, server: Loopback, head: str) -> None:
    """Blanks, comments and cell options above and before `%%fanout` change nothing."""
    server.clear()
    cell = kernel.run(f"{head}%%fanout -m claude-x --stream off\n%section a\n>>> hello\n")
    assert cell.outputs == ["execute_result"]
    assert [call.prompt for call in server.log] == [">>> hello"]


@pytest.mark.parametrize("above", ["", "# a note\n#| label: x\n\n"], ids=["first", "below"])
@pytest.mark.parametrize("magic", ["fanout", "vote"])
def test_a_near_miss_is_an_error_of_its_line_before_any_call(
    kernel: Kernel, server: Loopback, magic: str, above: str
) -> None:
    """A front end gets a real error output; the line is counted as the cell shows it."""
    server.clear()
    cell = kernel.run(f"{above}%%{magic} -m claude-x\n#| echo: false\n\nSafe?\n   %guard\nSure?")
    assert cell.outputs == ["error"]
    assert cell.reply["ename"] == "CellSyntaxError"
    number = 5 + above.count("\n")
    assert cell.reply["evalue"].startswith(
        f"line {number}: %guard is not a block; write %guardrail"
    )
    assert server.log == []


def test_a_note_is_told_before_the_table(kernel: Kernel, server: Loopback) -> None:
    """What looks like a variable and is text stands above the saved table, and in the dry run."""
    kernel.run("code = 'x = 1'")
    server.clear()
    text = "-m claude-x --stream off\nReview {code}."
    cell = kernel.run(f"%%vote {text}")
    note = "line 2: {code} is sent as text; for the variable, write {{code}}"
    for shown in (cell.result["text/html"], cell.plain):
        assert note in shown
    assert cell.result["text/html"].index(note) < cell.result["text/html"].index("<table")
    assert [call.prompt for call in server.log] == ["Review {code}."] * 3
    assert note in kernel.run(f"%%vote --dry-run {text}").plain
    assert len(server.log) == 3


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(">>> print(1)\n... print(2)\nIn [1]: x\n   ...: y", id="prompts"),
        pytest.param("   leading\n\ttab\n      six", id="indented"),
        pytest.param("!ls\n%time x\n%%time\n%matplotlib inline\n%ls?", id="magics"),
        pytest.param("what?\n?what\nx??\nf(x)?", id="help"),
        pytest.param(",f a b\n;f a b\n/f a", id="autocall"),
        pytest.param("$x {y} {x!r} {{{z}}} ${{ q }} {% if %}", id="braces"),
        pytest.param("a\u2028b\x0cc\x0bd\x85e\x1cf\x00g", id="line-ends-of-others"),
        pytest.param("back\\slash \\n \\\nend\\", id="backslashes"),
        pytest.param("'''\n\"\"\"\n'\"", id="quotes"),
        pytest.param("trailing blanks   \n\n\n  \nend  \t", id="blanks"),
        pytest.param("😀 e\u0301 \u202ereversed \u200bzero", id="unicode"),
        pytest.param("# a comment\nawait x\nreturn 1\nimport os;", id="code"),
    ],
)
def test_prompts_arrive_byte_for_byte(kernel: Kernel, server: Loopback, prompt: str) -> None:
    """Neither IPython nor we change a prompt on its way to the provider."""
    server.clear()
    kernel.run("x, y, z, q = 'X', 'Y', 'Z', 'Q'")
    cell = kernel.run(f"%%fanout -m claude-x --stream off\n%section a\n{prompt}\n")
    assert cell.error == ""
    assert [call.prompt for call in server.log] == [prompt]


def test_the_line_is_not_expanded(kernel: Kernel, server: Loopback) -> None:
    """IPython puts no variable into the magic's line; ours go in by `{{name}}` only."""
    server.clear()
    kernel.run("x, y = 'X', 'Y'")
    kernel.run('%%fanout -m claude-x --system "$x {y} {{x}}"\n%section a\nhello\n')
    assert "$x {y} X" in str(server.log[0].body["system"])


def test_names_that_shadow_builtins_are_variables(kernel: Kernel, server: Loopback) -> None:
    """The user's own `open` or `exit` is found; those that IPython put there are not."""
    server.clear()
    kernel.run("open, exit, list = 'x', 'y', 'z'")
    kernel.run("%%fanout -m claude-x\n%section a\n{{open}} {{exit}} {{list}}\n")
    assert [call.prompt for call in server.log] == ["x y z"]
    kernel.run("del open, exit")
    assert kernel.run("%%fanout -m claude-x\n%section a\n{{quit}}\n").reply["ename"] == (
        "VariableError"
    )


ERRORS = [
    pytest.param("%%fanout\n", "CellSyntaxError", id="empty"),
    pytest.param("%%vote --chioces a,b\nx", "OptionError", id="option"),
    pytest.param("%%vote --choices a,b\n{{nope}}", "VariableError", id="variable"),
    pytest.param("%%vote -m nope:x --choices a,b\nx", "ModelError", id="provider"),
    pytest.param("%%vote --choices a,b\nx", "ModelError", id="no-model"),
    pytest.param("%%vote -m gpt-6-luna --choices a,b\nx", "MissingKeyError", id="key"),
    pytest.param("%%vote -m sim:?fail=1&scale=0 --choices a,b\nx", "TooFewSucceeded", id="few"),
    pytest.param("%%fanout -m err-400\n%section a\nx", "ModelError", id="bad-model"),
    pytest.param("%%fanout -m anthropic:err-400\n%section a\nx", "TooFewSucceeded", id="400"),
    pytest.param("%%time\n%%vote --chioces a,b\nx", "OptionError", id="nested"),
    pytest.param("%%time\n%%vote -m gpt-6 --choices a,b\nx", "MissingKeyError", id="nested-key"),
    pytest.param("%parallm nope", "OptionError", id="command"),
    pytest.param("%parallm provider x", "OptionError", id="provider-command"),
    pytest.param("%parallm provider x --sim nope", "VariableError", id="answers"),
]


@pytest.mark.parametrize(("code", "name"), ERRORS)
def test_an_error_is_one_line_and_a_real_output(kernel: Kernel, code: str, name: str) -> None:
    """An error output of one line, no stack, nothing on stderr: checkers see it, people read it."""
    cell = kernel.run(code)
    assert cell.reply["status"] == "error"
    assert cell.reply["ename"] == name
    assert cell.outputs[-1] == "error"
    assert "\n" not in cell.error.strip()
    assert cell.error.startswith(f"{name}: ")
    assert cell.stream("stderr") == ""
    again = kernel.run("%tb")
    assert again.error == cell.error
    context = "import sys; (sys.last_value.__cause__, isinstance(sys.last_value.__context__, BaseExceptionGroup))"
    assert kernel.value(context) == (None, False)


def test_too_few_shows_every_record(kernel: Kernel) -> None:
    """A run with too few successes is shown and kept, and the error says where."""
    cell = kernel.run(
        "%%fanout --min-success 100% -o kept -m sim:?scale=0\n%section a -m "
        "sim:?fail=1&scale=0\nx\n"
        "%section b\ny\n"
    )
    assert cell.outputs == ["display_data", "error"]
    assert "1 of 2 sections succeeded" in cell.shown[0]["text/plain"]
    assert "kept holds every record" in cell.error
    assert kernel.value("[r.status for r in kept.results]") == ["failed", "ok"]


def test_settings_are_config(kernel: Kernel) -> None:
    """`%config ParallmMagics.model = …` holds for later cells; `%config ParallmMagics` lists all."""
    assert kernel.run('%config ParallmMagics.model = "sim:?scale=0"').outputs == []
    assert kernel.run("%%fanout\n%section a\nhello\n").plain.startswith("1 of 1")
    listed = kernel.run("%config ParallmMagics").stream()
    for setting in ("ParallmMagics.model", "ParallmMagics.timeout", "ParallmMagics.concurrency"):
        assert setting in listed
    assert "sim:?scale=0" in status(kernel)
    bad = kernel.run('%config ParallmMagics.timeout = "abc"')
    assert "ParallmMagics.timeout: expected a number" in bad.stream("stderr")


def test_settings_outlive_a_reload(kernel: Kernel) -> None:
    """Settings are taken up by `%reload_ext`, as they are from IPython's configuration files."""
    kernel.run('%config ParallmMagics.model = "sim:?scale=0"')
    assert kernel.run("%reload_ext parallm_magics").outputs == []
    assert kernel.run("%%fanout\n%section a\nhello\n").plain.startswith("1 of 1")


def test_a_bad_configuration_is_told_and_can_be_mended(kernel: Kernel) -> None:
    """A bad setting in the configuration is one line; mended, the extension loads."""
    kernel.run("get_ipython().config.ParallmMagics.timeout = 'abc'")
    cell = kernel.run("%reload_ext parallm_magics")
    assert cell.error.startswith("OptionError: ParallmMagics.timeout: expected a number")
    assert kernel.run("%config ParallmMagics.timeout = 20").outputs == []
    assert kernel.run("%load_ext parallm_magics").outputs == []
    assert re.search(r"^timeout +20\.0 \(default", status(kernel), re.MULTILINE)


def test_a_server_gets_a_name(kernel: Kernel, server: Loopback) -> None:
    """`%parallm provider NAME --base-url URL` makes `-m NAME:model` go there, without any key."""
    server.clear()
    assert kernel.run(f"%parallm provider local --base-url {server.url}/v1").error == ""
    kernel.run("%%fanout -m local:llama\n%section a\nhello\n")
    [call] = server.log
    assert (call.model, call.dialect) == ("llama", "openai")
    assert KEY not in str(call.headers)


def test_given_answers_get_a_name(kernel: Kernel) -> None:
    """`%parallm provider NAME --sim answers` makes `-m NAME` answer from a dict or a function."""
    kernel.run("answers = {'ping': 'pong'}\n%parallm provider teacher --sim answers")
    kernel.run("%%fanout -m teacher:?scale=0 -o r\n%section a\nping\n")
    assert kernel.value("r['a']") == "pong"
    kernel.run("ask = lambda request, index: f'asked {index}'\n%parallm provider teacher --sim ask")
    kernel.run("%%fanout -m teacher:?scale=0 -o r\n%section a\nping\n")
    assert kernel.value("r['a']") == "asked 0"


STUDY = (
    "%%vote -n 3 --each items --truth label --choices A,B --compare stop=clinch {line} -o study\n"
    "Which is it?\n\n{{{{item.text}}}}"
)


def test_a_study_is_the_cells_result(kernel: Kernel) -> None:
    """It is shown as a report, kept under its name, and a frame away from pandas."""
    kernel.run("items = [{'text': f't{n}', 'label': 'AB'[n % 2]} for n in range(20)]")
    cell = kernel.run(STUDY.format(line="-m sim:?scale=0"))
    assert cell.outputs == ["execute_result"]
    assert "Each system in numbers" in cell.plain
    assert "[SIMULATED]" in cell.plain
    assert "Accuracy by the number of votes" in cell.result["text/html"]
    assert kernel.value("_ is study")
    assert kernel.value("list(study.to_pandas()['system'])") == ["single", "vote", "stop=clinch"]
    assert kernel.value("len(study.labelled)") == 20
    program = kernel.run("%parallm code").stream("stdout")
    compile(program, "program", "exec")
    assert (
        "These options of the cell are not included: the measurements of --truth and --compare"
        in program
    )


def test_a_study_asks_real_models(kernel: Kernel, server: Loopback) -> None:
    """Through the SDK: the truth is sent to nobody, and costs are those of what was asked."""
    server.answers = lambda body: "ANSWER: A"
    server.clear()
    kernel.run("items = [{'text': f't{n}', 'label': 'SECRET' if n % 2 else 'A'} for n in range(4)]")
    line = STUDY.replace("A,B", "A,SECRET").format(line="--no-ask -m claude-haiku-5-5")
    cell = kernel.run(line)
    server.answers = None
    assert cell.reply["status"] == "ok"
    assert len(server.log) == 12
    assert not any("SECRET" in str(call.body) for call in server.log)
    assert kernel.value("study.measures['vote'].right") == 2.0
    assert kernel.value("study.measures['vote'].cost_complete")
    assert kernel.value("float(study.measures['vote'].cost / study.measures['single'].cost)") == 3.0


def test_a_mistake_in_a_study_is_one_line(kernel: Kernel) -> None:
    """As in any cell, with the item that is wrong and before anybody is asked."""
    kernel.run("items = [{'text': 't', 'label': 'C'}]")
    cell = kernel.run(STUDY.format(line="-m sim"))
    assert cell.error == "VariableError: item 1, --truth: 'C' is not one of the --choices: A, B"


def test_the_functions_can_be_awaited(kernel: Kernel) -> None:
    """`await vote(…)` in a cell of its own runs like the magic."""
    kernel.run("from parallm_magics import vote")
    cell = kernel.run("await vote('which', n=3, choices='a,b', model='sim:?scale=0')")
    assert cell.outputs == ["execute_result"]
    assert "3 votes" in cell.plain


def test_nothing_is_left_on_the_kernels_own_stderr(kernel: Kernel) -> None:
    """No lost exception, no unclosed socket is reported behind the cells' back."""
    kernel.run("import gc; gc.collect()")
    log = kernel.log.read_text()
    for word in ("never retrieved", "Unclosed", "Traceback", "never awaited", "destroyed"):
        assert word not in log, log
