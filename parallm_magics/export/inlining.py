"""Functions of this package as the source that a program needs to have them without it."""

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
"""A module, and a name in it."""

Import = tuple[str, str, str]
"""A module, a name in it or "" for the module itself, and what it is called."""

Edit = tuple[int, int, str]
"""From which byte to which, and what takes their place."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
Located = ast.stmt | ast.expr | ast.arg
_MUTE = re.compile(r"\s*# (?:noqa|type: ignore).*$", re.MULTILINE)


class Inlined:
    """The definitions that some functions need, each once, in an order in which they can be read.

    Attributes:
        imports: what they use of other modules.
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
        places = {(each.__module__, each.__name__): name for name, each in functions.items()}
        self._own = {PACKAGE, *(module for module, _ in places if not _is_standard(module))}
        self._instead = dict(instead or {})
        self._taken = {*taken, *functions}
        self._wanted = places
        self._names: dict[Place, str] = {}
        self._found: list[str] = []
        self.imports: set[Import] = set()
        for module, name in places:
            if self._is_foreign(module):
                self.imports.add((module, name, name))
            elif name in _statements(module):
                self._take((module, name))
            else:
                raise OptionError(
                    f"%parallm code: the source of {name} cannot be found; put it into a module, or "
                    "define it at the top of a cell"
                )
        self.source = "\n".join(self._found).strip()

    def _called(self, module: str, name: str) -> str:
        """What a name that a module uses is called in the program, where its definition is put."""
        if (module, name) in self._instead or name in _statements(module):
            return self._take((module, name))
        home, original = _imported(module).get(name, ("", ""))
        if home and not self._is_foreign(home):
            return self._called(home, original)
        if home:
            self.imports.add((home, original, name))
        return name

    def _is_foreign(self, module: str) -> bool:
        """Whether a module is imported rather than written out."""
        return module not in self._own and module.partition(".")[0] not in self._own

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
        source = _Source(self._instead.get(place) or _statements(module)[name])
        for node in source.globals():
            if (other := self._called(module, node.id)) != node.id:
                source.put(node, other)
        source.rename(name, called)
        self._found.append(source.bare())
        return called


def free_names(source: str) -> set[str]:
    """The names that a program uses and does not define."""
    tree = ast.parse(source)
    return {name.id for name in _free(tree, frozenset())} - defined_names(source)


def defined_names(source: str) -> set[str]:
    """The names that a program defines or imports."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, _Function | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {each.asname or each.name for each in node.names}
        else:
            found |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _is_store(n)}
    return found


def import_lines(imports: Iterable[Import]) -> list[str]:
    """The lines that import these names, a module a line."""
    modules, names = set(), dict[str, list[str]]()
    for module, name, called in sorted(imports):
        as_called = "" if called in (module, name) else f" as {called}"
        if name:
            names.setdefault(module, []).append(name + as_called)
        else:
            modules.add(f"import {module}{as_called}")
    return sorted(modules) + [f"from {m} import {', '.join(each)}" for m, each in names.items()]


class _Source:
    """One statement, edited by its syntax."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode()
        self._starts = [0]
        for line in self._bytes.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        [self._tree] = ast.parse(text).body
        self._edits: list[Edit] = []

    def globals(self) -> list[ast.Name]:
        """The names that it uses and does not define; those of annotations aside."""
        return [*_free(self._tree, frozenset())]

    def put(self, node: ast.expr, text: str) -> None:
        """Another text in place of a node."""
        self._edits.append((self._begin(node), self._end(node), text))

    def rename(self, name: str, other: str) -> None:
        """Call what is defined here otherwise."""
        if name == other:
            return
        place = self._bytes.index(name.encode(), self._begin(self._tree))
        self._edits.append((place, place + len(name.encode()), other))

    def bare(self) -> str:
        """The text without annotations, and with the first paragraph of each docstring alone."""
        for node in ast.walk(self._tree):
            if isinstance(node, _Function):
                self._bare_function(node)
            if isinstance(node, _Function | ast.ClassDef):
                self._shorten(node)
        if isinstance(self._tree, ast.AnnAssign):
            self._without_annotation(self._tree)
        found = self._bytes
        for begin, end, text in sorted(self._edits, reverse=True):
            found = found[:begin] + text.encode() + found[end:]
        text = _MUTE.sub("", found.decode())
        spaced = isinstance(self._tree, _Function | ast.ClassDef)
        return f"\n\n{text}\n" if spaced else text

    def _bare_function(self, node: _Function) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for argument in [*every, arguments.vararg, arguments.kwarg]:
            if argument is not None and argument.annotation is not None:
                begin = self._begin(argument) + len(argument.arg.encode())
                self._edits.append((begin, self._end(argument.annotation), ""))
        if node.returns is not None:
            arrow = self._bytes.rindex(b" ->", 0, self._begin(node.returns))
            self._edits.append((arrow, self._end(node.returns), ""))
        for inner in ast.walk(node):
            if isinstance(inner, ast.AnnAssign) and inner.value is not None:
                self._without_annotation(inner)

    def _without_annotation(self, node: ast.AnnAssign) -> None:
        edit = (self._end(node.target), self._end(node.annotation), "")
        if edit not in self._edits:
            self._edits.append(edit)

    def _shorten(self, node: _Function | ast.ClassDef) -> None:
        doc = node.body[0]
        if ast.get_docstring(node) is None or len(node.body) == 1:
            return
        begin, end = self._begin(doc), self._end(doc)
        first, blank, _ = self._bytes[begin:end].partition(b"\n\n")
        if blank:
            self._edits.append((begin + len(first), end, '"""'))

    def _begin(self, node: Located) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: Located) -> int:
        return self._starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)


