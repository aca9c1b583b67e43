"""Providers from outside: what is registered works everywhere, and what is wrong breaks nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asking import fanned
from fakes import previewed
from paths import PACKAGE
from provider import Act, Loopback

import parallm_magics
from parallm_magics import BudgetExceeded, OptionError, register_provider
from parallm_magics.api import plan_cell
from parallm_magics.core import entry_table
from parallm_magics.core.tasks import Record
from parallm_magics.errors import MissingKeyError, ModelError
from parallm_magics.export.program import program
from parallm_magics.notebook.completion import _models
from parallm_magics.notebook.status import show_models, show_providers
from parallm_magics.providers import MESSAGES, BaseProvider, ProviderEntry, bill, registry

PAGE = (PACKAGE.parent / "docs" / "extending.md").read_text()
KEY = "ACME-CANARY-0123456789"
PROMPT = "%section a\nask"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A scripted server that stands for whoever is registered."""
    monkeypatch.setenv("ACME_API_KEY", KEY)
    before = registry.names()
    with Loopback() as loopback:
        monkeypatch.setenv("ACME_BASE_URL", f"{loopback.url}/v1")
        yield loopback
    for name in set(registry.names()) - set(before):
        registry.forget(name)


@pytest.fixture
def acme(server: Loopback) -> Loopback:
    """The example of the page, run as it stands there."""
    [example] = re.findall(r"runs this -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in example.split("\n") if line.strip()]) <= 20
    exec(example, {})  # noqa: S102
    return server


def asked(model: str, **options: Any) -> Record:
    """The record of one call."""
    return asyncio.run(fanned(PROMPT, model=model, retries=0, **options)).results[0]


# --- the example ----------------------------------------------------------------------------------


def test_the_example_answers_and_is_priced(acme: Loopback) -> None:
    """Its tokens are counted, its own prices hold, and its address is told where it was moved."""
    record = asked("acme:acme-1")
    assert (record.status, record.text) == ("ok", "echo: ask")
    assert record.usage is not None
    took, gave = record.usage.input_tokens, record.usage.output_tokens
    assert record.cost == (took * Decimal("0.1") + gave * Decimal("0.4")) / 1_000_000
    assert record.address == acme.url.removeprefix("http://")
    assert acme.log[0].headers["authorization"] == f"Bearer {KEY}"
    assert asked("acme:another").cost is None
    flex = (("service_tier", "flex"),)
    assert bill.cost(registry.parse_model("acme:acme-1"), record.usage, flex) is None


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        pytest.param(Act(status=401), "auth", id="key"),
        pytest.param(Act(status=404), "model", id="model"),
        pytest.param(Act(status=500), "server", id="server"),
        pytest.param(Act(body="nonsense"), "not_an_answer", id="no JSON"),
        pytest.param(Act(then="abort"), "connection", id="broken"),
    ],
)
def test_the_example_s_faults_are_told_apart(acme: Loopback, act: Act, kind: str) -> None:
    """Whatever its class lets slip is a fault like any other, without the key."""
    acme.script("acme-1", act)
    record = asked("acme:acme-1")
    assert record.error is not None
    assert record.error.kind == kind
    assert KEY not in record.error.message


