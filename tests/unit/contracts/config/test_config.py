"""Test how files and overrides become a checked `Config`, and what a user reads about a mistake."""

from pathlib import Path

import pytest

from contracts.config.data import BuiltinData
from contracts.config.keys import keys
from contracts.config.layers import FORMAT
from contracts.config.load import (
    MODELS,
    NOT_NEEDED,
    check_run_format,
    dump_config,
    load_config,
    load_run_config,
    load_training_config,
)
from contracts.config.old_keys import REPLACED, Replaced
from contracts.config.reward import RewardConfig
from contracts.config.run import Config
from contracts.errors import BadInput
from tests.refusals import refused

ROOT = Path(__file__).resolve().parents[4]
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
MINIMAL = """
[policy]
model = "policy-model"
[pivot]
model = "pivot-model"
[scorer]
model = "scorer-model"
[algorithm]
steps = 3
"""


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "minimal.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


def refusal(path: Path, *overrides: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_file_is_loaded_with_defaults(minimal: Path) -> None:
    config = load_config(minimal, [])
    assert config.policy.model == "policy-model"
    assert config.algorithm.steps == 3
    assert config.data.languages == ("de", "fr", "es")


def test_overrides_win_over_the_file_and_later_ones_over_earlier_ones(minimal: Path) -> None:
    config = load_config(minimal, ["algorithm.steps=7", "algorithm.steps=9", "run.name = first try "])
    assert config.algorithm.steps == 9
    assert config.run.name == "first try"


def test_an_override_reaches_a_nested_section(minimal: Path) -> None:
    config = load_config(minimal, ["reward.weights.answer=0.53", "reward.weights.reasoning=0.15"])
    assert (config.reward.weights.answer, config.reward.weights.reasoning) == (0.53, 0.15)


@pytest.mark.parametrize(
    ("override", "languages"),
    [
        ("data.languages=sw", ("sw",)),
        ("data.languages=sw,th", ("sw", "th")),
        ("data.languages=[sw, th]", ("sw", "th")),
        ('data.languages=["sw", "th"]', ("sw", "th")),
    ],
)
def test_a_list_may_be_written_without_brackets_and_quotes(
    minimal: Path, override: str, languages: tuple[str, ...]
) -> None:
    assert load_config(minimal, [override]).data.languages == languages


def test_a_list_of_numbers_stays_numbers(minimal: Path) -> None:
    data = load_config(minimal, ["data.levels=1,3"]).data
    assert isinstance(data, BuiltinData) and data.levels == (1, 3)


def test_a_word_stays_a_word_where_a_list_is_allowed_too(minimal: Path) -> None:
    assert load_config(minimal, ["data.shares=equal"]).data.shares == "equal"
    assert load_config(minimal, ["data.shares=1,2,1"]).data.shares == (1, 2, 1)


@pytest.mark.parametrize("text", ["7", "true", "2026-01-31", "a=b", "1\nx = 2", '"7"'])
def test_text_stays_text_where_text_is_wanted(minimal: Path, text: str) -> None:
    assert load_config(minimal, [f"run.name={text}"]).run.name == text.strip('"')


def test_a_config_written_and_read_again_is_equal(minimal: Path, tmp_path: Path) -> None:
    awkward = 'tab\t "quotes" \\ back, line\nbreak, \x7f, \x01, ไทย 日本語 😀'
    schedule = "reward.schedule=[{step = 0, answer = 1, reasoning = 0, numbers = 0}, {step = 100}]"
    overrides = ["learner.learning_rate=1e-6", "data.languages=sw,th", "data.levels=2", "reward.reasoning.low=-1"]
    config = load_config(minimal, [*overrides, schedule])
    assert [point.answer for point in config.reward.schedule] == [1.0, 0.6]
    config = config.model_copy(update={"prompt": config.prompt.model_copy(update={"system": awkward})})
    written = tmp_path / "written.toml"
    written.write_text(dump_config(config), encoding="utf-8")
    assert load_config(written, []) == config


def test_everything_is_written_down_not_only_what_was_set(minimal: Path) -> None:
    text = dump_config(load_config(minimal, []))
    assert "[reward.weights]\nanswer = 0.6\nreasoning = 0.08\n" in text
    assert 'languages = ["de", "fr", "es"]' in text
    assert "[reward.gates]\nlanguage = true\n" in text
    assert '[algorithm]\nname = "grpo"\n' in text
    assert all(f"[{section}]" in text for section in Config.model_fields)


@pytest.mark.parametrize(
    "overrides",
    [
        ["algorithm.name=ppo", "critic.value_clip=off", "data.shares=1,2,1"],
        ["algorithm.name=sft", "learner.lora.rank=8", "learner.lora.targets=q_proj", "checkpoint.every_steps=3"],
        ["data.source=huggingface", "data.path=owner/set", "evaluation.source=mgsm", "evaluation.path=mgsm"],
        ["reward.reasoning.method=likelihood", "prompt.system=Think.", "run.name=mine", "policy.max_workers=2"],
        ["reward.reasoning.method=translation", "reward.reasoning.chunk_tokens=64", "algorithm.dual_clip=3"],
    ],
)
def test_every_choice_is_written_and_read_again_equal(minimal: Path, tmp_path: Path, overrides: list[str]) -> None:
    config = load_config(minimal, overrides)
    written = tmp_path / "written.toml"
    written.write_text(dump_config(config), encoding="utf-8")
    assert load_run_config(written) == config


# --- the format of a run folder's config ------------------------------------------------------------------------------


def test_the_config_of_a_run_folder_says_its_format(minimal: Path, tmp_path: Path) -> None:
    written = tmp_path / "written.toml"
    written.write_text(dump_config(load_config(minimal)), encoding="utf-8")
    check_run_format(written)
    assert f"format = {FORMAT}\n" in written.read_text(encoding="utf-8")


def test_the_config_of_an_earlier_version_s_run_is_refused_by_its_format(minimal: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load_run_config(minimal)
    assert caught.value.key == "format"
    assert load_config(minimal).algorithm.steps == 3  # a user's own config needs no format


@pytest.mark.parametrize("found", ["1", "3", "true", '"2"'])
def test_another_format_is_refused_wherever_it_is_read(minimal: Path, found: str) -> None:
    minimal.write_text(f"format = {found}\n{MINIMAL}", encoding="utf-8")
    assert refusal(minimal).key == "format"


# --- choices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["algorithm.gae_lambda=1"], "algorithm.gae_lambda"),
        (["algorithm.name=sft", "algorithm.group_size=2"], "algorithm.group_size"),
        (["reward.reasoning.method=likelihood", "reward.reasoning.low=0.1"], "reward.reasoning.low"),
        (["reward.reasoning.compare=chrf"], "reward.reasoning.compare"),
        (["data.path=problems.jsonl"], "data.path"),
        (["evaluation.source=mgsm", "evaluation.path=mgsm", "evaluation.levels=1"], "evaluation.levels"),
    ],
)
def test_a_key_of_another_choice_is_refused_with_the_choice_that_it_belongs_to(
    minimal: Path, overrides: list[str], key: str
) -> None:
    choices = {choice for known in keys() if known.name == key for choice in known.choices}
    assert choices
    with refused(key, *(f'"{choice}"' for choice in choices)):
        load_config(minimal, overrides)


