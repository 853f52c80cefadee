"""Test that a user's language works from its file alone: Catalan from the docs, Amharic and Hausa."""

import asyncio
import io
import json
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from rich.console import Console as Terminal

from actors.scoring.loaded_reward import LoadedReward, RewardSetup
from contracts.config.load import dump_config, load_config
from contracts.config.reward import (
    CometConfig,
    EmbeddingReasoning,
    LikelihoodReasoning,
    RewardConfig,
    RewardWeights,
    ScorerConfig,
    TranslatorConfig,
)
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.paths import HOME_VARIABLE
from contracts.rollouts import AnswerProbabilityRequest, Problem, Rollout, SamplingRequest, Score, ScoreRequest
from driver.calibration import calibration_for
from driver.config_paths import with_absolute_paths
from driver.evaluation.inputs import EvaluationInputs
from driver.evaluation.plan import plan_evaluation
from driver.evaluation.run import evaluate_policy
from driver.problems.prompts import Prompter
from driver.problems.sources import open_source
from driver.problems.stream import ProblemStream
from driver.run_state.model_fingerprints import run_fingerprints
from driver.tracking.console import Console
from languages.facts import LANGUAGES, use_own_languages
from languages.language import Language
from rewards.answers.final import declared_answers, final_answer
from rewards.gates.identify import LanguageIdentifier
from rewards.number_coverage import find_text_numbers
from rewards.reasoning.similarity import ReasoningPair
from tests.fakes.chat import RenderedChat
from tests.refusals import refused

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "languages.md").read_text(encoding="utf-8")
AMHARIC, HAUSA = (ROOT / "tests" / "own_languages" / f"{code}.toml" for code in ("am", "ha"))

QUESTIONS = {
    "ca": "L'Anna tenia 12 pomes i en va comprar 3 més. Quantes pomes té ara?",
    "am": "አና 12 ፖም ነበራት እና 3 ተጨማሪ ገዛች። አሁን ስንት ፖም አላት?",
    "ha": "Anna tana da tuffa 12 kuma ta sayi ƙarin 3. Tuffa nawa take da su yanzu?",
}
SOLUTIONS = {
    "ca": "L'Anna tenia 12 pomes i en va comprar 3 més, així que ara té 12 + 3 = 15 pomes.",
    "am": "አና 12 ፖም ነበራት እና 3 ተጨማሪ ገዛች፣ ስለዚህ አሁን 12 + 3 = 15 ፖም አላት።",
    "ha": "Anna tana da tuffa 12 kuma ta sayi ƙarin guda 3, saboda haka yanzu tana da tuffa 12 + 3 = 15.",
}
ENGLISH_QUESTION = "Anna had 12 apples and bought 3 more. How many apples does she have now?"
ENGLISH = "Anna had 12 apples and bought 3 more, so now she has 12 + 3 = 15 apples."
GERMAN = "Anna hatte 12 Äpfel und kaufte 3 weitere, also hat sie jetzt 12 + 3 = 15 Äpfel."
SPANISH = "Ana tenía 12 manzanas y compró 3 más, así que ahora tiene 12 + 3 = 15 manzanas."
RUSSIAN = "У Анны было 12 яблок, она купила ещё 3, значит, теперь у неё 12 + 3 = 15 яблок."
OWN = tuple(QUESTIONS)


def answered(code: str, answer: str = "15") -> str:
    return f"{SOLUTIONS[code]}\n{LANGUAGES[code].closing.format(answer=answer)}"


