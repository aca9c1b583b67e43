"""What stands between here and a provider: certificates and proxies, each fault told by its own name."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from endpoints import Endpoint, each_endpoint, server_at
from provider import KEY, Act, Loopback

from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.errors import ModelError
from parallm_magics.providers.proxies import proxy_of

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _nothing_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificates of this computer's, and a key to be sent."""
    for name in (*VARIABLES, *map(str.lower, VARIABLES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEST_KEY", KEY)


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A scripted server."""
    with Loopback() as loopback:
        yield loopback


def dead() -> str:
    """Host and port of this computer where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


def message(end: Reply | CallFailed) -> str:
    """The message of a call that failed."""
    assert isinstance(end, CallFailed), end
    return end.fault.message


# Certificates.


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "No such file"),
        ("SSL_CERT_FILE", __file__, "no certificates in it"),
        ("SSL_CERT_DIR", "/nowhere", "is not a folder"),
    ],
)
@each_endpoint
def test_certificates_that_cannot_be_read_are_named(
    server: Loopback,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    says: str,
) -> None:
    """The variable and what is wrong with it, and neither the address nor the key; nothing is sent."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ModelError, match=f"{variable}={value}.*{says}") as caught:
        endpoint.ask(server, "ok")
    assert "key" not in str(caught.value)
    assert server.log == []


def signed(home: Path, name: str = "localhost", days: int = 30) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = home / "cert.pem", home / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@contextmanager
def behind_tls(server: Loopback, paths: tuple[Path, Path]) -> Iterator[str]:
    """The address of a TLS server that hands on to the scripted one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*paths)
    port = int(server.url.rpartition(":")[2])

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, goal: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                goal.write(data)
            goal.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    listening = asyncio.run_coroutine_threadsafe(
        asyncio.start_server(hand_on, "127.0.0.1", 0, ssl=context), server._loop
    ).result(5)
    try:
        yield f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        server._loop.call_soon_threadsafe(listening.close)


