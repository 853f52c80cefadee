"""Test evaluation on a hand-written policy: numbers worked by hand, their file, and the refusals."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.rollouts import Problem, Rollout, SamplingRequest
from driver.evaluation.measure import (
    EvaluationResult,
    EvaluationSettings,
    evaluate,
    read_evaluations,
    record_evaluation,
    standard_error,
)
from driver.evaluation.tasks.numbers import NumberTask
from tests.refusals import refused

RESPONSES = {
    "a/en": "12 + 5 = 17. The answer is 17.",
    "a/de": "12 + 5 = 17. Die Antwort lautet 17.",  # right, in the language, declared
    "b/de": "12 + 5 is seventeen. The answer is 17.",  # right, not in the language
    "c/de": "Das macht 16.",  # wrong, in the language, not declared
    "d/de": "Zusammen sind es 17",  # right by its last number, cut off
}
THOUGHTS = {"b/de": "12 + 5 is 18."}  # neither its answer nor its language counts
ENGLISH = {"a/en", "b/de"}


class FakePolicy:
    """Answer by problem, some later than others, and record the requests."""

    def __init__(self) -> None:
        self.requests: list[SamplingRequest] = []
        self.most_at_once = 0
        self._at_once = 0

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        self.requests.append(request)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        key = request.request_id.removeprefix("evaluation/")
        for _ in range(len(RESPONSES[key]) % 7):
            await asyncio.sleep(0)
        self._at_once -= 1
        num_tokens = 10 * (1 + list(RESPONSES).index(key))
        return (
            Rollout(
                token_ids=(1,) * num_tokens,
                logprobs=(0.0,) * num_tokens,
                text=RESPONSES[key],
                finish_reason="length" if key == "d/de" else "stop",
                token_versions=(0,) * num_tokens,
                thinking=THOUGHTS.get(key, ""),
                num_thinking_tokens=8 if key in THOUGHTS else 0,
            ),
        )


def problem(key: str, *, answer: str | None = "17") -> Problem:
    item_id, language = key.split("/")
    return Problem(item_id=item_id, language=language, question=f"Q {key}", question_en="Q", answer=answer)


def language_is(text: str, language: str) -> bool:
    is_english = text in {RESPONSES[key] for key in ENGLISH}
    return is_english == (language == "en")


def run(
    keys: list[str],
    policy: FakePolicy,
    *,
    answer: str | None = "17",
    max_in_flight: int = 2,
    on_progress: Callable[[int], None] = lambda num_done: None,
) -> EvaluationResult:
    return asyncio.run(
        evaluate(
            policy,
            (problem(key, answer=answer) for key in keys),
            prompter=lambda asked: (7, len(asked.question)),
            language_is=language_is,
            settings=EvaluationSettings(
                task=NumberTask(),
                max_tokens=64,
                measured_on={"source": "test"},
                max_in_flight=max_in_flight,
                num_examples=2,
            ),
            on_progress=on_progress,
        )
    )


def test_accuracy_language_and_both_are_counted_per_language() -> None:
    english, german = run(list(RESPONSES), FakePolicy()).languages
    assert (english.language, english.num_items, english.accuracy_in_language) == ("en", 1, 1.0)
    assert german.num_items == 4
    assert german.accuracy == 0.75  # a, b and d
    assert german.language_consistency == 0.75  # a, c and d
    assert german.accuracy_in_language == 0.5  # a and d
    assert german.declared_rate == 0.5  # a and b
    assert german.truncated_rate == 0.25
    assert german.mean_length == (20 + 30 + 40 + 50) / 4
    assert german.mean_thinking_length == 8 / 4
    assert [example.thinking for example in german.examples] == ["", "12 + 5 is 18."]
    assert german.accuracy_error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_the_first_responses_of_a_language_are_kept_as_examples() -> None:
    german = run(list(RESPONSES), FakePolicy()).languages[1]
    assert [(example.item_id, example.is_correct, example.is_in_language) for example in german.examples] == [
        ("a", True, True),
        ("b", True, False),
    ]


def test_the_gap_is_english_less_the_mean_of_the_others() -> None:
    result = run(list(RESPONSES), FakePolicy())
    assert (result.accuracy.english, result.accuracy.others, result.accuracy.gap) == (1.0, 0.75, 0.25)
    assert result.accuracy_in_language.gap == 0.5
    assert result.accuracy_in_language.others_error == pytest.approx(0.25)  # sqrt(0.5 * 0.5 / 4)


def test_without_english_there_is_no_gap() -> None:
    overall = run(["a/de"], FakePolicy()).accuracy
    assert (overall.english, overall.others, overall.gap) == (None, 1.0, None)


def test_every_problem_is_asked_once_and_greedily() -> None:
    policy = FakePolicy()
    run(list(RESPONSES), policy)
    assert sorted(request.request_id for request in policy.requests) == sorted(f"evaluation/{key}" for key in RESPONSES)
    assert {(request.temperature, request.num_samples, request.max_tokens) for request in policy.requests} == {
        (0, 1, 64)
    }
    assert {request.prompt_token_ids for request in policy.requests} == {(7, 6)}


@pytest.mark.parametrize("max_in_flight", [1, 3])
def test_no_more_problems_are_in_flight_than_asked_for(max_in_flight: int) -> None:
    policy = FakePolicy()
    run(list(RESPONSES), policy, max_in_flight=max_in_flight)
    assert policy.most_at_once == max_in_flight


def test_the_result_does_not_depend_on_which_response_came_first() -> None:
    assert run(list(RESPONSES), FakePolicy(), max_in_flight=1) == run(list(RESPONSES), FakePolicy(), max_in_flight=5)


def test_progress_counts_every_finished_problem() -> None:
    counted: list[int] = []
    run(list(RESPONSES), FakePolicy(), on_progress=counted.append)
    assert counted == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("answer", [None, "blue"])
def test_a_problem_without_a_number_as_answer_is_refused_by_name(answer: str | None) -> None:
    with refused("answer", "a/de"):
        run(["a/de"], FakePolicy(), answer=answer)


def test_nothing_to_evaluate_on_is_refused() -> None:
    with refused("evaluation.source"):
        run([], FakePolicy())


def test_a_failing_engine_fails_the_evaluation() -> None:
    class Broken(FakePolicy):
        async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
            raise ConnectionError("engine is gone")

    with pytest.raises(ConnectionError):
        run(list(RESPONSES), Broken())


def test_a_result_survives_json() -> None:
    result = run(list(RESPONSES), FakePolicy())
    assert EvaluationResult.from_json(result.to_json()) == result


def test_before_and_after_live_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    assert read_evaluations(path) == {}
    before, after = run(["a/de"], FakePolicy()), run(["c/de"], FakePolicy())
    record_evaluation(path, "before", before)
    record_evaluation(path, "after", after)
    assert read_evaluations(path) == {"before": before, "after": after}


def test_the_standard_error_of_half_of_a_hundred_items_is_five_points() -> None:
    assert standard_error(0.5, 100) == 0.05