@pytest.fixture
def catalan(tmp_path: Path) -> Path:
    [example] = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    file = tmp_path / "ca.toml"
    file.write_text(example, encoding="utf-8")
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write a problem file with the user's languages and German."""
    file = tmp_path / "problems.jsonl"
    questions = QUESTIONS | {"de": "Wie viele Äpfel hat Anna?"}
    rows = [
        {
            "item_id": f"p{number}",
            "language": code,
            "question": f"{number}. {question}",
            "question_en": f"{number}. {ENGLISH_QUESTION}",
            "answer": 15,
        }
        for number in range(4)
        for code, question in questions.items()
    ]
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def config(catalan: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """Return the config of a run in the three languages and German, read as a command reads it."""
    monkeypatch.setenv(HOME_VARIABLE, str(catalan.parent))
    yield load(catalan, data)
    use_own_languages(())


def load(catalan: Path, data: Path, *overrides: str) -> Config:
    files = json.dumps([catalan.name, str(AMHARIC), str(HAUSA)])
    return load_config(
        ROOT / "configs" / "smollm2.toml",
        [
            f"data.language_files={files}",
            'data.languages=["ca", "am", "ha", "de"]',
            "data.source=jsonl",
            "prompt.num_exemplars=0",
            f"data.path={data}",
            "evaluation.source=jsonl",
            f"evaluation.path={data}",
            'evaluation.languages=["ca", "am", "ha"]',
            *overrides,
        ],
    )


def a_prompter(config: Config) -> Prompter:
    tokenizer = cast("PreTrainedTokenizerBase", RenderedChat())
    return Prompter(tokenizer, config.prompt, exemplars={}, max_prompt_tokens=1000)


def test_reading_the_config_makes_the_languages_known(config: Config) -> None:
    assert [language.code for language in config.data.own_languages] == list(OWN)
    assert all(code in LANGUAGES for code in OWN)


def test_the_config_that_a_run_folder_keeps_reads_the_same_files(config: Config, tmp_path: Path) -> None:
    kept = tmp_path / "config.toml"
    kept.write_text(dump_config(with_absolute_paths(config, models=())), encoding="utf-8")
    assert [own.model_dump() for own in load_config(kept).data.own_languages] == [
        own.model_dump() for own in config.data.own_languages
    ]


def test_a_config_without_the_files_does_not_know_the_languages(config: Config) -> None:
    assert config.data.own_languages
    load_config(ROOT / "configs" / "quickstart.toml")
    assert "ca" not in LANGUAGES


@pytest.mark.parametrize(
    "content",
    ['code = "ca"', 'code = "en"', "code ="],
)
def test_a_mistake_in_a_file_is_bad_input_about_data_language_files(
    content: str, config: Config, catalan: Path, data: Path
) -> None:
    catalan.write_text(content, encoding="utf-8")
    with refused("data.language_files", str(catalan)):
        load(catalan, data)


def test_a_language_without_a_file_is_refused(config: Config, catalan: Path, data: Path) -> None:
    with pytest.raises(BadInput):
        load(catalan, data, 'data.languages=["sk"]')


@pytest.mark.parametrize("code", OWN)
def test_prompts_are_worded_by_the_file(config: Config, code: str) -> None:
    language = LANGUAGES[code]
    problem = Problem(item_id="a", language=code, question=QUESTIONS[code], question_en=ENGLISH_QUESTION)
    prompt = "".join(map(chr, a_prompter(config).prompt_token_ids(problem)))
    assert prompt == f"<user>{language.question_prefix} {QUESTIONS[code]}\n\n{language.instruction}"


def test_problems_are_drawn_in_the_languages(config: Config) -> None:
    source = open_source(config.data, languages=config.data.languages, seed=1)
    stream = ProblemStream(source, languages=config.data.languages, seed=1)
    assert {stream.draw().problem.language for _ in range(8)} == {*OWN, "de"}


@pytest.mark.parametrize(
    ("code", "text", "value"),
    [
        *((code, None, "15") for code in OWN),
        ("ca", "La resposta final seria 1.234,5 euros.", "1234.5"),
        ("ca", "**Resposta:** 5 mil", "5000"),
        ("ca", "### Resposta final\n7", "7"),
        ("ca", "El resultat: 7", "7"),
        ("ca", "La resposta és l'opció B.", "B"),
        ("ca", "La resposta és 25 per cent.", "25%"),
        ("am", "መልስ፦ 5", None),  # the Ethiopic colon is not a colon to the reader of labels
        ("am", "መልስ: 5 ሺህ", "5000"),
        ("am", "የመጨረሻው መልስ 25 በመቶ ነው።", "25%"),
        ("am", "### የመጨረሻ መልስ\n7", "7"),
        ("ha", "Amsar ƙarshe ita ce dubu 3.", "3000"),
        ("ha", "Amsa: miliyan 2.5", "2500000"),
        ("ha", "Amsa: 12", "12"),
    ],
)
def test_answers_are_read(config: Config, code: str, text: str | None, value: str | None) -> None:
    assert final_answer(answered(code) if text is None else text, code) == value


@pytest.mark.parametrize("code", OWN)
def test_a_closing_is_declared_in_the_language(config: Config, code: str) -> None:
    [found] = declared_answers(answered(code), code)
    assert (found.value, found.language) == ("15", code)


def test_number_words_are_read(config: Config) -> None:
    assert find_text_numbers("dues pomes i tres peres", "ca").words == {"2": 1, "3": 1}
    assert find_text_numbers("ሁለት ፖም", "am").words == {"2": 1}


@pytest.fixture
def identifier(config: Config) -> LanguageIdentifier:
    return LanguageIdentifier([*config.data.languages])


@pytest.mark.parametrize("code", OWN)
def test_faithful_text_is_in_its_language_and_the_others_are_not(identifier: LanguageIdentifier, code: str) -> None:
    assert identifier.is_in(answered(code), code)
    for other in (ENGLISH, GERMAN, SPANISH, RUSSIAN, *(SOLUTIONS[own] for own in OWN if own != code)):
        assert not identifier.is_in("\n".join([other] * 2), code), other


@pytest.mark.parametrize("code", OWN)
def test_a_foreign_sentence_within_a_faithful_text_is_found(identifier: LanguageIdentifier, code: str) -> None:
    assert not identifier.is_in(f"{SOLUTIONS[code]}\n{ENGLISH}\n{SOLUTIONS[code]}", code)


@pytest.mark.parametrize("code", OWN)
def test_a_builtin_language_is_judged_as_without_the_files(identifier: LanguageIdentifier, code: str) -> None:
    assert identifier.is_in(GERMAN, "de")
    assert not identifier.is_in(SOLUTIONS[code], "de")


def test_a_relative_in_the_same_script_is_told_apart_by_frequent_words(identifier: LanguageIdentifier) -> None:
    tigrinya = "ኣና ዓሰርተ ክልተ ቱፋሕ ነይሩዋ ድሕሪኡ ሰለስተ ወሲኻ ዓዲጋ ሕጂ ክንደይ ቱፋሕ ኣለዋ ጠቕላላ ዓሰርተ ሓሙሽተ"
    assert not identifier.is_in(tigrinya, "am")


def a_setup(own: tuple[Language, ...]) -> RewardSetup:
    return RewardSetup(
        scorer=ScorerConfig(model="none is loaded"),
        reward=RewardConfig(
            weights=RewardWeights(answer=0.5, reasoning=0.25, numbers=0.25),
            reasoning=LikelihoodReasoning(method="likelihood"),
        ),
        comet=CometConfig(),
        translator=TranslatorConfig(),
        languages=OWN,
        own_languages=own,
    )


def score(loaded: LoadedReward, code: str, response: str) -> Score:
    request = ScoreRequest(
        language=code,
        question=QUESTIONS[code],
        question_en=ENGLISH_QUESTION,
        reference=f"{ENGLISH}\nThe answer is 15.",
        responses=(response,),
        truncated=(False,),
        answer_probabilities=(0.8,),
    )
    ((scored,),) = loaded.reward.score([request])
    assert isinstance(scored, Score), scored
    return scored


@pytest.mark.parametrize("code", OWN)
def test_a_faithful_response_earns_all_and_an_english_one_nothing(config: Config, code: str) -> None:
    loaded = LoadedReward(a_setup(config.data.own_languages), "cpu")
    faithful = score(loaded, code, answered(code))
    assert set(faithful.gates.values()) == {1.0}, faithful.gates
    assert faithful.reward == pytest.approx(0.5 + 0.25 * 0.8 + 0.25)
    assert score(loaded, code, f"{ENGLISH}\nThe answer is 15.").reward == 0
    assert score(loaded, code, answered(code, "16")).parts["answer"] == 0


@pytest.mark.slow
def test_a_scorers_process_knows_the_languages_from_what_it_is_given(config: Config, tmp_path: Path) -> None:
    sent = tmp_path / "setup.pickle"
    sent.write_bytes(pickle.dumps(a_setup(config.data.own_languages)))
    code = (
        "import pickle, sys, pathlib; from actors.scoring.loaded_reward import LoadedReward;"
        f"setup = pickle.loads(pathlib.Path({str(sent)!r}).read_bytes()); LoadedReward(setup, 'cpu');"
        "from rewards.answers.final import final_answer;"
        "print(final_answer('La resposta és 7.', 'ca'), final_answer('መልሱ 7 ነው።', 'am'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", "7"]


class FaithfulPolicy:
    """Answer every problem faithfully in its language, but Amharic in English."""

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        code = request.request_id.split("/")[2]
        text = f"{ENGLISH}\nThe answer is 15." if code == "am" else answered(code)
        return (Rollout(token_ids=(1,), logprobs=(0.0,), text=text, finish_reason="stop", token_versions=(0,)),)

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        raise AssertionError(f"{request.request_id}: no answer is scored")


@pytest.mark.slow
def test_evaluation_measures_the_languages(config: Config, tmp_path: Path) -> None:
    prompter = a_prompter(config)
    inputs = EvaluationInputs(prompter=prompter, plan=plan_evaluation(config, prompter), pad_token_id=0)
    console = Console(Terminal(file=io.StringIO()))
    place = tmp_path / "evaluations" / "before"
    work = evaluate_policy(config, inputs, FaithfulPolicy(), console, place=place, trained=config.data.languages)
    result = asyncio.run(work)
    assert [(found.language, found.accuracy, found.language_consistency) for found in result.languages] == [
        ("ca", 1.0, 1.0),
        ("am", 1.0, 0.0),
        ("ha", 1.0, 1.0),
    ]


class ReasonableSimilarity:
    """Return values of a good similarity: a solution is close, its question less."""

    async def similarity_fingerprint(self) -> str:
        return "fake/1"

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        return [
            0.5 if pair.reasoning == pair.question else 0.8 + 0.001 * (index % 7) for index, pair in enumerate(pairs)
        ]


def calibrated(tmp_path: Path) -> Path:
    """Calibrate on parallel solutions in the three languages; return the file that keeps it."""
    source = tmp_path / "parallel.jsonl"
    rows = [
        {"item_id": f"p{number}", "language": code, "question": question, "solution": f"{number}. {solution}"}
        for number in range(9)
        for code, question, solution in (
            ("en", ENGLISH_QUESTION, f"{ENGLISH}\nThe answer is 15."),
            *((own, QUESTIONS[own], answered(own)) for own in OWN),
        )
    ]
    source.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    before = set(tmp_path.rglob("*.json"))
    reasoning = EmbeddingReasoning(calibration_data=str(source), calibration_items=9)
    console = Console(Terminal(file=io.StringIO()))
    found = asyncio.run(calibration_for(reasoning, ReasonableSimilarity(), languages=OWN, console=console))
    assert found is not None
    assert set(found.languages) >= set(OWN)
    [kept] = set(tmp_path.rglob("*.json")) - before
    return kept


def test_calibration_covers_the_languages_and_is_measured_again_for_a_changed_file(
    config: Config, catalan: Path, data: Path, tmp_path: Path
) -> None:
    first = calibrated(tmp_path)
    catalan.write_text(catalan.read_text(encoding="utf-8").replace("0.93", "0.9"), encoding="utf-8")
    load(catalan, data)
    assert calibrated(tmp_path) != first


def test_what_the_files_hold_belongs_to_a_run(config: Config, catalan: Path, data: Path) -> None:
    before = run_fingerprints(config)["data.language_files"]
    assert run_fingerprints(load(catalan, data))["data.language_files"] == before
    catalan.write_text(catalan.read_text(encoding="utf-8").replace("0.93", "0.9"), encoding="utf-8")
    assert run_fingerprints(load(catalan, data))["data.language_files"] != before
    assert "data.language_files" not in run_fingerprints(load_config(ROOT / "configs" / "quickstart.toml"))


def test_the_page_names_every_key_of_a_file() -> None:
    assert [key for key in Language.model_fields if f"`{key}`" not in PAGE and f"`[{key}]`" not in PAGE] == []
    [example] = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert set(tomllib.loads(example)) <= set(Language.model_fields)
