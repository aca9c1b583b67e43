"""Providers known by name: asked where and as their entry says, priced, and refused in words."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asking import fanned
from known import MODELS, NAMES, SERVICES, each_known, lead
from provider import KEY, Act, Loopback

from parallm_magics import MissingKeyError, ModelError, OptionError, fanout
from parallm_magics.core.tasks import Record, Usage
from parallm_magics.providers import bill, registry
from parallm_magics.providers.dialects import CHAT, MESSAGES
from parallm_magics.providers.entries import BY_NAME
from parallm_magics.providers.registry import parse_model

each_way = pytest.mark.parametrize("stream", ["on", "off"])


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A scripted server."""
    with Loopback() as loopback:
        yield loopback


def asked(model: str, **options: Any) -> Record:
    """The record of one call."""
    run = asyncio.run(fanned("%section a\nask", model=model, retries=0, **options))
    return run.results[0]


@each_known
@each_way
def test_each_is_asked_and_priced(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, stream: str
) -> None:
    """The answer comes through the real SDK, its tokens counted and its cost that of the table."""
    lead(name, server, monkeypatch, tmp_path)
    record = asked(f"{name}:{MODELS[name]}", stream=stream, system="Be brief.")
    call = server.log[-1]
    assert (record.status, record.text) == ("ok", "echo: ask")
    assert call.model == MODELS[name]
    assert call.stream is (stream == "on")
    assert record.usage is not None
    assert call.fed is not None
    assert record.usage.total_tokens == sum(call.fed) + call.gave
    expected = bill.cost(parse_model(record.model), record.usage)
    assert record.cost == expected
    assert expected is not None
    assert expected > 0


