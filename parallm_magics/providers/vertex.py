"""Claude on Google's Vertex AI, by the SDK's own client."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from parallm_magics.errors import MissingKeyError
from parallm_magics.providers import keys
from parallm_magics.providers.address import host_of
from parallm_magics.providers.anthropic import AnthropicProvider
from parallm_magics.providers.entry import ProviderEntry

REGION, PROJECT = "CLOUD_ML_REGION", "ANTHROPIC_VERTEX_PROJECT_ID"
CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class VertexProvider(AnthropicProvider):
    """Asked with the credentials that Google's own tools find."""

    def __init__(self, entry: ProviderEntry) -> None:
        """Take its entry."""
        self._credentials: Any = None
        self._found_for = ""
        super().__init__(entry)

    @property
    def _to_check(self) -> str:
        return CREDENTIALS

    def _require(self) -> None:
        self._require_variables()
        self._require_package("google.auth")

    async def prepare(self) -> None:
        """As all, and find the credentials, which may take a while.

        Raises:
            MissingKeyError: there are none.
            ModelError: a variable or a package is missing.
        """
        self._require()
        if self._credentials is None or self._mark() != self._found_for:
            self._credentials, self._found_for = await asyncio.to_thread(_found), self._mark()
        await super().prepare()

    def _locate(self) -> None:
        self.host = host_of(self.moved_to) if self.moved_to else self.entry.name
        self.address = self.host if self.moved_to else ""

    def _mark(self) -> str:
        rest = (keys.fingerprint(name, "") for name in (REGION, PROJECT, CREDENTIALS))
        return " ".join([super()._mark(), *rest])

    def _place(self, base: str) -> dict[str, Any]:
        place = {
            "region": os.environ[REGION].strip(),
            "project_id": os.environ[PROJECT].strip(),
            "credentials": self._credentials,
        }
        return place | (
            {"base_url": base} if self.moved_to else {}
        )  # else the SDK makes it of the region


def _found() -> Any:
    """The credentials of this computer."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        return google.auth.default(scopes=[SCOPE])[0]
    except GoogleAuthError:
        pass
    raise MissingKeyError(
        f"vertex: no credentials found: set {CREDENTIALS} to a credentials file, or run "
        "gcloud auth application-default login"
    )
