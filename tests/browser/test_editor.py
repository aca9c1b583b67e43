"""Cells of ours are edited as text in JupyterLab and Notebook 7, in a real browser; all others as before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from browser import Lab, Notebook, contrasts
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import LABEXTENSION
from playwright.sync_api import Browser, Page, expect

from parallm_magics.cell.blocks import Cell, Text, parse
from parallm_magics.cell.directives import SYSTEM_WORDS, head
from parallm_magics.cell.variables import Ref, split
from parallm_magics.errors import ParallmError

JUPYTERLAB, NOTEBOOK = "doc/tree", "notebooks"
APPS = [pytest.param(JUPYTERLAB, id="jupyterlab"), pytest.param(NOTEBOOK, id="notebook")]
PYTHON = {
    "language_info": {
        "name": "python",
        "mimetype": "text/x-python",
        "codemirror_mode": {"name": "ipython", "version": 3},
    }
}
"""What a kernel would have told the notebook; so Python's editor needs no kernel."""
READABLE = 4.5
LOOPBACK = {"127.0.0.1"}
PROMPT = """
Review this code for one concern only.
Report injection and secrets.
Answer with these headings:
1. What it does
2. What is wrong (at most three points)
Be brief.
Use the following format:
- name: the function
- risk: low, medium or high
If the text is empty, say so.
If there is no bug:
for each finding give the line
while you read, note the tone
Do not guess.
Here is the text (from a mail
that came today):
Consider:
{{code}}
Is this content safe or unsafe?
Think about security, style and speed
The rules are [
one
two ]
Say "none" if nothing is found.
class of the problem:
Explain your reasoning step by step:
try to be fair:
You are an expert in law.
Return JSON like {
"a": 1 }
Everything else is fine!
The customer wrote:
Thanks, and kind regards
with respect to privacy:
else say unknown:
End.
""".strip().split("\n")
FANOUT = """
# Why this review
%%fanout -o review --max-tokens=200
import this, and return nothing.

{{code}} but \\{{kept}}

%section security --system "You are a {{role}} expert."
Report injection and secrets.

%synthesis
Merge the reviews.
""".strip()
CODE = "import this\nreturn [1]"
SETUP = """
%load_ext parallm_magics
%parallm recordings recorded/01_quickstart.jsonl
%config ParallmMagics.model = "llamacpp:smollm2-135m"
import plots
%config ParallmMagics.max_tokens = 40
code = "def f(x): return eval(x)"
text = "Call me on Monday."
""".strip().split("\n")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server without it."""
    with Lab(tmp_path_factory.mktemp("plain"), extension=False) as plain:
        yield plain


Opened = Callable[..., Notebook]


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Opened]:
    """Open a notebook of these cells; whatever it does, it asks no other machine."""
    notebooks: list[Notebook] = []

    def open_one(lab: Lab, app: str, *cells: str, kinds: str = "") -> Notebook:
        lab.write("typed.ipynb", cells)
        file = lab.saved("typed.ipynb")
        file["metadata"] |= PYTHON
        for cell, kind in zip(file["cells"], kinds.split(), strict=False):
            if kind != "code":
                del cell["outputs"], cell["execution_count"]
                cell["cell_type"] = kind
        lab.put("typed.ipynb", file)
        notebooks.append(Notebook.open(chromium, lab, "typed.ipynb", kernel=False, app=app))
        return notebooks[-1]

    yield open_one
    for notebook in notebooks:
        notebook.close()
    assert set().union(*(notebook.hosts for notebook in notebooks)) <= LOOPBACK


def type_lines(notebook: Notebook, index: int, lines: list[str]) -> None:
    """Go to the end of a cell and type Enter and a line, and the next."""
    notebook.code(index).click()
    notebook.page.keyboard.press("Control+End")
    for line in lines:
        notebook.page.keyboard.press("Enter")
        # The last key is typed, for what an editor does with it; the others are put in, for time.
        notebook.page.keyboard.insert_text(line[:-1])
        notebook.page.keyboard.type(line[-1])


def is_text(notebook: Notebook, index: int, ours: bool = True) -> None:
    """The cell is edited as a cell of ours, or it is not."""
    cell = expect(notebook.code(index))
    (cell.to_have_attribute if ours else cell.not_to_have_attribute)("data-language", "parallm")


def styled(notebook: Notebook, index: int, *pieces: str) -> None:
    """These pieces of a cell have a style of their own; the last one is the last of all to get it."""
    for piece in pieces:
        spans = notebook.code(index).locator(".cm-line span")
        expect(spans.filter(has_text=re.compile(f"^{re.escape(piece)}$"))).not_to_have_count(0)


def ends_with(notebook: Notebook, index: int, line: str) -> None:
    """The cell's last line is this one, its indentation included."""
    last = notebook.code(index).locator(".cm-line").last
    expect(last).to_have_js_property("textContent", line)


