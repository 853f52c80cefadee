"""Write the folders of runs by hand, so that report.html is seen at its extremes: eleven languages, nothing right, all
right, words that never end, a run that failed, one that learned nothing, an evaluation of two models, an audit."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from driver.audit.cheats import CHEATS
from driver.audit.result import SOLUTIONS, AuditResult, Case, CheatCell, GateCell, LanguageCell, Response, write_audit
from driver.evaluation.judging import JudgedRow, write_rows
from driver.evaluation.record import ModelResult, slug_of, write_record
from driver.evaluation.results import EVALUATIONS, RESPONSES, EvaluationResult, TextResult, record_evaluation
from driver.evaluation.summarise import summarise_task
from driver.tracking.line_logs import Event, EventLog, MetricsLog
from driver.tracking.samples_file import SamplesLog
from tests.builders import a_judged_row, a_problem, a_rollout, a_score, a_scored_group

LANGUAGES = ("en", "de", "fr", "es", "ru", "zh", "ja", "th", "sw", "bn", "te", "ar")
NUM_ITEMS = 40
ENDLESS = "x" * 400
TEXTS = {
    "ar": "لدى روجر 5 كرات تنس ويشتري 6 كرات أخرى. الجواب هو 11.",
    "th": "โรเจอร์มีลูกเทนนิส 5 ลูก ซื้อเพิ่มอีก 6 ลูก คำตอบคือ 11",
    "zh": "罗杰有5个网球，又买了6个网球。答案是11。",
}
CONFIG = """[data]
languages = ["de", "sw"]

[policy]
model = "some-org/a-model-with-quite-a-long-name-that-has-no-blank-in-it-and-goes-on-and-on-until-it-is-cut"

