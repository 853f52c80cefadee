"""Test an evaluation from items to numbers on a hand-written policy: numbers worked by hand, resuming, the file."""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest
from driver.evaluation.answered import Answered, ChoiceScore, Journal
from driver.evaluation.asking.prompts import Tokens
from driver.evaluation.drawing import Sampling, ThinkingBudget, draw
from driver.evaluation.judging import JudgedRow, judge, read_rows, write_rows
from driver.evaluation.plan import EvaluationPlan, PlannedTask
from driver.evaluation.results import EvaluationResult, read_evaluations, record_evaluation, standard_error
from driver.evaluation.sets.item import Choice, Item
from driver.evaluation.summarise import summarise_task, summarise_texts
from tests.refusals import refused

RESPONSES = {
    "en/a": "12 + 5 = 17. The answer is 17.",
    "de/a": "12 + 5 = 17. Die Antwort lautet 17.",  # right, in the language, declared
    "de/b": "12 + 5 is seventeen. The answer is 17.",  # right, not in the language
    "de/c": "Das macht 16.",  # wrong, in the language, not declared
    "de/d": "Zusammen sind es 17",  # right by its last number, cut off
}
THOUGHTS = {"de/b": "12 + 5 is 18."}  # neither its answer nor its language counts
ENGLISH = {"en/a", "de/b"}


@dataclass
class FakePolicy:
    """Answer by item, some later than others, and record the requests."""

    requests: list[SamplingRequest] = field(default_factory=list)
    most_at_once: int = 0
    fails_after: int = 1_000
    _at_once: int = 0

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        if len(self.requests) == self.fails_after:
            raise ConnectionError("engine is gone")
        self.requests.append(request)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        key = request.request_id.removeprefix("evaluation/test/")
        for _ in range(len(RESPONSES[key]) % 7):
            await asyncio.sleep(0)
        self._at_once -= 1
        return tuple(a_response(key, seed) for seed in request.seeds)

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        raise AssertionError(f"{request.request_id}: no option is scored")


def a_response(key: str, seed: int) -> Rollout:
    num_tokens = 10 * (1 + list(RESPONSES).index(key))
    return Rollout(
        token_ids=(1,) * num_tokens,
        logprobs=(0.0,) * num_tokens,
        text=RESPONSES[key],
        finish_reason="length" if key == "de/d" else "stop",
        token_versions=(0,) * num_tokens,
        thinking=THOUGHTS.get(key, ""),
        num_thinking_tokens=8 if key in THOUGHTS else 0,
    )


class FakePrompts:
    """Ask with the length of the question."""

    def prompt(self, item: Item) -> Tokens:
        return (7, len(item.question))


def an_item(key: str) -> Item:
    language, item_id = key.split("/")
    return Item(task="test", item_id=item_id, language=language, question=f"Q {key}", gold="17")


def a_plan(keys: Sequence[str]) -> EvaluationPlan:
    items = tuple(map(an_item, keys))
    task = PlannedTask(name="test", items=items, prompts=FakePrompts(), level_weights={}, measured_on={"task": "test"})
    return EvaluationPlan(tasks=(task,))


def language_is(text: str, language: str) -> bool:
    is_english = text in {RESPONSES[key] for key in ENGLISH}
    return is_english == (language == "en")


def drawn(
    journal: Path,
    policy: FakePolicy,
    keys: Sequence[str] = tuple(RESPONSES),
    *,
    sampling: Sampling | None = None,
    on_progress: Callable[[int], None] = lambda num_done: None,
) -> list[JudgedRow]:
    plan = a_plan(keys)
    written = Journal(journal, digest=plan.digest)
    try:
        asyncio.run(
            draw(policy, plan, written, sampling or Sampling(max_tokens=64, max_in_flight=2), on_progress=on_progress)
        )
    finally:
        written.close()
    items = (item for task in plan.tasks for item in task.items)
    return [row for item in items for row in judge(item, written.answered[item.key], language_is)]


def evaluated(journal: Path, policy: FakePolicy, keys: Sequence[str] = tuple(RESPONSES)) -> EvaluationResult:
    return summarise_task(
        drawn(journal, policy, keys), trained=("de",), weights={}, measured_on={"task": "test", "model": "m"}
    )


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "model.jsonl"


def test_accuracy_language_and_both_are_counted_per_language(journal: Path) -> None:
    english, german = evaluated(journal, FakePolicy()).languages
    assert (english.language, english.num_items, english.accuracy_in_language) == ("en", 1, 1.0)
    assert german.num_items == 4
    assert german.accuracy == 0.75  # a, b and d
    assert german.language_consistency == 0.75  # a, c and d
    assert german.accuracy_in_language == 0.5  # a and d
    assert german.declared_rate == 0.5  # a and b
    assert german.truncated_rate == 0.25
    assert german.mean_length == (20 + 30 + 40 + 50) / 4
    assert german.mean_thinking_length == 8 / 4
    assert german.accuracy_error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_the_first_responses_of_a_language_are_kept_as_examples(journal: Path) -> None:
    german = evaluated(journal, FakePolicy()).languages[1]
    assert [(example.item_id, example.is_correct, example.is_in_language) for example in german.examples] == [
        ("a", True, True),
        ("b", True, False),
        ("c", False, True),
    ]
    assert [example.thinking for example in german.examples] == ["", "12 + 5 is 18.", ""]