@pytest.mark.parametrize("app", APPS)
def test_no_line_of_a_prompt_is_indented(lab: Lab, opened: Opened, app: str) -> None:
    """36 lines of a prompt, typed one after another, stand in the file as they were typed."""
    notebook = opened(lab, app, "%%fanout -o review")
    type_lines(notebook, 0, PROMPT)
    ends_with(notebook, 0, PROMPT[-1])
    notebook.save()
    cell = lab.saved("typed.ipynb")["cells"][0]
    assert "".join(cell["source"]).split("\n") == ["%%fanout -o review", *PROMPT]
    assert cell["metadata"] == {}


@pytest.mark.parametrize("app", APPS)
def test_the_first_cells_of_a_notebook_can_be_typed(lab: Lab, opened: Opened, app: str) -> None:
    """Line magics and Python below them stand as they were typed: IPython refuses an indented magic."""
    notebook = opened(lab, app, SETUP[0])
    type_lines(notebook, 0, SETUP[1:])
    ends_with(notebook, 0, SETUP[-1])
    assert notebook.typed(0) == SETUP


@pytest.mark.parametrize("app", APPS)
def test_without_the_extension_python_indents_them(plain: Lab, opened: Opened, app: str) -> None:
    """Most of the same lines are moved, so the test above can fail."""
    notebook = opened(plain, app, "%%fanout -o review")
    type_lines(notebook, 0, PROMPT)
    expect(notebook.code(0).locator(".cm-line").last).to_have_text(PROMPT[-1])
    moved = [line for line in notebook.typed(0) if line[:1] == " "]
    assert len(moved) > len(PROMPT) / 3


@pytest.mark.parametrize(
    ("app", "theme"), [(JUPYTERLAB, "Light"), (NOTEBOOK, "Dark")], ids=["light", "dark"]
)
def test_directives_options_and_variables_have_colours(
    lab: Lab, opened: Opened, app: str, theme: str
) -> None:
    """They alone, each kind its own, all readable in both themes; Python's words have none."""
    lab.theme(theme)
    notebook = opened(lab, app, FANOUT)
    expect(notebook.page.locator(f'body[data-jp-theme-name="JupyterLab {theme}"]')).to_have_count(1)
    styled(notebook, 0, "%synthesis")
    found = notebook.colours(0)
    assert list(found) == [
        "# Why this review",
        "%%fanout",
        "-o",
        "--max-tokens",
        "{{code}}",
        "%section",
        "--system",
        '"You are a ',
        "{{role}}",
        ' expert."',
        "%synthesis",
    ]
    kinds = ("%%fanout", "-o", "{{code}}", '"You are a ')
    assert len({found[text] for text in kinds}) == len(kinds)
    assert found["%%fanout"] == found["%section"] == found["%synthesis"]
    ratios = contrasts(notebook.code(0))
    # The theme's own colour of comments is paler than that.
    del ratios["# Why this review"]
    assert {text: ratio for text, ratio in ratios.items() if ratio < READABLE} == {}


