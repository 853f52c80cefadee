"""Test what is planned: which items in which languages, with which prompts, and what is refused before the start."""

import json
from pathlib import Path
from typing import cast

import pytest
from transformers import PreTrainedTokenizerBase

from contracts.config.run import Config
from driver.evaluation.asking.prompts import ChatPrompts, ChoicePrompts
from driver.evaluation.plan import EvaluationPlan, plan_evaluation
from driver.evaluation.sets.item import Choice, Item
from driver.problems.prompts import Prompter
from tests.builders import a_config
from tests.fakes.chat import RenderedChat
from tests.refusals import refused
from tests.unit.driver.evaluation.test_sets import write
from tests.unit.driver.problems.test_prompts import tokenizer as a_tokenizer

ROOM = 2048


def a_plan(config: Config) -> EvaluationPlan:
    tokenizer = cast("PreTrainedTokenizerBase", RenderedChat())
    return plan_evaluation(config, Prompter(tokenizer, config.prompt, exemplars={}, max_prompt_tokens=ROOM))


def a_config_for(tasks: list[str], **keys: object) -> Config:
    evaluation = {"tasks": tasks, "max_response_tokens": 100, **keys}
    return a_config(policy={"max_model_len": ROOM}, learner={"row_tokens": ROOM}, evaluation=evaluation)


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    for code in ("en", "de", "ko"):
        rows = [{"id": number, "question": f"Q{number}?", "answer": str(number)} for number in (1, 2)]
        write(tmp_path / f"mgsm_rev2/{code}.jsonl", rows)
    example = {"q": "Wie viele?", "a": "1 + 1 = 2. Die Antwort lautet 2."}
    english = {"q": "How many?", "a": "1 + 1 = 2. The answer is 2."}
    texts = {"de": {str(n): example for n in range(4)}, "en": {str(n): english for n in range(4)}}
    (tmp_path / "mgsm_rev2/exemplars.json").write_text(json.dumps(texts), encoding="utf-8")
    return tmp_path


def text_of(plan: EvaluationPlan, number: int = 0) -> str:
    task = plan.tasks[0]
    assert isinstance(task.prompts, ChatPrompts)
    return "".join(map(chr, task.prompts.prompt(task.items[number])))


@pytest.mark.parametrize(
    ("asked", "planned"),
    [("auto", ("en", "de")), ("all", ("de", "en", "ko")), (["ko", "en"], ("ko", "en"))],
)
def test_languages_are_those_that_are_asked_for_and_there(sets: Path, asked: object, planned: tuple[str, ...]) -> None:
    plan = a_plan(a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=asked))
    assert plan.languages == planned


def test_an_item_is_asked_in_its_language(sets: Path) -> None:
    plan = a_plan(a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=["de"]))
    assert text_of(plan) == (
        "<user>Frage: Q1?\n\nDenke Schritt für Schritt auf Deutsch und schließe mit „Die Antwort lautet <Zahl>.“"
    )
    assert plan.notes == ()


def test_a_language_without_a_file_is_asked_in_english_that_names_it_and_said(sets: Path) -> None:
    plan = a_plan(a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=["ko"]))
    if plan.notes:  # until the project has a file for Korean
        assert "in Korean" in text_of(plan)
        assert "Korean" in plan.notes[0]


def test_the_sets_own_worked_examples_come_first(sets: Path) -> None:
    plan = a_plan(a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=["de"], shots=2))
    turns = text_of(plan).split("<user>")
    assert len(turns) == 4
    assert turns[1].endswith("<assistant>1 + 1 = 2. Die Antwort lautet 2.")
    assert "Q1?" in turns[3]


def test_worked_examples_that_do_not_fit_are_refused_or_left_out_and_said(sets: Path) -> None:
    keys = {"data_folder": str(sets), "languages": ["de"], "shots": 4, "max_response_tokens": ROOM - 420}
    with refused("policy.max_model_len", "mgsm-rev2", "evaluation.shots"):
        a_plan(a_config_for(["mgsm-rev2"], **keys))
    plan = a_plan(a_config_for(["mgsm-rev2"], **keys, shots_too_long="fewer"))
    assert text_of(plan).count("<assistant>") == 2
    assert "2 items" in plan.notes[0]


def test_a_prompt_that_does_not_fit_alone_is_refused(sets: Path) -> None:
    keys = {"data_folder": str(sets), "languages": ["de"], "shots_too_long": "fewer"}
    with refused("policy.max_model_len", "item 1"):
        a_plan(a_config_for(["mgsm-rev2"], **keys, max_response_tokens=ROOM - 50))


def test_more_worked_examples_than_the_set_has_are_refused(sets: Path) -> None:
    with refused("evaluation.shots", "5", "4"):
        a_plan(a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=["de"], shots=5))


