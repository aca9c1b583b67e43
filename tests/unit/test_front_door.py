"""What newcomers are told is true: files, functions and commands that the documents name are there."""

from __future__ import annotations

import ast
import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from paths import PACKAGE

from parallm_magics import FanoutRun, fanout

ROOT = PACKAGE.parent
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
)
FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|ipynb|toml|yaml|yml|jsonl))`")
FUNCTION = re.compile(r"`([\w/]+\.py)`\s+`([\w.]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
TERMS = (
    "ballot clinch majority plurality quorum panel voter worker section verdict tally record run plan task "
    "provider recording replay synthesis judge guardrail study map wave deadline attempt fault tie "
    "clock entry pattern reading redaction role runner scheduler slots"
)
CELL = (
    "%%fanout -m sim:?latency=0.01\nReview.\n\n"
    "%section security\nReport injection.\n\n%section style\nReport naming.\n"
)


def files_in(text: str) -> list[str]:
    """The files that a document names in code style, patterns and examples aside."""
    return sorted(set(FILE.findall(text)))


def slugs_of(path: Path) -> set[str]:
    """What the headings of a document are linked by."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def rows_below(heading: str) -> list[list[str]]:
    """The cells of the first table's rows below a text of the architecture page, or of the glossary."""
    lines = f"{ARCHITECTURE}{GLOSSARY}".partition(heading)[2].split("\n")
    start = next(at for at, line in enumerate(lines) if line.startswith("| ---"))
    found = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def defined_in(path: Path) -> set[str]:
    """The functions, classes and methods of a module, dotted."""
    found: set[str] = set()

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(prefix + child.name)
                walk(child, f"{prefix}{child.name}.")

    walk(ast.parse(path.read_text()), "")
    return found


def functions_called() -> list[tuple[str, str]]:
    """What a two-section fan-out calls until it is drawn, each once, in the order of first calls."""
    seen: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, arg: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            seen[path.relative_to(PACKAGE).as_posix(), frame.f_code.co_qualname] = None

    async def run() -> None:
        found = await fanout(CELL)
        assert isinstance(found, FanoutRun)
        found._repr_mimebundle_()

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        asyncio.run(run())
    finally:
        sys.setprofile(before)
    return list(seen)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files(name: str) -> None:
    """Every relative link of a document leads to a file, or to a heading, that is there."""
    path = ROOT / name
    for target, heading in LINK.findall(path.read_text()):
        file = path.parent / target if target else path
        assert file.exists(), target
        assert not heading or heading in slugs_of(file), f"{target}#{heading}"


@pytest.mark.parametrize("name", files_in(ARCHITECTURE))
def test_files_of_the_architecture_exist(name: str) -> None:
    """A file that the page names is in the package, or in the project."""
    assert (PACKAGE / name).exists() or (ROOT / name).exists()


@pytest.mark.parametrize("name", files_in(CONTRIBUTING))
def test_files_of_the_contributors_page_exist(name: str) -> None:
    """A file that a contributor is sent to is there."""
    assert (PACKAGE / name).exists() or (ROOT / name).exists()


@pytest.mark.parametrize(("path", "name"), sorted(set(FUNCTION.findall(ARCHITECTURE))))
def test_functions_of_the_architecture_exist(path: str, name: str) -> None:
    """A function that the page names beside its file is defined there."""
    assert name in defined_in(PACKAGE / path)


def test_the_way_of_a_cell_is_the_way_it_goes() -> None:
    """The steps of the page that need no notebook are called, and begin in the page's order."""
    steps = [FUNCTION.search(" ".join(row)) for row in rows_below("## The way of a cell")]
    told = [step.groups() for step in steps if step is not None]
    told = [step for step in told if not step[0].startswith("notebook/")]
    assert len(told) > 20
    called = functions_called()
    real = [step for step in called if step in told]
    assert [*map(tuple, told)] == real


def test_every_layer_is_told() -> None:
    """The page's layers are those that the imports keep to."""
    from test_house import LAYERS

    told = {row[1].strip("`").rstrip("/"): int(row[0]) for row in _parts(rows_below("## Layers"))}
    names = {"__init__.py": ""}
    assert {names.get(k, k.removesuffix(".py")): v for k, v in told.items()} == LAYERS


def _parts(rows: list[list[str]]) -> Iterator[list[str]]:
    """A row a part: a row of the page may name two."""
    for layer, names, *rest in rows:
        for name in names.split(", "):
            yield [layer, name, *rest]


def test_the_glossary_has_its_words() -> None:
    """The field's words that code and messages use are explained, in the order of the alphabet."""
    words = [row[0] for row in rows_below("# Glossary")]
    assert not set(TERMS.split()) - set(words)
    assert words == sorted(words, key=str.lower)


def test_the_changelog_is_kept() -> None:
    """The changelog begins with what is not released, and names the version of the package."""
    text = (ROOT / "CHANGELOG.md").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"', project, re.MULTILINE)
    assert version is not None
    sections = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    assert sections[1][0] == version[1]
    assert all(date for _, date in sections[1:])
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_hosted_check_is_the_local_one() -> None:
    """A hosted run does what a contributor can do, and nothing else."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r"^ *- run: (.*)$", workflow, re.MULTILINE) == ["bash .ci/run"]
    assert (ROOT / ".ci" / "run").exists()


def test_commits_are_checked_by_the_environments_own_tools() -> None:
    """What git runs before a commit is not downloaded, so that its versions are the project's."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"^ *- repo: (.*)$", hooks, re.MULTILINE) == ["local"]
    assert set(re.findall(r"^ *language: (.*)$", hooks, re.MULTILINE)) == {"system"}
    tools = {entry.split()[0] for entry in re.findall(r"^ *entry: (.*)$", hooks, re.MULTILINE)}
    assert tools == {"ruff", "mypy"}