def test_the_first_line_decides_at_once(lab: Lab, opened: Opened) -> None:
    """Whatever makes it another cell makes it Python, and back, without a run or a reload."""
    notebook = opened(lab, JUPYTERLAB, f"%%fanout\n{CODE}")
    page = notebook.page
    styled(notebook, 0, "%%fanout")
    assert notebook.colours(0).keys() == {"%%fanout"}
    notebook.code(0).click()
    page.keyboard.press("Control+Home")
    page.keyboard.press("Delete")
    is_text(notebook, 0, False)
    styled(notebook, 0, "import", "return")
    type_lines(notebook, 0, ["if x:", "y"])
    ends_with(notebook, 0, "    y")
    page.keyboard.press("Control+Home")
    page.keyboard.type("# a comment\n\n%")
    is_text(notebook, 0)
    styled(notebook, 0, "# a comment", "%%fanout")
    assert notebook.colours(0).keys() == {"# a comment", "%%fanout"}
    for put_in, ours in (("x = 1", False), (FANOUT, True), ("%%fanouts\nx", False)):
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(put_in)
        is_text(notebook, 0, ours)


def test_other_cells_are_left_alone(lab: Lab, opened: Opened) -> None:
    """Python, other magics, and a page of Markdown or raw text that begins with our words."""
    cells = (CODE, "%%time\n%%fanout\nimport this", f"x = 1\n{FANOUT}", FANOUT, FANOUT)
    notebook = opened(lab, JUPYTERLAB, *cells, kinds="code code code markdown raw")
    notebook.page.locator(".jp-MarkdownCell").dblclick()
    editors = notebook.page.locator(".jp-Notebook .cm-content:visible")
    expect(editors).to_have_count(len(cells))
    for index in range(len(cells)):
        expect(editors.nth(index)).not_to_have_attribute("data-language", "parallm")
    styled(notebook, 0, "import", "return")
    type_lines(notebook, 0, ["if x:", "y"])
    ends_with(notebook, 0, "    y")


def test_indentation_of_ones_own_is_kept(lab: Lab, opened: Opened) -> None:
    """Blanks that are typed stand, none are added; indenting a selection anew changes nothing."""
    lines = ["- one", "  - two", "- three:", "    def f(x):", "  %section", "Be brief."]
    notebook = opened(lab, JUPYTERLAB, "%%fanout")
    type_lines(notebook, 0, lines)
    ends_with(notebook, 0, lines[-1])
    notebook.page.keyboard.press("Control+a")
    notebook.page.keyboard.press("Control+Alt+\\")
    notebook.page.keyboard.press("End")
    notebook.page.keyboard.type("!")
    ends_with(notebook, 0, f"{lines[-1]}!")
    assert notebook.typed(0) == ["%%fanout", *lines[:-1], f"{lines[-1]}!"]


def test_nothing_is_written_into_the_file(lab: Lab, plain: Lab, opened: Opened) -> None:
    """Opened, changed, changed back and saved, a notebook is what it is without the extension."""
    files = []
    for each in (lab, plain):
        notebook = opened(each, JUPYTERLAB, FANOUT, CODE)
        notebook.code(0).click()
        notebook.page.keyboard.press("Control+Home")
        notebook.page.keyboard.type("#")
        notebook.page.keyboard.press("Backspace")
        notebook.page.keyboard.type("\n")
        notebook.save()
        files.append(each.saved("typed.ipynb"))
    assert files[0] == files[1]
    assert "parallm" not in json.dumps({**files[0], "cells": files[0]["cells"][1:]})


