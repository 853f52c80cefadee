"""Collect what the live page says of single actors and of the stages of a step."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from driver.watch.step_series import Point, StepSeries

STAGES = ("generate", "pivot", "evidence", "score", "wait", "measure", "learn", "push")
LANE_STEPS = 40
"""Steps that the lanes show: the last ones."""
SPARK_POINTS = 60
"""Of the small curve of an actor's throughput."""

_RATES = {"tokens_per_s": "tokens/s", "texts_per_s": "texts/s"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Hold one row of the table of actors; None where nothing was measured."""

    name: str
    role: str
    rate: float | None
    unit: str
    rates: list[Point]  # over the steps
    busy: float | None
    waiting: float | None
    queue: float | None
    version: float | None
    behind: float | None
    restarts: float | None
    serving: float | None
    memory_gib: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """Hold one step as the lanes show it: a box from `start_s` to `end_s`, filled by stages."""

    step: int
    start_s: float  # seconds since the epoch
    end_s: float
    busy_s: Mapping[str, float]  # seconds in which a stage had work, by stage; stages overlap


@dataclass(kw_only=True)
class StepTimes:
    """Keep when the last steps ended, and what took their time."""

    lanes: list[Lane] = field(default_factory=list)

    def add(self, step: int, ended: float, metrics: Mapping[str, float | None]) -> None:
        """Add a step that ended at `ended`, in seconds since the epoch. It replaces itself and later steps."""
        self.lanes = [lane for lane in self.lanes if lane.step < step][-LANE_STEPS + 1 :]
        busy = {stage: seconds for stage in STAGES if (seconds := metrics.get(f"timing_s/{stage}"))}
        seconds = metrics.get("timing_s/step") or max(busy.values(), default=0.0)
        self.lanes.append(Lane(step=step, start_s=ended - seconds, end_s=ended, busy_s=busy))


def actors(series: StepSeries) -> list[Actor]:
    """Return the actors that the last step names, policy workers first."""
    last = series.last
    names = {name.split("/")[1] for name in last if name.startswith("actor/")}
    found = [_actor(series, last, name) for name in names]
    roles = ("policy", "pivot", "scorer", "learner")
    return sorted(found, key=lambda actor: (roles.index(actor.role) if actor.role in roles else 9, _number(actor.name)))


def _actor(series: StepSeries, last: Mapping[str, float], name: str) -> Actor:
    rated = next((rate for rate in _RATES if series.has(f"actor/{name}/{rate}")), "tokens_per_s")
    rates = series.at_end(f"actor/{name}/{rated}", SPARK_POINTS)
    return Actor(
        name=name,
        role=name.rpartition("-")[0],
        rate=rates[-1][1] if rates else None,
        unit=_RATES[rated],
        rates=rates,
        busy=_latest(series, name, "busy_share"),
        waiting=_latest(series, name, "waiting_share"),
        queue=last.get(f"actor/{name}/queue"),
        version=last.get(f"actor/{name}/version"),
        behind=last.get(f"actor/{name}/versions_behind"),
        restarts=last.get(f"actor/{name}/restarts"),
        serving=last.get(f"actor/{name}/serving"),
        memory_gib=last.get(f"memory/{name}/own_gib"),
    )


def _latest(series: StepSeries, name: str, metric: str) -> float | None:
    """Return the last value: a step that was shorter than a heartbeat has none."""
    found = series.at_end(f"actor/{name}/{metric}", 1)
    return found[0][1] if found else None


def _number(name: str) -> int:
    number = name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
