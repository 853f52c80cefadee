"""Assert that an error is of the right class, about the right key, and names the values that the reader needs."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from contracts.errors import BadInput, RunFailed


@contextmanager
def refused(key: str, *named: str) -> Iterator[None]:
    """Expect a BadInput about `key`, on one line that names every value of `named`."""
    with raised(BadInput, *named, key=key):
        yield


@contextmanager
def raised(error: type[Exception], *named: str, key: str | None = None) -> Iterator[None]:
    """Expect an error of this class, about `key` if one is given, on one line that names every value of `named`."""
    with pytest.raises(error) as caught:
        yield
    if key is not None:
        assert isinstance(caught.value, BadInput | RunFailed)
        assert caught.value.key == key
    message = str(caught.value)
    assert "\n" not in message
    assert [value for value in named if value not in message] == []
