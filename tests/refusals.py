"""Assert that an error is of the right class, about the right key, and names the values that the reader needs."""

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
    _assert_names(caught.value, named)


@contextmanager
def raised(error: type[Exception], *named: str) -> Iterator[None]:
    """Expect an error of this class, on one line that names every value of `named`."""
    with pytest.raises(error) as caught:
        yield
    _assert_names(caught.value, named)


def _assert_names(error: Exception, named: tuple[str, ...]) -> None:
    message = str(error)
    assert "\n" not in message
    assert [value for value in named if value not in message] == []
