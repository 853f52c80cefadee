"""The section of a config that says how long a silence is borne and how often a worker is restarted.

Owns its keys and bounds. A leaf: imports neither torch nor Ray.
"""

from typing import Self

from pydantic import Field, model_validator

from contracts.config.section import Section


class FleetConfig(Section):
    """Of all workers: policy, pivot, scorers, and the learner's ranks."""

    heartbeat_s: float = Field(default=5.0, gt=0)
    """Seconds between two questions whether a worker still lives."""
    suspect_after_s: float = Field(default=20.0, gt=0)
    """Silence after which a worker is asked nothing new."""
    dead_after_s: float = Field(default=60.0, gt=0)
    """Silence after which it is killed, its work given to others, and a new one started in its place."""
    max_restarts: int = Field(default=5, ge=0)
    """Of one worker (of the learner as a whole) within restart_window_s; one more and it is given up."""
    restart_window_s: float = Field(default=3600.0, gt=0)
    backoff_s: float = Field(default=1.0, ge=0)
    """Wait before a restart; doubled before each further one within restart_window_s."""
    max_backoff_s: float = Field(default=60.0, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.heartbeat_s <= self.suspect_after_s <= self.dead_after_s:
            raise ValueError(
                f"fleet.heartbeat_s {self.heartbeat_s:g}, fleet.suspect_after_s {self.suspect_after_s:g} and "
                f"fleet.dead_after_s {self.dead_after_s:g} must not fall: a silence is noticed, suspected, then final"
            )
        if self.backoff_s > self.max_backoff_s:
            raise ValueError(f"fleet.backoff_s {self.backoff_s:g} is above fleet.max_backoff_s {self.max_backoff_s:g}")
        return self
