"""What must be there before a known provider can be asked: variables, a key, a package."""

from __future__ import annotations

import importlib.util
import os

from parallm_magics.errors import MissingKeyError, ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.services import Service


def require(service: Service) -> None:
    """Refuse where a variable is missing.

    Raises:
        ModelError: names it, and what belongs there.
    """
    for variable, what in service.needs:
        if not os.environ.get(variable, "").strip():
            raise ModelError(f"{service.name}: {variable} is not set: {what}")


def require_package(service: Service, package: str, otherwise: str = "") -> None:
    """Refuse where a package is not installed that only this provider needs.

    Args:
        otherwise: what else would do.

    Raises:
        ModelError: says what to install.
    """
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # what holds the package is not there either
        found = None
    if found is None:
        raise ModelError(
            f"{service.name} needs {package}: pip install 'parallm_magics[{service.extra}]'{otherwise}"
        )


def require_key(service: Service) -> None:
    """Refuse where no key is set.

    Raises:
        MissingKeyError: names the variables that it may stand in.
    """
    if not any(map(keys.is_set, service.keys)):
        raise MissingKeyError(
            f"{' or '.join(service.keys)} is not set; set it before the notebook starts, "
            "or use -m sim, which needs no key"
        )