@each_known
def test_each_gets_its_own_key_alone(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """No other provider's key and nothing of OpenAI's environment leaves with a call."""
    for service in SERVICES:
        for key in service.keys:
            monkeypatch.setenv(key, f"OTHER-{key}-0123456789")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-OTHER")
    service = lead(name, server, monkeypatch, tmp_path)
    if "AZURE_OPENAI_AD_TOKEN" in service.keys:
        monkeypatch.delenv("AZURE_OPENAI_AD_TOKEN")
    assert asked(f"{name}:{MODELS[name]}").ok
    headers = server.log[-1].headers
    sent = " ".join(headers.values())
    own = service.dialect is not MESSAGES and service.official
    assert ("OTHER" in sent) is own  # the organisation goes to OpenAI itself
    assert (KEY if service.keys else "ya29-CANARY") in sent


@each_known
def test_each_names_the_variable_that_is_missing(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """One by one: the error is a ModelError before any call, and names it."""
    service = lead(name, server, monkeypatch, tmp_path)
    for variable in service.variables:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv(variable, raising=False)
            with pytest.raises(ModelError, match=variable):
                asyncio.run(fanout("%section a\nask", model=f"{name}:{MODELS[name]}"))
    assert server.log == []


@each_known
def test_each_passes_faults_on_in_its_own_name(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """A wrong key names the variable of this provider, or whatever stands for it."""
    service = lead(name, server, monkeypatch, tmp_path)
    server.script(MODELS[name], Act(status=401))
    record = asked(f"{name}:{MODELS[name]}")
    assert record.error is not None
    assert record.error.kind == "auth"
    assert (service.keys[0] if service.keys else "GOOGLE_APPLICATION_CREDENTIALS") in (
        record.error.message
    )


@each_known
@pytest.mark.parametrize("then", ["abort", "error"])
def test_a_stream_that_breaks_is_no_answer(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, then: str
) -> None:
    """In every dialect and framing: what had come is kept, and it is not ok."""
    lead(name, server, monkeypatch, tmp_path)
    server.script(MODELS[name], Act(text="partial answer", then=then, error="overloaded_error"))  # type: ignore[arg-type]
    record = asked(f"{name}:{MODELS[name]}", stream="on")
    assert record.status == "failed"
    assert record.text == "partial answer"


@each_known
@each_way
@pytest.mark.parametrize(
    ("stop", "status"),
    [("max_tokens", "truncated"), ("content_filter", "refused"), ("refusal", "refused")],
)
def test_ends_are_told_apart_everywhere(
    server: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    stream: str,
    stop: str,
    status: str,
) -> None:
    """An answer that was cut or refused is never taken for a good one."""
    lead(name, server, monkeypatch, tmp_path)
    server.script(MODELS[name], Act(text="half of", stop=stop))
    assert asked(f"{name}:{MODELS[name]}", stream=stream).status == status


# Addresses.


@each_known
def test_the_usual_address_is_not_told_and_another_is(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """A table says where calls went only where nobody would expect it; Azure's is always one's own."""
    for key, value in {"AWS_REGION": "us-east-1", "AWS_BEARER_TOKEN_BEDROCK": KEY}.items():
        monkeypatch.setenv(key, value)
    assert registry.make(registry.entry_of(name)).address == ""
    lead(name, server, monkeypatch, tmp_path)
    host = "" if name == "azure" else server.url.removeprefix("http://")
    assert registry.make(registry.entry_of(name)).address == host


# Prices.


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini-2.5-flash"),
        ("https://openrouter.ai/api/v1", "openai/gpt-6-luna"),
        ("https://api.mistral.ai/v1", "mistral-small-latest"),
        ("https://api.deepseek.com", "deepseek-chat"),
        ("https://api.x.ai/v1", "grok-4.7"),
        ("https://my-resource.openai.azure.com/openai/v1/", "gpt-6-luna"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/v1", "us.anthropic.claude-haiku-5-5"),
    ],
)
def test_other_addresses_have_the_price_of_their_provider(url: str, model: str) -> None:
    """A name of the user's for a known address: its models cost what they cost there."""
    registry.define("mine", f"{url}?api-version=1")
    assert bill.cost(parse_model(f"mine:{model}"), Usage(1000, 0, 0, 1000)) is not None
    registry.forget("mine")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "http://127.0.0.1:11434/v1",
        "http://192.168.1.7/v1",
        "http://10.0.0.1:8000/v1",
        "http://[::1]:8000/v1",
        "http://[fe80::1%25eth0]:8000/v1",
        "http://gpu-box:8000/v1",
        "http://gpu.local/v1",
        "http://host.docker.internal:8000/v1",
        "http://0.0.0.0:8000/v1",
    ],
)
def test_a_local_address_has_no_price(url: str) -> None:
    """Whatever its models are called."""
    registry.define("mine", url)
    assert bill.cost(parse_model("mine:gpt-6-luna"), Usage(1000, 0, 0, 1000)) is None
    registry.forget("mine")


@pytest.mark.parametrize(
    "model",
    [
        "openrouter:openai/gpt-6-luna:online",
        "openrouter:openai/gpt-6-luna:nitro",
        "openrouter:openrouter/auto",
        "groq:groq/compound",
        "openai:gpt-4o-search-preview",
        "openai-responses:o3-deep-research",
    ],
)
def test_models_that_charge_for_more_than_tokens_have_no_price(model: str) -> None:
    """Their searches and tools are paid for by the call."""
    assert bill.cost(parse_model(model), Usage(1000, 0, 0, 1000)) is None
    with pytest.raises(OptionError, match="no price is known"):
        asyncio.run(fanout("%section a\nask", model=model, max_cost=1))


def test_vertex_has_prices_of_its_global_endpoint_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions cost more, and the table does not say how much."""
    model, used = parse_model("vertex:claude-haiku-5-5"), Usage(1000, 0, 0, 1000)
    monkeypatch.setenv("CLOUD_ML_REGION", "global")
    assert bill.cost(model, used) == Decimal("0.0006")
    monkeypatch.setenv("CLOUD_ML_REGION", "us-east5")
    assert bill.cost(model, used) is None


def test_a_deployment_costs_what_its_model_costs(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The reply names the model; a name that is none has no price before, so that no cap is kept."""
    lead("azure", server, monkeypatch, tmp_path)
    server.script("my-deployment", Act(patch={"model": "gpt-6-luna-2026-09-01"}))
    record = asked("azure:my-deployment", stream="off")
    assert record.usage is not None
    assert record.cost == bill.cost(parse_model("azure:gpt-6-luna"), record.usage)
    assert server.log[0].path.endswith(
        "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    )
    with pytest.raises(OptionError, match="no price is known for azure:my-deployment"):
        asyncio.run(fanout("%section a\nask", model="azure:my-deployment", max_cost=1))
    assert len(server.log) == 1


# Credentials in more than one form.


@pytest.mark.parametrize(
    ("name", "second"),
    [("gemini", "GOOGLE_API_KEY"), ("azure", "AZURE_OPENAI_AD_TOKEN")],
)
def test_a_second_variable_may_hold_the_key(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, second: str
) -> None:
    """Where the first is not set."""
    service = lead(name, server, monkeypatch, tmp_path)
    monkeypatch.delenv(service.keys[0])
    monkeypatch.setenv(second, KEY)
    assert asked(f"{name}:{MODELS[name]}").ok
    assert server.log[0].headers["authorization"] == f"Bearer {KEY}"


def test_azure_wants_the_endpoint_and_not_a_path(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The address of a call, as the portal shows it, is refused with what it should be."""
    lead("azure", server, monkeypatch, tmp_path)
    url = f"{server.url}/openai/deployments/x/chat/completions?api-version=2024-10-21"
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", url)
    with pytest.raises(ModelError, match="AZURE_OPENAI_ENDPOINT must end before /openai"):
        asyncio.run(fanout("%section a\nask", model="azure:x"))


@each_way
def test_bedrock_signs_where_there_is_no_token(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stream: str
) -> None:
    """With the credentials of AWS's own variables, which appear nowhere but in the signature."""
    lead("bedrock", server, monkeypatch, tmp_path)
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIACANARY0123456789")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET-CANARY-0123456789")
    assert asked(f"bedrock:{MODELS['bedrock']}", stream=stream).ok
    sent = server.log[0].headers
    scope = "/eu-central-1/bedrock/aws4_request"
    assert sent["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIACANARY0123456789/")
    assert scope in sent["authorization"]
    assert "SECRET" not in str(sent)


def test_bedrock_without_any_credentials_says_so(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before any call."""
    lead("bedrock", server, monkeypatch, tmp_path)
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(MissingKeyError, match="AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID"):
        asyncio.run(fanout("%section a\nask", model="bedrock:us.anthropic.claude-haiku-5-5"))


@pytest.mark.parametrize(("name", "package"), [("bedrock", "boto3"), ("vertex", "google.auth")])
def test_a_missing_package_is_named_with_its_extra(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, package: str
) -> None:
    """One line that says what to install, before any call."""
    lead(name, server, monkeypatch, tmp_path)
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == package else found(name)
    )
    told = rf"{name} needs {package}: pip install 'parallm_magics\[{name}\]'"
    with pytest.raises(ModelError, match=told):
        asyncio.run(fanout("%section a\nask", model=f"{name}:{MODELS[name]}"))


def test_vertex_without_credentials_says_so(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is not there is told with the way out, before any call."""
    lead("vertex", server, monkeypatch, tmp_path)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none"))
    with pytest.raises(MissingKeyError, match="set GOOGLE_APPLICATION_CREDENTIALS"):
        asyncio.run(fanout("%section a\nask", model="vertex:claude-haiku-5-5"))


@pytest.mark.parametrize("name", ["bedrock", "vertex"])
def test_the_clouds_names_of_a_model_are_understood(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """What Claude cannot do it cannot do there either."""
    lead(name, server, monkeypatch, tmp_path)
    model = {"bedrock": "eu.anthropic.claude-haiku-5-5-v1:0", "vertex": "claude-haiku-5-5@20261001"}
    with pytest.raises(ModelError, match="takes no temperature"):
        asyncio.run(fanout("%section a\nask", model=f"{name}:{model[name]}", temperature=0.5))


# What is sent.


def test_what_a_provider_does_not_take_is_not_sent(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The field that bounds the output, and no options of a stream for Mistral."""
    for name in NAMES:
        service = lead(name, server, monkeypatch, tmp_path)
        assert asked(f"{name}:{MODELS[name]}", stream="on", max_tokens=77).ok
        body = server.log[-1].body
        if service.name != "openai":  # at another address it is asked as any other server
            assert service.dialect is not None
            assert body[service.limit or service.dialect.limit] == 77
        assert ("stream_options" in body) is (service.dialect is CHAT and service.stream_options)


@pytest.mark.parametrize(
    ("sent", "usage"),
    [
        pytest.param(
            {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 305},
            Usage(100, 0, 0, 205),
            id="thinking in the total alone",
        ),
        pytest.param(
            {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 60},
            Usage(40, 60, 0, 5),
            id="cached tokens by DeepSeek's name",
        ),
    ],
)
@each_way
def test_tokens_are_counted_by_each_ones_names(
    server: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sent: dict[str, int],
    usage: Usage,
    stream: str,
) -> None:
    """What is billed is booked, however it is written."""
    lead("xai", server, monkeypatch, tmp_path)
    server.script("m", Act(patch={"usage": sent}))
    assert asked("xai:m", stream=stream).usage == usage


def test_names_are_known_and_told() -> None:
    """Each has an entry, a price for its example, and what it needs in words."""
    for name in NAMES:
        assert registry.entry_of(name) is BY_NAME[name]
        if name != "vertex":
            model = MODELS[name]
            assert bill.cost(parse_model(f"{name}:{model}"), Usage(1, 0, 0, 1)) is not None, name
