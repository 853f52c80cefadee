"""Test the numbers of an audit on scores that are known beforehand."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from contracts.rollouts import ParallelSolution, Score, ScoreRequest, Unscored
from driver.audit.groups import Question
from driver.audit.measure import audit
from driver.audit.plan import AuditPlan, plan_audit
from driver.audit.result import (
    QUESTIONS,
    SOLUTIONS,
    AuditResult,
)
from driver.audit.tally import rank_correlation

ITEMS = ("a", "b", "c", "d")


def solution(item: str, number: int) -> ParallelSolution:
    return ParallelSolution(
        item_id=item,
        language="de",
        question=f"Wie viele Äpfel sind es bei {item}?",
        solution=f"Es sind {number} + 1 = {number + 1} Äpfel.\nDie Antwort lautet {number + 1}.",
        question_en=f"How many apples are there at {item}?",
        solution_en=f"There are {number} + 1 = {number + 1} apples.\nThe answer is {number + 1}.",
    )


SOLUTIONS_DE = [solution(item, 10 + index) for index, item in enumerate(ITEMS)]


def scored(reward: float, *, gates: dict[str, bool] | None = None, numbers: float = 1.0) -> Score:
    return Score(
        reward=reward,
        parts={"answer": 1.0, "numbers": numbers},
        gates={"language": True, "format": True} if gates is None else gates,
        answer="1",
    )


@dataclass
class Judge:
    """Score faithful text with 0.9, and every other text with the value that `judge` returns."""

    judge: Callable[[str, ScoreRequest], Score | Unscored]
    most_at_once: int = 0
    _now: int = field(default=0)

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        return tuple(self.judge(text, request) for text in request.responses)

    async def take_stats(self) -> dict[str, float]:
        return {}


FAITHFUL_TO = {solution.solution_en: solution.solution for solution in SOLUTIONS_DE}


def lenient(text: str, request: ScoreRequest) -> Score | Unscored:
    """Copied questions get as much as faithful text, English more, loops are unscored; gates shut answers alone."""
    if text == FAITHFUL_TO[request.reference]:
        return scored(0.9)
    if text == request.reference:
        return scored(1.0)
    if text.startswith(request.question):
        return scored(0.9)
    if text.count("Es sind") > 3:
        return Unscored(reason="looped")
    if text.startswith("Die Antwort"):
        return scored(0.0, gates={"language": True, "format": False})
    return scored(0.25, numbers=0.5)


def measured(
    judge: Callable[[str, ScoreRequest], Score | Unscored], *, questions: tuple[Question, ...] = ()
) -> AuditResult:
    plan = plan_audit(SOLUTIONS_DE, questions, seed=1)
    ticks = itertools.count()
    return asyncio.run(audit(Judge(judge), plan, measured_on={"source": "test"}, clock=lambda: float(next(ticks))))


@pytest.fixture(scope="module")
def result() -> AuditResult:
    return measured(lenient)


# --- counting ---------------------------------------------------------------------------------------------------------


def test_faithful_wins_only_where_it_earns_strictly_more(result: AuditResult) -> None:
    rates = {cheat: result.cell("de", cheat).win_rate for cheat in ("wrong number", "question copied", "english")}
    assert rates == {"wrong number": 1.0, "question copied": 0.0, "english": 0.0}
    copied = result.cell("de", "question copied")
    assert (copied.num_groups, copied.num_won, copied.mean_reward) == (4, 0, pytest.approx(0.9))
    assert result.cell("de", "wrong number").mean_parts == {"answer": 1.0, "numbers": 0.5}


def test_unscored_and_left_out_cheats_are_counted_apart_and_have_no_rate(result: AuditResult) -> None:
    loop = result.cell("de", "repeated sentence")
    assert (loop.num_groups, loop.num_unscored, loop.num_left_out, loop.win_rate) == (0, 4, 0, None)
    missing = result.cell("de", "other language")
    assert (missing.num_groups, missing.num_unscored, missing.num_left_out, missing.win_rate) == (0, 0, 4, None)
    assert loop.mean_reward is None
    assert result.unscored == {"looped": 8}  # the repeated sentence and the long padding, four times each


def test_the_gates_that_shut_a_cheat_are_named_with_their_share(result: AuditResult) -> None:
    assert result.cell("de", "answer only").shut_by == {"format": 1.0}
    assert result.cell("de", "wrong number").shut_by == {}


def test_an_unscored_faithful_response_leaves_every_comparison_of_its_group() -> None:
    def no_first(text: str, request: ScoreRequest) -> Score | Unscored:
        is_first = text == SOLUTIONS_DE[0].solution
        return Unscored(reason="broken") if is_first else lenient(text, request)

    found = measured(no_first)
    (language,) = found.languages
    assert (language.num_items, language.num_unscored) == (4, 1)
    cell = found.cell("de", "wrong number")
    assert (cell.num_groups, cell.num_unscored) == (3, 1)


def test_gates_on_faithful_text_count_rejections_also_when_they_are_off() -> None:
    def strict(text: str, request: ScoreRequest) -> Score | Unscored:
        is_rejected = text == SOLUTIONS_DE[1].solution
        gates = {"format": not is_rejected}
        parts = {"answer": 1.0, "language": 0.0 if is_rejected else 1.0}  # a gate that is off is recorded as a part
        return Score(reward=0.5, parts=parts, gates=gates, answer="1")

    found = measured(strict)
    cells = {cell.gate: (cell.num_rejected, cell.num_texts) for cell in found.gates}
    assert cells == {"format": (1, 4), "language": (1, 4)}
    assert {cell.gate for cell in found.missed_gates()} == {"format", "language"}
    assert "language" not in found.languages[0].mean_parts


def test_questions_are_read_by_the_language_gate_alone() -> None:
    def judge(text: str, request: ScoreRequest) -> Score | Unscored:
        return scored(0.0, gates={"language": "Wie" in text, "format": False})

    questions = (
        Question(language="de", question="Wie viele?", question_en="How many?"),
        Question(language="de", question="How many?", question_en="How many?"),
    )
    cells = {(cell.gate, cell.texts): cell for cell in measured(judge, questions=questions).gates}
    assert cells["language", QUESTIONS].rejection_rate == 0.5
    assert ("format", QUESTIONS) not in cells
    assert cells["format", SOLUTIONS].rejection_rate == 1.0


def test_language_numbers_by_hand() -> None:
    def judge(text: str, request: ScoreRequest) -> Score | Unscored:
        """Score faithful texts 0.8 and 1.0 in turn, everything else 0."""
        turn = list(FAITHFUL_TO).index(request.reference) % 2
        return scored((0.8, 1.0)[turn] if text == FAITHFUL_TO[request.reference] else 0.0)

    (cell,) = measured(judge).languages
    assert cell.mean_reward == pytest.approx(0.9)
    assert cell.std_reward == pytest.approx(0.1)
    num = len(plan_audit(SOLUTIONS_DE, (), seed=1).groups[0].names)
    # One reward r among n - 1 zeros: mean r/n, variance r^2/n - r^2/n^2; 0.9 is the mean of 0.8 and 1.0.
    assert cell.group_spread == pytest.approx(0.9 * ((num - 1) / num**2) ** 0.5)
    assert cell.ms_per_sample == pytest.approx(1000 / (4 * num))  # one tick of the clock


def test_rank_correlation_is_spearmans() -> None:
    assert rank_correlation([0, 1, 2], [0.9, 0.5, 0.1]) == pytest.approx(-1.0)
    # Ranks of y: 4, 2.5, 2.5, 1 against 1, 2, 3, 4: covariance -4.5, variances 5 and 4.5.
    assert rank_correlation([0, 1, 2, 3], [0.9, 0.5, 0.5, 0.1]) == pytest.approx(-4.5 / (5 * 4.5) ** 0.5)
    assert rank_correlation([0, 1, 2], [0.5, 0.5, 0.5]) == 0.0


def test_the_reward_falls_with_every_corrupted_number() -> None:
    def judge(text: str, request: ScoreRequest) -> Score | Unscored:
        num_wrong = sum(a != b for a, b in zip(text, FAITHFUL_TO[request.reference], strict=False))
        return scored(1 / (1 + num_wrong), numbers=0.5)

    (cell,) = measured(judge).languages
    assert cell.num_series == 4
    assert cell.rank_correlation == {"reward": pytest.approx(-1.0), "answer": 0.0, "numbers": 0.0}


def test_the_worst_cases_come_first_once_a_cheat(result: AuditResult) -> None:
    first, second = result.cases[:2]
    assert (first.cheat, first.margin) == ("english", pytest.approx(-0.1))
    assert (second.cheat, second.margin) == ("question copied", pytest.approx(0.0))
    assert first.faithful.text in FAITHFUL_TO.values()
    assert len({case.cheat for case in result.cases}) == len(result.cases)


def test_progress_counts_every_request_and_not_all_are_asked_at_once() -> None:
    many = [solution(str(index), 10 + index) for index in range(40)]
    plan, judge, done = plan_audit(many, (), seed=1), Judge(lambda text, request: scored(0.5)), []
    asyncio.run(audit(judge, plan, measured_on={}, on_progress=done.append))
    assert done == list(range(1, plan.num_requests + 1))
    assert 1 < judge.most_at_once <= 16


def test_a_scorer_that_breaks_ends_the_audit() -> None:
    def broken(text: str, request: ScoreRequest) -> Score | Unscored:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        measured(broken)


def test_an_empty_plan_compares_nothing() -> None:
    plan = AuditPlan(groups=(), series=(), questions=())
    found = asyncio.run(audit(Judge(lenient), plan, measured_on={}))
    assert found.codes == ()
    assert (found.lowest_win_rate, found.mean_win_rate, found.largest_difference) == (None, None, None)
