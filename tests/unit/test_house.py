"""The house: imports point down, names are public on purpose, nothing dangerous is called."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import socket
import sys
from pathlib import Path

import pytest
from paths import PACKAGE

import parallm_magics
from parallm_magics.providers import registry
from parallm_magics.providers.entries import ENTRIES

ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def dotted(module: Path) -> str:
    """A module's name, as an import names it."""
    return ".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


BY_DOTTED = {dotted(module): module for module in MODULES}
# The registry imports them by the names in the table of providers.
REGISTRY = "parallm_magics.providers.registry"
CLASSES = {
    made
    if isinstance(made := entry.provider or (entry.dialect and entry.dialect.provider), str)
    else ""
    for entry in (*ENTRIES, registry.entry_of(f"ollama{registry.DECIDE}"))
}
DIALECT_MODULES = {
    f"parallm_magics.providers.{name.rpartition('.')[0]}" for name in CLASSES if name
}
LAYERS = {
    "errors": 0,
    "core": 0,
    "cell": 1,
    "answers": 1,
    "voting": 1,
    "display": 1,
    "engine": 2,
    "providers": 2,
    "simulation": 2,
    "recordings": 2,
    "cluster": 2,
    "patterns": 3,
    "study": 4,
    "export": 4,
    "api": 5,
    "notebook": 6,
    "": 7,
}
# Where a foreign package may be imported; anything not named may be imported nowhere.
HOMES = {
    "IPython": "notebook",
    "traitlets": "notebook",
    "nest_asyncio2": "notebook/loop.py",
    "pyodide": ("notebook/loop.py", "notebook/page_clicks.py"),
    "js": "notebook/page_clicks.py",
    "ipywidgets": "notebook/widget.py",
    "anthropic": "providers",
    "openai": "providers",
    "httpx2": "providers",
    "aiohttp": "providers",
    "multidict": "providers",
    "boto3": "providers/bedrock.py",
    "google": "providers/vertex.py",
    "genai_prices": "core/prices.py",
    "pydantic": "answers/schema_sources.py",
    "jsonschema": "answers/schema_sources.py",
    "referencing": "answers/schema_sources.py",
    "pydantic_core": ("answers/partial_object.py", "core/plain_values.py"),
    "markdown_it": "display/markdown.py",
    "nh3": "display/markdown.py",
    "wcwidth": "display/text.py",
    "pandas": "patterns/run.py",
    "dask": "cluster",
    "distributed": "cluster",
    "pyarrow": "patterns/parquet_rows.py",
}
SDKS = {
    "anthropic",
    "openai",
    "httpx2",
    "aiohttp",
    "boto3",
    "google",
    "genai_prices",
    "pydantic",
    "jsonschema",
    "referencing",
    "pydantic_core",
    "markdown_it",
    "nh3",
    "pandas",
    "ipywidgets",
    "dask",
    "distributed",
    "pyarrow",
}


def imports(module: Path) -> list[tuple[bool, str]]:
    """Every imported module's full name, and whether it is imported when this module is."""
    found: list[tuple[bool, str]] = []
    tree = ast.parse(module.read_text())
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types_only(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        found += [(id(node) not in late, name) for name in _named_by(node)]
    return found


def imported_at_some_time(module: Path) -> set[str]:
    """The modules of the package that this one imports, late ones too, but not for types alone."""
    tree = ast.parse(module.read_text())
    typed = {
        id(inner) for node in ast.walk(tree) if _for_types_only(node) for inner in ast.walk(node)
    }
    found = {name for node in ast.walk(tree) if id(node) not in typed for name in _named_by(node)}
    return (found | (DIALECT_MODULES if dotted(module) == REGISTRY else set())) & BY_DOTTED.keys()


def _named_by(node: ast.AST) -> list[str]:
    """The full names of the modules that an import names; a name may be one of a module's own."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        if all(name in BY_DOTTED for name in inner):
            return inner
        return [node.module, *(name for name in inner if name in BY_DOTTED)]
    return []


def _for_types_only(node: ast.AST) -> bool:
    """Whether this is the block that only a type checker reads."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def layer_of(name: str) -> int:
    """The layer of a module by its dotted name within the package."""
    return LAYERS[name.split(".")[0]]


def inside(module: Path) -> str:
    """A module's path in the package, as an import names it."""
    return module.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=inside)
def test_imports_point_down(module: Path) -> None:
    """No module imports from a higher layer; voting and cell know only their own layer's basics."""
    parts = module.relative_to(PACKAGE).parts
    own = LAYERS["" if parts == ("__init__.py",) else parts[0].removesuffix(".py")]
    for _, name in imports(module):
        if name.startswith("parallm_magics."):
            assert layer_of(name.removeprefix("parallm_magics.")) <= own, name


@pytest.mark.parametrize("module", MODULES, ids=inside)
def test_foreign_packages_have_one_home(module: Path) -> None:
    """Each third-party package is imported where it belongs, SDKs only inside functions."""
    for at_once, name in imports(module):
        package = name.split(".")[0]
        if package == "parallm_magics" or package in sys.stdlib_module_names:
            continue
        assert inside(module).startswith(HOMES[package]), name
        assert not (at_once and package in SDKS), f"{name} is imported when the module is"


def test_every_module_is_reached() -> None:
    """No module is left that nothing imports."""
    named = {name for module in MODULES for name in imported_at_some_time(module)}
    for module in MODULES:
        assert module.name == "__init__.py" or dotted(module) in named, module


