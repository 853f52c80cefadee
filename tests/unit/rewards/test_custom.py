"""Test a reward of the user's own: what it gets, what it may return, and how its mistakes are reported."""

import re
import tomllib
from pathlib import Path

import pytest

from contracts.config.reward import RewardConfig
from contracts.rollouts import ScoreRequest, Unscored
from driver.custom_reward import load_source
from rewards.custom import CustomReward
from tests.refusals import raised, refused

PAGE = Path(__file__).resolve().parents[3] / "docs" / "custom_reward.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def a_request(*responses: str, reference: str = "one\ntwo\nThe answer is 2.") -> ScoreRequest:
    return ScoreRequest(
        language="de",
        question="Wie viele Katzen sind es zusammen?",
        question_en="How many cats are there?",
        reference=reference,
        responses=responses,
        truncated=(False,) * len(responses),
    )


def scored(source: str, *responses: str) -> tuple[float, ...] | Unscored:
    return CustomReward(source=source, path="/somewhere/mine.py", function="reward").score(a_request(*responses))


def failure(source: str, *responses: str) -> Unscored:
    found = scored(source, *responses)
    assert isinstance(found, Unscored)
    return found


# --- the page's examples ----------------------------------------------------------------------------------------------


def test_the_worked_example_of_the_page_has_at_most_ten_lines_and_does_what_the_page_says(tmp_path: Path) -> None:
    file = tmp_path / "my_reward.py"
    file.write_text(EXAMPLES[0], encoding="utf-8")
    assert len(EXAMPLES[0].splitlines()) <= 10
    reward = CustomReward(source=load_source(str(file), "reward"), path=str(file), function="reward")
    # The reference has two line breaks: none is worth 0, one 1/2, two 1, and more are worth no more.
    assert reward.score(a_request("a", "a\nb", "a\nb\nc", "a\nb\nc\nd")) == (0.0, 0.5, 1.0, 1.0)


def test_the_settings_of_the_page_are_valid() -> None:
    (settings,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    config = RewardConfig.model_validate(tomllib.loads(settings)["reward"])
    assert (config.custom.path, config.custom.function, config.weights.custom) == ("my_reward.py", "reward", 0.15)


def test_the_async_example_of_the_page_runs() -> None:
    assert scored(EXAMPLES[1], "Es sind 2.", "Wie viele Katzen sind es zusammen? 2.") == (1.0, 0.0)


# --- what it may give back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result", ["[0, 1]", "(0.0, 1.0)", "iter([0, True])", "__import__('numpy').array([0.0, 1.0], dtype='float32')"]
)
def test_anything_that_gives_one_number_per_response_will_do(result: str) -> None:
    assert scored(f"def reward(request):\n    return {result}\n", "a", "b") == (0.0, 1.0)


def test_an_event_loop_stays_the_same_from_call_to_call() -> None:
    source = (
        "import asyncio\n"
        "loops = []\n"
        "async def reward(request):\n"
        "    loops.append(asyncio.get_running_loop())\n"
        "    return [float(loops[0] is loops[-1] and len(loops) == 2)]\n"
    )
    reward = CustomReward(source=source, path="mine.py", function="reward")
    assert [reward.score(a_request("a")) for _ in range(2)] == [(0.0,), (1.0,)]


def test_a_module_knows_the_path_of_its_own_file() -> None:
    assert scored("def reward(request):\n    return [float(__file__ == '/somewhere/mine.py')]\n", "a") == (1.0,)


def test_a_module_may_hold_dataclasses_with_annotations_as_text() -> None:
    source = (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Weights:\n"
        "    length: float = 0.5\n"
        "def reward(request):\n"
        "    return [Weights().length]\n"
    )
    assert scored(source, "a") == (0.5,)


