"""Test the file, the tables, the page and the ablation of an audit."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from contracts.config.reward import CalibratedReasoning
from contracts.config.run import Config
from driver.audit.ablation import contribution, earning_more, held_back, variants
from driver.audit.result import (
    AUDIT_FILE,
    QUESTIONS,
    SOLUTIONS,
    AuditResult,
    Case,
    CheatCell,
    Contribution,
    GateCell,
    LanguageCell,
    Response,
    read_audit,
    write_audit,
)
from driver.audit.table import as_tables, earning_more_text, gates_line, headline, held_back_text
from driver.report.write import write_report
from tests.builders import a_config
from tests.refusals import raised

HOSTILE = "<script>alert(1)</script>"


def cheat(language: str, name: str, won: int, *, of: int = 200) -> CheatCell:
    return CheatCell(
        language=language,
        cheat=name,
        num_groups=of,
        num_won=won,
        num_left_out=0,
        num_unscored=1,
        mean_reward=0.25 if of else None,
        mean_parts={"answer": 1.0, "numbers": 0.5} if of else {},
        shut_by={"format": 0.5} if of else {},
    )


def language(code: str, reward: float) -> LanguageCell:
    return LanguageCell(
        language=code,
        num_items=200,
        num_unscored=1,
        mean_reward=reward,
        std_reward=0.01,
        mean_parts={"answer": 1.0, "numbers": 0.9},
        std_parts={"answer": 0.0, "numbers": 0.1},
        group_spread=0.3,
        rank_correlation={"reward": -0.75},
        num_series=190,
        ms_per_sample=4.5,
    )


CASE = Case(
    language="de",
    cheat="question copied",
    item_id="a",
    question=f"Wie viele? {HOSTILE}",
    faithful=Response(text="Es sind 5.", reward=0.8, parts={"answer": 1.0}, shut=()),
    cheating=Response(text=HOSTILE, reward=0.9, parts={"answer": 1.0}, shut=("format",)),
)


@pytest.fixture
def result() -> AuditResult:
    """198 of 200 is 99%, and just enough; an English answer to an English question is no cheat."""
    return AuditResult(
        cheats=(
            cheat("en", "question copied", 198),
            cheat("en", "english", 0, of=0),
            cheat("de", "question copied", 150),
            cheat("de", "english", 200),
        ),
        gates=(GateCell(language="de", gate="format", texts=SOLUTIONS, num_texts=200, num_rejected=0),),
        languages=(language("en", 0.95), language("de", 0.92)),
        cases=(CASE,),
        num_samples=1234,
        seconds=60.0,
        measured_on={"source": "builtin"},
        unscored={"the scorer died": 7},
    )


# --- file, tables, report ---------------------------------------------------------------------------------------------


def test_the_file_gives_the_result_back_and_another_version_is_refused(result: AuditResult, tmp_path: Path) -> None:
    whole = replace(result, contributions=(contribution("gate format", result),))
    path = write_audit(tmp_path, whole)
    assert path.name == AUDIT_FILE
    assert read_audit(path) == whole
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["cheats"][0]["win_rate"] == 0.99
    path.write_text(json.dumps(record | {"version": 99}), encoding="utf-8")
    with raised(ValueError, " 99,", " 1;"):
        read_audit(path)


def test_the_tables_mark_what_is_missed_and_the_verdict_counts_it(result: AuditResult) -> None:
    console = Console(width=120, file=StringIO(), record=True)
    for shown in as_tables(result):
        console.print(shown)
    rows = [line.split() for line in console.export_text(clear=False).splitlines()]
    assert ["question", "copied", "99.0", "!75.0"] in rows
    assert ["english", "\N{EN DASH}", "100"] in rows
    assert headline(result) == (
        "Verdict: faithful text wins at least 99% in 2 of 3 cells (lowest 75.0%: question copied, de); no gate rejects "
        "over 1% of it; its mean reward differs by 0.030 between languages, more than 0.02."
    )
    assert gates_line(result) == "No gate rejects any faithful text."
    assert "Responses that were not scored, of 1234: the scorer died: 7." in console.export_text(clear=False)


def test_numbers_over_the_cells_by_hand(result: AuditResult) -> None:
    assert result.lowest_win_rate == 0.75
    assert result.mean_win_rate == pytest.approx((0.99 + 0.75 + 1) / 3)
    assert result.by_cheat == {"question copied": pytest.approx(0.87), "english": 1.0}
    assert result.largest_difference == pytest.approx(0.03)
    assert [(cell.language, cell.cheat) for cell in result.missed_cheats()] == [("de", "question copied")]


def test_a_gate_that_rejects_is_named_with_its_language(result: AuditResult) -> None:
    strict = GateCell(language="te", gate="language", texts=QUESTIONS, num_texts=250, num_rejected=3)
    fair = GateCell(language="de", gate="length", texts=SOLUTIONS, num_texts=250, num_rejected=1)
    found = replace(result, gates=(strict, fair))
    assert gates_line(found) == (
        "Gates that reject faithful text: language on questions te 3 of 250; length de 1 of 250."
    )
    assert found.missed_gates() == [strict]
    assert "gates reject over 1% of it in 1 places" in headline(found)


def test_nothing_scored_is_said_as_such(result: AuditResult) -> None:
    found = replace(result, cheats=(cheat("de", "english", 0, of=0),), gates=())
    assert gates_line(found) == "No gate was measured on any faithful text."
    assert headline(found).startswith("Nothing could be compared")


def test_the_report_of_an_audits_folder_shows_it_and_escapes_what_data_wrote(
    result: AuditResult, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('[scorer]\nmodel = "encoder"\n', encoding="utf-8")
    write_audit(tmp_path, replace(result, contributions=(contribution("gate format", result),)))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    for wanted in (
        "<svg",
        "question copied",
        "gate format",
        "run.py audit",
        "Verdict",
        "Worst cases",
        "imitates",
        "99.0",
    ):
        assert wanted.lower() in page.lower()
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert "<image" not in page
    assert "Nothing was evaluated" not in page


def test_a_damaged_audit_is_named_in_the_report(tmp_path: Path) -> None:
    (tmp_path / AUDIT_FILE).write_text('{"version": 1}', encoding="utf-8")
    assert "audit.json could not be read: KeyError" in write_report(tmp_path).read_text(encoding="utf-8")


# --- ablation ---------------------------------------------------------------------------------------------------------


def config(**reward: object) -> Config:
    return a_config(reward=reward)


def test_every_gate_part_and_the_calibration_is_switched_off_once() -> None:
    found = {variant.switched_off: variant.config.reward for variant in variants(config())}
    gates = ("language", "answer_language", "format", "truncation", "empty", "repetition", "copying", "length")
    parts = ("part answer", "part reasoning", "part numbers")
    assert tuple(found) == (*(f"gate {gate}" for gate in gates), *parts, "calibration")
    assert [getattr(found["gate copying"].gates, gate) for gate in gates] == [gate != "copying" for gate in gates]
    reasoning = found["calibration"].reasoning
    assert isinstance(reasoning, CalibratedReasoning) and not reasoning.is_calibrated


def test_a_parts_weight_goes_to_the_others_in_their_proportions() -> None:
    found = {variant.switched_off: variant.config.reward.weights for variant in variants(config())}
    moved = found["part numbers"]  # 0.6 and 0.08 of 0.68
    assert (moved.answer, moved.reasoning, moved.numbers) == (pytest.approx(0.6 / 0.68), pytest.approx(0.08 / 0.68), 0)
    assert moved.answer + moved.reasoning == pytest.approx(1)


def test_what_is_off_already_is_not_switched_off_and_a_lone_part_stays() -> None:
    lone = config(
        weights={"answer": 1, "reasoning": 0, "numbers": 0},
        gates={"language": False},
        reasoning={"calibration": "off"},
    )
    names = [variant.switched_off for variant in variants(lone)]
    assert "gate language" not in names
    assert all(name.startswith("gate ") for name in names)


def test_a_schedule_lacks_the_part_at_every_step() -> None:
    points = [
        {"step": 0, "answer": 0.8, "reasoning": 0.2, "numbers": 0},
        {"step": 9, "answer": 0.5, "reasoning": 0.25, "numbers": 0.25},
    ]
    found = {variant.switched_off: variant.config.reward.schedule for variant in variants(config(schedule=points))}
    assert [(point.step, point.reasoning) for point in found["part reasoning"]] == [(0, 0), (9, 0)]
    assert [point.answer for point in found["part reasoning"]] == pytest.approx([1, 2 / 3])


def test_held_back_cheats_are_those_that_win_noticeably_more_often(result: AuditResult) -> None:
    lacking = Contribution(
        switched_off="gate format",
        lowest_win_rate=0.0,
        mean_win_rate=0.5,
        largest_difference=0.0,
        by_cheat={"question copied": 0.865, "english": 0.25, "unknown": 0.0},
        cheat_rewards={"question copied": 0.75, "english": 0.26, "unknown": 1.0},
    )
    assert held_back(result, lacking) == {"english": 0.75}
    assert earning_more(result, lacking) == {"question copied": 0.5}
    assert held_back_text(result, lacking) == "english -75.0"
    assert earning_more_text(result, lacking) == "question copied +0.50"
    assert earning_more_text(result, contribution("nothing", result)) == "none"
