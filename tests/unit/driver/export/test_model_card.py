"""Test the model card of an exported policy: it has the run's facts and nothing of this machine."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from contracts.config.run import Config
from driver.evaluation.results import EvaluationResult, record_evaluation
from driver.export.model_card import CardFacts, model_card, write_model_card
from driver.problems.prompts import Prompter
from driver.report.run_record import RunRecord
from driver.tracking.line_logs import MetricsLog, StepMetrics
from driver.tracking.run_folder import create
from languages.facts import LANGUAGES
from rewards.calibration import Calibration, LanguageScale, Spread
from tests.builders import a_config, a_language_result

BASE: dict[str, Mapping[str, object]] = {
    "data": {"languages": ["sw", "th"], "levels": [1, 2]},
    "policy": {"model": "some-org/policy-1b"},
    "pivot": {"model": "some-org/pivot-70b"},
    "scorer": {"model": "some-org/encoder"},
    "reward": {"reasoning": {"calibration": "off", "low": 0.7, "high": 0.9}},
    "algorithm": {"steps": 20, "groups_per_step": 6, "group_size": 4},
}


def config(**sections: Mapping[str, object]) -> Config:
    """A section that makes another choice than the least config replaces it, but for its languages and its size."""
    base = dict(BASE)
    if "source" in sections.get("data", {}):
        base["data"] = {"languages": ["sw", "th"]}
    if sections.get("algorithm", {}).get("name") == "sft":
        base["algorithm"] = {"steps": 20, "groups_per_step": 6}
    return a_config(base, sections)


def measured(**accuracies: float) -> EvaluationResult:
    """Return an evaluation of 100 items in each language, all of them in the language."""
    return EvaluationResult(languages=tuple(a_language_result(code, found) for code, found in accuracies.items()))


def steps(*rewards: float, skipped: float = 0.0) -> tuple[StepMetrics, ...]:
    return tuple(
        StepMetrics(
            step=number, time=0.0, metrics={"reward/mean": reward, "policy/loss": 0.1, "learner/skipped_steps": skipped}
        )
        for number, reward in enumerate(rewards, start=1)
    )


def facts(
    *,
    taken: tuple[StepMetrics, ...] = (),
    evaluations: Mapping[str, EvaluationResult] | None = None,
    calibration: Calibration | None = None,
    licence: Mapping[str, str] | None = None,
) -> CardFacts:
    record = RunRecord(
        name="run",
        config_text="",
        config={},
        steps=taken,
        evaluations=evaluations or {},
        samples=(),
        events=(),
        summary={},
        notes=(),
    )
    return CardFacts(
        record=record, problem_counts={"sw": 900, "th": 800}, calibration=calibration, licence=licence or {}
    )


def section(card: str, name: str) -> str:
    (found,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", card, re.DOTALL | re.MULTILINE)
    return found


def code_blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def test_metadata_is_what_the_hub_reads() -> None:
    data = ModelCard(model_card(config(), facts(licence={"license": "apache-2.0"}))).data.to_dict()
    assert data == {
        "base_model": "some-org/policy-1b",
        "language": ["sw", "th"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "tags": ["pb-rlsvr", "grpo", "multilingual", "reasoning", "arxiv:2509.25543"],
    }


def test_a_dataset_of_the_hub_is_named_in_the_metadata_and_a_local_one_is_not(tmp_path: Path) -> None:
    on_hub = model_card(config(data={"source": "huggingface", "path": "some-org/problems"}), facts())
    assert ModelCard(on_hub).data.to_dict()["datasets"] == ["some-org/problems"]
    local = model_card(config(data={"source": "huggingface", "path": str(tmp_path / "problems")}), facts())
    assert "datasets" not in ModelCard(local).data.to_dict()
    assert "the dataset `problems`" in section(local, "Data")


def test_no_path_of_this_machine_is_written(tmp_path: Path) -> None:
    local = {
        name: {"model": str(tmp_path / name / f"my-{name}")}
        for name in ("policy", "pivot", "scorer", "comet", "translator")
    }
    card = model_card(
        config(
            **local,
            critic={"model": str(tmp_path / "my-critic")},
            data={"source": "jsonl", "path": str(tmp_path / "train.jsonl"), "languages": ["sw"]},
            evaluation={"source": "mgsm", "path": str(tmp_path / "mgsm")},
            algorithm={"name": "ppo", "steps": 2},
            reward={
                "unparsed_answers": "comet",
                "reasoning": {"method": "translation", "calibration": str(tmp_path / "scale.json")},
                "custom": {"path": str(tmp_path / "mine.py"), "function": "mine"},
            },
        ),
        facts(evaluations={"after": measured(sw=0.5)}),
    )
    assert str(tmp_path) not in card
    for name in ("my-policy", "my-pivot", "my-scorer", "my-comet", "my-translator", "my-critic", "train.jsonl"):
        assert f"`{name}`" in card
    assert "`mine` of `mine.py`" in card
    assert "base_model" not in ModelCard(card).data.to_dict()


def test_a_change_is_called_clear_only_where_its_interval_leaves_zero_out() -> None:
    # 100 items each. Wilson: 40% is 30.9% to 49.8%, 50% is 40.4% to 59.6%, 60% is 50.2% to 69.1%.
    # 40% -> 60%: 20 points less sqrt(9.8^2 + 9.8^2) = 13.9. 40% -> 50%: 10 points less sqrt(9.6^2 + 9.8^2) = 13.7.
    both = {"before": measured(en=0.8, sw=0.4, th=0.4), "after": measured(en=0.8, sw=0.6, th=0.5)}
    results = section(model_card(config(), facts(evaluations=both)), "Results")
    assert "| Swahili | 100 | 40.0% | 60.0% | +20.0 | 100.0% | 100.0% | +0.0 |" in results
    assert "| Thai | 100 | 40.0% | 50.0% | +10.0 (not clear) | 100.0% | 100.0% | +0.0 |" in results
    assert "| English | 100 | 80.0% | 80.0% | +0.0 |" in results
    assert "40.0% before, 55.0% after (+15.0 points" in results
    assert "narrowed from 40.0 to 25.0 points" in results


def test_what_was_not_measured_is_said_and_not_invented() -> None:
    results = section(model_card(config(), facts()), "Results")
    assert results.strip() == "Accuracy was not measured in this run, neither before nor after training."
    only_before = model_card(config(), facts(evaluations={"before": measured(sw=0.4)}))
    assert "| Swahili | 100 | 40.0% | – | – | 100.0% | – | – |" in section(only_before, "Results")


def test_reward_trend_and_skipped_steps_are_those_of_the_run() -> None:
    card = model_card(config(), facts(taken=steps(0.1, 0.3, 0.2, 0.2, 0.5, 0.7, skipped=0.5)))
    assert "first third of the steps 0.200, over the last third 0.600" in section(card, "Results")
    assert "| steps | 6 of 20, of 6 problems with 4 responses each |" in section(card, "Training")
    assert "3 optimiser step(s) were skipped" in section(card, "Training")
    assert "skipped" not in model_card(config(), facts(taken=steps(0.1)))


def test_a_run_without_an_optimiser_step_says_that_the_weights_are_the_base_models() -> None:
    idle = (StepMetrics(step=1, time=0.0, metrics={"reward/mean": 0.4}),)
    assert "The weights are the base model's." in section(model_card(config(), facts(taken=idle)), "Training")
    assert "The weights are the base model's." not in model_card(config(), facts(taken=steps(0.1)))


def test_data_names_the_source_and_how_many_problems_each_language_has() -> None:
    data = section(model_card(config(), facts()), "Data")
    assert "word problems that the training program generates (split train, level 1, 2)" in data
    assert "the whole run draws 120 problems" in data
    assert "| Swahili | 900 |\n| Thai | 800 |" in data


def test_reward_tells_weights_gates_and_scale() -> None:
    reward = {"gates": {"length": False, "copying": False}, "reasoning": BASE["reward"]["reasoning"]}
    text = section(model_card(config(reward=reward), facts()), "Reward")
    assert "| answer | 0.6 |" in text
    assert "| custom |" not in text
    assert "Gates: language, answer_language, format, truncation, empty, repetition." in text
    assert "Switched off: copying, length." in text
    assert "cosine of embeddings by `some-org/encoder`" in text
    assert "linearly from [0.7, 0.9] to [0, 1]" in text


def test_a_schedule_of_weights_is_told_point_by_point() -> None:
    schedule = [
        {"step": 0, "answer": 0.5, "reasoning": 0.5, "numbers": 0.0},
        {"step": 9, "answer": 1.0, "reasoning": 0.0, "numbers": 0.0},
    ]
    text = section(model_card(config(reward={"schedule": schedule}), facts()), "Reward")
    assert "| component | from step 0 | from step 9 | meaning |" in text
    assert "| answer | 0.5 | 1 |" in text


@pytest.mark.parametrize(("baseline", "half"), [("language", "0.0125"), ("question", "0.0250")])
def test_calibration_is_told_with_the_values_in_use(baseline: str, half: str) -> None:
    spread = Spread(mean=0.9, sd=0.1, num=96)
    question = Spread(mean=0.85, sd=0.1, num=96)
    scale = LanguageScale(
        floor=0.85, half=0.0125, half_over_question=0.025, faithful=spread, question=question, unrelated=question
    )
    calibration = Calibration(similarity="embedding-abc", data="d", languages=dict.fromkeys(("en", "sw", "th"), scale))
    with_it = config(reward={"reasoning": {"baseline": baseline}})
    text = section(model_card(with_it, facts(calibration=calibration)), "Reward")
    assert "similarity embedding-abc" in text
    assert f"| Thai | 0.900 | 0.850 | {half} |" in text
    assert "English |" not in text
    without = section(model_card(with_it, facts()), "Reward")
    assert "calibrated by language" in without
    assert "embedding-abc" not in without
    assert "| Thai |" not in without


def test_training_tells_the_settings_that_were_resolved() -> None:
    text = section(
        model_card(
            config(
                algorithm={"loss": "gspo", "aggregation": "sequence", "kl": "loss", "kl_estimator": "k2", "epochs": 2},
                learner={"schedule": "cosine", "min_learning_rate": 1e-7, "lora": {"rank": 8, "targets": ["q_proj"]}},
            ),
            facts(),
        ),
        "Training",
    )
    assert "| loss | gspo, ratio clipped to [0.9997, 1.0004] |" in text
    assert "| KL to the base model | in the loss: k2, coefficient 0.01 |" in text
    assert "| optimiser steps per batch | 1 mini-batch(es) x 2 epoch(s) |" in text
    assert "| learning rate | 1e-06, cosine to 1e-07, warm-up 0 step(s) |" in text
    assert "LoRA of rank 8, alpha 32, on q_proj; merged" in text


HOSTILE = "a`b\n# Results\n<script>alert(1)</script> [here](http://127.0.0.1)\u202e&amp;"


def test_no_name_of_a_folder_or_file_writes_markup_into_the_card() -> None:
    """The names are those that a file system allows: all but "/" and the zero byte."""
    name = HOSTILE.replace("/", "\\")
    models = {
        part: {"model": f"/models/{part}/{part} {name}"}
        for part in ("policy", "pivot", "scorer", "comet", "translator")
    }
    card = model_card(
        config(
            **models,
            critic={"model": f"/models/critic {name}"},
            data={"source": "jsonl", "path": f"/data/train {name}", "languages": ["sw"]},
            evaluation={"source": "huggingface", "path": f"/data/test {name}", "split": f"held out {name}"},
            algorithm={"name": "ppo", "steps": 2},
            learner={"lora": {"rank": 8, "targets": [name]}},
            reward={
                "unparsed_answers": "comet",
                "reasoning": {"method": "translation", "translator": "seq2seq", "low": 0.1, "high": 0.9}
                | {"calibration": "off"},
                "custom": {"path": f"/code/mine {name}", "function": "mine"},
            },
        ),
        facts(evaluations={"after": measured(sw=0.5)}),
    )
    assert "\u202e" not in card
    outside_code = re.sub(r"(?<![`\\])(`+)(?!`).*?(?<!`)\1(?!`)", "", card)
    assert len(re.findall("^# ", card, re.MULTILINE)) == 1
    assert "<script" not in outside_code
    assert re.search(r"(?<!\\)\[here", outside_code) is None
    named = ("policy", "pivot", "comet", "translator", "critic", "train", "test", "held out", "mine")
    assert [each for each in named if f"`` {each} a`b\\n# Results" not in card] == []


def test_a_licence_of_another_models_card_writes_no_markup(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text('---\nlicense: "mit\\n## Ours\\n<b>"\n---\n', encoding="utf-8")
    card = model_card(config(policy={"model": str(base)}), facts(licence={"license": "mit\n---\n# Ours"}))
    assert "- base: its licence is mit\\\\n## Ours\\\\n&lt;b&gt;" in section(card, "Licences")
    assert ModelCard(card).data.to_dict()["license"] == "mit\n---\n# Ours"


def test_a_bar_in_a_cell_does_not_end_the_cell() -> None:
    text = section(model_card(config(learner={"lora": {"rank": 8, "targets": ["a|b"]}}), facts()), "Training")
    assert "on a\\|b; merged" in text


def test_imitation_has_no_reward_and_claims_none() -> None:
    card = model_card(config(algorithm={"name": "sft", "sft_target": "translation"}), facts())
    assert section(card, "Reward").strip() == "None: the policy imitated the translation that the data has."
    assert "was not rewarded" in section(card, "What it is")
    assert "reward sees" not in section(card, "Limits")
    assert "sft: negative log-likelihood" in section(card, "Training")


@pytest.mark.parametrize("language", ["de", "zh"])
def test_the_card_asks_as_training_asked(language: str) -> None:
    asked = config(data={"languages": [language]}, prompt={"system": "Be 'brief'.\nAlways."})
    chat, *others = code_blocks(model_card(asked, facts()))
    found: dict[str, object] = {}
    exec(chat.replace("question = ...", "question = '2 + 3?'"), found)
    unused = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    prompter = Prompter(unused, asked.prompt, exemplars={}, max_prompt_tokens=100)
    assert found["messages"] == prompter.messages("2 + 3?", LANGUAGES[language])
    assert len(others) == 2
    for code in others:
        compile(code, "card", "exec")


def test_the_card_gives_the_template_the_arguments_that_training_gave_it() -> None:
    given: dict[str, object] = {"enable_thinking": False, "effort": "low", "levels": [1, 2]}
    blocks = code_blocks(model_card(config(policy={"chat_template_arguments": given}), facts()))
    for code in blocks[1:]:
        compile(code, "card", "exec")
    assert "    enable_thinking=False,\n    effort='low',\n    levels=[1, 2],\n" in blocks[1]
    found: dict[str, object] = {}
    (line,) = [line for line in blocks[2].splitlines() if line.startswith("template_arguments")]
    exec(line, found)
    assert found["template_arguments"] == given
    assert "chat_template_kwargs=template_arguments" in blocks[2]
    assert "template_arguments" not in "".join(code_blocks(model_card(config(), facts())))


def test_the_card_in_an_export_is_made_of_the_runs_files(tmp_path: Path) -> None:
    base, export = tmp_path / "base-model", tmp_path / "export"
    base.mkdir()
    export.mkdir()
    (base / "README.md").write_text("---\nlicense: other\nlicense_name: ours\n---\nA model.", encoding="utf-8")
    used = config(policy={"model": str(base)})
    folder = create(tmp_path / "run", used)
    log = MetricsLog(folder.metrics)
    for step in (1, 2):
        log.append(step, {"reward/mean": 0.5})
    log.close()
    record_evaluation(folder.evaluation, "before", measured(sw=0.25))
    write_model_card(export, used, folder=folder, problem_counts={"sw": 7})
    card = (export / "README.md").read_text(encoding="utf-8")
    data = ModelCard(card).data.to_dict()
    assert (data["license"], data["license_name"]) == ("other", "ours")
    assert "- base-model: its licence is other" in section(card, "Licences")
    assert "- some-org/pivot-70b: its licence is unknown" in section(card, "Licences")
    assert "| Swahili | 7 |\n| Thai | – |" in section(card, "Data")
    assert "| steps | 2 of 20," in section(card, "Training")
    assert "| Swahili | 100 | 25.0% |" in section(card, "Results")


def test_distillation_has_a_teacher_in_place_of_a_reward() -> None:
    card = model_card(config(algorithm={"name": "opd", "steps": 2}), facts())
    assert section(card, "Reward").strip().startswith("None: each token")
    assert "was not rewarded" in section(card, "What it is")
    assert "| recipe | opd |" in card and "less that of the policy, at most 5 in size" in card


def test_problems_of_logic_are_named_and_asked_in_their_own_words() -> None:
    reward = {"unparsed_answers": "embedding", "weights": {"answer": 0.6, "reasoning": 0.4, "numbers": 0}}
    data = {"source": "logic", "languages": ["de"]}
    card = model_card(config(data=data, reward=reward, evaluation={"tasks": ["logic"]}), facts())
    assert "problems of logic" in section(card, "Data")
    assert "<Satz>" in card and "<Zahl>" not in card
