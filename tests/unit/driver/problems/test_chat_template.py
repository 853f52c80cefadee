"""A chat template is a stranger's program: however it fails, a run ends in one line, in a bounded time."""

import os
import signal
from typing import cast

import pytest
from transformers import PreTrainedTokenizerBase

from contracts.paths import ROOT
from driver.problems.chat_template import ChatTemplate
from driver.problems.limited_calls import MAX_CHARACTERS, CallFailed, LimitedCalls
from driver.rollouts.engine_features import translation_prompt
from tests.refusals import refused
from tests.unit.driver.problems.test_prompts import TEMPLATE, tokenizer

CHAT = [{"role": "user", "content": "Wie viele?"}]
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
FAULTY = {
    "division by zero": "{{ 1 / 0 }}",
    "wrong type": "{{ 1 + 'a' }}",
    "missing attribute": "{{ messages.nothing.deeper }}",
    "index": "{{ messages[7]['content'] }}",
    "own refusal": "{{ raise_exception('no such role') }}",
    "syntax": "{% for m in messages %}",
    "wrong filter": "{{ messages | nothing }}",
    "forbidden attribute": "{{ messages.__class__.__mro__ }}",
    "large range": "{% for a in range(10**9) %}{% endfor %}",
    "recursion": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "nesting": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "digits": "{{ 10**9999 }}",
    "wrong format": "{{ '%d' | format('a') }}",
    "long text": f"{{{{ 'a' * {MAX_CHARACTERS + 1} }}}}",
    "large text": "{{ 'a' * 10**11 }}",
    "large padding": "{{ 'a' | center(10**11) }}",
    "large format": "{{ '%99999999999d' % 1 }}",
}
NEVER_ENDS = {
    "loop": LOOP + "{% endfor %}{% endfor %}{% endfor %}",
    "power": "{{ 10 ** (10 ** 10) }}",
}
GROWS = {
    "doubling": "{% set n = namespace(x='a') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "list": "{% set n = namespace(x=[1]) %}{% for a in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
}


def template(text: str, *, cpu_seconds: int = 1) -> ChatTemplate:
    return ChatTemplate(tokenizer(text), cpu_seconds=cpu_seconds)


@pytest.mark.parametrize("text", [*FAULTY.values(), *GROWS.values()], ids=[*FAULTY.keys(), *GROWS.keys()])
def test_a_template_that_fails_is_refused_by_its_key(text: str) -> None:
    with refused("pivot.chat_template"):
        template(text, cpu_seconds=30).render(CHAT, section="pivot", is_open=True)


@pytest.mark.parametrize("text", NEVER_ENDS.values(), ids=NEVER_ENDS.keys())
@pytest.mark.slow
def test_a_template_that_never_ends_is_refused_by_its_key(text: str) -> None:
    with refused("policy.chat_template", "1 s"):
        template(text).render(CHAT, section="policy", is_open=True)


def test_a_template_that_fails_on_one_question_only_is_refused_there() -> None:
    found = template("{{ messages[0].content }}{% if 'x' in messages[0].content %}{{ 1 / 0 }}{% endif %}")
    assert found.render(CHAT, section="policy", is_open=True) == "Wie viele?"
    with refused("policy.chat_template"):
        found.render([{"role": "user", "content": "x"}], section="policy", is_open=True)
    assert found.render(CHAT, section="policy", is_open=True) == "Wie viele?"


def test_the_text_is_the_tokenizer_s_own_whatever_characters_it_has() -> None:
    plain = tokenizer(TEMPLATE)
    chat = [{"role": "system", "content": "\ud800 \x00 é"}, {"role": "user", "content": "क" * 100_000}]
    for is_open in (True, False):
        expected = plain.apply_chat_template(chat, tokenize=False, add_generation_prompt=is_open)
        assert ChatTemplate(plain).render(chat, section="policy", is_open=is_open) == expected


def test_the_sample_template_writes_every_turn_and_opens_the_answer() -> None:
    found = template((ROOT / "configs" / "chatml.jinja").read_text(encoding="utf-8"))
    chat = [{"role": "system", "content": "Be brief."}, *CHAT, {"role": "assistant", "content": "Drei.\n"}]
    turns = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWie viele?<|im_end|>\n"
        "<|im_start|>assistant\nDrei.\n<|im_end|>\n"
    )
    assert found.render(chat, section="policy", is_open=False) == turns
    assert found.render(CHAT, section="policy", is_open=True).endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_a_translation_s_prompt_is_rendered_within_the_same_limits() -> None:
    with refused("pivot.chat_template"):
        translation_prompt(cast("PreTrainedTokenizerBase", tokenizer("{{ 1 / 0 }}")))("Eins.", "de")


@pytest.mark.slow
def test_time_is_counted_for_each_call_alone() -> None:
    calls = LimitedCalls(_works, cpu_seconds=1)
    assert [calls(0.4) for _ in range(4)] == ["done"] * 4


@pytest.mark.slow
def test_the_next_call_after_one_that_took_too_long_has_a_process_of_its_own() -> None:
    calls = LimitedCalls(_works, cpu_seconds=1)
    first = calls(0.0, show=True)
    with pytest.raises(CallFailed):
        calls(60.0)
    assert calls(0.0, show=True) != first


def test_a_call_s_process_ends_with_its_object() -> None:
    calls = LimitedCalls(_works)
    pid = int(calls(0.0, show=True))
    del calls
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_was_killed_is_reported_and_replaced() -> None:
    calls = LimitedCalls(_works)
    os.kill(int(calls(0.0, show=True)), signal.SIGKILL)
    with pytest.raises(CallFailed):
        calls(0.0)
    assert calls(0.0) == "done"


def test_a_result_that_is_no_text_is_reported() -> None:
    with pytest.raises(CallFailed):
        LimitedCalls(lambda: cast("str", 3))()


def _works(seconds: float, *, show: bool = False) -> str:
    """Compute for some seconds of this process's own time."""
    import time

    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return str(os.getpid()) if show else "done"
