"""What the shell holds for a cell: the settings of `%config ParallmMagics`, and the user's names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from traitlets import TraitType
from traitlets.config import Configurable

from parallm_magics.cell.option_entry import Option
from parallm_magics.cell.option_values import dollars, switch
from parallm_magics.cell.options import TABLE
from parallm_magics.errors import OptionError, translated

# What IPython puts into the namespace itself. Among the names that it hides are also those of start-up
# files, and those that whoever started it has given: these are the user's.
_NAMES_OF_IPYTHON = ("In", "Out", "get_ipython", "exit", "quit", "open")


class OptionTrait(TraitType):
    """A trait that reads its value as the option of the same name does."""

    def __init__(self, option: Option) -> None:
        text = f"{option.help} ({option.flags[0]})"
        super().__init__(default_value=option.default, allow_none=True, help=text)
        self._option = option
        self.tag(config=True)

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the value in the option's own type; None and the default clear the setting.

        Raises:
            OptionError: in one line, rather than a TraitError with its stack.
        """
        if value is None or value == self._option.default:
            return self._option.default
        name = self._option.name
        return translated(
            lambda: self._option.read(value),
            lambda error: OptionError(f"ParallmMagics.{name}: {error}"),
            ValueError,
        )


SESSION_MAX_COST = Option(
    name="session_max_cost",
    flags=("session_max_cost",),
    read=dollars,
    help="start no call that could take the cost of all cells together above this",
    form="USD",
    where=frozenset(),
)

PRELOAD = Option(
    name="preload",
    flags=("preload",),
    read=switch,
    help="import the SDK of the chosen model when a cell has ended, so that the first call does not wait for it",
    where=frozenset(),
    default=True,
)


def traits_of(options: Iterable[Option]) -> dict[str, OptionTrait]:
    """Return a trait for every option that may be a setting."""
    return {option.name: OptionTrait(option) for option in options if option.setting}


# They belong to the class, so that values from IPython's configuration files, or from before a
# reload, are taken up.
Settings: type[Any] = type(
    "Settings", (Configurable,), traits_of([*TABLE.values(), SESSION_MAX_COST, PRELOAD])
)


def spoken_settings(magics: Any) -> dict[str, Any]:
    """Return the settings that differ from their defaults."""
    values = {o.name: getattr(magics, o.name) for o in TABLE.values() if o.setting}
    return {name: value for name, value in values.items() if value != TABLE[name].default}


def names_of(shell: Any) -> dict[str, Any]:
    """Return the user's own names with their values: what IPython puts into the namespace is none of them."""
    hidden, nothing = shell.user_ns_hidden, object()
    own = {name: hidden.get(name, nothing) for name in _NAMES_OF_IPYTHON}
    return {
        name: value
        for name, value in shell.user_ns.items()
        if name not in own or value is not own[name]
    }
