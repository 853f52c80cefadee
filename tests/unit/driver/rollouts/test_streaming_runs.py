"""Test whole runs with faults on fakes: no group is learned from twice, none is lost, none is too old."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.config.learning import GrpoConfig
from driver.learning.samples import oldest_version
from tests.fakes.ports import run
from tests.runs.buffer import number_of
from tests.runs.streaming import Faults, RunRecord, run_with_faults


def check_record(kept_record: RunRecord, *, num_draws: int, algorithm: GrpoConfig) -> None:
    """Check the record: no group is learned from twice, lost or too old."""
    assert [record.step for record in kept_record.steps] == list(range(1, algorithm.steps + 1))
    versions = [record.policy_version for record in kept_record.steps]
    assert all(before <= after for before, after in pairwise(versions)), versions
    pushed = [record.update.push.policy_version for record in kept_record.steps if record.update and record.update.push]
    assert all(before < after for before, after in pairwise(pushed)), pushed

    learned = [number_of(group.group.group_id) for group, _ in kept_record.learned]
    dropped = [number_of(group.group_id) for group in kept_record.dropped]
    assert Counter(learned + dropped) == Counter(range(num_draws))
    assert all(group.reason for group in kept_record.dropped)
    for group, version in kept_record.learned:
        assert 0 <= version - oldest_version(group) <= algorithm.max_staleness
    for record in kept_record.steps:
        assert len(record.groups) - record.metrics["group/replaced"] == algorithm.groups_per_step
        assert record.metrics["group/replaced"] >= 0


# A task that is cancelled before its first turn never begins its stage.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@settings(max_examples=80, deadline=None)
@given(
    algorithm=st.builds(
        GrpoConfig,
        steps=st.just(7),
        group_size=st.just(2),
        groups_per_step=st.integers(1, 3),
        max_staleness=st.integers(0, 3),
        max_replacements=st.integers(0, 3),
        kl=st.sampled_from(["none", "loss"]),  # with it the learner measures, and can be lost then
    ),
    faults=st.builds(
        Faults,
        lost=st.sampled_from([0.0, 0.05, 0.2]),
        dull=st.sampled_from([0.0, 0.3, 0.8]),
        num_crashes=st.integers(0, 3),
    ),
    every=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
@pytest.mark.slow
def test_every_draw_is_learned_from_once_or_dropped_once_whatever_happens(
    algorithm: GrpoConfig, faults: Faults, every: int, seed: int
) -> None:
    kept_record, stream = run(run_with_faults(algorithm, faults=faults, every=every, seed=seed))
    check_record(kept_record, num_draws=stream.state()["number"], algorithm=algorithm)
