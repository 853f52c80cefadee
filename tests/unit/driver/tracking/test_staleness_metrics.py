"""Check the age of the tokens that a step learned from and the metrics of its push, worked out by hand."""

from dataclasses import replace

from contracts.batches import PushResult
from contracts.rollouts import DroppedGroup
from driver.references.store import ReferenceCounts
from driver.tracking.step_metrics import StepOutcome, step_metrics
from tests.builders import a_problem, a_score, a_scored_group

NOTHING = StepOutcome(groups=(), dropped=(), stage_seconds={}, pivot=ReferenceCounts(), learning=None, push=None)


def metrics(outcome: StepOutcome) -> dict[str, float]:
    """Return the metrics of staleness and weights only."""
    return {name: value for name, value in step_metrics(outcome).items() if name.startswith(("staleness/", "weights/"))}


def test_staleness_is_of_every_token_that_was_learned_from_and_of_no_other() -> None:
    """Version 5 learns: tokens of versions 3, 3, 5 are 2, 2 and 0 old; the dropped group's would be 5."""
    learned = a_scored_group(a_problem("a"), (a_score(0.1),), versions=(3, 3, 5))
    dull = a_scored_group(a_problem("dull"), (a_score(0.1),), versions=(0, 0, 0))
    outcome = replace(
        NOTHING,
        groups=(learned, dull),
        dropped=(DroppedGroup(group_id=dull.group.group_id, problem=dull.group.problem, reason="no_signal"),),
        policy_version=5,
    )
    assert metrics(outcome) == {"staleness/mean": 4 / 3, "staleness/max": 2.0}


def test_a_push_says_how_many_workers_serve_the_version_and_how_many_were_missed() -> None:
    outcome = replace(
        NOTHING,
        push=PushResult(
            policy_version=6, num_tensors=2, num_bytes=64, seconds=1.5, num_workers=3, missed=("policy-1",), attempts=2
        ),
    )
    assert metrics(outcome) == {
        "weights/policy_version": 6.0,
        "weights/num_bytes": 64.0,
        "weights/push_s": 1.5,
        "weights/workers": 3.0,
        "weights/missed": 1.0,
    }


def test_what_the_buffer_counted_is_among_the_metrics() -> None:
    outcome = replace(NOTHING, buffer={"queue/in_flight": 7.0, "group/replaced": 2.0})
    found = step_metrics(outcome)
    assert (found["queue/in_flight"], found["group/replaced"]) == (7.0, 2.0)
