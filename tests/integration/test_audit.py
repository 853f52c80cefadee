"""Run `audit` as a person does: real scorer actors on a tiny encoder, from a config to a report."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from driver.audit.cheats import CHEATS
from driver.audit.outputs.result import OUTPUTS_FILE, read_outputs_audit
from driver.audit.result import AUDIT_FILE, AuditResult, read_audit
from tests.commands import Finished, run_project, run_with_config
from tests.integration.conftest import TinyModels

# A tiny encoder has learned nothing, so nothing can be calibrated with it.
CONFIG = """
[run]
folder = "{runs}"
[policy]
model = "{policy}"
[pivot]
model = "{policy}"
[scorer]
model = "{encoder}"
text_prefix = ""
num_cpus = 0.2
[reward.reasoning]
calibration = "off"
low = -1.0
high = 1.0
[algorithm]
steps = 1
[audit]
num_items = 2
languages = ["de", "th"]
"""


@dataclass(frozen=True, kw_only=True)
class Audited:
    folder: Path
    command: Finished

    @property
    def result(self) -> AuditResult:
        return read_audit(self.folder / AUDIT_FILE)


def audited(name: str, *words: str, models: TinyModels, environment: dict[str, str], folder: Path) -> Audited:
    config = CONFIG.format(runs=folder / "runs", policy=models.policy, encoder=models.encoder)
    command = run_with_config(
        "audit", config, f"run.name={name}", *words, "--json", folder=folder, environment=environment
    )
    return Audited(folder=folder / "runs" / name, command=command)


@pytest.fixture(scope="module")
def whole(tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Audited:
    folder = tmp_path_factory.mktemp("audit")
    found = audited("whole", "scorer.num_workers=2", models=tiny_models, environment=environment, folder=folder)
    assert found.command.code == 0, found.command.stderr
    return found


def test_every_language_and_cheat_is_measured_and_nothing_is_left_behind(whole: Audited) -> None:
    result = whole.result
    assert result.codes == ("de", "th")
    assert result.cheat_names == tuple(cheat.name for cheat in CHEATS)
    assert all(cell.num_groups + cell.num_left_out == 2 for cell in result.cheats)
    assert all(cell.num_unscored == 0 for cell in result.languages)
    assert all(cell.ms_per_sample > 0 for cell in result.languages)
    assert whole.command.left_behind == ()


def test_exact_checks_win_with_any_encoder(whole: Audited) -> None:
    for cheat in ("wrong answer", "english", "truncated", "bare number", "two answers"):
        assert [whole.result.cell(code, cheat).win_rate for code in ("de", "th")] == [1.0, 1.0]


def test_the_summary_is_one_json_object_and_the_report_shows_the_audit(whole: Audited) -> None:
    summary = whole.command.summary
    assert summary["run_folder"] == str(whole.folder)
    assert summary["lowest_win_rate"] == whole.result.lowest_win_rate
    assert summary["languages"]["th"]["win_rates"]["english"] == 1.0
    assert json.loads((whole.folder / "summary.json").read_text(encoding="utf-8")) == summary
    report = Path(summary["report"]).read_text(encoding="utf-8")
    assert "Faithful text against every way to cheat" in report
    assert "question copied" in report


def test_the_report_can_be_written_again(whole: Audited, environment: dict[str, str]) -> None:
    before = (whole.folder / "report.html").read_bytes()
    assert run_project("report", str(whole.folder), cwd=whole.folder, environment=environment).code == 0
    assert (whole.folder / "report.html").read_bytes() == before


def test_an_ablation_finds_what_each_part_and_gate_does(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    """All gates are off but one, so the ablation can switch off that gate and the parts."""
    gates = ("language", "answer_language", "format", "empty", "repetition", "copying", "length")
    off = [f"reward.gates.{gate}=false" for gate in gates]
    weights = ("reward.weights.reasoning=0.4", "reward.weights.numbers=0")
    words = ("audit.ablation=true", "audit.languages=de", *weights, *off)
    found = audited("ablation", *words, models=tiny_models, environment=environment, folder=tmp_path)
    assert found.command.code == 0, found.command.stderr
    lacking = {one.switched_off: one for one in found.result.contributions}
    assert set(lacking) == {"gate truncation", "part answer", "part reasoning"}
    assert found.result.by_cheat["wrong answer"] == 1.0
    assert lacking["part answer"].by_cheat["wrong answer"] < 1.0


def test_the_outputs_of_a_model_are_audited(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    row = {
        "language": "de",
        "question": "Wie viele Äpfel sind es?",
        "question_en": "How many apples are there?",
        "reference": "There are 4 + 1 = 5 apples.\nThe answer is 5.",
        "gold": "5",
    }
    right = {"response": "Es sind 4 + 1 = 5 Äpfel.\nDie Antwort lautet 5.", "in_language": "in"}
    english = {"response": "There are 4 + 1 = 5 apples.\nThe answer is 5.", "in_language": "other"}
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps(row | found) + "\n" for found in (right, english)), encoding="utf-8")
    words = (f"audit.outputs={path}",)
    found = audited("outputs", *words, models=tiny_models, environment=environment, folder=tmp_path)
    assert found.command.code == 0, found.command.stderr
    (cell,) = read_outputs_audit(found.folder / OUTPUTS_FILE).cells
    assert (cell.num_faithful, cell.num_rejected, cell.extraction_rate) == (1, 0, 1.0)
    assert (cell.num_elsewhere, cell.num_accepted) == (1, 0)
    assert (found.folder / "report.html").exists()


def test_bad_input_is_one_line_and_starts_nothing(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    words = ("audit.source=nothing.json",)
    found = audited("mistake", *words, models=tiny_models, environment=environment, folder=tmp_path)
    assert found.command.code == 2
    line = found.command.errors[-1]
    assert line.startswith("error: ") and "nothing.json" in line
    assert not found.folder.exists()
