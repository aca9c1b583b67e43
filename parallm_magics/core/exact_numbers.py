"""Numbers as a user or a model writes them, taken exactly."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

Number = Fraction | Decimal | int | float | str
"""A number as a user or a model writes it; a float means the decimal it is shown as."""


def exact_number(number: Number, what: str = "weight") -> Fraction:
    """Return the number as a fraction; the float 0.1 is a tenth.

    Args:
        number: at least 0, and finite.
        what: the name of the number in an error.

    Raises:
        ValueError: not a number, negative, or not finite.
    """
    try:
        exact = Fraction(str(number) if isinstance(number, float) else number)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(f"{what} {number!r} is not a finite number") from None
    if exact < 0:
        raise ValueError(f"{what} {number!r} is negative; the least is 0")
    return exact
