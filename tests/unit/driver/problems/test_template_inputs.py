"""Test what a chat template is given: the run's date in place of the clock's, and the arguments of the config."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from contracts.config.data import PromptConfig
from contracts.config.load import dump_config, load_config
from contracts.config.run import Config
from driver.problems.chat_template import ChatTemplate
from driver.problems.prompts import Prompter
from driver.problems.template_inputs import TemplateFacts, TemplateInputs
from driver.references.store import PivotSampling
from driver.rollouts.engine_features import translation_prompt
from tests.builders import a_config
from tests.refusals import refused
from tests.unit.driver.problems.test_prompts import GERMAN, TEMPLATE, text_of, tokenizer

CHAT = [{"role": "user", "content": "Eins."}]
MAY, JUNE = date(2026, 5, 4), date(2026, 6, 4)
CALLS_CLOCK = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}"
    "{% endif %}[{{ date_string }}]"
)
DATED = {
    "the clock": (CALLS_CLOCK, "[04 May 2026]"),
    "the clock with another format": ("[{{ strftime_now('%Y-%m-%d') }}]", "[2026-05-04]"),
    "the clock in a macro": ("{% macro day() %}{{ strftime_now('%d') }}{% endmacro %}[{{ day() }}]", "[04]"),
    "an argument": ("[{{ date_string }}]", "[04 May 2026]"),
}
UNDATED = {
    "none": ("[]", "[]"),
    "a date of its own": (
        "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}[{{ date_string }}]",
        "[26 Jul 2024]",
    ),
}


def written(text: str, *, day: date | None = None, **arguments: object) -> str:
    template = ChatTemplate(tokenizer(text), TemplateInputs(arguments=arguments, day=day))
    return template.render(CHAT, section="policy", is_open=True)


# --- the date ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "expected"), [*DATED.values(), *UNDATED.values()], ids=[*DATED, *UNDATED])
def test_a_template_that_asks_for_the_date_gets_that_of_the_run(text: str, expected: str) -> None:
    assert written(text + TEMPLATE, day=MAY).startswith(expected)


@pytest.mark.parametrize(("text", "expected"), DATED.values(), ids=DATED.keys())
def test_the_date_is_part_of_the_template_that_writes_it_and_of_its_references(text: str, expected: str) -> None:
    made = {day: a_pivot(text + TEMPLATE, day) for day in (MAY, JUNE)}
    assert {day: prompter.template.day for day, prompter in made.items()} == {MAY: MAY, JUNE: JUNE}
    sampling = PivotSampling(fingerprint="pivot", max_tokens=8, temperature=0.0, seed=1)
    keys = [sampling.key(prompter.reference_prompt("1 + 1?")) for prompter in made.values()]
    assert len(set(keys)) == (2 if expected != "[04]" else 1)  # only the day of the month, which both share


@pytest.mark.parametrize(("text", "expected"), UNDATED.values(), ids=UNDATED.keys())
def test_another_date_changes_nothing_for_a_template_without_one(text: str, expected: str) -> None:
    one, other = a_pivot(text + TEMPLATE, MAY), a_pivot(text + TEMPLATE, JUNE)
    assert one.template.day is None
    assert one.reference_prompt("1 + 1?") == other.reference_prompt("1 + 1?")
    assert text_of(one.reference_prompt("1 + 1?")).startswith(expected)


def a_pivot(text: str, day: date) -> Prompter:
    return Prompter(
        tokenizer(text), PromptConfig(), exemplars={}, max_prompt_tokens=1000, inputs=TemplateInputs(day=day)
    )


def test_a_date_of_the_users_own_goes_before_that_of_the_run() -> None:
    for text in (CALLS_CLOCK, "[{{ date_string }}]"):
        assert written(text + TEMPLATE, day=MAY, date_string="1 Jan 2000").startswith("[1 Jan 2000]")


@pytest.mark.parametrize(
    "text",
    [
        "{% for",
        "{{ " + "(" * 5000,
        "{{ 10 ** (10 ** 10) }}",
        "{{ " + "1" * 5000 + " }}",
        "{% generation %}{{ x }}{% endgeneration %}",
    ],
)
def test_a_template_is_read_without_being_run_whatever_it_is(text: str) -> None:
    assert TemplateFacts.of(text).names in (frozenset(), frozenset({"x"}))


# --- arguments --------------------------------------------------------------------------------------------------------

THINKS = (
    TEMPLATE
    + "{% if enable_thinking is defined and not enable_thinking and add_generation_prompt %}(no thoughts){% endif %}"
)


def inputs(**arguments: object) -> TemplateInputs:
    return TemplateInputs(arguments=arguments)


def test_arguments_reach_every_rendering() -> None:
    off = inputs(enable_thinking=False)
    made = Prompter(tokenizer(THINKS), PromptConfig(), exemplars={}, max_prompt_tokens=1000, inputs=off)
    assert text_of(made.prompt_token_ids(GERMAN)).endswith("(no thoughts)")
    assert text_of(made.reference_prompt("1?")).endswith("(no thoughts)")
    assert text_of(translation_prompt(tokenizer(THINKS), off)("Eins.", "de")).endswith("(no thoughts)")
    assert text_of(made.answer_token_ids(GERMAN, "Zwei.")) == "Zwei.<|end|>"
    plain = Prompter(tokenizer(THINKS), PromptConfig(), exemplars={}, max_prompt_tokens=1000)
    assert not text_of(plain.prompt_token_ids(GERMAN)).endswith("(no thoughts)")


def test_an_argument_that_the_template_does_not_read_is_known() -> None:
    made = ChatTemplate(tokenizer(THINKS), inputs(enable_thinking=True, enable_thoughts=True))
    assert made.unknown_arguments == ("enable_thoughts",)


@pytest.mark.parametrize(
    "name", ["messages", "tools", "add_generation_prompt", "tokenize", "bos_token", "strftime_now"]
)
@pytest.mark.parametrize("section", ["policy", "pivot"])
def test_an_argument_that_the_program_gives_is_refused(tmp_path: Path, section: str, name: str) -> None:
    with refused(f"{section}.chat_template_arguments", name):
        loaded(tmp_path, f"{section}.chat_template_arguments.{name}=1")


@pytest.mark.parametrize("name", ['"no name"', "class", "1"])
def test_an_argument_that_no_template_can_read_is_refused(tmp_path: Path, name: str) -> None:
    with refused("policy.chat_template_arguments", name.strip('"')):
        loaded(tmp_path, f"policy.chat_template_arguments={{ {name} = 1 }}")


def test_arguments_are_written_and_read_back(tmp_path: Path) -> None:
    given = loaded(
        tmp_path,
        "policy.chat_template_arguments.enable_thinking=false",
        'pivot.chat_template_arguments={effort = "low", budget = {tokens = [1, 2], "a b" = 0.5}}',
    )
    assert given.policy.chat_template_arguments == {"enable_thinking": False}
    expected: Mapping[str, object] = {"effort": "low", "budget": {"tokens": [1, 2], "a b": 0.5}}
    assert given.pivot.chat_template_arguments == expected
    (tmp_path / "again.toml").write_text(dump_config(given), encoding="utf-8")
    assert load_config(tmp_path / "again.toml") == given


def loaded(folder: Path, *overrides: str) -> Config:
    (folder / "run.toml").write_text(dump_config(a_config()), encoding="utf-8")
    return load_config(folder / "run.toml", overrides)
