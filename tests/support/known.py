"""Every provider that is known by name, led to a scripted server on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from provider import KEY, Loopback

from parallm_magics.providers.entries import BY_NAME, ENTRIES
from parallm_magics.providers.entry import ProviderEntry

# What each address has behind the host, and what else must be set before it can be asked.
PATHS = {"anthropic": "", "azure": "", "bedrock": "", "vertex": "/v1", "deepseek": ""}
MORE = {
    "azure": {"OPENAI_API_VERSION": "2024-10-21"},
    "bedrock": {"AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"},
    "vertex": {"CLOUD_ML_REGION": "global", "ANTHROPIC_VERTEX_PROJECT_ID": "my-project"},
}
# A model with a known price at each.
SERVICES = tuple(entry for entry in ENTRIES if entry.prices and not entry.decides)
MODELS = {entry.name: entry.models[0] for entry in SERVICES} | {"azure": "gpt-6-luna"}
NAMES = tuple(entry.name for entry in SERVICES)
each_known = pytest.mark.parametrize("name", NAMES)


def lead(name: str, server: Loopback, patch: pytest.MonkeyPatch, home: Path) -> ProviderEntry:
    """Make calls of this provider go to the server."""
    entry = BY_NAME[name]
    patch.setenv(entry.base_env, f"{server.url}{PATHS.get(name, '/v1')}")
    for key in entry.keys[:1]:
        patch.setenv(key, KEY)
    for variable, value in MORE.get(name, {}).items():
        patch.setenv(variable, value)
    if name == "vertex":
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google(server, home)))
    return entry


def google(server: Loopback, home: Path) -> Path:
    """A service account whose tokens the scripted server gives out."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "client_email": "tests@my-project.iam.gentryaccount.com",
        "private_key": pem.decode(),
        "private_key_id": "1",
        "project_id": "my-project",
        "token_uri": f"{server.url}/token",
    }
    path = home / "account.json"
    path.write_text(json.dumps(account))
    return path
