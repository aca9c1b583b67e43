"""Claude on AWS Bedrock, by the SDK's own client."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator
from typing import Any

from parallm_magics.errors import MissingKeyError
from parallm_magics.providers import keys
from parallm_magics.providers.address import host_of
from parallm_magics.providers.anthropic import AnthropicProvider
from parallm_magics.providers.body import Body
from parallm_magics.providers.entry import ProviderEntry
from parallm_magics.providers.event_stream import KIND, framed

REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
SIGNING = {
    "aws_access_key": "AWS_ACCESS_KEY_ID",
    "aws_secret_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
}
PROFILE = "AWS_PROFILE"
# Where the model runs, and the version of its packaging.
DRESS = re.compile(r"^(?:[a-z-]+\.)?anthropic\.|-v\d+(?::\d+)?$")


class BedrockProvider(AnthropicProvider):
    """Asked with a bearer token, or with requests that boto3's credentials sign."""

    def __init__(self, entry: ProviderEntry) -> None:
        """Take its entry."""
        for name in SIGNING.values():
            keys.register(name)
        super().__init__(entry)

    @property
    def _to_check(self) -> str | None:
        return self._key_env if self._has_key() else SIGNING["aws_access_key"]

    def _require(self) -> None:
        if not self._has_key():
            self._require_package("boto3", ", or set AWS_BEARER_TOKEN_BEDROCK")
            if _session().get_credentials() is None:
                raise MissingKeyError(
                    "bedrock: no credentials: set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
                )
        if not self._region():
            self._require_variables()

    def _region(self) -> str:
        named = next((os.environ[name] for name in REGIONS if os.environ.get(name)), "")
        return named or ("" if self._has_key() else str(_session().region_name or ""))

    def _locate(self) -> None:
        self.host = host_of(self.moved_to) if self.moved_to else self.entry.name
        self.address = self.host if self.moved_to else ""

    @property
    def base_url(self) -> str:
        """Where calls go."""
        return self.moved_to or f"https://bedrock-runtime.{self._region()}.amazonaws.com"

    def _mark(self) -> str:
        rest = [keys.fingerprint(name, "") for name in (*SIGNING.values(), *REGIONS, PROFILE)]
        return " ".join([keys.fingerprint(self._key_env, self.moved_to), *rest])

    def _place(self, base: str) -> dict[str, Any]:
        where: dict[str, Any] = {"base_url": base, "aws_region": self._region()}
        if self._has_key():
            return where | {"api_key": self._key()}
        # Given where they are set, as the SDK keeps one session for all that it finds by itself.
        values = {name: keys.hide(os.environ.get(var, "")) for name, var in SIGNING.items()}
        return where | {name: value for name, value in values.items() if value}

    def _events_of(self, body: Body) -> AsyncGenerator[list[str]]:
        return framed(aiter(body)) if body.kind == KIND else super()._events_of(body)

    def _plain(self, name: str) -> str:
        return DRESS.sub("", name)


def _session() -> Any:
    import boto3

    return boto3.Session(profile_name=os.environ.get(PROFILE) or None)