@pytest.mark.parametrize("app", APPS)
def test_completion_says_what_an_option_does(
    lab: Lab, chromium: Browser, app: str, request: pytest.FixtureRequest
) -> None:
    """Tab offers our options with what each is for, and Enter takes one."""
    lab.write("tab.ipynb", ["%load_ext parallm_magics", "%%vote "])
    notebook = Notebook.open(chromium, lab, "tab.ipynb", app=app)
    request.addfinalizer(lab.shut_down_kernels)
    request.addfinalizer(notebook.close)
    notebook.run(0)
    notebook.code(1).click()
    notebook.page.keyboard.press("Control+End")
    notebook.page.keyboard.type("--ch")
    is_text(notebook, 1)
    notebook.page.keyboard.press("Tab")
    offered = notebook.page.locator(".jp-Completer-item").first
    expect(offered).to_contain_text("--choices")
    beside = offered.locator(".jp-Completer-typeExtended")
    expect(beside).to_have_text("the answer is one of these labels")
    assert beside.evaluate("text => text.getClientRects().length") == 1
    notebook.page.keyboard.press("Enter")
    expect(notebook.code(1)).to_have_text("%%vote --choices")


def test_behind_an_option_of_any_value_no_python_name_is_offered(
    lab: Lab, chromium: Browser, request: pytest.FixtureRequest
) -> None:
    """Tab says what belongs there, and fills in the default where there is one."""
    lab.write("value.ipynb", ["%load_ext parallm_magics", "%%vote"])
    notebook = Notebook.open(chromium, lab, "value.ipynb")
    request.addfinalizer(lab.shut_down_kernels)
    request.addfinalizer(notebook.close)
    notebook.run(0)
    offered = notebook.page.locator(".jp-Completer")
    for typed, about, key in (
        (" --sure ", "right this often", "Escape"),
        ("pri", "right this often", "Escape"),
        (" --retries ", "how often", "Enter"),
    ):
        # Escape leaves the cell, too, where the list has just been closed by itself.
        notebook.code(1).click()
        notebook.page.keyboard.press("Control+End")
        notebook.page.keyboard.type(typed)
        # A key that comes while the list of before still closes, or the cell is not yet ours, does something else.
        expect(notebook.code(1)).to_contain_text(typed.strip())
        is_text(notebook, 1)
        notebook.page.keyboard.press("Tab")
        expect(offered).to_contain_text(about)
        expect(offered).not_to_contain_text("print")
        notebook.page.keyboard.press(key)
        expect(offered).to_be_hidden()
    expect(notebook.code(1)).to_have_text("%%vote --sure pri --retries 2")


# --- what is coloured is what the grammar reads ---------------------------------------------------

