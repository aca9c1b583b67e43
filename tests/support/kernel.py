"""A real kernel for tests: cells go in, what a front end would get comes out.

with Kernel(ANTHROPIC_BASE_URL=server.url) as kernel:
    kernel.run("%load_ext parallm_magics")
    cell = kernel.run("1 + 1")            # cell.result["text/plain"] == "2"
    queued = [kernel.send(code) for code in codes]
    [kernel.cell(each) for each in queued]
"""

from __future__ import annotations

import os
import queue
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from paths import SUPPORT
from slack import with_slack

OFFLINE = SUPPORT / "offline"
SECONDS = 60.0
"""What a kernel is given on a quiet machine to answer."""
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def environment(home: str | Path, **more: str) -> dict[str, str]:
    """An environment for a Python of a test: no key, no configuration, no network but loopback."""
    home = str(home)
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "HOME": home,
        "IPYTHONDIR": f"{home}/ipython",
        "JUPYTER_CONFIG_DIR": f"{home}/jupyter",
        "JUPYTER_DATA_DIR": f"{home}/jupyter",
        "JUPYTER_RUNTIME_DIR": home,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        **more,
    }


@dataclass(repr=False)
class Cell:
    """What came back of one execution.

    Attributes:
        messages: its messages on iopub, in order.
        reply: the execute_reply's content.
        replied: when the reply came, on the monotonic clock.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)
    replied: float = 0.0
    idle: bool = False

    def __repr__(self) -> str:
        return f"<Cell {self.outputs}: {self.error or self.plain or self.stream()}>"

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The contents of the messages of these types."""
        return [m["content"] for m in self.messages if m["msg_type"] in kinds]

    @property
    def result(self) -> dict[str, str]:
        """The mimebundle of the cell's result; empty where it has none."""
        found = self.of("execute_result")
        return dict(found[-1]["data"]) if found else {}

    @property
    def plain(self) -> str:
        """The result as text."""
        return self.result.get("text/plain", "")

    def stream(self, name: str = "stdout") -> str:
        """What the cell wrote."""
        return "".join(c["text"] for c in self.of("stream") if c["name"] == name)

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The mimebundles that the cell displayed, the live table's slot aside."""
        return [c["data"] for c in self.of("display_data") if set(c["data"]) != {WIDGET_VIEW}]

    @property
    def error(self) -> str:
        """The cell's error as the front end shows it; "" where there is none."""
        return "\n".join("\n".join(c["traceback"]) for c in self.of("error"))

    @property
    def outputs(self) -> list[str]:
        """The types of what a saved notebook would hold, the live table's empty slot aside."""
        kept = ("stream", "display_data", "execute_result", "error")
        return [
            m["msg_type"]
            for m in self.messages
            if m["msg_type"] in kept and set(m["content"].get("data", ())) != {WIDGET_VIEW}
        ]


