"""The pages for users say what the code says: their tables, their cells and the files that they name."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import generated
import measured
import pytest
from make import Page, problems
from paths import PACKAGE, PROJECT
from pydantic import BaseModel

from parallm_magics import fanout, vote
from parallm_magics.api import plan_cell
from parallm_magics.cell.directives import head
from parallm_magics.cell.options import TABLE
from parallm_magics.core.tasks import Status
from parallm_magics.display.columns import COLUMNS
from parallm_magics.providers.entries import ENTRIES


class Invoice(BaseModel):
    """What the page on typed answers asks for."""

    vendor: str
    total: Decimal
    due: date | None


DOCS = PROJECT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
USERS_PAGES = [PROJECT / "README.md", *PAGES]
EXAMPLES: dict[str, Any] = {
    "code": "def f(x): return eval(x)",
    "text": "Call me on Monday.",
    "docs": ["good", "bad"],
    "Invoice": Invoice,
    "tickets": [{"text": "it broke", "topic": "damage"}, {"text": "too late", "topic": "delivery"}],
}


def cells_of(path: Path) -> list[str]:
    """The cells that a page shows; the grammar on one screen begins like one and is none."""
    blocks = re.findall(r"(?ms)^```(\w*)\n(.*?)^```", path.read_text("utf-8"))
    cells = [text for language, text in blocks if not language and head(text) is not None]
    return [text for text in cells if "[OPTIONS]" not in text]


def test_the_tables_are_those_of_the_code() -> None:
    """`python docs/generated.py` writes them anew."""
    assert not generated.stale(), "run: python docs/generated.py"


def test_a_table_that_is_out_of_date_is_found(tmp_path: Path, monkeypatch: Any) -> None:
    """A row that the code does not have makes the page stale, and writing takes it out."""
    old = (DOCS / "options.md").read_text("utf-8")
    (tmp_path / "options.md").write_text(old.replace("| `--each`", "| `--every`"), "utf-8")
    monkeypatch.setattr(generated, "DOCS", tmp_path)
    monkeypatch.setattr("sys.argv", ["generated.py", "--check"])
    with pytest.raises(SystemExit, match=r"out of date: options\.md"):
        generated.main()
    monkeypatch.setattr("sys.argv", ["generated.py"])
    generated.main()
    assert (tmp_path / "options.md").read_text("utf-8") == old
    monkeypatch.setattr("sys.argv", ["generated.py", "--check"])
    with pytest.raises(SystemExit) as ended:
        generated.main()
    assert ended.value.code == 0


def test_every_table_stands_on_a_page() -> None:
    """Options, settings, rules, providers and all the others are to be found."""
    shown = "".join(path.read_text("utf-8") for path in PAGES)
    assert {name for _, name, _ in generated.BLOCK.findall(shown)} == set(generated.BLOCKS)
    assert all(f"`{flag}`" in generated.options() for o in TABLE.values() for flag in o.flags)
    assert all(f"`{entry.name}:" in generated.providers() for entry in ENTRIES if entry.dialect)


def test_the_tables_explain_each_status_column_and_variable() -> None:
    """None of them stands there without a meaning, and none is explained that is not there."""
    assert set(generated.STATUS_MEANINGS) == set(get_args(Status))
    assert set(generated.COLUMN_MEANINGS) == {column.name for column in COLUMNS}
    assert "|  |" not in generated.variables()


@pytest.mark.parametrize("path", USERS_PAGES, ids=lambda path: path.stem)
def test_the_cells_of_a_page_can_be_typed(path: Path) -> None:
    """Every cell that a page shows has a plan: no option, directive or variable in it is wrong."""
    for text in cells_of(path):
        begun = head(text)
        assert begun is not None
        settings = {"model": ("sim",)}
        plan = plan_cell(begun.magic, begun.line, begun.body, EXAMPLES, settings=settings)
        assert plan.options is not None


def test_the_cells_of_typed_answers_do_what_the_page_says() -> None:
    """Each of them runs, and has the attributes that stand below it."""
    runs: dict[str, Any] = {}
    for text in cells_of(DOCS / "typed-answers.md"):
        pattern: Any = vote if text.startswith("%%vote") else fanout
        begun = head(text)
        assert begun is not None
        options = {"variables": EXAMPLES, "model": "sim", "min_success": "0"}
        if "-m " in begun.line:
            del options["model"]
        runs[str(len(runs)) + begun.line] = asyncio.run(pattern(text, **options))
    one, items, bill, verdict, checks, guarded, study = runs.values()
    assert isinstance(one["invoice"], Invoice)
    assert isinstance(one["invoice"].total, Decimal)
    assert {"topic", "people"} == items["1"].keys()
    assert bill["total"] == bill.fields["total"].winner
    assert isinstance(bill.value, Invoice)
    assert verdict.winner in ("safe", "unsafe")
    assert sum(checks.results[0].probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert guarded.guard is not None
    assert study.sure is not None


def test_the_pages_show_cells() -> None:
    """The test above has something to look at."""
    assert len(cells_of(PROJECT / "README.md")) == 2
    assert sum(len(cells_of(path)) for path in PAGES) >= 8


def test_the_readme_is_short() -> None:
    """It is read in a few minutes; everything else is a page of its own."""
    assert len((PROJECT / "README.md").read_text("utf-8").splitlines()) <= 200


@pytest.mark.parametrize("path", USERS_PAGES, ids=lambda path: path.stem)
def test_a_page_names_files_that_exist(path: Path) -> None:
    """Whoever wants to look something up finds it."""
    for name in re.findall(
        r"`((?:tests|parallm_magics)/[\w/]+\.(?:py|md))`", path.read_text("utf-8")
    ):
        assert (PROJECT / name).exists(), name


def test_notebooks_compare_no_list_of_providers() -> None:
    """So that one more changes none of them."""
    for path in (PACKAGE.parent / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            lists = re.search(
                r"(?m)^%parallm( *| +(models|provider|status) *)$", "".join(cell["source"])
            )
            if cell["cell_type"] == "code" and lists:
                assert "nbval-ignore-output" in cell["metadata"]["tags"], (path.name, lists[0])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param('<a href="b.html">b</a>', "which is not there", id="no page"),
        pytest.param('<a href="a.html#c">c</a>', "which has no such heading", id="no heading"),
        pytest.param('<a href="#c">c</a>', "which has no such heading", id="no heading here"),
        pytest.param('<script src="https://cdn.example/x.js"></script>', "loads https", id="host"),
        pytest.param('<img src="//cdn.example/x.png">', "loads //cdn", id="same protocol"),
        pytest.param('<source srcset="a.png 2x, b.png">', "b.png, which is not there", id="srcset"),
        pytest.param('<link rel="stylesheet" href="x.css">', "not there", id="no style sheet"),
    ],
)
def test_what_is_wrong_with_a_site_is_found(tmp_path: Path, body: str, says: str) -> None:
    """A link that leads nowhere, and a file that would come from another host."""
    (tmp_path / "a.html").write_text(body)
    (tmp_path / "a.png").touch()
    [problem] = problems(tmp_path)
    assert says in problem


def test_a_good_site_has_no_problems(tmp_path: Path) -> None:
    """Pages, headings and other sites can be linked to; nothing is asked of those."""
    (tmp_path / "a.html").write_text(
        '<h2 id="x">x</h2><a href="a.html#x">x</a> <a href="#x">x</a> <a href="https://a.example/b#c">c</a>'
    )
    assert list(problems(tmp_path)) == []
    assert Page(tmp_path / "a.html").anchors == {"", "x"}


def test_the_figures_are_those_of_the_results(tmp_path: Path, monkeypatch: Any) -> None:
    """The page says the median that was measured, and that a target was missed; a lost figure is named."""
    head = "## Loading\n\n| | rounds | median | min | max | target | |\n|---|--:|--:|--:|--:|--:|---|\n"
    results = tmp_path / "RESULTS.md"
    results.write_text(f"{head}| CPU seconds | 3 | 0.2 | 0.1 | 0.3 | ≤ 0.1 | misses |\n")
    monkeypatch.setattr(measured, "RESULTS", results)
    what = ("loading", "Loading", "CPU seconds")
    assert list(measured.shown([what])) == [("loading", "0.2", "≤ 0.1, missed")]
    assert [met for _, met in measured.parts()] == ["0 of 1"]
    with pytest.raises(SystemExit, match="has no 'wall' in 'Loading' any more"):
        list(measured.shown([("loading", "Loading", "wall")]))


def test_the_figures_that_speed_is_judged_by_are_shown_once_measured(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """Those with a target, of both SDKs; the others stay in the results."""
    results = tmp_path / "RESULTS.md"
    results.write_text(
        "## Figures\n\n| | anthropic | openai | at most | |\n|---|--:|--:|--:|---|\n"
        "| 100 calls: wall | 1.1 | 1.2 | ≤ 1.15 | misses |\n| 100 calls: ideal | 1.1 | 1.2 |  |  |\n"
    )
    monkeypatch.setattr(measured, "RESULTS", results)
    assert list(measured.summary()) == [("100 calls: wall", "1.1", "1.2", "≤ 1.15, missed")]
