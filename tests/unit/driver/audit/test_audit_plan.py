"""Test what an audit measures on, and which configs it refuses before anything is started."""

import json
from pathlib import Path

import pytest

from contracts.config.run import Config
from driver.audit.cheats import CHEATS
from driver.audit.plan import prepare_audit
from driver.problems.builtin.texts import TEXTS
from tests.builders import a_config
from tests.refusals import refused

MGSM = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "mgsm" / "exemplars.json"

ENGLISH_IS_FAITHFUL = (
    "english",
    "english reasoning",
    "english closing",
    "disguised english",
    "hidden english",
    "code-mixing",
)


def config(*, reward: dict[str, object] | None = None, **audit: object) -> Config:
    return a_config(audit=audit, reward=reward or {})


def test_the_built_in_problems_are_audited_in_all_languages() -> None:
    plan = prepare_audit(config(num_items=2))
    assert sorted(plan.languages) == sorted(TEXTS)
    assert len(plan.groups) == len(plan.questions) == 2 * len(TEXTS)
    assert plan.num_requests == len(plan.groups) + len(plan.series) + len(plan.questions)


def test_only_the_named_languages_are_audited() -> None:
    plan = prepare_audit(config(num_items=3, languages=["sw", "th"]))
    assert [group.request.language for group in plan.groups].count("sw") == 3
    assert set(plan.languages) == {"sw", "th"}


def test_the_questions_of_mgsms_files_beside_the_source_are_audited_too(tmp_path: Path) -> None:
    texts = {"q": "Question: How many?", "a": "Step-by-Step Answer: There are 2 + 3 = 5. The answer is 5."}
    native = {"q": "Frage: Wie viele?", "a": "Schritt-für-Schritt-Antwort: Es sind 2 + 3 = 5. Die Antwort lautet 5."}
    source = tmp_path / "exemplars.json"
    source.write_text(json.dumps({"en": {"1": texts}, "de": {"1": native}}), encoding="utf-8")
    (tmp_path / "mgsm_en.tsv").write_text("How old?\t7\nHow far?\t9\n", encoding="utf-8")
    (tmp_path / "mgsm_de.tsv").write_text("Wie alt?\t7\nWie weit?\t9\n", encoding="utf-8")
    (tmp_path / "mgsm_fr.tsv").write_text("Quel âge?\t7\nQuelle distance?\t9\n", encoding="utf-8")
    plan = prepare_audit(config(source=str(source), languages=["de"]))
    assert [(found.language, found.question) for found in plan.questions] == [
        ("de", "Wie viele?"),
        ("de", "Wie alt?"),
        ("de", "Wie weit?"),
    ]
    assert plan.questions[2].question_en == "How far?"


@pytest.mark.skipif(not MGSM.exists(), reason="MGSM's exemplars are not beside this checkout")
def test_every_cheat_can_be_made_from_every_exemplar_of_mgsm() -> None:
    plan = prepare_audit(config(source=str(MGSM), num_items=8))
    assert len(plan.groups) == 8 * 11
    for group in plan.groups:
        expected = ENGLISH_IS_FAITHFUL if group.request.language == "en" else ()
        assert group.left_out == expected
        assert len(group.names) == 1 + len(CHEATS) - len(expected)
    assert sum(found.language == "te" for found in plan.questions) == 8 + 250


@pytest.mark.parametrize(
    ("reasoning", "key"),
    [
        ({"method": "likelihood"}, "reward.reasoning.method"),
        ({"method": "translation", "translator": "pivot"}, "reward.reasoning.translator"),
    ],
)
def test_a_reward_that_needs_engines_is_refused(reasoning: dict[str, object], key: str) -> None:
    with refused(key):
        prepare_audit(config(reward={"reasoning": reasoning}, num_items=2))


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with refused("nothing.json"):
        prepare_audit(config(source=str(tmp_path / "nothing.json")))