def test_the_gap_is_english_less_the_mean_of_the_others(journal: Path) -> None:
    result = evaluated(journal, FakePolicy())
    assert (result.accuracy.english, result.accuracy.others, result.accuracy.gap) == (1.0, 0.75, 0.25)
    assert result.accuracy_in_language.gap == 0.5
    assert result.accuracy_in_language.others_error == pytest.approx(0.25)  # sqrt(0.5 * 0.5 / 4)


def test_without_english_there_is_no_gap(journal: Path) -> None:
    overall = evaluated(journal, FakePolicy(), ["de/a"]).accuracy
    assert (overall.english, overall.others, overall.gap) == (None, 1.0, None)


def test_every_item_is_asked_once_and_greedily(journal: Path) -> None:
    policy = FakePolicy()
    evaluated(journal, policy)
    assert sorted(request.request_id for request in policy.requests) == sorted(
        f"evaluation/test/{key}" for key in RESPONSES
    )
    assert {(request.temperature, request.num_samples, request.max_tokens) for request in policy.requests} == {
        (0, 1, 64)
    }
    assert {request.prompt_token_ids for request in policy.requests} == {(7, 6)}


@pytest.mark.parametrize("max_in_flight", [1, 3])
def test_no_more_items_are_in_flight_than_asked_for(journal: Path, max_in_flight: int) -> None:
    policy = FakePolicy()
    drawn(journal, policy, sampling=Sampling(max_tokens=64, max_in_flight=max_in_flight))
    assert policy.most_at_once == max_in_flight


def test_the_result_does_not_depend_on_which_response_came_first(tmp_path: Path) -> None:
    one, five = (
        drawn(tmp_path / f"{num}.jsonl", FakePolicy(), sampling=Sampling(max_tokens=64, max_in_flight=num))
        for num in (1, 5)
    )
    assert one == five


def test_progress_counts_every_finished_item(journal: Path) -> None:
    counted: list[int] = []
    drawn(journal, FakePolicy(), on_progress=counted.append)
    assert counted == [0, 1, 2, 3, 4, 5]


def test_several_samples_have_seeds_of_their_own_and_are_judged_one_by_one(journal: Path) -> None:
    policy = FakePolicy()
    rows = drawn(journal, policy, ["de/a"], sampling=Sampling(max_tokens=64, samples=3, temperature=0.7))
    (request,) = policy.requests
    assert len(set(request.seeds)) == 3
    assert request.temperature == 0.7
    assert [row.sample for row in rows] == [0, 1, 2]


# --- going on after a kill -------------------------------------------------------------------------------------------


def test_a_killed_evaluation_asks_for_the_missing_items_only(tmp_path: Path) -> None:
    journal, policy = tmp_path / "killed.jsonl", FakePolicy(fails_after=3)
    with pytest.raises(ConnectionError):
        drawn(journal, policy, sampling=Sampling(max_tokens=64, max_in_flight=1))
    later = FakePolicy()
    rows = drawn(journal, later)
    assert len(later.requests) == 2
    assert rows == drawn(tmp_path / "whole.jsonl", FakePolicy())


def test_a_line_that_a_kill_has_cut_is_asked_for_again(journal: Path) -> None:
    whole = drawn(journal, FakePolicy())
    text = journal.read_bytes()
    journal.write_bytes(text[:-9])
    policy = FakePolicy()
    assert drawn(journal, policy) == whole
    assert len(policy.requests) == 1
    assert journal.read_bytes() == text


def test_a_journal_of_other_items_is_refused(journal: Path) -> None:
    drawn(journal, FakePolicy(), ["de/a"])
    with refused("run.name", str(journal)):
        drawn(journal, FakePolicy(), ["de/b"])


def test_a_damaged_line_within_a_journal_is_refused(journal: Path) -> None:
    drawn(journal, FakePolicy())
    lines = journal.read_text(encoding="utf-8").splitlines()
    journal.write_text("\n".join([lines[0], lines[1][:20], *lines[2:]]) + "\n", encoding="utf-8")
    with refused(journal.name, "line 2"):
        drawn(journal, FakePolicy())


# --- thinking --------------------------------------------------------------------------------------------------------


class ThinkingPolicy(FakePolicy):
    """Think up to the budget; after the closing tokens, answer."""

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        self.requests.append(request)
        is_thinking = len(self.requests) == 1
        return (
            Rollout(
                token_ids=(1, 2, 3) if is_thinking else (4,),
                logprobs=(0.0,) * (3 if is_thinking else 1),
                text="" if is_thinking else "Die Antwort lautet 17.",
                finish_reason="length" if is_thinking else "stop",
                token_versions=(0,) * (3 if is_thinking else 1),
                thinking="Hm" if is_thinking else "",
                num_thinking_tokens=3 if is_thinking else 0,
            ),
        )