# --- what its mistakes look like --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "kind", "told"),
    [
        ("[0.5]", "ValueError", "reward gave 1 numbers for 2 responses"),
        ("[0.5] * 3", "ValueError", "reward gave 3 numbers for 2 responses"),
        ("[0.5, 1.5]", "ValueError", "reward gave 1.5 for response 1"),
        ("[-0.1, 0.5]", "ValueError", "reward gave -0.1 for response 0"),
        ("[0.5, float('nan')]", "ValueError", "reward gave nan for response 1"),
        ("[float('inf'), 0.5]", "ValueError", "reward gave inf for response 0"),
        ("[0.5, None]", "TypeError", "NoneType"),
        ("None", "TypeError", "NoneType"),
        ("0.5", "TypeError", "float"),
        ("{}['nothing']", "KeyError", "'nothing'"),
        ("__import__('sys').exit(3)", "SystemExit", "3"),
    ],
)
def test_a_wrong_result_or_an_exception_leaves_the_group_unscored_with_the_traceback(
    result: str, kind: str, told: str
) -> None:
    found = failure(f"def reward(request):\n    return {result}\n", "a", "b")
    assert found.reason == f"custom reward failed: {kind}"
    assert found.detail.startswith("Traceback (most recent call last):\n  File ")
    assert told in found.detail.splitlines()[-1]


def test_the_traceback_shows_the_users_own_line_though_the_file_is_not_there() -> None:
    found = failure("def reward(request):\n    return [1 / len('')]  # my own line\n", "a")
    assert "  File \"/somewhere/mine.py\", line 2, in reward\n    return [1 / len('')]  # my own line" in found.detail


@pytest.mark.parametrize("failure", ["RuntimeError('no service')", "asyncio.CancelledError()"])
def test_what_an_async_function_raises_leaves_the_group_unscored_and_the_next_one_is_scored(failure: str) -> None:
    source = (
        "import asyncio\n"
        "async def reward(request):\n"
        "    await asyncio.sleep(0)\n"
        "    if request.responses == ('bad',):\n"
        f"        raise {failure}\n"
        "    return [0.5]\n"
    )
    reward = CustomReward(source=source, path="mine.py", function="reward")
    bad = reward.score(a_request("bad"))
    assert isinstance(bad, Unscored)
    assert bad.reason == f"custom reward failed: {failure.partition('(')[0].removeprefix('asyncio.')}"
    assert reward.score(a_request("good")) == (0.5,)


def test_a_module_that_cannot_be_run_fails_when_the_scorer_starts() -> None:
    with raised(ModuleNotFoundError, "no_such_package"):
        CustomReward(source="import no_such_package\n", path="mine.py", function="reward")


def test_a_reward_that_is_no_function_fails_when_the_scorer_starts() -> None:
    with raised(ValueError, "mine.py", "'reward'"):
        CustomReward(source="reward = 3\n", path="mine.py", function="reward")


# --- before the start -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "def reward(request): return []",
        "async def reward(request): return []",
        "def reward(request, scale=2.0, *, power=1): return []",
        "def reward(*requests): return []",
        "def other(a, b): return a\ndef reward(request, /): return []",
    ],
)
def test_a_file_that_can_be_called_is_given_back_as_it_is(tmp_path: Path, source: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source, encoding="utf-8")
    assert load_source(str(file), "reward") == source


@pytest.mark.parametrize(
    ("source", "line", "key", "named"),
    [
        ("x = 1\ndef reward(request)\n    return []\n", 2, "path", "':'"),
        ("def reward(request):\n  return (\n", 2, "path", "'('"),
        ("x = 1\n", 1, "function", ": none)"),
        ("class A:\n    def reward(self, request): ...\ndef rewards(r): ...\n", 1, "function", ": rewards)"),
        ("\n\ndef reward():\n    return []\n", 3, "function", "()"),
        ("def reward(request, gold):\n    return []\n", 1, "function", "(request, gold)"),
        ("def reward(request, *, gold):\n    return []\n", 1, "function", "(request, *, gold)"),
    ],
)
def test_a_mistake_in_the_file_is_refused_with_its_line_before_the_start(
    tmp_path: Path, source: str, line: int, key: str, named: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source, encoding="utf-8")
    with refused(f"reward.custom.{key}", f"{file}:{line}: ", named):
        load_source(str(file), "reward")


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    latin = tmp_path / "latin.py"
    latin.write_bytes(b"# caf\xe9\n")
    null = tmp_path / "null.py"
    null.write_bytes(b"x = 1\0\n")
    for file in (tmp_path / "absent.py", tmp_path, latin, null):
        with refused("reward.custom.path", str(file)):
            load_source(str(file), "reward")


def test_nothing_of_the_file_is_run_before_the_start(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("raise SystemExit(1)\ndef reward(request): return []\n", encoding="utf-8")
    assert load_source(str(file), "reward").startswith("raise SystemExit")
