"""Assert that bad input is refused by the key that it is about."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from contracts.errors import BadInput


@contextmanager
def refused(key: str, *named: str) -> Iterator[None]:
    """Expect a BadInput about `key`, on one line that names every value of `named`."""
    with pytest.raises(BadInput) as caught:
        yield
    assert caught.value.key == key
    assert "\n" not in str(caught.value)
    assert [value for value in named if value not in str(caught.value)] == []
