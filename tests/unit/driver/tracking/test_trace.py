"""Test the trace of chosen steps: which calls are in it, in which lanes, and the arrows from draw to update."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from driver.tracking.trace import Trace

Event = dict[str, object]


class Hand:
    """Be a clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def trace(tmp_path: Path, hand: Hand) -> Trace:
    return Trace(tmp_path / "trace.json", (2,), now=hand)


def stage(trace: Trace, hand: Hand, name: str, of: str, start: float, end: float) -> None:
    hand.seconds = end
    trace.called(name, of, start)


def read(folder: Path) -> list[Event]:
    return json.loads((folder / "trace.json").read_text(encoding="utf-8"))["traceEvents"]


def slices(events: list[Event]) -> dict[str, list[Event]]:
    """Return the slices by the name of their lane."""
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}  # type: ignore[index]
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            found[names[event["tid"]]].append(event)
    return found


def two_steps(trace: Trace, hand: Hand) -> None:
    """Play a step that is not traced and one that is: two groups of it, and one of the step after it."""
    trace.begin(1)
    stage(trace, hand, "learn", "", 1.0, 2.0)
    trace.end(1, ["g0"])
    trace.begin(2)
    stage(trace, hand, "generate", "g1", 1.5, 3.0)
    stage(trace, hand, "generate", "g2", 1.6, 3.5)
    trace.answered("policy-0", "g1", 1.5)
    stage(trace, hand, "score", "g1", 3.0, 4.0)
    stage(trace, hand, "score", "g2", 3.5, 4.5)
    stage(trace, hand, "learn", "", 4.5, 6.0)
    trace.end(2, ["g1", "g2"])
    stage(trace, hand, "generate", "g3", 5.0, 7.0)  # of the next step, begun while this one learned
    stage(trace, hand, "generate", "g4", 6.5, 8.0)
    trace.begin(3)
    trace.end(3, ["g3"])


def test_calls_that_overlap_a_chosen_step_are_slices_in_their_lanes(trace: Trace, hand: Hand, tmp_path: Path) -> None:
    two_steps(trace, hand)
    found = slices(read(tmp_path))
    assert [event["name"] for event in found["step"]] == ["step 2"]
    assert [event["name"] for event in found["generate"]] == ["g1", "g2", "g3"]
    assert [event["name"] for event in found["policy-0"]] == ["g1"]
    assert [(event["ts"], event["dur"]) for event in found["learn"]] == [(4.5e6, 1.5e6)]


def test_calls_of_one_lane_that_overlap_have_rows_of_their_own(trace: Trace, hand: Hand, tmp_path: Path) -> None:
    two_steps(trace, hand)
    generate = slices(read(tmp_path))["generate"]
    rows = {event["name"]: event["tid"] for event in generate}
    assert rows["g1"] != rows["g2"]
    assert rows["g3"] in (rows["g1"], rows["g2"])  # which have ended by then


def test_an_arrow_leads_from_the_draw_through_its_stages_to_the_update(
    trace: Trace, hand: Hand, tmp_path: Path
) -> None:
    two_steps(trace, hand)
    events = read(tmp_path)
    arrows: dict[object, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] in ("s", "t", "f"):
            arrows[event["id"]].append(event)
    assert {name: [event["ph"] for event in way] for name, way in arrows.items()} == {
        "g1@2": ["s", "t", "f"],
        "g2@2": ["s", "t", "f"],
    }
    found = slices(events)
    for way in arrows.values():
        assert way[-1]["ts"] == found["learn"][0]["ts"] and way[-1]["tid"] == found["learn"][0]["tid"]
        at = {(event["ts"], event["tid"]) for event in found["generate"]}
        assert (way[0]["ts"], way[0]["tid"]) in at


def test_a_step_that_is_done_again_is_there_once(trace: Trace, hand: Hand, tmp_path: Path) -> None:
    trace.begin(2)
    hand.seconds = 5.0
    trace.begin(2)
    stage(trace, hand, "learn", "", 5.5, 6.0)
    trace.end(2, [])
    (step,) = slices(read(tmp_path))["step"]
    assert (step["ts"], step["dur"]) == (5e6, 1e6)


def test_without_chosen_steps_nothing_is_written(hand: Hand, tmp_path: Path) -> None:
    two_steps(Trace(tmp_path / "trace.json", now=hand), hand)
    assert list(tmp_path.iterdir()) == []
