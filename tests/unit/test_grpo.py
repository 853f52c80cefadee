"""The whole recipe on fakes: every group ends exactly once, versions rise, a step without signal changes nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from driver.config import AlgorithmConfig
from driver.pipeline import Sampling, Stages
from driver.recipes.grpo import GrpoSettings, StepRecord, learnable, train_grpo
from driver.references import PivotSampling, ReferenceBook, ReferenceCache
from driver.reward_config import RewardConfig
from driver.schema import Problem, Score, ScoredGroup, TrainBatch, Unscored
from tests.fakes import (
    FakeGenerator,
    FakeLearner,
    FakeRecorder,
    FakeScorer,
    a_problem,
    a_score,
    policy_prompt,
    run,
    token_ids,
)

GROUP_SIZE = 3
EQUAL = (a_score(0.5),) * GROUP_SIZE
NOTHING = (Unscored(reason="no answer"),) * GROUP_SIZE
ONE_MISSING = (a_score(0.2), Unscored(reason="timed out"), a_score(0.6))


class Run:
    """One run of the recipe, and everything that can be seen of it."""

    def __init__(
        self,
        problems: Sequence[Problem],
        *,
        groups_per_step: int,
        scores: dict[str, tuple[Score | Unscored, ...]] | None = None,
        truncated_references: Sequence[Problem] = (),
        num_ranks: int = 1,
    ) -> None:
        self.learner = FakeLearner()
        self.recorder = FakeRecorder()
        self.policy = FakeGenerator(version=lambda: self.learner.policy_version)
        self.pivot = FakeGenerator(finish_reasons={token_ids(p.question_en): "length" for p in truncated_references})
        self._problems: Iterator[Problem] = iter(problems)
        run(
            train_grpo(
                self._problems,
                stages=Stages(
                    policy=self.policy,
                    references=ReferenceBook(
                        pivot=self.pivot,
                        prompt=token_ids,
                        sampling=PivotSampling(fingerprint="pivot", max_tokens=8, temperature=0.0, seed=1),
                        cache=ReferenceCache(None),
                    ),
                    scorer=FakeScorer(scores=scores or {}),
                    prompt=policy_prompt,
                    sampling=Sampling(group_size=GROUP_SIZE, max_tokens=8, temperature=1.0, run_seed=1),
                ),
                learner=self.learner,
                recorder=self.recorder,
                settings=settings(
                    steps=len(problems) // groups_per_step, groups_per_step=groups_per_step, num_ranks=num_ranks
                ),
            )
        )

    @property
    def records(self) -> list[StepRecord]:
        return self.recorder.records


def settings(*, steps: int = 1, groups_per_step: int = 1, num_ranks: int = 1) -> GrpoSettings:
    return GrpoSettings(
        algorithm=AlgorithmConfig(steps=steps, groups_per_step=groups_per_step, group_size=GROUP_SIZE),
        reward=RewardConfig(),
        num_ranks=num_ranks,
        row_tokens=1024,
        pad_token_id=0,
    )


def learned_tokens(batch: TrainBatch) -> list[int]:
    """The response tokens of a batch; a fake's response is one token that its seed alone decides."""
    rows = [row for rows in batch.rows for row in rows]
    return np.concatenate([row.token_ids[row.loss_mask] for row in rows]).tolist()


def drawn_tokens(group: ScoredGroup, *, scored: bool) -> list[int]:
    return [
        rollout.token_ids[0]
        for rollout, score in zip(group.group.rollouts, group.scores, strict=True)
        if isinstance(score, Score) == scored
    ]


def test_every_group_is_learned_from_exactly_once_or_dropped_with_a_reason() -> None:
    good, equal, unscored, cut, partly = (a_problem(name) for name in ("good", "equal", "unscored", "cut", "partly"))
    done = Run(
        [good, equal, unscored, cut, partly],
        groups_per_step=5,
        scores={equal.question: EQUAL, unscored.question: NOTHING, partly.question: ONE_MISSING},
        truncated_references=[cut],
    )
    (record,) = done.records
    assert [(group.problem.item_id, group.reason) for group in record.dropped] == [
        ("equal", "no_signal"),
        ("unscored", "unscored"),
        ("cut", "unscored"),
    ]
    assert record.dropped[2].detail == "reference_truncated"
    assert len(record.groups) == 5
    by_item = {group.group.problem.item_id: group for group in record.groups if isinstance(group, ScoredGroup)}
    learned = drawn_tokens(by_item["good"], scored=True) + drawn_tokens(by_item["partly"], scored=True)
    (batch,) = done.learner.batches
    assert Counter(learned_tokens(batch)) == Counter(learned)
    assert record.num_samples == batch.num_sequences == 3 + 2
    assert batch.num_loss_tokens == 5  # one token a response
    assert not set(drawn_tokens(by_item["partly"], scored=False)) & set(learned_tokens(batch))