def test_an_override_of_a_choice_leaves_out_the_file_s_keys_of_the_other_choice(minimal: Path) -> None:
    minimal.write_text(
        MINIMAL + 'group_size = 4\n[data]\nlevels = [1]\n[reward.reasoning]\ncalibration = "off"\n', encoding="utf-8"
    )
    overrides = ["algorithm.name=sft", "data.source=jsonl", "data.path=x", "reward.reasoning.method=likelihood"]
    config = load_config(minimal, overrides)
    assert (config.algorithm.name, config.algorithm.steps) == ("sft", 3)
    assert (config.data.source, config.reward.reasoning.method) == ("jsonl", "likelihood")
    minimal.write_text(minimal.read_text(encoding="utf-8").replace("steps", 'name = "sft"\nsteps'), encoding="utf-8")
    assert refusal(minimal).key == "algorithm.group_size"  # in the file itself it is a mistake


# --- keys and values of earlier versions -----------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "replaced"), REPLACED.items(), ids=REPLACED.keys())
def test_an_old_key_or_value_is_refused_with_what_replaces_it(minimal: Path, key: str, replaced: Replaced) -> None:
    value = replaced.value if isinstance(replaced.value, int | str | list) else "comet"
    with refused(key, replaced.now.format(value='"comet"')):
        load_config(minimal, [f"{key}={value}"])