# CodeMirror's side of it, as far as the extension uses it.
_STAND_IN = """
async () => {
    let defined;
    const shared = module => ({'1.0.0': {loaded: 1, get: async () => () => module}});
    class Compartment { of(content) { return content; } }
    const container = window._JUPYTERLAB.parallm_magics;
    container.init({
        '@jupyterlab/codemirror': shared({}),
        '@codemirror/state': shared({
            Compartment, EditorState: {transactionExtender: {of: () => null}}, Prec: {highest: x => x, high: x => x}
        }),
        '@codemirror/language': shared({
            StreamLanguage: {define: grammar => (defined = grammar)}, indentService: {of: () => null}
        }),
    });
    const {default: plugin} = (await container.get('./extension'))();
    let registered;
    plugin.activate(null, {addExtension: extension => { registered = extension; }});
    class Stream {
        constructor(string) { this.string = string; this.pos = 0; }
        sol() { return this.pos === 0; }
        eat(match) {
            const char = this.string.charAt(this.pos);
            const fits = typeof match === 'string' ? char === match : char && match.test(char);
            if (!fits) return undefined;
            this.pos++;
            return char;
        }
        match(pattern) {
            const found = this.string.slice(this.pos).match(pattern);
            if (found) this.pos += found[0].length;
            return found;
        }
        skipToEnd() { this.pos = this.string.length; }
    }
    const line = (text, state) => {
        const pieces = [], stream = new Stream(text);
        if (!text) defined.blankLine(state);
        while (stream.pos < text.length) {
            const start = stream.pos, style = defined.token(stream, state);
            if (stream.pos === start) throw new Error('no step in ' + text);
            if (style) pieces.push([text.slice(start, stream.pos), style]);
        }
        return pieces;
    };
    window.read = source => {
        const model = {type: 'code', sharedModel: {getSource: () => source}};
        const [content] = registered.factory({model}).instance();
        if (!content.length) return null;
        const state = defined.startState();
        return source.split('\\n').map(text => line(text, state));
    };
}"""
BLANKS = " \t\u00a0\u200b\u3000\ufeff"
_TEXT = [
    "",
    "   ",
    "Be brief.",
    "# NBVAL_SKIP",
    "#| label: x",
    "# a heading",
    "%matplotlib inline",
    "\\%section",
    "\\{{a}} {{b}} ${{c}} {{d|e}} {{{f}}} {{ g.h[0]['i j'] }} \\\\{{k}}",
    "{{outputs.a-b}} {{outputs}} {{\u00e9t\u00e9}} {{\U0001d54f}} {{\u00aa.\u00b5}}",
    "{{a}}{{b.c}} {{1}} {{a.}} {{a[b]}} {{a b}} {{\u00b2}} {{a-b}}",
    "%system\n{{s}}\n%prompt",
]
_BLOCKS = {
    "fanout": [
        "%section --system 'x {{y}} z' -m sim",
        '\t\u200b%section --flag="it\'s"',
        "%synthesis\n{{outputs.a-b}}",
        "%guardrail --on-error pass",
    ],
    "vote": ["%voter -m sim --weight=2", " %panel", "%judge\n{{candidates}}", "%guardrail"],
}
_ABOVE = st.sampled_from(["", " \t", "# NBVAL_SKIP", "# why", "  #| label: x"])
_BEFORE = st.sampled_from(["", "", " ", "\ufeff", "\u200b\u3000"])
_AFTER = st.sampled_from(["", " -n 3", '\t--system "it\'s {{x}}"', " --choices {{a}},{{b[0]}}"])
_OTHERS = st.sampled_from(
    ["%%fanouts", "%%time", "x = 1", "%fanout", "\uff05\uff05vote", "#%%vote"]
)


@st.composite
def cells_of_ours(draw: st.DrawFn) -> str:
    """A cell with what stands above it, its options, prompts and blocks; the grammar takes most."""
    magic = draw(st.sampled_from([*_BLOCKS]))
    text = st.lists(st.sampled_from(_TEXT) | st.text(max_size=20), max_size=3)
    lines = [*draw(st.lists(_ABOVE, max_size=2)), f"{draw(_BEFORE)}%%{magic}{draw(_AFTER)}"]
    lines += draw(text)
    for block in draw(st.lists(st.sampled_from(_BLOCKS[magic]), max_size=3)):
        lines += [block, *draw(text)]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def reader(chromium: Browser) -> Iterator[Page]:
    """A page where `read(cell)` tells the styles that the extension gives to a cell's pieces."""
    page = chromium.new_page()
    page.add_script_tag(path=LABEXTENSION / "static/editor.js")
    page.evaluate(_STAND_IN)
    yield page
    page.close()


def in_style(pieces: list[list[str]], style: str) -> list[str]:
    """The pieces of a line in a style."""
    return [text for text, its in pieces if its == style]


@given(cells_of_ours())
@settings(max_examples=300, deadline=None)
def test_the_colours_are_what_the_grammar_reads(reader: Page, cell: str) -> None:
    """A line is a directive and braces are a variable for both or for neither."""
    same_in_both(reader, re.sub(r"\r\n?", "\n", cell))


