"""OpenAI's models in deployments on Azure, by the SDK's own client."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from parallm_magics.errors import ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.address import host_of
from parallm_magics.providers.openai import OpenAIProvider

TOKEN = "AZURE_OPENAI_AD_TOKEN"
VERSION = "OPENAI_API_VERSION"


class AzureProvider(OpenAIProvider):
    """A model's name is that of a deployment, which the SDK puts into the path."""

    def _require(self) -> None:
        super()._require()
        if "/openai" in urlsplit(self.base_url).path:
            raise ModelError(
                f"azure: {self.entry.base_env} must end before /openai, as in https://RESOURCE.openai.azure.com; "
                f"the SDK adds the rest"
            )

    def _locate(self) -> None:
        # Nothing is known of the address before its variable is set, and nothing is unusual in it.
        self.host = host_of(self.base_url) if self.base_url else self.entry.base_env
        self.address = ""

    @property
    def base_url(self) -> str:
        """Where calls go."""
        return self.moved_to.rstrip("/")

    def _mark(self) -> str:
        return f"{super()._mark()} {keys.fingerprint(VERSION, '')}"

    def _headers(self, module: Any) -> dict[str, Any]:
        headers = super()._headers(module)
        headers.pop("Authorization", None)  # the client says who asks, in one of two ways
        return headers

    def _place(self, base: str) -> dict[str, Any]:
        secret = self.key()
        who = "azure_ad_token" if self._key_env == TOKEN else "api_key"
        version = os.environ[VERSION].strip()
        return {"azure_endpoint": base, "api_version": version, who: secret}
