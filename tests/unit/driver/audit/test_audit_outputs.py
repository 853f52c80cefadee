"""Test the audit of real outputs: what is read, and numbers on scores that are known beforehand."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.config.load import load_config
from contracts.rollouts import Score, ScoreRequest, Unscored
from driver.audit.outputs.measure import count_outputs, judge_outputs, write_scores
from driver.audit.outputs.read import MOST_IN_A_REQUEST, Output, read_outputs, requests_of
from driver.audit.outputs.result import OutputAudit, read_outputs_audit, write_outputs_audit
from driver.audit.outputs.table import as_tables, verdict_lines
from driver.report.write import write_report
from rewards.compose import Combination
from tests.builders import a_config
from tests.refusals import refused

REFERENCE = "There are 4 + 1 = 5 apples.\nThe answer is 5."
ROW = {
    "language": "de",
    "question": "Wie viele Äpfel sind es?",
    "question_en": "How many apples are there?",
    "reference": REFERENCE,
    "response": "Es sind 4 + 1 = 5 Äpfel.\nDie Antwort lautet 5.",
}


def written(folder: Path, *rows: Mapping[str, object]) -> Path:
    path = folder / "outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def an_output(response: str, **columns: object) -> Output:
    return Output.model_validate({**ROW, "response": response, **columns})


def test_the_five_columns_are_enough_and_others_are_ignored(tmp_path: Path) -> None:
    (output,) = read_outputs(written(tmp_path, {**ROW, "detected": "de:99", "gold": None}))
    assert (output.source, output.right, output.is_faithful, output.answer) == ("outputs", None, False, "5")


def test_numbers_are_taken_for_item_and_gold(tmp_path: Path) -> None:
    (output,) = read_outputs(written(tmp_path, {**ROW, "item": 3, "gold": 5}))
    assert (output.item, output.gold, output.right, output.is_faithful) == ("3", "5", True, True)


def test_without_a_label_gold_says_what_is_right() -> None:
    assert an_output("Also sind es 5.", gold="5").right
    assert an_output("Also sind es 6.", gold="5").right is False
    assert an_output("Also sind es 6.", gold="5", is_right=True).right


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"question_en": None}, "question_en"),
        ({"response": 5}, "response"),
        ({"reference": " "}, "reference"),
        ({"question": "\ud800"}, "question"),
        ({"language": "xx"}, "language"),
        ({"in_language": "yes"}, "in_language"),
        ({"is_right": "true"}, "is_right"),
    ],
)
def test_a_wrong_column_is_named_with_its_row(tmp_path: Path, change: dict[str, object], key: str) -> None:
    path = written(tmp_path, ROW, {**ROW, **change})
    with refused(key):
        read_outputs(path)


def test_a_missing_column_an_empty_file_and_absent_languages_are_refused(tmp_path: Path) -> None:
    with refused("response"):
        read_outputs(written(tmp_path, {name: value for name, value in ROW.items() if name != "response"}))
    with refused("audit.outputs"):
        read_outputs(written(tmp_path))
    with refused("audit.languages"):
        read_outputs(written(tmp_path, ROW), languages=["sw"])


def test_thinking_is_taken_out_of_a_response_and_reaches_the_scorer(tmp_path: Path) -> None:
    thinking = {**ROW, "response": "<think>Hm, 9.</think>\n" + ROW["response"]}
    apart = {**ROW, "thinking": "Hm.", "response": "Es sind </think> 5."}
    outputs = read_outputs(written(tmp_path, thinking, apart), markers=(("<think>", "</think>"),))
    ((_, request),) = requests_of(outputs)
    assert request.thinking == ("Hm, 9.", "Hm.")
    assert request.responses == (ROW["response"], "Es sind </think> 5.")


def test_outputs_and_an_ablation_exclude_each_other() -> None:
    with refused("audit.ablation"):
        load_config(
            Path(__file__).parents[4] / "configs" / "audit.toml",
            ["audit.outputs=a.jsonl", "audit.ablation=true"],
            needs=("scorer",),
        )


def test_responses_to_one_question_are_scored_together_and_in_bounded_requests() -> None:
    many = [an_output(str(number)) for number in range(MOST_IN_A_REQUEST + 1)]
    other = an_output("5", reference="The answer is 5.")
    found = requests_of([many[0], other, *many[1:]])
    assert [len(group) for group, _ in found] == [MOST_IN_A_REQUEST, 1, 1]
    assert [request.responses[0] for _, request in found] == ["0", str(MOST_IN_A_REQUEST), "5"]


@dataclass
class Judge:
    """Score each response by its text."""

    judge: Callable[[str], Score | Unscored]

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        await asyncio.sleep(0)
        return tuple(self.judge(text) for text in request.responses)

    async def take_stats(self) -> dict[str, float]:
        return {}


def judged(text: str) -> Score | Unscored:
    """Texts say what they get: "5 open .2" has the pivot's answer, open gates and 0.2 for numbers."""
    if text == "unscored":
        return Unscored(reason="no reference")
    answer, gate, numbers = text.split()
    parts = {"answer": float(answer == "5"), "reasoning": 0.5, "numbers": float(numbers)}
    gates = {"language": gate != "language", "format": gate != "format"}
    reward = (0.6 * parts["answer"] + 0.2 * parts["numbers"]) if all(gates.values()) else 0.0
    return Score(reward=reward, parts=parts, gates=gates, answer=answer)


OUTPUTS = [
    an_output("5 open .9", item="a", is_right=True, in_language="in", gold="5"),
    an_output("5 format .9", item="a", is_right=True, in_language="in", gold="5"),
    an_output("5 open .1", item="a", is_right=False, in_language="in", gold="7"),
    an_output("6 open .9", item="a", is_right=False, in_language="other", gold="5"),
    an_output("6 language .9", item="b", is_right=False, in_language="other", gold="5"),
    an_output("unscored", item="b", is_right=True, in_language="in", gold="5"),
    an_output("5 open .5", item="b", source="other", is_right=True, in_language="mixed", gold="5"),
]


