"""In a real kernel, a key is in nothing that a front end or a log gets, whatever happens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from kernel import Kernel
from provider import KEY, Loopback

BLOCK = "%section a\nhello\n"
SITUATIONS = [
    pytest.param("%%fanout -m MODEL -o kept\n" + BLOCK, "", id="success"),
    pytest.param("%%fanout -m MODEL:echo-key\n" + BLOCK, "TooFewSucceeded", id="401-that-echoes"),
    pytest.param("%%fanout -m MODEL:hang --timeout 0.3\n" + BLOCK, "TooFewSucceeded", id="timeout"),
    pytest.param("%%fanout -m MODEL:reset --retries 0\n" + BLOCK, "TooFewSucceeded", id="reset"),
    pytest.param("%%fanout -m MODEL:html-200\n" + BLOCK, "TooFewSucceeded", id="html"),
    pytest.param("%%time\n%%fanout -m MODEL:echo-key\n" + BLOCK, "TooFewSucceeded", id="nested"),
    pytest.param("%%fanout --nope -m MODEL\n" + BLOCK, "OptionError", id="usage"),
    pytest.param("%parallm", "", id="status"),
]


@pytest.fixture(scope="module", params=["anthropic", "openai"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Whose API is spoken."""
    return str(request.param)


@pytest.fixture(scope="module")
def kernel(server: Loopback, dialect: str) -> Iterator[Kernel]:
    """A kernel whose key ends in the newline that copying leaves, and that shows locals in stacks."""
    path = "/v1" if dialect == "openai" else ""
    env = {f"{dialect.upper()}_BASE_URL": server.url + path}
    with Kernel(**env) as kernel:
        # By a file, so that the key is in no message of the test's own.
        (kernel.home / "key").write_text(KEY + "\n")
        kernel.run(f"import os; os.environ['{dialect.upper()}_API_KEY'] = open('key').read()")
        kernel.run("%load_ext parallm_magics\n%xmode Verbose")
        yield kernel
        assert KEY not in kernel.log.read_text()


def hidden(kernel: Kernel) -> None:
    """No message of the kernel holds the key, nor its readable middle."""
    said = json.dumps(kernel.everything, default=str)
    assert len(kernel.everything) > 0
    assert "CANARY" not in said
    kernel.everything.clear()


@pytest.mark.parametrize(("code", "error"), SITUATIONS)
def test_the_key_is_in_no_message(
    kernel: Kernel, server: Loopback, dialect: str, code: str, error: str
) -> None:
    """Neither the cell, nor `%tb`, nor a look at what is left shows the key."""
    server.clear()
    cell = kernel.run(code.replace("MODEL:", f"{dialect}:").replace("MODEL", f"{dialect}:m"))
    assert cell.reply.get("ename", "") == error
    if server.log:
        sent = server.log[0].headers
        assert KEY in (sent.get("x-api-key"), sent.get("authorization", "").removeprefix("Bearer "))
    for look in (
        "%tb",
        "import sys; vars(sys.last_value), sys.last_value.args",
        "get_ipython().find_cell_magic('fanout').__self__.session.clients",
        "vars(get_ipython().find_cell_magic('fanout').__self__.session.clients)",
        "locals().get('kept') and kept.to_dict()",
        "import traceback; traceback.print_exception(sys.last_value)",
    ):
        kernel.run(look)
    hidden(kernel)


@pytest.mark.parametrize("head", ["", "%%time\n"], ids=["awaited", "nested"])
def test_the_key_is_in_no_interrupt(
    kernel: Kernel, server: Loopback, dialect: str, head: str
) -> None:
    """An interrupted run shows no key, in one line or in a stack."""
    server.clear()
    number = kernel.send(f"{head}%%fanout -m {dialect}:hang\n{BLOCK}")
    kernel.until(lambda: len(server.log) == 1, "the request")
    kernel.interrupt()
    assert kernel.cell(number).reply["ename"] == "KeyboardInterrupt"
    kernel.run("%tb")
    hidden(kernel)


def test_a_bug_of_ours_shows_no_key(kernel: Kernel, dialect: str) -> None:
    """A stack with its locals, from an exception that nobody expected, holds no key either."""
    broken = kernel.run(
        "from parallm_magics.providers import bill\n"
        "before = bill.price\n"
        "def bug(*args): raise ZeroDivisionError\n"
        "bill.price = bug"
    )
    assert not broken.error
    cell = kernel.run(f"%%fanout -m {dialect}:m\n{BLOCK}")
    kernel.run("bill.price = before")
    assert cell.reply["status"] == "error"
    hidden(kernel)
