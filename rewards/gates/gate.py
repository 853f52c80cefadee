"""What every gate is asked: may this response earn anything at all?"""

from typing import Protocol

from rewards.reading import Reading


class Gate(Protocol):
    """One reason for which a response earns nothing, whatever its parts are."""

    @property
    def name(self) -> str: ...

    def is_open(self, reading: Reading) -> bool:
        """False is shut: the reward is 0. Depends on the reading alone."""
        ...