class Kernel:
    """A kernel of this Python, without a key and without a network; a context manager."""

    def __init__(self, **env: str) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="parallm")
        # Sockets in the file system: no two kernels can take the same port.
        self._manager = KernelManager(transport="ipc", ip=f"{self._home.name}/k")
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self._manager._kernel_spec = KernelSpec(argv=argv, display_name="", language="python")
        self._manager.connection_file = f"{self._home.name}/kernel.json"
        self._env = environment(self._home.name, **env)
        self._cells: dict[str, Cell] = {}
        self.log = Path(self._home.name) / "kernel.log"
        self.everything: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._manager.start_kernel(env=self._env, stdout=log, stderr=log, cwd=self._home.name)
        # The manager's own client asks the process whether it is alive, not a slow heartbeat.
        self._client = self._manager.client()
        self._client.start_channels()
        try:
            self._client.wait_for_ready(timeout=with_slack(SECONDS))
        except BaseException:
            print(self.log.read_text())
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
        self._home.cleanup()

    @property
    def home(self) -> Path:
        """The folder that the kernel runs in."""
        return Path(self._home.name)

    def send(self, code: str, subshell: str | None = None, stop_on_error: bool = True) -> str:
        """Queue a cell; gives the id by which it is asked for."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": stop_on_error,
        }
        message = self._client.session.msg("execute_request", content)
        message["header"]["subshell_id"] = subshell
        number: str = message["header"]["msg_id"]
        self._cells[number] = Cell()
        self._client.shell_channel.send(message)
        return number

    def cell(self, number: str) -> Cell:
        """A queued cell, once it has come back whole."""
        cell = self._cells[number]
        self.until(lambda: bool(cell.reply) and cell.idle, f"the end of {number}")
        return cell

    def run(self, code: str, subshell: str | None = None) -> Cell:
        """Run a cell to its end."""
        return self.cell(self.send(code, subshell))

    def value(self, expression: str) -> Any:
        """The value of an expression of literals."""
        import ast

        cell = self.run(expression)
        assert cell.plain, cell
        return ast.literal_eval(cell.plain)

    def settle(self, expression: str) -> None:
        """Wait until an expression holds in the kernel, between cells."""
        self.until(lambda: self.value(f"bool({expression})"), expression)

    def begun(self, number: str) -> None:
        """Wait until a cell has begun."""
        cell = self._cells[number]
        self.until(lambda: bool(cell.of("execute_input")), f"the beginning of {number}")

    def tell(self, comm: str, data: dict[str, Any]) -> None:
        """Send what a widget's view would send to its model."""
        content = {"comm_id": comm, "data": data}
        self._client.shell_channel.send(self._client.session.msg("comm_msg", content))

    def complete(self, code: str, at: int) -> dict[str, Any]:
        """What the kernel offers at this place of a cell."""
        content = {"code": code, "cursor_pos": at}
        message = self._client.session.msg("complete_request", content)
        number: str = message["header"]["msg_id"]
        cell = self._cells[number] = Cell()
        self._client.shell_channel.send(message)
        self.until(lambda: bool(cell.reply), "what Tab offers")
        return cell.reply

    def interrupt(self) -> float:
        """Send SIGINT; gives the moment."""
        at = time.monotonic()
        self._manager.interrupt_kernel()
        return at

    def subshell(self) -> str:
        """Start a subshell."""
        return str(self._control("create_subshell_request")["subshell_id"])

    def end_subshell(self, subshell: str) -> None:
        """End a subshell."""
        self._control("delete_subshell_request", subshell_id=subshell)

    def shut_down(self) -> str:
        """Ask it to end as for a restart, and wait for that; gives what it has written on its own streams."""
        self._control("shutdown_request", restart=True)
        self.until(lambda: not self.alive, "the end of the kernel")
        return self.log.read_text()

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return bool(self._manager.is_alive())

    def _control(self, kind: str, **content: Any) -> dict[str, Any]:
        message = self._client.session.msg(kind, content)
        self._client.control_channel.send(message)
        while True:
            reply = self._client.get_control_msg(timeout=with_slack(SECONDS))
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return dict(reply["content"])

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds, here or in the kernel; messages are taken in meanwhile."""
        end = time.monotonic() + with_slack(SECONDS)
        while not holds():
            assert time.monotonic() < end, f"{what} never came; the kernel is alive: {self.alive}"
            self._take()

    def _take(self) -> None:
        """Take in what has come on both channels."""
        try:
            reply = self._client.get_shell_msg(timeout=0)
            cell = self._cells.get(reply["parent_header"].get("msg_id", ""), Cell())
            cell.reply, cell.replied = reply["content"], time.monotonic()
            self.everything.append(reply)
        except queue.Empty:
            pass
        try:
            message = self._client.get_iopub_msg(timeout=0.01)
        except queue.Empty:
            return
        self.everything.append(message)
        cell = self._cells.get(message["parent_header"].get("msg_id", ""), Cell())
        cell.messages.append(message)
        if message["msg_type"] == "status":
            cell.idle = message["content"]["execution_state"] == "idle"