def measured(outputs: list[Output], judge: Callable[[str], Score | Unscored] = judged) -> OutputAudit:
    found = asyncio.run(judge_outputs(Judge(judge), outputs))
    return count_outputs(found, combination=Combination(a_config().reward), measured_on={"encoder": "e"})


def test_everything_is_counted_by_source_and_language() -> None:
    audit = measured(OUTPUTS)
    assert (audit.sources, audit.codes, audit.gates) == (("outputs", "other"), ("de",), ("language", "format"))
    cell = audit.cell("outputs", "de")
    assert cell is not None
    assert (cell.num_outputs, cell.num_scored, dict(cell.unscored)) == (6, 5, {"no reference": 1})
    assert (cell.num_faithful, cell.num_rejected, dict(cell.rejected)) == (2, 1, {"format": 1})
    assert (cell.rejection_rate, cell.rejection_rate_of("language")) == (0.5, 0.0)
    assert (cell.shut_rate, dict(cell.shut)) == (0.4, {"format": 1, "language": 1})
    assert (cell.num_elsewhere, cell.num_accepted, cell.acceptance_rate) == (2, 1, 0.5)
    assert (cell.num_wrong, cell.num_wrong_paid) == (3, 1)
    assert cell.mean_reward == pytest.approx((0.78 + 0 + 0.62 + 0.18 + 0) / 5)
    other = audit.cell("other", "de")
    assert other is not None
    assert (other.num_faithful, other.rejection_rate, other.acceptance_rate) == (0, None, None)


def test_extraction_compares_the_declared_answer_with_gold_even_where_nothing_is_scored() -> None:
    closing = "Es sind 5.\nDie Antwort lautet 5."
    outputs = [
        an_output(closing, is_right=True, gold="5"),
        an_output("Es sind 5.", is_right=True, gold="5"),
        an_output(closing, is_right=False, gold="6"),
    ]
    audit = measured(outputs, lambda text: Unscored(reason="no reference"))
    (cell,) = audit.cells
    assert (cell.num_with_gold, cell.num_extracted, cell.extraction_rate) == (2, 1, 0.5)
    assert cell.num_undeclared == 1
    assert [example.mistake for example in audit.examples] == ["answer not extracted"]


def test_ranks_compare_right_and_wrong_outputs_to_the_same_question() -> None:
    """Item a: rewards .78 and 0 are right, .62 is wrong, and .18 is in another language. Item b has no pair."""
    audit = measured(OUTPUTS)
    assert audit.auc("reward", outputs="all", source="outputs") == {"de": 1 / 2}
    assert audit.auc("reward", outputs="open", source="outputs") == {"de": 1.0}
    assert audit.auc("answer", outputs="all", source="outputs") == {"de": 0.5}
    assert audit.auc("numbers", outputs="all", source="outputs") == {"de": 1.0}
    assert audit.auc("reward", outputs="all", source="other") == {}


def test_outputs_of_two_sources_to_one_question_are_compared_too() -> None:
    right = an_output("5 open .9", item="a", source="one", is_right=True, gold="5")
    wrong = an_output("6 open .9", item="a", source="two", is_right=False, gold="5")
    audit = measured([right, wrong])
    assert audit.auc("reward", outputs="all") == {"de": 1.0}
    assert audit.auc("reward", outputs="all", source="one") == audit.auc("reward", outputs="all", source="two") == {}


def test_examples_say_what_went_wrong() -> None:
    found = {(example.mistake, example.response) for example in measured(OUTPUTS).examples}
    assert ("rejected by format", "5 format .9") in found
    assert ("another language accepted", "6 open .9") in found
    assert ("wrong answer paid", "5 open .1") in found
    assert not any(mistake == "rejected by language" for mistake, _ in found)


def test_without_labels_the_gates_are_counted_and_shown() -> None:
    audit = measured([an_output("5 open .9"), an_output("6 language .9")])
    (cell,) = audit.cells
    assert (cell.shut_rate, cell.rejection_rate, cell.extraction_rate, audit.ranks) == (0.5, None, None, ())
    assert [example.mistake for example in audit.examples] == ["shut by language, not labelled"]
    assert len(verdict_lines(audit)) == 2


@pytest.mark.parametrize("outputs", [OUTPUTS, [an_output("5 open .9"), an_output("6 language .9")]])
def test_the_result_survives_its_file_and_is_shown_in_table_and_report(tmp_path: Path, outputs: list[Output]) -> None:
    audit = measured(outputs)
    write_outputs_audit(tmp_path, audit)
    assert read_outputs_audit(tmp_path / "outputs_audit.json") == audit
    assert len(as_tables(audit)) >= 3
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "language" in page and "<svg" in page


def test_another_version_of_the_file_is_refused(tmp_path: Path) -> None:
    path = write_outputs_audit(tmp_path, measured(OUTPUTS))
    path.write_text(path.read_text(encoding="utf-8").replace('"version": 1', '"version": 0'), encoding="utf-8")
    with pytest.raises(ValueError):
        read_outputs_audit(path)


def test_the_score_of_every_output_is_written(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.jsonl", asyncio.run(judge_outputs(Judge(judged), OUTPUTS)))
    lines = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line.get("shut") for line in lines] == [[], ["format"], [], [], ["language"], None, []]
    assert (lines[0]["task"], lines[0]["is_right"], lines[0]["parts"]["numbers"]) == ("/de/a", True, 0.9)
    assert lines[5]["unscored"] == "no reference"
