"""Functions as the source that a program needs to have them without the modules that they are in."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from parallm_magics.errors import OptionError

PACKAGE = __name__.partition(".")[0]

Place = tuple[str, str]
"""A module, and a name in it; "" for the module as a whole."""

_LATER_PARAGRAPHS = re.compile(
    r'^( +"""[^\n]+)(?<!""")\n\n(?:(?!""").)*"""', re.MULTILINE | re.DOTALL
)
_LINT_NOTE = re.compile(r"  # (?:noqa|type: ignore).*$", re.MULTILINE)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (
    *_Function.__args__,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)
_Definition = _Function | ast.ClassDef


class Inlined:
    """The definitions that some functions need, each once, in an order in which they can be read.

    Attributes:
        imports: what they use of other modules, by the names that it has.
        source: the definitions; "" for functions of other modules alone.
    """

    def __init__(
        self,
        functions: Mapping[str, Any],
        taken: Iterable[str] = (),
        instead: Mapping[Place, str] | None = None,
    ) -> None:
        """Follow every name that is used, from these functions and classes on.

        Args:
            functions: by what the program calls them.
            taken: what else has a name in the program.
            instead: statements that stand for those of the modules.

        Raises:
            OptionError: nobody knows the source of such a function.
        """
        # A module is read once a program: one of a notebook may be another the next time.
        self._statements, self._imported = cache(_statements), cache(_imported)
        self._is_imported = cache(_is_imported)
        self._instead = dict(instead or {})
        self._taken = {*taken, *functions}
        self._names: dict[Place, str] = {}
        self._found: list[str] = []
        self.imports: dict[str, Place] = {}
        self._wanted = {(each.__module__, each.__name__): n for n, each in functions.items()}
        for place, called in self._wanted.items():
            if self._is_imported(place[0]):
                self.imports[called] = place
            elif place[1] in self._statements(place[0]):
                self._take(place)
            else:
                raise OptionError(
                    f"%parallm code: the source of {called} cannot be found; move it into a module, or define it at "
                    f"the top level of a cell"
                )
        self.source = re.sub(r"\n{4,}", "\n\n\n", "\n".join(self._found)).strip()

    def _called(self, module: str, name: str) -> str:
        """What a name that a module uses is called in the program, where its definition is put."""
        if (module, name) in self._instead or name in self._statements(module):
            return self._take((module, name))
        place = self._imported(module).get(name)
        if place is not None and not self._is_imported(place[0]):
            return self._called(*place)
        if place is not None:
            self.imports[name] = place
        return name

    def _take(self, place: Place) -> str:
        """Put a definition into the program, and what it needs before it."""
        if place in self._names:
            return self._names[place]
        module, name = place
        called = self._wanted.get(place, name)
        while place not in self._wanted and called in self._taken:
            called += "_"
        self._taken.add(called)
        self._names[place] = called
        text = self._instead.get(place) or self._statements(module)[name]
        [tree] = ast.parse(text).body
        others = [(node, self._called(module, node.id)) for node in _free(tree)]
        self._found.append(_edited(text, tree, others, called))
        return called


def free_names(source: str) -> set[str]:
    """The names that a program uses and does not define."""
    used = {node.id for node in _free(ast.parse(source))}
    return used - defined_names(source)


def defined_names(source: str) -> set[str]:
    """The names that a program defines or imports."""
    found = set[str]()
    for node in ast.parse(source).body:
        if isinstance(node, _Definition):
            found.add(node.name)
        else:
            found.update(*map(_bound, ast.walk(node)))
    return found


def import_lines(imports: Mapping[str, Place]) -> list[str]:
    """The lines that import these names, a module a line."""
    whole: list[str] = []
    parts: dict[str, list[str]] = {}
    for called, (module, name) in sorted(imports.items()):
        suffix = "" if called in (module, name) else f" as {called}"
        if name:
            parts.setdefault(module, []).append(name + suffix)
        else:
            whole.append(f"import {module}{suffix}")
    return sorted(whole) + [f"from {m} import {', '.join(parts[m])}" for m in sorted(parts)]


def _edited(text: str, tree: ast.stmt, others: list[tuple[ast.Name, str]], called: str) -> str:
    """A definition with other names, and with the first paragraph of its docstrings alone.

    Args:
        others: the names that it uses, and what they are called.
        called: what it is called itself.
    """
    source = text.encode()  # as the places in a tree are those of bytes
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    edits = [(starts[n.lineno - 1] + n.col_offset, n.id, other) for n, other in others]
    own = tree.name if isinstance(tree, _Definition) else next(_stored(tree))
    edits.append((source.index(own.encode(), starts[tree.lineno - 1]), own, called))
    for begin, name, other in sorted(edits, reverse=True):
        source = source[:begin] + other.encode() + source[begin + len(name.encode()) :]
    found = _LINT_NOTE.sub("", _LATER_PARAGRAPHS.sub(r'\1"""', source.decode()))
    return f"\n\n{found}\n\n" if isinstance(tree, _Definition) else found


