"""How the code is built, in numbers: `python tests/benchmarks/house.py` prints them.

Lines are all lines of the package's files. Functions and modules are those that one two-section `%%fanout`
enters from its magic to its html, when it runs for the second time. The way of the plan is the order of
modules that hold the plan as an argument in that run: a return is a module entered again, a climb is a step
to a module that (directly or not) imports the one before. A comparison is an `==`, `!=`, `in` or `match`
on the name of a rule or of a provider that stands as a literal in the code, or on the kind of a reading;
what a call is for has names of its own (`role`), one of them a judge's. What it takes to add a rule or a
provider are the examples of docs/extending.md, which tests run: their lines but for empty ones, and the
entries that they register.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = Path(__file__).parents[2] / "parallm_magics"
CELL = "%%fanout -o kept\nReview.\n\n%section a\nOne.\n\n%section b\nTwo.\n"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def trees() -> dict[Path, ast.Module]:
    """Every module of the package, parsed."""
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def length(node: ast.AST) -> int:
    """The lines of a definition, decorators aside."""
    return (node.end_lineno or 0) - node.lineno + 1  # type: ignore[attr-defined]


def sizes(parsed: Mapping[Path, ast.Module]) -> Iterator[str]:
    """Lines in all, the largest of each kind, and how long a function is."""
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in parsed}
    nodes = [node for tree in parsed.values() for node in ast.walk(tree)]
    functions = sorted(length(node) for node in nodes if isinstance(node, Function))
    classes = [length(node) for node in nodes if isinstance(node, ast.ClassDef)]
    p90 = functions[len(functions) * 9 // 10]
    yield f"package lines: {sum(lines.values()):,} in {len(lines)} files"
    yield f"largest module, class, function: {max(lines.values())}, {max(classes)}, {functions[-1]}"
    yield f"lines of a function, median and p90: {statistics.median(functions):g}, {p90}"


def names_of_entries() -> frozenset[str]:
    """What the rules and the providers are called."""
    from parallm_magics.providers import registry
    from parallm_magics.voting.pick_rules import PICKS

    return frozenset({*PICKS, *registry.names(), "unanimity"})


def literals(node: ast.expr) -> Iterator[str]:
    """The texts that an operand is made of, where it is a literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for each in node.elts:
            yield from literals(each)


def comparisons(parsed: Mapping[Path, ast.Module], names: frozenset[str]) -> list[str]:
    """Where a name is compared, as file and line."""
    found = []
    for path, tree in parsed.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                operands: Sequence[ast.expr] = (node.left, *node.comparators)
            elif isinstance(node, ast.MatchValue):
                operands = (node.value,)
            else:
                continue
            if any(isinstance(each, ast.Attribute) and each.attr == "role" for each in operands):
                continue
            is_known = any(text in names for each in operands for text in literals(each))
            if is_known or _names_kind(operands):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    return found


def _names_kind(operands: Sequence[ast.expr]) -> bool:
    """Whether the kind of a reading or of a system is compared with the name of one."""
    kinds = [e.value for e in operands if isinstance(e, ast.Attribute) and e.attr == "kind"]
    has_entry = any(ast.unparse(each).endswith(("reading", "system")) for each in kinds)
    return has_entry and any(text for each in operands for text in literals(each))


TRIALS = {
    "number rule": "number_rule(",
    "rank rule": "register_reading(",
    "provider by its address": '"fireworks"',
    "provider of its own": "BaseProvider)",
}
"""What an example of the page has in it, by what it adds."""


def trials() -> Iterator[str]:
    """The lines and the places that each thing takes which can be added."""
    page = (PACKAGE.parent / "docs" / "extending.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for what, sign in TRIALS.items():
        block = next(block for block in blocks if sign in block)
        lines = sum(bool(line.strip()) for line in block.splitlines())
        yield f"{what}: {lines} lines in {len(re.findall('^register_', block, re.MULTILINE))}"
    yield "column: one entry of display/columns.py"


class Trip:
    """Listens to a run: which functions it enters, and which modules hold its plan."""

    def __init__(self) -> None:
        self.functions: set[Any] = set()
        self.modules: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Take in an event of the interpreter."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(str(PACKAGE)):
            return
        if not code.co_name.startswith("<"):
            self.functions.add(code)
        count = code.co_argcount + code.co_kwonlyargcount
        values = (frame.f_locals.get(name) for name in code.co_varnames[:count])
        if any(type(value).__name__ == "Plan" for value in values):
            module = str(Path(code.co_filename).relative_to(PACKAGE))
            if not self.modules or self.modules[-1] != module:
                self.modules.append(module)


def listened() -> Trip:
    """The second run of the cell in a shell without a kernel."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.display_pub.publish = lambda *_, **__: None
    shell.displayhook.write_format_data = lambda *_, **__: None
    shell.run_line_magic("load_ext", "parallm_magics")
    shell.run_cell('%config ParallmMagics.model = "sim:?scale=0"')
    trip = Trip()
    for profile in (None, trip):
        sys.setprofile(profile)
        try:
            assert shell.run_cell(CELL).success
            shell.display_formatter.format(shell.user_ns["kept"])
        finally:
            sys.setprofile(None)
    return trip


def imports_of(parsed: Mapping[Path, ast.Module]) -> dict[str, set[str]]:
    """Which modules of the package each imports."""
    known = {str(path.relative_to(PACKAGE)) for path in parsed}

    def files(name: str) -> Iterator[str]:
        stem = name.removeprefix("parallm_magics").lstrip(".").replace(".", "/")
        yield from {f"{stem}.py", f"{stem}/__init__.py"} & known

    found: dict[str, set[str]] = {}
    for path, tree in parsed.items():
        own = found.setdefault(str(path.relative_to(PACKAGE)), set())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "parallm_magics"
            ):
                own.update(files(node.module or ""))
                for alias in node.names:
                    own.update(files(f"{node.module}.{alias.name}"))
    return found


def way(modules: list[str], imports: Mapping[str, set[str]]) -> str:
    """The stays of the plan, its returns and its climbs."""

    @cache
    def below(module: str) -> frozenset[str]:
        reached, left = set(), [module]
        while left:
            for each in imports[left.pop()] - reached:
                reached.add(each)
                left.append(each)
        return frozenset(reached)

    returns = sum(module in modules[:at] for at, module in enumerate(modules))
    steps = pairwise(modules)
    climbs = sum(before in below(after) and after not in below(before) for before, after in steps)
    return f"stays, returns and climbs of the plan: {len(modules)}, {returns}, {climbs}"


def main() -> None:
    """Print all of it."""
    sys.path.insert(0, str(PACKAGE.parent))
    parsed = trees()
    for line in sizes(parsed):
        print(line)
    trip = listened()
    files = {code.co_filename for code in trip.functions}
    print(f"functions, modules entered by a fan-out: {len(trip.functions)}, {len(files)}")
    print(way(trip.modules, imports_of(parsed)))
    print("lines and places of a further", *trials(), sep="\n  ")
    compared = comparisons(parsed, names_of_entries())
    print(
        f"comparisons on names of rules, providers or kinds of answers: {len(compared)}",
        *compared,
        sep="\n  ",
    )


if __name__ == "__main__":
    main()
