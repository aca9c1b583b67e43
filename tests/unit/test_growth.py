"""What tells work in proportion from work that grows with the square."""

from __future__ import annotations

import pytest
from growth import assert_in_proportion


def test_work_in_proportion_passes() -> None:
    """A sum is as long as what it adds up."""
    assert_in_proportion(lambda size: sum(range(size)), 800_000)


def test_work_that_grows_with_the_square_fails() -> None:
    """Each with each is told apart, also on a busy machine."""
    with pytest.raises(AssertionError, match="an eighth of it"):
        assert_in_proportion(lambda size: [sum(range(size)) for _ in range(size)], 5_000)
