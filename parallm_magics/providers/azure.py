"""OpenAI's models in deployments on Azure, by the SDK's own client."""

from __future__ import annotations

import os
from typing import Any, ClassVar
from urllib.parse import urlsplit

from parallm_magics.errors import ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.address import host_of
from parallm_magics.providers.compatible import CompatibleProvider
from parallm_magics.providers.services import BY_NAME

TOKEN = "AZURE_OPENAI_AD_TOKEN"
VERSION = "OPENAI_API_VERSION"


class AzureProvider(CompatibleProvider):
    """A model's name is that of a deployment, which the SDK puts into the path."""

    client_class: ClassVar[str] = BY_NAME["azure"].client

    def _require(self) -> None:
        super()._require()
        if "/openai" in urlsplit(self._base_url()).path:
            raise ModelError(
                f"azure: {self.base_variable} ends where /openai begins, as in "
                "https://RESOURCE.openai.azure.com; the SDK adds the rest"
            )

    def _locate(self) -> None:
        # Nothing is known of the address before its variable is set, and nothing is unusual in it.
        self.host = host_of(self._base_url()) if self._base_url() else self._service.base_env
        self.address = ""

    def _base_url(self) -> str:
        return os.environ.get(self.base_variable, "").strip().rstrip("/")

    def _mark(self) -> str:
        return f"{super()._mark()} {keys.fingerprint(VERSION, '')}"

    def _headers(self, module: Any) -> dict[str, Any]:
        headers = super()._headers(module)
        headers.pop("Authorization", None)  # the client says who asks, in one of two ways
        return headers

    def _place(self, base: str) -> dict[str, Any]:
        secret = keys.read(str(self._key_env))
        who = "azure_ad_token" if self._key_env == TOKEN else "api_key"
        version = os.environ[VERSION].strip()
        return {"azure_endpoint": base, "api_version": version, who: secret}