def _free(node: ast.AST, bound: frozenset[str] = frozenset()) -> Iterator[ast.Name]:
    """The names that a node loads from outside."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in bound:
        yield node
    if isinstance(node, _SCOPES):
        bound |= {name for each in ast.walk(node) if each is not node for name in _bound(each)}
    for child in ast.iter_child_nodes(node):
        yield from _free(child, bound)


def _bound(node: ast.AST) -> list[str]:
    """The names that a node within a function binds there."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, ast.alias):
        return [node.asname or node.name.partition(".")[0]]
    if isinstance(node, ast.arg):
        return [node.arg]
    named = node.name if isinstance(node, _Function | ast.ExceptHandler) else None
    return [named] if named else []


def _stored(node: ast.AST) -> Iterator[str]:
    """The names that are assigned to in a node."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id


def _is_imported(module: str) -> bool:
    """Whether a program imports a module; what is ours, a notebook's or needs ours is written out."""
    if module.partition(".")[0] in (PACKAGE, *sys.stdlib_module_names):
        return module.partition(".")[0] != PACKAGE
    needed = {home.partition(".")[0] for home, _ in _imported(module).values()}
    return hasattr(sys.modules.get(module), "__file__") and PACKAGE not in needed


@cache
def _parsed(name: str) -> tuple[str, ast.Module]:
    text = inspect.getsource(importlib.import_module(name))
    return text, ast.parse(text)


def _text_of_a_notebook(module: ModuleType) -> str:
    """The definitions and imports of a module that has no file, each function by its own source."""
    found = []
    for name, value in vars(module).items():
        home = getattr(value, "__module__", None)
        if isinstance(value, ModuleType):
            found.append(f"import {value.__name__} as {name}")
        elif isinstance(value, str | int | float | tuple | frozenset) and not name.startswith("_"):
            found.append(f"{name} = {value!r}")
        elif home == module.__name__ and (inspect.isfunction(value) or inspect.isclass(value)):
            with contextlib.suppress(OSError, TypeError):
                found.append(textwrap.dedent(inspect.getsource(value)))
        elif home and getattr(value, "__name__", "") == name:
            found.append(f"from {home} import {name}")
    return "\n".join(found)


def _tree(name: str) -> tuple[str, ast.Module]:
    """A module's text and syntax; of a notebook, what can be told of what it has defined."""
    try:
        return _parsed(name)
    except (OSError, TypeError):
        text = _text_of_a_notebook(sys.modules[name])
        return text, ast.parse(text)


def _statements(module: str) -> dict[str, str]:
    """The text of each definition of a module by its name, with the comment above it."""
    text, tree = _tree(module)
    lines = text.split("\n")
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, _Definition):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names = [*_stored(node)]
        else:
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
        while first and lines[first - 1].startswith("# ") and "---" not in lines[first - 1]:
            first -= 1
        found |= dict.fromkeys(names, "\n".join(lines[first : node.end_lineno]))
    return found


def _imported(module: str) -> dict[str, Place]:
    """Where the names come from that a module imports."""
    found: dict[str, Place] = {}
    for node in _tree(module)[1].body:
        if isinstance(node, ast.Import):
            found |= {each.asname or each.name: (each.name, "") for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {each.asname or each.name: (node.module, each.name) for each in node.names}
    return found