def _free(node: ast.AST, bound: frozenset[str]) -> Iterator[ast.Name]:
    """The names that a node loads from outside; annotations are not evaluated."""
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load) and node.id not in bound:
            yield node
        return
    if isinstance(node, _Function | ast.Lambda):
        stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _is_store(n)}
        inner = {n.name for n in ast.walk(node) if isinstance(n, _Function) and n is not node}
        arguments = {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
        bound |= stored | inner | arguments
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _free(child, bound)


def _is_store(name: ast.Name) -> bool:
    return not isinstance(name.ctx, ast.Load)


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


@cache
def _module(name: str) -> tuple[str, ast.Module]:
    """A module's text and syntax; of a notebook, what can be told of what it has defined."""
    module = sys.modules.get(name) or importlib.import_module(name)
    try:
        text = inspect.getsource(module)
    except (OSError, TypeError):
        text = _text_of_a_notebook(vars(module))
    return text, ast.parse(text)


def _text_of_a_notebook(names: Mapping[str, Any]) -> str:
    """The definitions and imports of a module that has no file, each function by its own source."""
    found = []
    for name, value in names.items():
        home = getattr(value, "__module__", None)
        if isinstance(value, ModuleType):
            found.append(f"import {value.__name__} as {name}")
        elif isinstance(value, str | int | float | tuple | frozenset) and not name.startswith("_"):
            found.append(f"{name} = {value!r}")
        elif home == names.get("__name__") and (
            inspect.isfunction(value) or inspect.isclass(value)
        ):
            with contextlib.suppress(OSError, TypeError):
                found.append(textwrap.dedent(inspect.getsource(value)))
        elif home and getattr(value, "__name__", "") == name:
            found.append(f"from {home} import {name}")
    return "\n".join(found)


@cache
def _statements(module: str) -> Mapping[str, str]:
    """The text of each definition of a module by its name, with the comment above it."""
    text, tree = _module(module)
    lines = text.split("\n")
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, _Function | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [
                n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)
            ]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
        while first and lines[first - 1].startswith("# ") and "---" not in lines[first - 1]:
            first -= 1
        found |= dict.fromkeys(names, "\n".join(lines[first : node.end_lineno]))
    return found


@cache
def _imported(module: str) -> Mapping[str, Place]:
    """Where the names come from that a module imports; a module as a whole has no name in it."""
    found: dict[str, Place] = {}
    for node in _module(module)[1].body:
        if isinstance(node, ast.Import):
            found |= {each.asname or each.name: (each.name, "") for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {each.asname or each.name: (node.module, each.name) for each in node.names}
    return found