@given(st.lists(_ABOVE, max_size=2), _OTHERS | st.text(max_size=8), st.sampled_from(_TEXT))
@settings(max_examples=100, deadline=None)
def test_the_same_cells_are_ours(reader: Page, above: list[str], first: str, text: str) -> None:
    """What begins nearly as a cell of ours is one for both or for neither."""
    same_in_both(reader, re.sub(r"\r\n?", "\n", "\n".join([*above, first, text])))


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("%%vote\n${{a}} {{{b}}} {{c}}", id="template-languages"),
        pytest.param("%%vote\n\\{{a}} {{b}} \\\\{{c}}", id="escapes"),
        pytest.param(
            "%%fanout\n{{outputs.a-b}}\n%section\n%synthesis\n{{outputs.a-b}}", id="outputs"
        ),
        pytest.param("%%fanout\n\u00a0\u200b%section a\nx", id="blanks-before-a-directive"),
        pytest.param("%%vote\n#| label: x\n\nWhich?\n#| text\n# NBVAL_SKIP\n# a", id="comments"),
        pytest.param("%%vote\n# a heading\n#| text", id="a-heading"),
        pytest.param("%%vote\n\n#| text", id="a-blank-line"),
        pytest.param("%%vote\n%panel p\n%voter a -m {{m}}\nx", id="panel"),
        pytest.param("%%vote\n%system\n{{a}}\n%prompt\n{{b}}", id="system"),
        pytest.param("%%fanout\n%section a --flag='{{x}}' --system \"{{y}}\"\nx", id="quotes"),
    ],
)
def test_each_form_has_its_colours(reader: Page, cell: str) -> None:
    """Cells that the grammar takes, one form at a time."""
    assert same_in_both(reader, cell)


def same_in_both(reader: Page, cell: str) -> bool:
    """The extension's reading of a cell is the grammar's; whether there was one to compare."""
    lines = cell.split("\n")
    read: list[list[list[str]]] | None = reader.evaluate("cell => read(cell)", cell)
    ours = head(cell)
    assert (read is None) == (ours is None)
    if read is None or ours is None:
        return False
    first_line, _, body = ours.rest.partition("\n")
    start = len(lines) - ours.rest.count("\n")
    try:
        parsed = parse(ours.magic, first_line, body, start + 1)
    except ParallmError:
        return False  # what is refused has no right colours
    shown = {
        number: (
            [text.strip(BLANKS) for text in in_style(pieces, "keyword")],
            in_style(pieces, "variableName.special"),
        )
        for number, pieces in enumerate(read, 1)
        if number >= start and not in_style(pieces, "comment")
    }
    assert shown == as_read(parsed, lines, start)
    return True


def as_read(cell: Cell, lines: list[str], start: int) -> dict[int, tuple[list[str], list[str]]]:
    """The directive and the variables of each line that the grammar keeps."""
    number_of = range(start, len(lines) + 1)
    found = {n: ([], []) for n in number_of if not lines[n - 1].strip()}
    words = {start: f"%{cell.magic}"} | {block.line: block.word for block in cell.blocks}
    words |= {n: lines[n - 1].strip(f"{BLANKS}%") for n in number_of if is_pair(lines[n - 1])}
    outputs = False
    texts = {n for text in texts_of(cell) for n in text.numbers}
    for n in number_of:
        if n in words:
            outputs = words[n] == "synthesis" if words[n] not in SYSTEM_WORDS else outputs
        elif n not in texts:
            continue
        names = [
            part.source for part in split(lines[n - 1], outputs=outputs) if isinstance(part, Ref)
        ]
        found[n] = ([f"%{words[n]}"] if n in words else [], names)
    return found


def texts_of(cell: Cell) -> list[Text]:
    """Every text of a cell."""
    texts = [cell.preamble, cell.system, *(t for block in cell.blocks for t in block.texts)]
    return [text for text in texts if text is not None]


def is_pair(line: str) -> bool:
    """Whether the line is one of those around a system prompt."""
    return line.strip(BLANKS) in {f"%{word}" for word in SYSTEM_WORDS}
