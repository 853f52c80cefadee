"""Test when a run reads, refuses or measures its calibration, and how the scorers are asked for values."""

import asyncio
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console as Terminal

from contracts.config.reward import CalibratedReasoning, EmbeddingReasoning, ReasoningConfig
from contracts.errors import BadInput, RunFailed
from contracts.paths import HOME_VARIABLE
from driver.calibration import calibrate, calibration_for, calibration_solutions, check_calibration
from driver.tracking.console import Console
from rewards.calibration import Calibration, from_json
from rewards.reasoning.similarity import ReasoningPair
from tests.builders import a_console


class Scorers:
    """Judge a solution as close to the reference, its question as less close, and any other text as far."""

    def __init__(self, fingerprint: str = "similarity-1") -> None:
        self.fingerprint = fingerprint
        self.num_pairs = 0
        self.calls: list[int] = []

    async def similarity_fingerprint(self) -> str:
        return self.fingerprint

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        self.num_pairs += len(pairs)
        self.calls.append(len(pairs))
        return [self._value(pair) for pair in pairs]

    def _value(self, pair: ReasoningPair) -> float:
        return 0.8 if pair.reasoning == pair.question else 0.9 + 0.001 * (len(pair.reasoning) % 10)


def config(**settings: object) -> EmbeddingReasoning:
    return EmbeddingReasoning.model_validate({"calibration_items": 8} | settings)


def scale_of(scorers: Scorers, reasoning: ReasoningConfig, *languages: str) -> Calibration | None:
    return asyncio.run(calibration_for(reasoning, scorers, languages=languages, console=a_console()))


def kept_by(scorers: Scorers, reasoning: CalibratedReasoning) -> Path:
    return asyncio.run(calibrate(reasoning, scorers, console=Console(Terminal(file=io.StringIO())))).path


def key_refused(attempt: Callable[[], object]) -> str:
    """Return the key that an attempt is refused for."""
    with pytest.raises(BadInput) as refused:
        attempt()
    return refused.value.key


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    return tmp_path


def test_missing_calibration_is_measured_once_and_kept(home: Path) -> None:
    scorers = Scorers()
    first = scale_of(scorers, config(), "de", "th")
    assert isinstance(first, Calibration)
    assert (scorers.num_pairs, list(first.languages)) == (2 * 8 * 3, ["de", "th"])
    assert scale_of(scorers, config(), "de", "th") == first
    assert scorers.num_pairs == 48
    (file,) = (home / ".cache" / "calibration").iterdir()
    assert file.name.endswith(f"-{first.data}.json")


def test_another_judge_other_data_and_other_languages_are_measured_anew(home: Path) -> None:
    scale_of(Scorers("similarity-1"), config(), "de")
    for scorers, reasoning, language in (
        (Scorers("similarity-2"), config(), "de"),
        (Scorers("similarity-1"), config(calibration_items=9), "de"),
        (Scorers("similarity-1"), config(), "th"),
    ):
        scale_of(scorers, reasoning, language)
        assert scorers.num_pairs == 3 * reasoning.calibration_items
    assert len(list((home / ".cache" / "calibration").iterdir())) == 4


def test_calibration_of_all_languages_serves_every_run() -> None:
    kept_by(Scorers(), config())
    scorers = Scorers()
    known = scale_of(scorers, config(), "sw", "te")
    assert isinstance(known, Calibration)
    assert len(known.languages) == 12
    assert scorers.num_pairs == 0


def test_off_needs_no_calibration_and_asks_no_scorer() -> None:
    scorers = Scorers()
    assert scale_of(scorers, config(calibration="off"), "de") is None
    assert scorers.num_pairs == 0


def test_named_file_is_used_and_refused_for_another_judge_or_language(home: Path) -> None:
    named = config(calibration="mine.json")
    assert kept_by(Scorers("similarity-1"), named) == home / "mine.json"
    record = json.loads((home / "mine.json").read_text(encoding="utf-8"))
    del record["languages"]["sw"]
    (home / "mine.json").write_text(json.dumps(record), encoding="utf-8")
    assert isinstance(scale_of(Scorers("similarity-1"), named, "de"), Calibration)
    assert key_refused(lambda: scale_of(Scorers("similarity-2"), named, "de")) == "reward.reasoning.calibration"
    assert key_refused(lambda: scale_of(Scorers("similarity-1"), named, "sw")) == "reward.reasoning.calibration"
    assert key_refused(lambda: check_calibration(named, ["sw"])) == "reward.reasoning.calibration"


