"""Test fine-tuning on references on fakes: what is imitated, what is dropped and why, and that nothing is pushed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from contracts.config.learning import SftConfig
from contracts.errors import BadInput
from contracts.rollouts import Problem, Rollout, SamplingRequest
from driver.problems.draws import Draws
from driver.recipes.loop import Loop
from driver.recipes.sft import SftStages, train_sft
from driver.rollouts.prompt_buffer import PromptBuffer
from driver.run_state.stopping import Stopped
from tests.builders import a_problem
from tests.fakes.ports import FakeGenerator, FakeLearner, FakeRecorder, GivenStream, policy_prompt, run, token_ids
from tests.runs.recipe import FakeCheckpointer, all_rows, references, settings

END = 999


def feed_of(problems: Sequence[Problem], *, per_step: int) -> PromptBuffer:
    return PromptBuffer(Draws(GivenStream(problems)), per_step=per_step)


def answer(problem: Problem, text: str) -> tuple[int, ...]:
    return (*token_ids(text), END)


class SftRun:
    """Run `train_sft` to its end, one step unless there are more problems than `groups_per_step`."""

    def __init__(
        self,
        problems: Sequence[Problem],
        *,
        target: str = "pivot",
        groups_per_step: int | None = None,
        learner: FakeLearner | None = None,
        row_tokens: int = 1024,
        cut: Sequence[Problem] = (),
    ) -> None:
        per_step = groups_per_step or len(problems)
        algorithm = SftConfig.model_validate(
            {"name": "sft", "steps": len(problems) // per_step, "groups_per_step": per_step, "sft_target": target}
        )
        self.learner, self.recorder = learner or FakeLearner(), FakeRecorder()
        self.checkpointer = FakeCheckpointer()
        self.pivot = FakeGenerator(finish_reasons={token_ids(problem.question_en): "length" for problem in cut})
        self.loop = Loop(
            learner=self.learner,
            recorder=self.recorder,
            settings=settings(algorithm, row_tokens=row_tokens),
            checkpointer=self.checkpointer,
        )
        stages = SftStages(references=references(self.pivot), prompt=policy_prompt, answer=answer)
        run(train_sft(feed_of(problems, per_step=per_step), stages=stages, loop=self.loop))

    def drops(self) -> list[tuple[str, str, str]]:
        return [(g.problem.item_id, g.reason, g.detail) for record in self.recorder.records for g in record.dropped]

    def pairs(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Return (prompt, response) of every sequence of the first batch, in its order."""
        batch = self.learner.batches[0]
        found = []
        for sequence in range(batch.num_sequences):
            (row,) = [row for row in all_rows(batch) if sequence in row.sequence_ids]
            is_ours = row.sequence_ids == sequence
            found.append(
                (
                    tuple(row.token_ids[is_ours & ~row.loss_mask].tolist()),
                    tuple(row.token_ids[is_ours & row.loss_mask].tolist()),
                )
            )
        return found


def translated(name: str) -> Problem:
    return replace(a_problem(name), translation=f"Lösung {name}")


def test_the_pivots_response_is_imitated_after_the_problem_in_its_own_language() -> None:
    german, thai = a_problem("a", "de"), a_problem("a", "th")
    done = SftRun([german, thai])
    (request,) = done.pivot.requests  # one item: one reference
    text = f"{request.request_id}#0"  # what the fake pivot says
    assert done.pairs() == [
        (policy_prompt(german), answer(german, text)),
        (policy_prompt(thai), answer(thai, text)),
    ]
    (batch,) = done.learner.batches
    for row in all_rows(batch):
        assert set(row.advantages[row.loss_mask].tolist()) == {1.0}
        assert not row.sampling_logprobs.any()
        assert row.old_logprobs.size == row.returns.size == 0


def test_the_datas_own_translation_is_imitated_and_the_pivot_asked_for_nothing() -> None:
    done = SftRun([translated("a"), translated("b"), a_problem("c")], target="translation")
    assert done.pairs() == [
        (policy_prompt(p), answer(p, f"Lösung {p.item_id}")) for p in (a_problem("a"), a_problem("b"))
    ]
    assert done.pivot.requests == []
    assert done.drops() == [("c", "no_translation", "")]


def test_a_truncated_reference_is_not_imitated() -> None:
    good, bad = a_problem("good"), a_problem("bad")
    done = SftRun([bad, good], cut=[bad])
    assert done.drops() == [("bad", "reference_truncated", "")]
    assert done.learner.batches[0].group_ids == ("1/good/de",)


