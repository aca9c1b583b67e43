"""A provider of an SDK whose requests may also go in batches."""

from __future__ import annotations

from typing import ClassVar

from parallm_magics.core.batches import Batches
from parallm_magics.providers.faults import Asked
from parallm_magics.providers.sdk import SdkProvider
from parallm_magics.providers.sdk_batches import SdkBatches
from parallm_magics.providers.speech import Speech


class BatchedProvider(SdkProvider):
    """A provider with a batch API, where its entry says so.

    Attributes:
        batch_api: what speaks to it.
    """

    batch_api: ClassVar[type[SdkBatches]]

    def batches(self) -> Batches | None:
        """Its batch API, to be used after `prepare`; None where it has none."""
        if not self.entry.batches:
            return None
        asked = Asked(self.host, key_env=self._checked, proxy=str(self._proxy or ""))
        speech = Speech(
            asked,
            self._client,
            self.path,
            self._draft,
            self._drafted,
            self._whole,
            self._refusals,
        )
        return self.batch_api(speech)