def test_the_example_s_key_is_asked_for_before_any_call(
    acme: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names its variable; and an echoed key leaves no trace."""
    acme.answers = {"ask": f"your key is {KEY}"}
    assert asked("acme:acme-1").text == "your key is [key]"
    acme.clear()
    monkeypatch.delenv("ACME_API_KEY")
    with pytest.raises(MissingKeyError, match="ACME_API_KEY is not set"):
        asked("acme:acme-1")
    assert acme.log == []


def test_the_example_has_a_cap_a_dry_run_and_a_recording(
    acme: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that needs a price, a name or a key of the request."""
    most = previewed(plan_cell("fanout", "-m acme:acme-1", PROMPT, {})).most_cost
    assert most is not None
    assert most > 0
    with pytest.raises(BudgetExceeded, match="may cost up to"):
        asked("acme:acme-1", max_cost=Decimal("0.0000001"))
    monkeypatch.setenv("PARALLM_RECORDINGS", str(tmp_path / "answers.jsonl"))
    for _ in range(2):
        assert asked("acme:acme-1").text == "echo: ask"
    assert len(acme.log) == 1


def test_the_example_is_listed_and_completed(
    acme: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever a provider is looked for by its name."""
    assert "acme:" in _models()
    for show in (show_models, show_providers):
        show()
    listed = capsys.readouterr().out
    assert re.search(r"acme +.*acme:acme-1", listed)
    assert "ACME_API_KEY is set" in listed
    with pytest.raises(ModelError, match="did you mean 'acme'"):
        registry.parse_model("acmee:acme-1")


def test_a_class_without_a_dialect_has_no_program(acme: Loopback) -> None:
    """Nobody could know how it is asked; the error says what its entry lacks."""
    with pytest.raises(OptionError, match="the entry of 'acme' has no dialect"):
        program(plan_cell("fanout", "-m acme:acme-1", PROMPT, {}))


# --- servers that speak a known dialect -----------------------------------------------------------


def test_a_compatible_server_is_one_call(server: Loopback) -> None:
    """Address and key are enough for answers and for the program."""
    register_provider("mine", f"{server.url}/v1", "ACME_API_KEY")
    assert asked("mine:m").text == "echo: ask"
    text = program(plan_cell("fanout", "-m mine:m", PROMPT, {}))
    assert f"AsyncOpenAI(base_url='{server.url}/v1'" in text.replace('"', "'")
    assert "os.environ[" in text
    assert KEY not in text


def test_another_dialect_is_a_field(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the environment holds for the dialect's maker reaches the server."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "OTHER-0123456789")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "OTHER-TOKEN-0123456789")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Secret: OTHER")
    register_provider("mine", server.url, "ACME_API_KEY", dialect=MESSAGES, limit="max_tokens")
    assert asked("mine:m").text == "echo: ask"
    headers = " ".join(server.log[0].headers.values())
    assert KEY in headers
    assert "OTHER" not in headers
    assert "AsyncAnthropic(base_url=" in program(plan_cell("fanout", "-m mine:m", PROMPT, {}))


def test_a_cell_that_registers_may_run_again(server: Loopback) -> None:
    """The last entry holds."""
    for path in ("/wrong", "/v1"):
        register_provider("mine", f"{server.url}{path}", "ACME_API_KEY")
    assert asked("mine:m").ok


# --- what is wrong --------------------------------------------------------------------------------


class Half:
    """A class that forgets most."""

    def __init__(self, entry: ProviderEntry) -> None:
        self.entry = entry


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        pytest.param("groq", {"base_url": "http://x/v1"}, "'groq': the name is taken", id="taken"),
        pytest.param("sim", {"base_url": "http://x/v1"}, "'sim': the name is taken", id="sim"),
        pytest.param("a b", {"base_url": "http://x/v1"}, "letters, digits", id="name"),
        pytest.param(7, {"base_url": "http://x/v1"}, "'7': .*letters, digits", id="no name"),
        pytest.param("mine", {}, "'mine': .*start with http", id="no address"),
        pytest.param("mine", {"base_url": "localhost:1"}, "does not start with http", id="address"),
        pytest.param(
            "mine", {"provider": Half}, "class Half has no check, .*BaseProvider", id="class"
        ),
        pytest.param("mine", {"provider": 7}, "takes a class or a function", id="provider"),
        pytest.param(
            "mine", {"base_url": "http://x/v1", "dialect": "chat"}, "a Dialect", id="dialect"
        ),
        pytest.param(
            "mine",
            {"base_url": "http://x/v1", "keys": "sk-CANARY-0123456789"},
            "keys takes",
            id="key",
        ),
        pytest.param(
            "mine",
            {"base_url": "http://x/v1", "models": 7},
            "models takes a list of strings",
            id="models",
        ),
        pytest.param("mine", {"base_url": 7}, "base_url takes a string", id="no text"),
        pytest.param("mine", {"base_url": "http://x/v1", "bare": "("}, "bare is no", id="shape"),
        pytest.param(
            "mine", {"base_url": "http://x/v1", "prices": {"m": 1}}, "prices takes", id="prices"
        ),
        pytest.param(
            "mine",
            {"base_url": "http://x/v1", "prices": {"m": (-1, 0)}},
            "prices takes",
            id="price",
        ),
        pytest.param(
            "mine", {"url": "http://x/v1"}, "unexpected keyword argument 'url'", id="field"
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(name: Any, fields: dict[str, Any], message: str) -> None:
    """It says which field, and nothing is added."""
    before = registry.names()
    with pytest.raises(OptionError, match=message) as caught:
        register_provider(name, **fields)
    assert "\n" not in str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert registry.names() == before


# --- packages -------------------------------------------------------------------------------------


class Point:
    """An entry point."""

    def __init__(self, name: str, found: Any) -> None:
        self.name, self.value, self._found = name, f"{name}_parallm:ENTRY", found

    def load(self) -> Any:
        """What it names."""
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.fixture
def _installed(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Packages of which one is right, and all others are wrong."""
    good = ProviderEntry("plug", f"{server.url}/v1", ("ACME_API_KEY",))
    points = [
        Point("gone", ImportError("No module named 'gone_parallm'")),
        Point("raises", RuntimeError("no luck today\nwith sk-CANARY-0123456789")),
        Point("odd", lambda: 7),
        Point("openai", ProviderEntry("openai", "http://x/v1")),
        Point("plug", good),
    ]
    monkeypatch.setattr(entry_table, "entry_points", lambda group: points)
    monkeypatch.setattr(registry._TABLE, "_is_complete", False)
    yield
    registry.PROBLEMS.clear()


@pytest.mark.usefixtures("_installed")
def test_an_installed_package_adds_a_provider() -> None:
    """Whatever others do."""
    assert asked("plug:m").text == "echo: ask"
    assert registry.entry_of("openai").official


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gone", "No module named"),
        ("raises", "no luck today"),
        ("odd", "it is not a ProviderEntry"),
    ],
)
def test_a_broken_package_says_why_where_it_is_asked_for(name: str, why: str) -> None:
    """In one line, without a key."""
    with pytest.raises(ModelError, match=f"skipped the provider '{name}' of .*: .*{why}") as caught:
        asked(f"{name}:m")
    assert "CANARY" not in str(caught.value)


@pytest.mark.usefixtures("_installed")
def test_broken_packages_are_listed() -> None:
    """A name that is taken too."""
    known = {entry.name for entry in registry.entries()}
    assert set(registry.PROBLEMS) == {"gone", "raises", "odd", "openai"}
    assert "taken" in registry.PROBLEMS["openai"]
    assert "plug" in known


def test_it_is_public() -> None:
    """By both of its names."""
    assert parallm_magics.register_provider is register_provider
    assert parallm_magics.providers.register_provider is register_provider
    assert issubclass(BaseProvider, object)