def test_every_module_has_a_name_of_its_own() -> None:
    """No name is used twice, and none is that of a module which comes with Python."""
    names = [module.stem for module in MODULES if module.name != "__init__.py"]
    assert not {name for name in names if names.count(name) > 1}
    assert not sys.stdlib_module_names & {*names}


def test_folders_have_no_cycle() -> None:
    """No folder needs itself by way of others: each can be read with those below it alone."""
    left: dict[str, set[str]] = {}
    for name, module in BY_DOTTED.items():
        folder = name.split(".")[1] if "." in name else ""
        needed = {each.split(".")[1] for each in imported_at_some_time(module) if "." in each}
        left.setdefault(folder, set()).update(needed - {folder})
    while found := [folder for folder, needed in left.items() if not needed & left.keys()]:
        for folder in found:
            del left[folder]
    assert not left


def test_imports_have_no_cycle() -> None:
    """No module imports itself by way of others, not even late: each can be understood alone."""
    left = {name: imported_at_some_time(module) for name, module in BY_DOTTED.items()}

    def ends() -> list[str]:
        """What imports nothing that is left, or is imported by nothing that is."""
        wanted = set().union(*left.values())
        return [name for name in left if not left[name] & left.keys() or name not in wanted]

    while found := ends():
        for name in found:
            del left[name]
    assert not sorted(left)


@pytest.mark.parametrize("module", MODULES, ids=inside)
def test_nothing_dangerous_is_called(module: Path) -> None:
    """No evaluation of text, no pickle, no shell; display objects take no bare text."""
    text = module.read_text()
    assert not re.search(r"(?<![\w.])(eval|exec|compile)\(", text)
    for _, name in imports(module):
        assert name.split(".")[0] not in {"pickle", "marshal", "shelve", "subprocess", "yaml"}
    assert not re.search(r"\b(Markdown|Pretty|Javascript)\(", text)
    # An HTTP date is compared with the clock on the wall; nothing else is.
    assert "time.time(" not in text or inside(module) == "providers/retry_after.py"


@pytest.mark.parametrize("module", MODULES, ids=inside)
def test_no_code_compares_the_kind_of_answers_or_of_a_system_with_a_name(module: Path) -> None:
    """What is special about a kind stands in its entry, so that one can be added in one place."""
    named = re.compile(r"""\b(?:reading|system)\.kind\s*(?:==|!=|(?:not )?in)\s*[("'{\[]""")
    assert not named.search(module.read_text())


def test_every_module_says_what_it_answers() -> None:
    """Each begins with a docstring of one sentence on its first line."""
    for module in MODULES:
        doc = ast.get_docstring(ast.parse(module.read_text()))
        assert doc, module
        assert doc.split("\n")[0].endswith((".", ":")), module


def test_the_public_names_are_a_list() -> None:
    """Each name is there, and nothing else is offered."""
    for name in parallm_magics.__all__:
        assert getattr(parallm_magics, name).__doc__
    assert sorted(parallm_magics.__all__) == dir(parallm_magics)
    with pytest.raises(AttributeError):
        _ = parallm_magics.nothing


def test_errors_have_one_root() -> None:
    """Everything that a user can meet derives from ParallmError and is shown as one line."""
    for name in parallm_magics.__all__:
        item = getattr(parallm_magics, name)
        if isinstance(item, type) and issubclass(item, Exception):
            assert issubclass(item, parallm_magics.ParallmError)
            assert item("what\nwhere")._render_traceback_() == [f"{name}: what where"]


def test_the_guard_against_the_network_works() -> None:
    """A test that reaches for another address fails at once."""
    with pytest.raises(AssertionError, match="tried to reach"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)
    with pytest.raises(AssertionError, match="tried to reach"):
        socket.getaddrinfo("example.invalid", 80)


EXAMPLES = [module for module in MODULES if "    >>> " in module.read_text()]


@pytest.mark.parametrize("module", EXAMPLES, ids=lambda module: module.stem)
def test_examples_in_docstrings_are_true(module: Path) -> None:
    """What a reader sees beside a function is what it gives."""
    found = doctest.testmod(importlib.import_module(dotted(module)))
    assert found.attempted
    assert not found.failed


# Words that meant something here alone; the field's stand in docs/glossary.md.
PRIVATE_WORDS = frozenset(
    [
        "pump",
        "pumps",
        "door",
        "doors",
        "book",
        "books",
        "seat",
        "seats",
        "chair",
        "chairs",
        "aside",
        "asides",
        "given",
        "keeper",
        "surroundings",
        "patience",
        "referee",
        "warmth",
        "overseer",
        "poll",
        "polls",
        "pool",
        "pools",
    ]
)
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def identifiers(tree: ast.Module) -> set[str]:
    """Every name that the code of a module makes or uses."""
    found: set[str | None] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
            case ast.keyword(arg=name) | ast.ExceptHandler(name=name) | ast.MatchAs(name=name):
                found.add(name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.alias(name=name, asname=other):
                found.add(other or name.rpartition(".")[2])
    return {name for name in found if name}


@pytest.mark.parametrize("module", MODULES, ids=inside)
def test_names_are_words_of_the_field(module: Path) -> None:
    """Nobody has to learn a language of our own to read the code."""
    names = identifiers(ast.parse(module.read_text())) | {module.stem, module.parent.name}
    assert not [
        name for name in names if PRIVATE_WORDS & {part.lower() for part in WORD.findall(name)}
    ]