[algorithm]
steps = 6
"""


def rows(num_right: Mapping[str, int], *, task: str) -> list[JudgedRow]:
    """Return NUM_ITEMS responses in each language, of which the first ones are right."""
    return [
        replace(
            a_judged_row(
                str(item), code, is_correct=item < num, task=task, is_in_language=item % 7 > 0 or code == "en"
            ),
            question=TEXTS.get(code, f"Question {item}? {ENDLESS}"),
            response=TEXTS.get(code, f"An answer.\n{ENDLESS}"),
        )
        for code, num in num_right.items()
        for item in range(NUM_ITEMS)
    ]


def a_result(found: Sequence[JudgedRow], **settings: str) -> EvaluationResult:
    """Return the numbers of one task."""
    measured_on = {"task": found[0].task, "skill": "arithmetic", "levels": "{}", "prompts": ENDLESS[:64], **settings}
    return summarise_task(found, trained=("de", "sw"), weights={}, measured_on=measured_on)


def _finished(folder: Path, status: str) -> Path:
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps({"status": status, "run_folder": ENDLESS}), encoding="utf-8")
    return folder


def a_training_run(folder: Path, *, status: str = "finished") -> Path:
    """Write a run of six steps in which some languages rise, some fall, and some have nothing or everything right."""
    (folder / RESPONSES).mkdir(parents=True)
    ends = {"en": (30, 31), "de": (4, 24), "fr": (40, 40), "es": (0, 0), "ru": (20, 4)}
    for place, moment in enumerate(("before", "step-2", "step-4", "after")):
        share = place / 3
        num_right = {
            code: round(first + share * (last - first))
            for code in LANGUAGES
            for first, last in [ends.get(code, (10, 12))]
        }
        found = rows(num_right, task="mgsm-rev2")
        other = rows({"en": 20, "sw": 20}, task="xcopa")
        result = replace(a_result(found), more=(a_result(other, skill="commonsense"),))
        record_evaluation(folder / EVALUATIONS, moment, result)
        write_rows(folder / RESPONSES / f"{moment}.parquet", [*found, *other])
    metrics, samples = MetricsLog(folder / "metrics.jsonl"), SamplesLog(folder / "samples.parquet")
    for step in range(1, 7):
        metrics.append(step, _metrics(step))
        groups = [
            a_scored_group(
                a_problem("item", code, question=TEXTS.get(code, ENDLESS), answer="11"),
                [a_score(parts={"answer": 1.0}, gates={"language": step > 3, "format": True}, answer="11")],
                number=step,
                rollouts=[a_rollout(TEXTS.get(code, f"{ENDLESS} {step}"))],
            )
            for code in ("de", "ar")
        ]
        samples.append(step, groups, learned_by={})
    metrics.close()
    samples.merge()
    _events(folder, kind="group_dropped", reason="no_signal", detail=ENDLESS)
    return _finished(folder, status)


def _metrics(step: int) -> dict[str, float]:
    languages = {f"lang/{code}/accuracy": step / 10 for code in LANGUAGES[1:]}
    lengths = {f"lang/{code}/response_length": 40.0 + step for code in LANGUAGES[1:]}
    return {
        "reward/mean": 0.1 * step,
        "reward/answer/all": 0.05 * step,
        "gate/format/de": 1.0,
        "group/used": float(step),
        "group/dropped_no_signal": 7.0 - step,
        "response_length/mean": 40.0 + step,
        "policy/loss": 0.1 / step,
        "policy/mismatch_kl": 0.001,
        "timing_s/generate": 2.0 + step,
        "throughput/policy_tokens_per_s": 100.0 * step,
        **languages,
        **lengths,
    }


def _events(folder: Path, *, kind: str, reason: str, detail: str) -> None:
    events = EventLog(folder / "events.jsonl")
    events.append(Event(kind=kind, reason=reason, step=1, group_id="1/item/de", detail=detail))
    events.close()


def a_failed_run(folder: Path) -> Path:
    """Write a run that failed after some steps, with a long reason."""
    _events(a_training_run(folder), kind="run_failed", reason=f"RunFailed: {ENDLESS}", detail="")
    return _finished(folder, f"failed: the policy's workers died; logs/{ENDLESS}")


def a_run_that_learned_nothing(folder: Path) -> Path:
    """Write a run whose references were all cut off."""
    folder.mkdir(parents=True)
    metrics = MetricsLog(folder / "metrics.jsonl")
    for step in (1, 2, 3):
        lost = {"group/dropped_unscored": 6.0, "response/unscored": 24.0, "response/unscored_reference_truncated": 24.0}
        metrics.append(step, {"group/used": 0.0, "lang/all/truncated": 0.1, **lost})
    metrics.close()
    return _finished(folder, "finished")


def an_evaluation(folder: Path) -> Path:
    """Write what `evaluate` leaves of two models on two tasks and on plain texts."""
    (folder / RESPONSES).mkdir(parents=True)
    texts = EvaluationResult(
        languages=(),
        measured_on={"task": "builtin-texts"},
        texts=(TextResult(language="de", num_texts=3, num_tokens=99, perplexity=7.5, bits_per_byte=0.9),),
    )
    done = {}
    for name, num in (("some-org/first", 10), (f"some-org/{ENDLESS[:80]}", 18)):
        found = rows({**dict.fromkeys(LANGUAGES, num), "es": 0, "fr": NUM_ITEMS}, task="mgsm-rev2")
        other = rows({"en": 20, "sw": 20, "zh": 22}, task="xcopa")
        result = replace(a_result(found), more=(a_result(other, skill="commonsense"), texts))
        write_rows(folder / RESPONSES / f"{slug_of(name)}.parquet", [*found, *other])
        done[name] = ModelResult(name=name, digest="d", result=result)
    write_record(folder, done)
    return _finished(folder, "")


def an_audit(folder: Path) -> Path:
    """Write an audit of all cheats in all languages."""
    folder.mkdir(parents=True)
    cheats = tuple(
        CheatCell(
            language=code,
            cheat=cheat.name,
            num_groups=50,
            num_won=50 - (place + number) % 50,
            num_left_out=0,
            num_unscored=0,
            mean_reward=0.2,
            mean_parts={"answer": 1.0},
            shut_by={"format": 0.5},
        )
        for place, code in enumerate(LANGUAGES)
        for number, cheat in enumerate(CHEATS)
    )
    languages = tuple(
        LanguageCell(
            language=code,
            num_items=50,
            num_unscored=0,
            mean_reward=0.9,
            std_reward=0.1,
            mean_parts={"answer": 1.0, "numbers": 0.9},
            std_parts={"answer": 0.0, "numbers": 0.1},
            group_spread=0.3,
            rank_correlation={"reward": -0.7},
            num_series=40,
            ms_per_sample=4.0,
        )
        for code in LANGUAGES
    )
    response = Response(text=ENDLESS, reward=0.8, parts={"answer": 1.0}, shut=("format",))
    write_audit(
        folder,
        AuditResult(
            cheats=cheats,
            gates=tuple(
                GateCell(language=code, gate="format", texts=SOLUTIONS, num_texts=50, num_rejected=2)
                for code in LANGUAGES
            ),
            languages=languages,
            cases=(
                Case(
                    language="ar",
                    cheat=CHEATS[0].name,
                    item_id="item",
                    question=TEXTS["ar"],
                    faithful=response,
                    cheating=response,
                ),
            ),
            num_samples=600,
            seconds=10.0,
            measured_on={"source": ENDLESS},
            unscored={},
        ),
    )
    return _finished(folder, "")
