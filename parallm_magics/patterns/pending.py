"""A run that has still to be awaited, and says so to whoever takes it for the run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NoReturn, TypeVar

from parallm_magics.errors import ParallmError

T_co = TypeVar("T_co", covariant=True)


class NotAwaited(ParallmError, AttributeError, TypeError):
    """A run was used before it was awaited; nothing has been asked."""


class Pending(Coroutine[Any, Any, T_co]):
    """What an async function of ours gives: a coroutine that is awaited once, as any other one is."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, T_co]], form: str) -> None:
        """Take what begins the run, and how the call is written, such as `vote(…)`."""
        self._begin, self._form = begin, form
        self._run: Coroutine[Any, Any, T_co] | None = None
        self.__name__ = self.__qualname__ = form.partition("(")[0]

    def send(self, value: Any) -> Any:
        """Go on to the next thing that is waited for."""
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        """Raise something where the run waits."""
        return self._begun().throw(*error)

    def close(self) -> None:
        """End it without a result."""
        self._begun().close()

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._begun().__await__()

    def _begun(self) -> Coroutine[Any, Any, T_co]:
        if self._run is None:
            self._run = self._begin()
        return self._run

    def __repr__(self) -> str:
        state = "has begun" if self._run is not None else "has not begun"
        return f"<a run that {state}; to get it, write run = await {self._form}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise NotAwaited(
            f"the run has not been awaited, so it has no .{name[:40]}: {self._way_out}"
        )

    def __getitem__(self, key: Any) -> NoReturn:
        raise NotAwaited(
            f"the run has not been awaited, so it has no entry {str(key)[:40]!r}: {self._way_out}"
        )

    def __contains__(self, key: object) -> bool:
        return bool(self[key])

    def __iter__(self) -> NoReturn:
        raise NotAwaited(
            f"the run has not been awaited, so there is nothing to iterate over: {self._way_out}"
        )

    def __len__(self) -> NoReturn:
        raise NotAwaited(f"the run has not been awaited, so it has no length: {self._way_out}")

    def __bool__(self) -> bool:
        return True

    @property
    def _way_out(self) -> str:
        return f"write run = await {self._form}"

    def __del__(self) -> None:
        # What Python says of a coroutine; this one is made only when it is awaited.
        if self._run is None:
            warnings.warn(
                f"the run was never awaited, so no model was called: write await {self._form}",
                RuntimeWarning,
                stacklevel=2,
            )
