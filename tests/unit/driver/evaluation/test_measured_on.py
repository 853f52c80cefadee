"""Test that an evaluation's record tells other prompts and other markers of thinking apart."""

from collections.abc import Mapping
from typing import cast

import pytest
from transformers import PreTrainedTokenizerBase

from driver.evaluation.plan import plan_evaluation
from driver.problems.prompts import Prompter
from driver.problems.template_inputs import TemplateInputs
from tests.builders import a_config
from tests.fakes.chat import RenderedChat


def record(*, arguments: Mapping[str, object] | None = None, **sections: dict) -> Mapping[str, str]:
    config = a_config(**{"evaluation": {"num_items": 1, "languages": ["de"]}, **sections})
    prompter = Prompter(
        cast("PreTrainedTokenizerBase", RenderedChat()),
        config.prompt,
        exemplars={},
        max_prompt_tokens=10_000,
        inputs=TemplateInputs(arguments=arguments or {}),
    )
    (task,) = plan_evaluation(config, prompter).tasks
    return task.measured_on


def test_equal_settings_have_equal_records() -> None:
    assert record() == record()


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ({"prompt": {"instructions": {"de": "Rechne."}}}, {"prompts"}),
        ({"prompt": {"question_prefixes": {"de": ""}}}, {"prompts"}),
        ({"prompt": {"closing": "boxed"}}, {"prompts", "closing"}),
        ({"prompt": {"system": "Rechne."}}, {"prompts"}),
        ({"arguments": {"enable_thinking": True}}, {"prompts"}),
        ({"policy": {"thinking_markers": [["<a>", "</a>"]]}}, {"thinking_markers"}),
    ],
)
def test_what_changes_prompts_or_answers_changes_the_record(changed: dict, keys: set[str]) -> None:
    before, after = record(), record(**changed)
    assert {key for key in before if before[key] != after[key]} == keys
