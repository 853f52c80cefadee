"""Follow a run folder, and say what the live page shows of it now."""

import json
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict

import pyarrow as pa

from driver.evaluation.results import read_evaluations, step_of
from driver.names import language_name
from driver.outcome.words import moment_name
from driver.report.responses import shown_group
from driver.tracking.run_folder import RunFolder
from driver.tracking.samples_file import Cell, last_samples
from driver.watch.actors import STAGES, StepTimes, actors
from driver.watch.curves import curves, keeps
from driver.watch.step_series import StepSeries
from driver.watch.tail import LineTail

LAST_EVENTS = 15
LONGEST_TEXT = 6000
"""Characters of a response that the page gets; report.html has all of it."""

_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException)
"""Errors of a file that is being replaced, is of another version of the project, or was written by hand."""


class WatchedRun:
    """Read what is new in a run folder whenever it is asked. Several threads may ask."""

    def __init__(self, folder: RunFolder, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._metrics, self._events = LineTail(path=folder.metrics), LineTail(path=folder.events)
        self._series, self._times = StepSeries(keeps=keeps), StepTimes()
        self._last_events: list[dict] = []
        self._num_events = 0

    def state(self) -> dict[str, object]:
        """Return all that the page shows but the responses, as JSON has it."""
        with self._lock:
            self._read_new()
            config, summary = self._object("config.toml"), self._object("summary.json")
            languages = self._languages(config)
            lanes = self._times.lanes
            return {
                "run": self._folder.path.name,
                "now_s": self._clock(),
                "status": str(summary.get("status", "")),
                "headline": str(summary.get("headline", "")),
                "step": self._series.last_step,
                "num_steps": _section(config, "algorithm").get("steps"),
                "last_step_s": lanes[-1].end_s if lanes else None,
                "stages": [stage for stage in STAGES if any(stage in lane.busy_s for lane in lanes)],
                "lanes": [asdict(lane) for lane in lanes],
                "actors": [asdict(actor) for actor in actors(self._series)],
                "curves": [asdict(picture) for picture in curves(self._series, languages)],
                "evaluations": self._evaluations(),
                "events": self._last_events[::-1],
                "num_events": self._num_events,
                "num_unreadable": self._metrics.num_unreadable + self._events.num_unreadable,
            }

    def responses(self) -> dict[str, object]:
        """Return for each language a group of the last step: its best response and its worst, beside the reference."""
        rows = last_samples(self._folder.samples)
        found: dict[str, object] = {}
        for code in dict.fromkeys(str(row["language"]) for row in rows):
            of_language = [row for row in rows if row["language"] == code]
            group = [row for row in of_language if row["group_id"] == of_language[0]["group_id"]]
            found[code] = {"name": language_name(code), **asdict(shown_group([_cut(row) for row in group]))}
        return {"step": rows[0]["step"] if rows else None, "languages": found}

    def _read_new(self) -> None:
        steps = self._metrics.read()
        if steps.starts_over:
            self._series.clear()
            self._times.lanes.clear()
        for record in steps.records:
            step, ended, metrics = record.get("step"), record.get("time"), record.get("metrics")
            if isinstance(step, int) and isinstance(ended, int | float) and isinstance(metrics, dict):
                self._series.add(step, metrics)
                self._times.add(step, ended, metrics)
        events = self._events.read()
        if events.starts_over:
            self._last_events, self._num_events = [], 0
        self._num_events += len(events.records)
        self._last_events = [*self._last_events, *events.records][-LAST_EVENTS:]

    def _object(self, file: str) -> Mapping[str, object]:
        """Return what a file of the folder holds; empty where it is absent, or is being replaced now."""
        try:
            text = (self._folder.path / file).read_text(encoding="utf-8")
            found = tomllib.loads(text) if file.endswith(".toml") else json.loads(text)
        except _DAMAGED:
            return {}
        return found if isinstance(found, dict) else {}

    def _languages(self, config: Mapping[str, object]) -> list[str]:
        """Return the codes of the trained languages, then of those that metrics name."""
        configured = _section(config, "data").get("languages")
        trained = [str(code) for code in configured] if isinstance(configured, list) else []
        logged = [name.split("/")[1] for name in self._series.names() if name.startswith("lang/")]
        return [code for code in dict.fromkeys([*trained, *logged]) if code != "all"]

    def _evaluations(self) -> list[dict[str, object]]:
        """Return accuracy and language consistency of each language at every moment that was evaluated."""
        if not self._folder.evaluation.exists():
            return []
        try:
            found = read_evaluations(self._folder.evaluation)
        except _DAMAGED:
            return []
        return [
            {
                "moment": moment_name(moment),
                "languages": [
                    {
                        "name": language_name(result.language),
                        "accuracy": result.accuracy,
                        "language_consistency": result.language_consistency,
                    }
                    for result in found[moment].languages
                ],
            }
            for moment in sorted(found, key=step_of)
        ]


def _section(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _cut(row: Mapping[str, Cell]) -> dict[str, Cell]:
    """Return the row with texts that are not too long for a page that is loaded again and again."""
    return {
        name: f"{value[:LONGEST_TEXT]} …" if isinstance(value, str) and len(value) > LONGEST_TEXT else value
        for name, value in row.items()
    }