def test_an_answer_that_fits_into_no_row_is_dropped_with_both_lengths() -> None:
    long = replace(a_problem("a"), translation="x" * 100)
    num = len(policy_prompt(long)) + 101
    done = SftRun([long, translated("b")], target="translation", row_tokens=num - 1)
    assert done.drops() == [("a", "too_long", f"{num} tokens; learner.row_tokens is {num - 1}")]
    assert SftRun([long], target="translation", row_tokens=num).drops() == []


def test_a_prompt_that_is_refused_drops_its_problem_and_not_the_run() -> None:
    def refuse(problem: Problem) -> tuple[int, ...]:
        if problem.item_id == "a":
            raise BadInput("item 'a': the prompt has 99 tokens")
        return policy_prompt(problem)

    algorithm = SftConfig(name="sft", steps=1, groups_per_step=2, sft_target="translation")
    recorder = FakeRecorder()
    loop = Loop(learner=FakeLearner(), recorder=recorder, settings=settings(algorithm))
    stages = SftStages(references=references(FakeGenerator()), prompt=refuse, answer=answer)
    run(train_sft(feed_of([translated("a"), translated("b")], per_step=2), stages=stages, loop=loop))
    (record,) = recorder.records
    assert [(group.reason, group.detail) for group in record.dropped] == [
        ("bad_prompt", "item 'a': the prompt has 99 tokens")
    ]
    assert record.num_samples == 1


def test_a_run_that_is_asked_to_stop_does_not_wait_for_references() -> None:
    class Silent(FakeGenerator):
        async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
            return await asyncio.get_running_loop().create_future()

    async def watch() -> None:
        algorithm = SftConfig(name="sft", steps=1, groups_per_step=1, sft_target="pivot")
        loop = Loop(learner=FakeLearner(), recorder=FakeRecorder(), settings=settings(algorithm))
        stages = SftStages(references=references(Silent()), prompt=policy_prompt, answer=answer)
        training = asyncio.ensure_future(train_sft(feed_of([a_problem("a")], per_step=1), stages=stages, loop=loop))
        await asyncio.sleep(0)
        loop.stop.ask()
        with pytest.raises(Stopped):
            await training
        assert loop.is_between_steps  # what the last step made can be saved

    run(watch())


def test_nothing_is_measured_or_pushed_and_the_version_stays() -> None:
    done = SftRun([translated(name) for name in "abcd"], target="translation", groups_per_step=2)
    assert done.learner.calls == ["step", "step"]
    assert [(p.step, p.policy_version, p.optimizer_steps) for p in done.checkpointer.kept] == [(1, 0, 1), (2, 0, 2)]
    for record in done.recorder.records:
        assert (record.groups, record.num_samples, record.scorer) == ((), 2, {})
        assert record.update is not None
        assert record.update.push is None
        assert record.update.step.metrics["group/used"] == 2


def test_a_batch_with_nothing_to_imitate_takes_no_step() -> None:
    done = SftRun([a_problem("a")], target="translation")
    assert done.learner.calls == []
    assert done.recorder.records[0].update is None


def test_references_that_were_paid_for_are_counted() -> None:
    done = SftRun([a_problem("a", "de"), a_problem("a", "th"), a_problem("b", "de")])
    counts = done.recorder.records[0].references
    assert (counts.asked, counts.requests) == (3, 2)
    assert set(done.recorder.records[0].stage_seconds) == {"pivot", "learn"}


def test_skipped_steps_are_dealt_with_as_everywhere() -> None:
    done = SftRun([translated("a"), translated("b")], target="translation", learner=FakeLearner(skips={0: (1,)}))
    assert [(item, reason) for item, reason, _ in done.drops()] == [("a", "not_finite"), ("b", "not_finite")]
    (record,) = done.recorder.records
    assert record.update is not None
    assert record.update.skipped[0].group_ids == ("1/b/de",)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_reference_is_not_imitated(text: str) -> None:
    class Silent(FakeGenerator):
        async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
            return tuple(replace(rollout, text=text) for rollout in await super().sample(request))

    algorithm = SftConfig(name="sft", steps=1, groups_per_step=1)
    recorder = FakeRecorder()
    loop = Loop(learner=FakeLearner(), recorder=recorder, settings=settings(algorithm))
    stages = SftStages(references=references(Silent()), prompt=policy_prompt, answer=answer)
    run(train_sft(feed_of([a_problem("a")], per_step=1), stages=stages, loop=loop))
    assert [group.reason for group in recorder.records[0].dropped] == ["reference_empty"]
