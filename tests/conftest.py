"""What every test lives with: no address but loopback, no key, no model of the developer's own."""

from __future__ import annotations

import gc
import os
import platform
import signal
import socket
from collections.abc import Iterator
from itertools import chain, groupby, zip_longest

import pytest
from asking import served
from hypothesis import settings
from provider import Loopback
from tiers import TIERS, Guard, Times, asks_a_server, tier_of, workers

from parallm_magics.providers import registry
from parallm_magics.providers.entries import ENTRIES

# A noisy machine must not turn a property into a timing test.
settings.register_profile("parallm", deadline=None)
settings.load_profile("parallm")

# Whoever is started in the background ignores interrupts, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An SDK asks for it with its first request of a process, and a program is started to find out.
platform.processor()

_OURS = (
    *("ANTHROPIC_", "OPENAI_", "PARALLM_", "AWS_", "AZURE_", "GOOGLE_", "CLOUD_ML_"),
    *(f"{entry.name.upper()}_" for entry in ENTRIES),
)
_GUARD = Guard()
_TIMES = Times()


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test finds no key, address or model of this machine's user, and leaves no provider behind.

    A unit test starts no process. One fixture for all that: there are thousands of tests.
    """
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    before = set(registry.names())
    _GUARD.watch(tier_of(request.path) == "unit")
    yield
    started = _GUARD.watch(False)
    left = set(registry.names()) - before
    for name in left:
        registry.forget(name)
    assert not left, f"providers that a test has defined: {left}"
    assert not started, f"a test in tests/unit starts a process, so it belongs elsewhere: {started}"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """The scripted provider of both dialects, with addresses and keys in the environment."""
    with served() as running:
        yield running


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """A connection to any other address is an error at once."""
    connect, connect_ex, lookup = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def allowed(address: object) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if (
            isinstance(host, str)
            and host
            and not host.startswith("127.")
            and host not in ("::1", "localhost")
        ):
            raise AssertionError(f"a test tried to reach {host}")

    def guarded(self: socket.socket, address: object) -> None:
        allowed(address)
        connect(self, address)  # type: ignore[arg-type]

    def guarded_ex(self: socket.socket, address: object) -> int:
        allowed(address)
        return connect_ex(self, address)  # type: ignore[arg-type]

    def looked_up(host: object, *args: object, **kwargs: object) -> object:
        name = host.decode() if isinstance(host, bytes) else host
        allowed((name,))
        return lookup(host, *args, **kwargs)  # type: ignore[arg-type]

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    patch.setattr(socket.socket, "connect_ex", guarded_ex)
    patch.setattr(socket, "getaddrinfo", looked_up)
    yield
    patch.undo()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many workers `-n auto` means here."""
    return workers(config.invocation_params.args and config.args)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is alone with it at the end; mark what waits.

    Between two files with a browser comes one without: more browsers at once than cores starve each other.
    """
    items.sort(key=lambda item: TIERS.index(tier_of(item.path)))
    files = [[*tests] for _, tests in groupby(items, key=lambda item: item.path)]
    heavy = [tests for tests in files if tier_of(tests[0].path) == "browser"]
    light = [tests for tests in files if tier_of(tests[0].path) != "browser"]
    turns = chain.from_iterable(zip_longest(heavy, light, fillvalue=()))
    items[:] = chain.from_iterable(turns)
    for item in items:
        if asks_a_server(item.path):
            item.add_marker("wire")


def pytest_collection_finish() -> None:
    """What has been collected stays to the end: let the collector of garbage leave it alone."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up each tier's time, whichever worker it was spent in."""
    path = report.nodeid.partition("::")[0]
    _TIMES.add(path, report.when == "call", report.duration, report.start, report.stop)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell each tier's time at the end of a run."""
    terminalreporter.section("tiers")
    for line in _TIMES.lines():
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: something that should be there is missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