@each_endpoint
def test_an_unknown_root_is_the_reason_and_has_a_way_out(
    server: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """OpenSSL's words and `SSL_CERT_FILE`; with the root in there the call succeeds."""
    paths = signed(tmp_path)
    with behind_tls(server, paths) as url:
        told = message(endpoint.ask(url, "ok"))
        assert "TLS failed (self" in told
        assert "for your own CA, set SSL_CERT_FILE" in told
        monkeypatch.setenv("SSL_CERT_FILE", str(paths[0]))
        assert isinstance(endpoint.ask(url, "ok"), Reply)


@each_endpoint
def test_a_root_file_without_the_needed_root_is_named(
    server: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was trusted instead is told."""
    (tmp_path / "other").mkdir()
    other, _ = signed(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    with behind_tls(server, signed(tmp_path)) as url:
        told = message(endpoint.ask(url, "ok"))
    assert f"its certificate is not signed by any root in SSL_CERT_FILE={other}" in told


def test_an_expired_certificate_has_no_wrong_way_out(server: Loopback, tmp_path: Path) -> None:
    """No further root would help, so none is asked for."""
    with behind_tls(server, signed(tmp_path, days=-1)) as url:
        told = message(Endpoint("openai", False).ask(url, "ok"))
    assert "TLS failed" in told
    if "expired" in told:
        assert "SSL_CERT_FILE" not in told


def test_tls_at_a_server_without_it_is_said(server: Loopback) -> None:
    """https where http is spoken: the handshake is named, and no root certificate."""
    told = message(Endpoint("openai", False).ask(server.url.replace("http:", "https:"), "ok"))
    assert "TLS failed" in told
    assert "SSL_CERT_FILE" not in told


# Proxies.


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@each_endpoint
def test_a_dead_proxy_is_named_and_not_the_server(
    server: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The variable, its host and port, and that the server was not asked; no password."""
    gone = dead()
    monkeypatch.setenv(variable, f"http://user:p4ss-CANARY@{gone}")
    told = message(endpoint.ask(server, "ok"))
    assert f"was not called: the proxy of {variable} ({gone}) cannot be reached" in told
    assert "CANARY" not in told
    assert server.log == []


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("socks://127.0.0.1:1080", "ALL_PROXY names a socks:// proxy"),
        ("socks5://user:p4ss-CANARY@127.0.0.1:1080", "ALL_PROXY names a socks5:// proxy"),
        ("socks5h://127.0.0.1:1080", "ALL_PROXY names a socks5h:// proxy"),
        ("http://", "ALL_PROXY is not the address of a proxy"),
    ],
)
@each_endpoint
def test_a_proxy_that_cannot_be_used_is_named(
    server: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    """Before any call, with the way out; the address and the key are not accused."""
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(ModelError, match=f"{says}.*NO_PROXY=127.0.0.1") as caught:
        endpoint.ask(server, "ok")
    assert "CANARY" not in str(caught.value)
    assert server.log == []


@pytest.mark.parametrize("none", ["127.0.0.1", "*", ".0.0.1,localhost"])
@each_endpoint
def test_no_proxy_takes_the_direct_way(
    server: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, none: str
) -> None:
    """What is meant for other hosts does no harm, whatever it is."""
    monkeypatch.setenv("HTTP_PROXY", "socks://nowhere:1")
    monkeypatch.setenv("NO_PROXY", none)
    assert isinstance(endpoint.ask(server, "ok"), Reply)


@each_endpoint
def test_a_proxy_of_another_scheme_does_no_harm(
    server: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls by http are not concerned by the proxy for https, and a closer one wins over the last."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://nowhere:1")
    assert isinstance(endpoint.ask(server, "ok"), Reply)
    monkeypatch.setenv("ALL_PROXY", "socks5://nowhere:1")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    assert isinstance(endpoint.ask("http://api.invalid", "ok"), Reply)


@each_endpoint
def test_a_living_proxy_is_used(
    server: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call for a host that nobody knows here arrives at the proxy."""
    monkeypatch.setenv("HTTP_PROXY", server.url.removeprefix("http://"))
    assert isinstance(endpoint.ask("http://api.invalid", "ok"), Reply)
    assert server.log[0].headers["host"] == "api.invalid"


def test_a_proxys_password_reaches_it(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a header of its own, beside the provider's key."""
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("http://", "http://user:p4ss@"))
    assert isinstance(Endpoint("openai", False).ask("http://api.invalid", "ok"), Reply)
    assert server.log[0].headers["proxy-authorization"] == "Basic dXNlcjpwNHNz"
    assert server.log[0].headers["authorization"] == f"Bearer {KEY}"


@each_endpoint
def test_a_proxy_that_wants_a_password_is_named(
    server: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its 407 is no answer of the provider."""
    server.script("m", Act(status=407, body=""))
    monkeypatch.setenv("HTTP_PROXY", server.url)
    told = message(endpoint.ask("http://api.invalid", "m"))
    assert f"the proxy of HTTP_PROXY ({server.url[7:]}) asks for a user name and a password" in told


def test_a_corrected_variable_is_followed(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run of a kept client takes the new way, without a restart."""
    endpoint = Endpoint("openai", False)
    provider = endpoint.open(server.url)

    async def call() -> None:
        monkeypatch.setenv("HTTP_PROXY", dead())
        await provider.prepare()
        with pytest.raises(CallFailed):
            await provider.complete(endpoint.task("ok"), lambda piece: None)
        monkeypatch.delenv("HTTP_PROXY")
        await provider.prepare()
        await provider.complete(endpoint.task("ok"), lambda piece: None)
        await provider.close()

    asyncio.run(call())
    assert len(server.log) == 1


def test_a_refusal_is_still_the_servers_where_there_is_no_proxy() -> None:
    """The other half: without a proxy the server is who refuses."""
    assert message(Endpoint("openai", False).ask(f"http://{dead()}", "ok")).endswith(
        "connection refused"
    )


@each_endpoint
def test_a_machine_that_refuses_a_connection_is_told_apart(endpoint: Endpoint) -> None:
    """It says that nobody listens, where a provider that is down says nothing."""
    ends = [
        endpoint.ask(address, "ok") for address in (f"http://{dead()}", "http://nowhere.invalid")
    ]
    assert [end.fault.refused for end in ends if isinstance(end, CallFailed)] == [True, False]


def test_the_nearest_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one whose value is used, as it is spelt."""
    monkeypatch.setenv("ALL_PROXY", "http://a:1")
    assert str(proxy_of("https://x.invalid/v1")) == "the proxy of ALL_PROXY (a:1)"
    monkeypatch.setenv("https_proxy", "b:2")
    assert str(proxy_of("https://x.invalid/v1")) == "the proxy of https_proxy (b:2)"
    assert proxy_of("http://user:x@x.invalid/v1") is not None


# Addresses with a query.


@pytest.mark.parametrize(
    ("behind", "path"),
    [
        ("/gpt?api-version=2024-06-01", "/gpt{}?api-version=2024-06-01"),
        ("/gpt/?a=1&b=2", "/gpt{}?a=1&b=2"),
        ("?a=1", "{}?a=1"),
        ("/v1?flag=", "/v1{}?flag="),
        ("/v1#part", "/v1{}"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_query_stays_behind_the_path(
    server: Loopback, behind: str, path: str, stream: bool
) -> None:
    """Azure's api-version, and whatever else a gateway wants there."""
    provider = server_at(server.url + behind, "TEST_KEY")

    async def call() -> Reply:
        await provider.prepare()
        reply = await provider.complete(Endpoint("openai", stream).task("ok"), lambda piece: None)
        await provider.close()
        return reply

    assert asyncio.run(call()).text == "echo: hello there"
    assert server.log[0].path == path.format("/chat/completions")


def test_what_may_be_a_key_in_a_query_is_hidden(server: Loopback) -> None:
    """It reaches the server, and no message."""
    server.script("m", Act(status=400, body='{"error": {"message": "bad ?sig=CANARY-secret"}}'))
    provider = server_at(f"{server.url}/v1?sig=CANARY-secret&api-version=1", "TEST_KEY")

    async def call() -> str:
        await provider.prepare()
        try:
            await provider.complete(Endpoint("openai", False).task("m"), lambda piece: None)
        except CallFailed as failed:
            return failed.fault.message
        finally:
            await provider.close()
        return ""

    told = asyncio.run(call())
    assert "sig=CANARY-secret" in server.log[0].path
    assert told
    assert "CANARY" not in told