def test_every_old_key_is_replaced_by_one_that_there_is() -> None:
    names = {known.name for known in keys()}
    assert {key for key in REPLACED if key not in names} == {"evaluation.task", "reward.reasoning.judge"}


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("algorithm.step=3", ["algorithm.steps"]),
        ("algorithm.learning_rate=1", ["learner.learning_rate", "critic.learning_rate"]),
        ("group_size=4", ["algorithm.group_size"]),
        ("max_response_tokens=4", ["policy.max_response_tokens", "pivot.max_response_tokens"]),
        ("algoritm.stepz=3", ["algorithm"]),
        ("reward.weights.anser=0.6", ["reward.weights.answer"]),
        ("reward.schedule=[{step = 0, anser = 1}]", ["reward.schedule[0].answer"]),
        ("weights.zzzz=1", ["backend, lora, bucket_mib, timeout_s"]),
        ("zzzz=1", ["run, data, prompt"]),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_keys(
    minimal: Path, override: str, nearest: list[str]
) -> None:
    error = refusal(minimal, override)
    assert error.key == override.split("=")[0] or error.key in ("algoritm", "reward.schedule[0].anser")
    assert all(name in str(error) for name in [*nearest, override])


@pytest.mark.parametrize(
    ("override", "key", "named"),
    [
        ("algorithm.steps=0", "algorithm.steps", ["0", "1"]),
        ("algorithm.steps=many", "algorithm.steps", ["'many'", "integer"]),
        ("algorithm.name=dpo", "algorithm.name", ["'dpo'", "'grpo', 'ppo', 'opd' or 'sft'"]),
        (
            "data.source=xls",
            "data.source",
            ["'xls'", "'builtin', 'logic', 'jsonl', 'json', 'csv', 'tsv', 'parquet',"],
        ),
        ("data.levels=1,x", "data.levels[1]", ["'x'", "integer"]),
        ("data.levels=1,7", "data.levels[1]", ["7", "4"]),
        ("data.languages=xx", "data.languages", ["'xx'", " de,"]),
        ("data.languages=", "data.languages", ["[]", "1"]),
        ("data.shares=1,2", "data.shares", ["2 numbers", "3 languages"]),
        ("reward.weights.answer=0.9", "reward.weights", ["1.3"]),
        ("reward.reasoning.method=judge", "reward.reasoning.method", ["'judge'", "'comet' or 'likelihood'"]),
        ("learner.num_ranks=65", "learner.num_ranks", ["64", "65"]),
        ("learner.row_tokens=10", "learner.row_tokens", ["10", "policy.max_model_len"]),
        ("learner.row_tokens=long", "learner.row_tokens", ["'long'", "integer or 'auto'"]),
        ("algorithm.clip_low=2", "algorithm.clip_low", ["2", "1 or 'auto'"]),
        ("algorithm.mini_batches=99", "algorithm.mini_batches", ["99", "algorithm.groups_per_step"]),
        ("policy.max_workers=99", "policy.max_workers", ["99", "8"]),
        ("algorithm=3", "algorithm", ["3"]),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(minimal: Path, override: str, key: str, named: list[str]) -> None:
    with refused(key, f"override {override!r}: ", *named):
        load_config(minimal, [override])


def test_a_mistake_in_the_file_names_the_file_and_one_in_an_override_names_the_override(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("steps = 3", "steps = -3"), encoding="utf-8")
    with refused("algorithm.steps", f"{minimal}: ", " -3"):
        load_config(minimal)
    with refused("algorithm.steps", "override 'algorithm.steps=-4': ", " -4"):
        load_config(minimal, ["algorithm.steps=-4"])


def test_a_long_bad_value_is_shortened(minimal: Path) -> None:
    assert len(str(refusal(minimal, f"data.source={'x' * 5000}"))) < 300


def test_all_mistakes_are_reported_and_the_unknown_key_comes_first(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("[scorer]\nmodel", "[scorer]\nmodle").replace("steps = 3", "steps = 0"))
    found = refusal(minimal, "policy.dtype=int8").all
    assert [mistake.key for mistake in found] == ["scorer.modle", "policy.dtype", "scorer.model", "algorithm.steps"]
    assert "override 'policy.dtype=int8': " in str(found[1])
    assert f"{minimal}: " in str(found[3])


def test_checks_across_sections_report_all_that_does_not_fit(minimal: Path) -> None:
    found = refusal(
        minimal, "data.languages=de,xx", "learner.num_ranks=999", "pivot.max_response_tokens=5000", "data.shares=1,2"
    ).all
    assert [mistake.key for mistake in found] == ["data.languages", "learner.num_ranks", "pivot.max_response_tokens"]
    assert "data.languages=de,xx" in str(found[0])


def test_every_override_that_is_none_is_reported(minimal: Path) -> None:
    assert [mistake.key for mistake in refusal(minimal, "a=1", "=2", "policy.model.x=3").all] == ["=2", "policy.model"]


def test_every_key_of_an_earlier_version_is_reported(minimal: Path) -> None:
    found = refusal(minimal, "learner.row_tokens=0", "prompt.system=").all
    assert {mistake.key for mistake in found} == {"learner.row_tokens", "prompt.system"}


def test_a_value_that_no_type_of_its_key_allows_is_one_mistake(minimal: Path) -> None:
    assert len(refusal(minimal, "learner.row_tokens=long").all) == 1


def test_a_command_needs_no_model_that_it_does_not_load(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.toml"
    path.write_text('[policy]\nmodel = "policy-model"', encoding="utf-8")
    config = load_config(path, needs=("policy",))
    assert (config.pivot.model, config.scorer.model) == (NOT_NEEDED, NOT_NEEDED)
    assert [mistake.key for mistake in refusal(path).all] == ["pivot", "scorer", "algorithm"]
    written = tmp_path / "written.toml"
    written.write_text(dump_config(config), encoding="utf-8")
    assert load_run_config(written) == config
    assert [mistake.key for mistake in refusal(written).all] == ["pivot.model", "scorer.model"]


@pytest.mark.parametrize(
    ("algorithm", "missing"),
    [
        ('name = "sft"\nsft_target = "translation"\nsteps = 2', []),
        ('name = "sft"\nsteps = 2', ["pivot"]),
        ("steps = 2", ["pivot", "scorer"]),
        ('name = "sft"\nsft_target = "translation"', ["algorithm.steps"]),
    ],
)
def test_training_needs_the_models_that_its_algorithm_loads(tmp_path: Path, algorithm: str, missing: list[str]) -> None:
    path = tmp_path / "training.toml"
    path.write_text(f'[policy]\nmodel = "policy-model"\n[algorithm]\n{algorithm}', encoding="utf-8")
    if not missing:
        assert load_training_config(path).scorer.model == NOT_NEEDED
        return
    with pytest.raises(BadInput) as found:
        load_training_config(path)
    assert [mistake.key for mistake in found.value.all] == missing


def test_a_missing_key_and_a_missing_section_are_named(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("steps = 3", ""), encoding="utf-8")
    assert refusal(minimal).key == "algorithm.steps"
    minimal.write_text(MINIMAL.replace("[algorithm]\nsteps = 3", ""), encoding="utf-8")
    assert refusal(minimal).key == "algorithm"


def test_a_file_that_is_no_config_is_refused_by_its_path(minimal: Path) -> None:
    missing = minimal.parent / "missing.toml"
    assert refusal(missing).key == str(missing)
    assert refusal(minimal.parent).key == str(minimal.parent)
    minimal.write_bytes(b"[run]\nname = '\xff'\n")
    assert refusal(minimal).key == str(minimal)
    minimal.write_text("[policy]\nmodel = \n", encoding="utf-8")
    with refused(str(minimal), "line 2"):
        load_config(minimal)


@pytest.mark.parametrize("override", ["steps", "=3", "algorithm.=3", ".steps=3"])
def test_an_override_that_is_no_assignment_is_refused(minimal: Path, override: str) -> None:
    assert refusal(minimal, override).key == override


def test_an_override_below_a_value_is_refused(minimal: Path) -> None:
    assert refusal(minimal, "policy.model.name=x").key == "policy.model"


# --- the project's own configs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_of_the_project_loads_and_says_first_when_to_use_it(path: Path) -> None:
    needs = {"evaluate.toml": ("policy",), "audit.toml": ("scorer",)}.get(path.name, MODELS)
    assert load_config(path, needs=needs)
    assert path.read_text(encoding="utf-8").startswith("# Use this ")


def test_the_audit_s_config_has_the_default_reward() -> None:
    assert load_config(ROOT / "configs" / "audit.toml", needs=("scorer",)).reward == RewardConfig()