def test_advantages_reach_the_batch_beside_their_own_tokens() -> None:
    """Rewards 0, 0.1, 0.2: the mean is 0.1."""
    done = Run([a_problem("a")], groups_per_step=1)
    (row,) = done.learner.batches[0].rows[0]
    (group,) = done.records[0].groups
    assert isinstance(group, ScoredGroup)
    advantage = dict(zip(row.token_ids[row.loss_mask], row.advantages[row.loss_mask], strict=True))
    assert [advantage[rollout.token_ids[0]] for rollout in group.group.rollouts] == pytest.approx([-0.1, 0.0, 0.1])


def test_weights_are_pushed_after_every_step_with_rising_versions_and_the_next_step_samples_from_them() -> None:
    done = Run([a_problem(name) for name in "abcdef"], groups_per_step=2)
    assert done.learner.calls == ["step", "push"] * 3
    assert done.learner.pushed == [1, 2, 3]
    assert [batch.policy_version for batch in done.learner.batches] == [0, 1, 2]
    sampled = [
        {rollout.policy_version for group in record.groups if isinstance(group, ScoredGroup)
         for rollout in group.group.rollouts}
        for record in done.records
    ]  # fmt: skip
    assert sampled == [{0}, {1}, {2}]


def test_a_step_without_signal_takes_no_optimiser_step_and_pushes_nothing() -> None:
    first, dull, last = (a_problem(name) for name in ("first", "dull", "last"))
    done = Run([first, dull, last], groups_per_step=1, scores={dull.question: EQUAL})
    assert done.learner.calls == ["step", "push", "step", "push"]
    assert done.learner.pushed == [1, 2]
    assert [record.update is None for record in done.records] == [False, True, False]
    assert [batch.policy_version for batch in done.learner.batches] == [0, 1]
    dull_record = done.records[1]
    assert dull_record.num_samples == 0
    assert [group.reason for group in dull_record.dropped] == ["no_signal"]
    assert "learn" not in dull_record.stage_seconds


def test_a_run_without_any_signal_reaches_its_last_step() -> None:
    problems = [a_problem(name) for name in "abc"]
    done = Run(problems, groups_per_step=1, scores={problem.question: EQUAL for problem in problems})
    assert done.learner.calls == []
    assert [record.step for record in done.records] == [1, 2, 3]


def test_the_same_run_twice_gives_the_same_batches() -> None:
    problems = [a_problem(name, language) for name in "ab" for language in ("de", "th")]
    first, second = (Run(problems, groups_per_step=2, num_ranks=2) for _ in range(2))
    for one, other in zip(first.learner.batches, second.learner.batches, strict=True):
        for row, twin in zip(
            [row for rows in one.rows for row in rows], [row for rows in other.rows for row in rows], strict=True
        ):
            assert row.token_ids.tolist() == twin.token_ids.tolist()
            assert row.advantages.tolist() == twin.advantages.tolist()


def test_every_rank_gets_as_many_micro_batches_however_few_groups_are_left() -> None:
    dull = a_problem("dull")
    done = Run([a_problem("a"), dull], groups_per_step=2, scores={dull.question: EQUAL}, num_ranks=4)
    (batch,) = done.learner.batches
    assert len(batch.rows) == 4
    assert len({len(rows) for rows in batch.rows}) == 1
    assert batch.num_sequences == 3


def test_every_step_is_begun_and_recorded_once_with_the_stages_that_it_went_through() -> None:
    done = Run([a_problem(name) for name in "ab"], groups_per_step=1)
    assert done.recorder.begun == [1, 2]
    assert [record.step for record in done.records] == [1, 2]
    for record in done.records:
        assert set(record.stage_seconds) == {"generate", "pivot", "score", "learn", "push"}


def test_an_item_that_comes_back_in_another_language_costs_the_pivot_nothing() -> None:
    done = Run([a_problem("a", "de"), a_problem("a", "th")], groups_per_step=1)
    assert len(done.pivot.requests) == 1
    assert [(record.references.asked, record.references.requests) for record in done.records] == [(1, 1), (1, 0)]


def test_a_group_drawn_from_older_weights_is_refused_when_it_would_be_learned_from() -> None:
    (drawn,) = Run([a_problem("a")], groups_per_step=1).records[0].groups
    samples, dropped = learnable([drawn], 0, step=1, settings=settings())
    assert (len(samples), dropped) == (GROUP_SIZE, [])
    samples, (old,) = learnable([drawn], 2, step=1, settings=settings())
    assert (samples, old.reason, old.detail) == ([], "too_stale", "drawn 2 policy versions ago")
