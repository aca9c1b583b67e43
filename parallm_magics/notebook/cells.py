"""How a cell of ours comes to be one call of its magic, which the notebook awaits on its own loop."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from parallm_magics.cell.directives import head
from parallm_magics.core.browser import IN_BROWSER

_Task = asyncio.Task[Any]


class Cells(threading.local):
    """The cells that this thread is executing.

    Attributes:
        tasks: the task that executes each of them, the innermost last, as a cell may run another
            one; None where no loop runs.
        announced: whether the shell was told that the cell to come is awaited.
        compiled_next: whether the code that is compiled next is that cell's.
    """

    def __init__(self) -> None:
        self.tasks: list[_Task | None] = []
        self.announced = self.compiled_next = False
        self._at_end: list[Callable[[], None]] = []

    def enter(self) -> None:
        """Take in that a cell begins in this thread; its code is compiled next."""
        task = current_task()
        self.tasks.append(task)
        self.compiled_next, self.announced = self.announced, False
        if IN_BROWSER and task is not None:
            task.add_done_callback(self._over)

    def leave(self) -> None:
        """Take in that a cell ended in this thread; the one that loaded us was never seen to begin."""
        self.finish()
        if self.tasks:
            self.tasks.pop()
        self.compiled_next = False

    def _over(self, task: _Task) -> None:
        """Leave the cell of a task that is over: a page's kernel does not tell when an awaited cell ends."""
        while task in self.tasks:
            self.leave()

    def at_end(self, do: Callable[[], None]) -> None:
        """Do this once the cell has shown its result; at once where this thread executes none."""
        self._at_end.append(do)
        if not self.tasks:
            self.finish()

    def finish(self) -> None:
        """Do now what was to be done at the cell's end."""
        while self._at_end:
            self._at_end.pop(0)()


def current_task() -> _Task | None:
    """Return the task that is running; None without one."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


class CallCells:
    """An input transformer: `%%fanout …` becomes `get_ipython().run_cell_magic(…)`, as any magic does.

    So it reads in the history and in whatever is saved of it, and may stand in any code. It comes
    before IPython's own transformers, which would take `>>> ` off the lines of a prompt.
    """

    # IPython runs transformers with side effects only on cells that it executes.
    has_side_effects = True

    def __call__(self, lines: list[str]) -> list[str]:
        """Return the lines, or one line that calls the magic."""
        found = head("".join(lines))
        if found is None:
            return lines
        # IPython lets no magic run on an empty body; ours says what is missing, as a real error.
        call = f"get_ipython().run_cell_magic({found.magic!r}, {found.line!r}, {found.body or chr(10)!r})\n"
        # The call keeps its line, by which errors count; what is above it are comments or nothing.
        above = "".join(lines).split("\n")[: found.above]
        return [*(f"{line}\n" if line.startswith("#") else "\n" for line in above), call]


class AwaitCells(ast.NodeTransformer):
    """Awaits a cell that is such a call and nothing else, where cells can be awaited.

    The shell is told that the cell is asynchronous, and the call is put into an `await` when the
    cell's code is compiled. Other code that holds such a call, `%%time` for one, keeps it as it is.
    """

    def __init__(self, shell: Any, cells: Cells) -> None:
        self._shell, self._cells = shell, cells
        self._asked = shell.should_run_async

    def should_run_async(self, raw_cell: str, **more: Any) -> bool:
        """Return what the shell's own method says, and True for a cell of ours that can be awaited now.

        One that runs inside another cell cannot.
        """
        if self._asked(raw_cell, **more):
            return True
        code, cells = more.get("transformed_cell"), self._cells
        if more.get("preprocessing_exc_tuple") is not None or not isinstance(code, str):
            return False
        cells.announced = False
        runner = getattr(self._shell.loop_runner, "__name__", "")
        is_ours = "trio" not in runner and "curio" not in runner
        if self._shell.autoawait and is_ours and not cells.tasks:
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                cells.announced = _is_call(ast.parse(code))
        return cells.announced

    def visit(self, node: Any) -> Any:
        """Return the code of a cell, awaited where that was announced."""
        wanted, self._cells.compiled_next = self._cells.compiled_next, False
        if wanted and _is_call(node):
            [cell] = node.body
            cell.value = ast.copy_location(_awaited(cell.value), cell.value)
            ast.fix_missing_locations(node)
        return node


def _is_call(tree: Any) -> bool:
    """Tell whether code is one call of a magic of ours by its text, and nothing else."""
    match tree:
        case ast.Module(
            body=[
                ast.Expr(
                    value=ast.Call(
                        func=ast.Attribute(
                            value=ast.Call(func=ast.Name(id="get_ipython"), args=[], keywords=[]),
                            attr="run_cell_magic",
                        ),
                        args=[
                            ast.Constant(value="fanout" | "vote"),
                            ast.Constant(value=str()),
                            ast.Constant(value=str()),
                        ],
                        keywords=[],
                    )
                )
            ]
        ):
            return True
    return False


def _awaited(call: ast.Call) -> ast.Await:
    """Return `await` of the magic's own coroutine with the same line and body, and the body's first line."""
    name, below = call.args[0], ast.Constant(call.lineno + 1)
    found = ast.Attribute(call.func.value, "find_cell_magic", ast.Load())  # type: ignore[attr-defined]
    owner = ast.Attribute(ast.Call(found, [name], []), "__self__", ast.Load())
    return ast.Await(ast.Call(ast.Attribute(owner, "awaited", ast.Load()), [*call.args, below], []))
