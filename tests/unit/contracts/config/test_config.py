"""Config: files and overrides to a checked `Config`, and what a user is told about a mistake."""

from pathlib import Path

import pytest

from contracts.config.load import dump_config, load_config
from contracts.config.reward import RewardConfig
from contracts.config.run import Config
from contracts.errors import BadInput

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


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        load_config(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


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
    config = load_config(minimal, ["reward.weights.answer=0.7", "reward.weights.reasoning=0.15"])
    assert (config.reward.weights.answer, config.reward.weights.reasoning) == (0.7, 0.15)


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
    assert load_config(minimal, ["data.levels=1,3"]).data.levels == (1, 3)


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
    assert "[reward.weights]\nanswer = 0.6\nreasoning = 0.25\n" in text
    assert 'languages = ["de", "fr", "es"]' in text
    assert "[reward.gates]\nlanguage = true\n" in text
    assert all(f"[{section}]" in text for section in Config.model_fields)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("algorithm.step=3", "unknown key algorithm.step; did you mean algorithm.steps?"),
        ("algorithm.learning_rate=1", "did you mean learner.learning_rate or critic.learning_rate?"),
        ("group_size=4", "unknown key group_size; did you mean algorithm.group_size?"),
        ("max_response_tokens=4", "did you mean policy.max_response_tokens or pivot.max_response_tokens"),
        ("algoritm.stepz=3", "unknown key algoritm; did you mean algorithm?"),
        ("reward.weights.anser=0.6", "unknown key reward.weights.anser; did you mean reward.weights.answer?"),
        ("weights.zzzz=1", "unknown key weights.zzzz; [weights] has backend, bucket_mib, timeout_s"),
        ("zzzz=1", "unknown key zzzz; sections are run, data, prompt"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_right_one(minimal: Path, override: str, told: str) -> None:
    message = refusal(minimal, override)
    assert told in message
    assert override in message


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("algorithm.steps=0", "algorithm.steps is 0; it should be greater than or equal to 1"),
        ("algorithm.steps=many", "algorithm.steps is 'many'; it should be a valid integer"),
        (
            "data.source=csv",
            "data.source is 'csv'; it should be 'builtin', 'jsonl', 'parquet', 'huggingface' or 'mgsm'",
        ),
        ("data.levels=1,x", "data.levels[1] is 'x'; it should be a valid integer"),
        ("data.languages=xx", "data.languages: unknown language 'xx'; known are ar, bn, de"),
        ("reward.weights.answer=0.9", "reward.weights sum to 1.3"),
        ("learner.num_ranks=3", "learner.num_ranks = 3; make it a multiple"),
        ("learner.row_tokens=10", "learner.row_tokens 10 is below policy.max_model_len"),
        ("algorithm.mini_batches=99", "algorithm.mini_batches 99 is above algorithm.groups_per_step"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(minimal: Path, override: str, told: str) -> None:
    assert told in refusal(minimal, override)


def test_a_mistake_in_the_file_names_the_file_and_one_in_an_override_names_the_override(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("steps = 3", "steps = -3"), encoding="utf-8")
    assert refusal(minimal).startswith(f"{minimal}: algorithm.steps is -3")
    assert refusal(minimal, "algorithm.steps=-4").startswith("override 'algorithm.steps=-4': algorithm.steps is -4")


def test_a_long_bad_value_is_cut(minimal: Path) -> None:
    assert len(refusal(minimal, f"data.source={'x' * 5000}")) < 300


def test_several_mistakes_are_counted_and_the_unknown_key_is_told_first(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("[scorer]\nmodel", "[scorer]\nmodle").replace("steps = 3", "steps = 0"))
    message = refusal(minimal)
    assert "unknown key scorer.modle; did you mean scorer.model?" in message
    assert message.endswith("(and 2 more mistakes)")  # scorer.model is missing, algorithm.steps is 0


def test_a_missing_key_and_a_missing_section_are_named(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("steps = 3", ""), encoding="utf-8")
    assert "algorithm.steps is missing; add steps under [algorithm]" in refusal(minimal)
    minimal.write_text(MINIMAL.replace("[algorithm]\nsteps = 3", ""), encoding="utf-8")
    assert "section [algorithm] is missing" in refusal(minimal)


def test_broken_toml_is_named_with_its_line(minimal: Path) -> None:
    minimal.write_text("[policy]\nmodel = \n", encoding="utf-8")
    assert f"{minimal} is not valid TOML" in refusal(minimal)
    assert "at line 2" in refusal(minimal)


def test_what_is_no_config_file_is_refused(minimal: Path) -> None:
    assert "there is no config file" in refusal(minimal.parent / "missing.toml")
    assert "is a folder" in refusal(minimal.parent)
    minimal.write_bytes(b"[run]\nname = '\xff'\n")
    assert "is not UTF-8 text" in refusal(minimal)


@pytest.mark.parametrize("override", ["steps", "=3", "algorithm.=3", ".steps=3"])
def test_an_override_that_is_no_assignment_is_refused(minimal: Path, override: str) -> None:
    assert "is not section.key=value" in refusal(minimal, override)


def test_an_override_below_a_value_is_refused(minimal: Path) -> None:
    assert "policy.model is a value, not a section" in refusal(minimal, "policy.model.name=x")


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).resolve().parents[4] / "configs").glob("*.toml")), ids=lambda path: path.name
)
def test_every_config_of_the_project_loads(path: Path) -> None:
    assert load_config(path, []).scorer.model


def test_the_audit_s_config_has_the_default_reward() -> None:
    path = Path(__file__).resolve().parents[4] / "configs" / "audit.toml"
    assert load_config(path, []).reward == RewardConfig()