def test_thinking_over_its_budget_is_closed_and_the_answer_has_its_own_limit(journal: Path) -> None:
    policy = ThinkingPolicy()
    budget = ThinkingBudget(max_tokens=3, closing=lambda tokens: (99, tokens[-1]))
    (row,) = drawn(journal, policy, ["de/a"], sampling=Sampling(max_tokens=8, budget=budget))
    first, second = policy.requests
    assert (first.max_tokens, second.max_tokens) == (3, 8)
    assert second.prompt_token_ids == (7, 6, 1, 2, 3, 99, 3)
    assert (row.response, row.thinking) == ("Die Antwort lautet 17.", "Hm")
    assert (row.num_tokens, row.num_thinking_tokens, row.is_truncated) == (6, 5, False)


# --- plain texts -----------------------------------------------------------------------------------------------------


def test_perplexity_is_over_all_tokens_and_bits_are_over_all_bytes() -> None:
    texts = {"aé": (-2.0, 2), "b": (-4.0, 1)}  # three bytes and one
    rows = [
        row
        for number, (text, (logprob, num_tokens)) in enumerate(texts.items())
        for row in judge(
            Item(
                task="t",
                item_id=str(number),
                language="fr",
                question=text,
                gold="",
                choices=(Choice(context="", continuation=text),),
            ),
            Answered(key="", choices=(ChoiceScore(logprob=logprob, num_tokens=num_tokens),)),
            language_is,
        )
    ]
    (found,) = summarise_texts(rows, measured_on={"task": "t"}).texts
    assert (found.num_texts, found.num_tokens) == (2, 3)
    assert found.perplexity == pytest.approx(math.exp(6 / 3))
    assert found.bits_per_byte == pytest.approx(6 / math.log(2) / 4)


@pytest.mark.parametrize(
    ("logprobs", "answer", "is_correct", "by_length"),
    [
        ((-3.0, -2.0), "B", True, False),  # by the sum the second, by the character the first
        ((-1.0, -2.0), "A", False, False),
        ((-2.0, -2.0), "A", False, False),  # the first of equal ones
        ((-30.0, -2.0), "B", True, True),
    ],
)
def test_the_most_likely_option_is_the_answer(
    logprobs: tuple[float, float], answer: str, is_correct: bool, by_length: bool
) -> None:
    options = ("a long one", "ab")
    item = Item(
        task="t",
        item_id="1",
        language="de",
        question="?",
        gold="B",
        options=options,
        choices=tuple(Choice(context="c", continuation=f" {option}") for option in options),
    )
    scores = tuple(ChoiceScore(logprob=value, num_tokens=2) for value in logprobs)
    (row,) = judge(item, Answered(key="", choices=scores), language_is)
    assert (row.answer, row.is_correct, row.is_correct_by_length) == (answer, is_correct, by_length)
    assert row.is_in_language is None


# --- the files -------------------------------------------------------------------------------------------------------


def test_a_result_survives_json(journal: Path) -> None:
    result = evaluated(journal, FakePolicy())
    assert EvaluationResult.from_json(result.to_json()) == result


def test_every_response_survives_parquet(journal: Path, tmp_path: Path) -> None:
    rows = drawn(journal, FakePolicy())
    write_rows(tmp_path / "rows.parquet", rows)
    assert read_rows(tmp_path / "rows.parquet") == rows


def test_a_measure_that_an_older_evaluation_lacks_was_not_measured(journal: Path, tmp_path: Path) -> None:
    rows = drawn(journal, FakePolicy())
    write_rows(tmp_path / "rows.parquet", rows)
    older = pq.read_table(tmp_path / "rows.parquet").drop_columns(["is_in_language_by_langdetect"])
    pq.write_table(older, tmp_path / "older.parquet")
    assert read_rows(tmp_path / "older.parquet") == rows  # here nobody measured it


def test_before_and_after_live_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    assert read_evaluations(path) == {}
    before = evaluated(tmp_path / "before.jsonl", FakePolicy(), ["de/a"])
    after = evaluated(tmp_path / "after.jsonl", FakePolicy(), ["de/c"])
    record_evaluation(path, "before", before)
    record_evaluation(path, "after", after)
    assert read_evaluations(path) == {"before": before, "after": after}


def test_a_record_of_an_earlier_version_without_averages_is_read(journal: Path, tmp_path: Path) -> None:
    record = json.loads(evaluated(journal, FakePolicy()).to_json())
    for key in ("averages", "more"):
        del record[key]
    for language in record["languages"]:
        for key in ("num_samples", "distinct", "pass_at", "majority_at", "switched_lines"):
            del language[key]
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({"before": record}), encoding="utf-8")
    assert [found.accuracy for found in read_evaluations(path)["before"].languages] == [1.0, 0.75]


def test_the_standard_error_of_half_of_a_hundred_items_is_five_points() -> None:
    assert standard_error(0.5, 100) == 0.05
