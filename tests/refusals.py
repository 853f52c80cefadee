"""Assert that an error is of the right class, about the right key, and names the values that the reader needs."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import ValidationError

from contracts.errors import BadInput, RunFailed


@contextmanager
def refused(key: str, *named: str) -> Iterator[None]:
    """Expect a BadInput about `key`, on one line that names every value of `named`."""
    with raised(BadInput, *named, key=key):
        yield


@contextmanager
def refused_by_config(key: str) -> Iterator[None]:
    """Expect that a config, built from values, is refused by a check of its own about `key`."""
    with pytest.raises(ValidationError) as caught:
        yield
    (mistake,) = caught.value.errors()
    own = mistake.get("ctx", {}).get("error")
    assert isinstance(own, BadInput) and own.key == key, mistake


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