def test_named_file_of_other_data_is_refused() -> None:
    kept_by(Scorers(), config(calibration="mine.json"))
    other = config(calibration="mine.json", calibration_items=9)
    assert key_refused(lambda: check_calibration(other, ["de"])) == "reward.reasoning.calibration_data"


def test_file_that_is_missing_or_damaged_is_bad_input_before_anything_starts(home: Path) -> None:
    named, nowhere = config(calibration="mine.json"), config(calibration_data="nowhere.json")
    assert key_refused(lambda: check_calibration(named, ["de"])) == "reward.reasoning.calibration"
    (home / "mine.json").write_text("{", encoding="utf-8")
    assert key_refused(lambda: check_calibration(named, ["de"])) == "reward.reasoning.calibration"
    with pytest.raises(BadInput):
        check_calibration(nowhere, ["de"])
    check_calibration(config(), ["de"])


def test_a_language_without_built_in_solutions_wants_other_calibration_data(home: Path) -> None:
    for source in ("builtin", "logic"):
        asked = config(calibration_data=source)
        assert key_refused(lambda asked=asked: check_calibration(asked, ["de", "ko"])) == (
            "reward.reasoning.calibration_data"
        )


def test_judge_that_can_not_be_calibrated_fails_the_run_and_keeps_no_file(home: Path) -> None:
    class Blind(Scorers):
        def _value(self, pair: ReasoningPair) -> float:
            return 0.5

    with pytest.raises(RunFailed) as failed:
        scale_of(Blind(), config(), "de")
    assert failed.value.key == "calibration"
    assert not (home / ".cache").exists()


def test_scorers_that_lose_a_value_fail_the_run() -> None:
    class Losing(Scorers):
        async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
            return (await super().similarities(pairs))[1:]

    with pytest.raises(RunFailed) as failed:
        scale_of(Losing(), config(), "de")
    assert failed.value.key == "scorer"


def test_scorers_are_asked_about_few_pairs_a_call_and_each_call_is_progress() -> None:
    """Nothing is a terminal here: a line for every tenth that is passed, and 72 pairs are calls of 32, 32 and 8."""
    scorers, screen = Scorers(), io.StringIO()
    asyncio.run(
        calibration_for(
            config(calibration_items=24), scorers, languages=["de"], console=Console(Terminal(file=screen, width=200))
        )
    )
    assert scorers.calls == [32, 32, 8]
    text = [line.partition(" ...")[0] for line in screen.getvalue().splitlines()]
    what = "calibrating the reasoning part"
    assert text[:3] == [what, f"{what} 32/72", f"{what} 64/72"]


def test_after_a_failure_no_scorer_is_asked_for_the_rest() -> None:
    class Failing(Scorers):
        async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
            await super().similarities(pairs)
            await asyncio.sleep(0)
            raise RunFailed("no scorer is left alive")

    async def watch() -> int:
        scorers, console = Failing(), a_console()
        with pytest.raises(RunFailed):
            await calibrate(config(calibration_items=96), scorers, console=console)
        asked = len(scorers.calls)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(scorers.calls) == asked
        return asked

    assert asyncio.run(watch()) < 12 * 3 * 96 / 32  # all calls that there would be


def test_two_runs_that_calibrate_at_once_leave_one_whole_file(home: Path) -> None:
    async def both() -> list[Calibration | None]:
        screens = [a_console() for _ in range(2)]
        runs = [calibration_for(config(), Scorers(), languages=["de"], console=screen) for screen in screens]
        return list(await asyncio.gather(*runs))

    first, second = asyncio.run(both())
    assert first == second
    (file,) = (home / ".cache" / "calibration").iterdir()
    assert from_json(file.read_text(encoding="utf-8")) == first


def test_builtin_calibration_never_sees_a_test_problem() -> None:
    assert all(item.item_id.startswith("builtin-train-") for item in calibration_solutions(config(), ["de"]))