def test_a_folder_without_worked_examples_is_refused(sets: Path) -> None:
    (sets / "mgsm_rev2/exemplars.json").unlink()
    with refused("evaluation.shots", "mgsm_rev2", "exemplars.json"):
        a_plan(a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=["de"], shots=2))


@pytest.mark.parametrize(
    ("keys", "named"),
    [({"max_response_tokens": ROOM}, "evaluation.max_response_tokens"), ({"thinking_tokens": ROOM}, "thinking_tokens")],
)
def test_settings_that_leave_no_room_for_any_prompt_are_refused(sets: Path, keys: dict[str, int], named: str) -> None:
    with refused("policy.max_model_len", str(ROOM), named):
        a_plan(a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=["de"], **keys))


def test_worked_examples_of_a_task_that_is_scored_are_said_not_to_count(sets: Path) -> None:
    row = {"premise": "P.", "choice1": "A.", "choice2": "B.", "question": "cause", "label": 0, "idx": 0}
    write(sets / "xcopa/test.sw.jsonl", [row])
    a_tokenizer().save_pretrained(str(sets / "model"))
    config = a_config_for(["xcopa"], data_folder=str(sets), languages=["sw"], shots=2)
    plan = a_plan(config.model_copy(update={"policy": config.policy.model_copy(update={"model": str(sets / "model")})}))
    assert len(plan.notes) == 1
    assert "xcopa" in plan.notes[0]
    assert "evaluation.shots" in plan.notes[0]


def test_a_language_that_no_task_has_is_refused(sets: Path) -> None:
    with refused("evaluation.languages", "xx"):
        a_plan(a_config_for(["mgsm-rev2", "xcopa"], data_folder=str(sets), languages=["de", "xx"]))


@pytest.mark.parametrize(("written", "meant"), [("DE", "'de'"), ("German", "'de'"), ("korean", "'ko'")])
def test_a_language_by_another_name_is_refused_with_its_code(sets: Path, written: str, meant: str) -> None:
    with refused("evaluation.languages", written, f"did you mean {meant}"):
        a_plan(a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=[written]))


def test_a_task_without_any_of_the_languages_is_refused(sets: Path) -> None:
    (sets / "xcopa").mkdir()
    with refused("evaluation.languages", "xcopa"):
        a_plan(a_config_for(["mgsm-rev2", "xcopa"], data_folder=str(sets), languages=["de"]))


def test_a_folder_of_a_task_that_does_not_exist_is_refused(sets: Path) -> None:
    with refused("evaluation.paths", "'mgsm-rev3'", "'mgsm-rev2'"):
        a_plan(a_config_for(["mgsm-rev2"], paths={"mgsm-rev3": str(sets)}))


def test_a_task_without_a_folder_in_the_data_folder_is_refused(sets: Path) -> None:
    with refused("evaluation.data_folder", str(sets), "mmath"):
        a_plan(a_config_for(["mmath"], data_folder=str(sets), languages=["en"]))


def test_the_same_plan_has_the_same_digest_and_another_number_of_items_another(sets: Path) -> None:
    config = a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=["de"])
    fewer = a_config_for(["mgsm-rev2"], data_folder=str(sets), languages=["de"], max_items=1)
    assert a_plan(config).digest == a_plan(config).digest != a_plan(fewer).digest


# --- log-likelihood --------------------------------------------------------------------------------------------------


class Words:
    """Tokenize into words with the space before them, and begin every text with 1, as Llama's tokenizer does."""

    bos_token_id, eos_token_id = 1, 2

    def encode(self, text: str) -> list[int]:
        pieces = text.replace(" ", "\n ").split("\n")
        return [1, *(hash(piece) for piece in pieces if piece)]


def pair(context: str, continuation: str, *, max_model_len: int = 100) -> tuple[tuple[int, ...], tuple[int, ...]]:
    prompts = ChoicePrompts(tokenizer=cast("PreTrainedTokenizerBase", Words()), max_model_len=max_model_len)
    item = Item(task="t", item_id="1", language="de", question="?", gold="A")
    return prompts.pair(item, Choice(context=context, continuation=continuation))


def test_a_context_and_its_continuation_are_encoded_as_one_text() -> None:
    assert pair("Es regnet, also", " bleibe ich.") == (
        (1, hash("Es"), hash(" regnet,"), hash(" also")),
        (hash(" bleibe"), hash(" ich.")),
    )


def test_spaces_that_end_a_context_belong_to_the_continuation() -> None:
    assert pair("Es regnet, also ", "bleibe ich.") == pair("Es regnet, also", " bleibe ich.")


def test_an_empty_context_is_the_first_token() -> None:
    assert pair("", "Ja") == ((1,), (hash("Ja"),))


def test_a_pair_that_does_not_fit_is_refused() -> None:
    with refused("policy.max_model_len", "6"):
        pair("Es regnet, also", " bleibe ich.", max_model_len=6)
