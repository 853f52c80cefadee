"""Test the order of a run: seeded, languages in turn, every problem once an epoch, resumable."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config.load import load_config
from contracts.rollouts import Problem, PromptDraw
from driver.inputs import open_stream
from driver.problems.curriculum import Curriculum
from driver.problems.sources import ListSource
from driver.problems.stream import ProblemStream, first_draws, permuted, state_of
from tests.refusals import raised, refused

SIZES = {"de": 7, "th": 3}
GOLDEN = [0, 7, 1, 2, 9, 5, 6, 4, 8, 3]


def source(sizes: dict[str, int], *, question: str = "how many?") -> ListSource:
    problems = [
        Problem(item_id=f"i{number}", language=language, question=question, question_en=question)
        for language, size in sizes.items()
        for number in range(size)
    ]
    return ListSource(problems, name="the test's problems")


def stream(
    *,
    seed: int = 1,
    languages: tuple[str, ...] = ("de", "th"),
    shares: tuple[float, ...] = (),
    keep: float | None = None,
    question: str = "how many?",
) -> ProblemStream:
    """Return a stream; with `keep`, its curriculum counts rates below 0.1 as never and above 0.9 as always solved."""
    curriculum = None if keep is None else Curriculum(SIZES, seed=seed, low=0.1, high=0.9, keep=keep)
    problems = source(SIZES, question=question)
    return ProblemStream(problems, languages=languages, seed=seed, shares=shares, curriculum=curriculum)


def keys(problems: ProblemStream, num: int) -> list[str]:
    return [draw.problem.group_key for draw in first_draws(problems, num)]


def languages(draws: list[PromptDraw]) -> list[str]:
    return [draw.problem.language for draw in draws]


def rewound(problems: ProblemStream, onto: ProblemStream) -> ProblemStream:
    """Return another stream in the same state, by way of a checkpoint."""
    onto.restore(json.loads(json.dumps(problems.state())))
    return onto


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 1000])
def test_a_permutation_reaches_every_index_once(size: int) -> None:
    assert sorted(permuted(index, size, key="a") for index in range(size)) == list(range(size))


def test_a_permutation_mixes_and_depends_on_its_key() -> None:
    first = [permuted(index, 1000, key="1/de/0") for index in range(1000)]
    assert first != [permuted(index, 1000, key="1/de/1") for index in range(1000)]
    # A random permutation keeps 1 of 1000 in place on average, and follows an index by its successor as rarely.
    assert sum(image == index for index, image in enumerate(first)) < 10
    assert sum(after - before == 1 for before, after in pairwise(first)) < 10


def test_every_image_is_about_equally_likely_over_keys() -> None:
    images = Counter(permuted(0, 6, key=str(key)) for key in range(600))
    # 100 each are expected, with a standard deviation of 9.
    assert all(60 < images[image] < 140 for image in range(6))


def test_the_order_is_the_one_that_older_checkpoints_were_made_with() -> None:
    assert [permuted(index, 10, key="1/de/0") for index in range(10)] == GOLDEN
    # The n-th draw of even shares: language n mod 2, and its problem n // 2.
    for number, draw in enumerate(first_draws(stream(), 40)):
        place, turn = divmod(number, 2)
        language = ("de", "th")[turn]
        epoch, index = divmod(place, SIZES[language])
        position = permuted(index, SIZES[language], key=f"1/{epoch}")
        assert draw == PromptDraw(number=number, epoch_index=place, problem=source(SIZES).problem(language, position))


def test_an_index_outside_the_range_is_refused() -> None:
    with raised(ValueError, "5"):
        permuted(5, 5, key="a")


def test_languages_take_turns() -> None:
    assert languages(first_draws(stream(), 6)) == ["de", "th"] * 3
    assert languages(first_draws(stream(languages=("th", "de")), 3)) == ["th", "de", "th"]


def test_languages_come_up_by_their_shares() -> None:
    # Of shares 3/4 and 1/4 the first must have its turns by 2, 3 and 4, and the second by 4: of two that must by 4 the
    # first in order comes first. At turn 4 it has had all its 3.
    assert languages(first_draws(stream(shares=(3, 1)), 8)) == ["de", "de", "de", "th"] * 2


def test_every_epoch_of_a_language_holds_each_of_its_problems_once_in_a_new_order() -> None:
    drawn = keys(stream(), 2 * 42)  # 42 turns of each language: 6 epochs of the 7 in German, 14 of the 3 in Thai
    german = [key for key in drawn if key.endswith("/de")]
    epochs = [german[start : start + 7] for start in range(0, 42, 7)]
    assert all(sorted(epoch) == [f"i{number}/de" for number in range(7)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert Counter(key for key in drawn if key.endswith("/th")) == {"i0/th": 14, "i1/th": 14, "i2/th": 14}


def test_languages_of_one_size_visit_an_item_together() -> None:
    parallel = ProblemStream(source({"de": 9, "th": 9}), languages=("de", "th"), seed=4)
    items = [draw.problem.item_id for draw in first_draws(parallel, 36)]
    assert items[::2] == items[1::2]


def test_the_seed_alone_fixes_the_order() -> None:
    assert keys(stream(seed=1), 40) == keys(stream(seed=1), 40)
    assert keys(stream(seed=1), 40) != keys(stream(seed=2), 40)


def test_a_draw_of_one_language_takes_its_next_problem_and_no_turn() -> None:
    problems, plain = stream(), stream()
    german = [draw.problem for draw in first_draws(plain, 8) if draw.problem.language == "de"]
    first, forced = problems.draw(), problems.draw("de")
    assert [first.problem, forced.problem] == german[:2]
    assert (forced.number, forced.epoch_index) == (1, 1)
    then = first_draws(problems, 2)
    assert languages(then) == ["th", "de"]
    assert then[1].problem == german[2]
    assert [draw.number for draw in then] == [2, 3]


@given(
    shares=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    asked=st.lists(st.sampled_from(["", "de", "th"]), max_size=60),
)
def test_replacements_leave_the_shares_of_what_is_learned_from(shares: tuple[int, int], asked: list[str]) -> None:
    problems = stream(shares=shares)
    draws = [problems.draw(language) for language in asked]
    assert [draw.number for draw in draws] == list(range(len(asked)))
    for language, share in zip(("de", "th"), shares, strict=True):
        mine = [draw for draw in draws if draw.problem.language == language]
        assert [draw.epoch_index for draw in mine] == list(range(len(mine)))  # each problem of the order once
        replacements = asked.count(language)
        assert abs((len(mine) - replacements) * sum(shares) - share * asked.count("")) < sum(shares)


@pytest.mark.parametrize("drawn", [0, 1, 13, 14, 29])
@pytest.mark.parametrize("shares", [(), (1.0, 2.5)])
def test_a_resumed_stream_goes_on_exactly(drawn: int, shares: tuple[float, ...]) -> None:
    whole = first_draws(stream(shares=shares), 60)
    first = stream(shares=shares)
    assert first_draws(first, drawn) == whole[:drawn]
    resumed = rewound(first, stream(shares=shares))
    assert first_draws(resumed, 60 - drawn) == whole[drawn:]


def test_a_resumed_stream_remembers_what_was_drawn_out_of_turn() -> None:
    problems = stream()
    for language in ("", "th", "th", "", "de"):
        problems.draw(language)
    resumed = rewound(problems, stream())
    assert first_draws(resumed, 20) == first_draws(problems, 20)


def test_a_draw_can_be_made_again_without_moving_the_stream() -> None:
    problems = stream()
    draws = first_draws(problems, 9)
    again = json.loads(json.dumps([state_of(draw) for draw in draws]))
    assert [stream().again(state) for state in again] == draws
    assert [problems.again(state) for state in again] == draws
    assert problems.draw().number == 9


def test_a_curriculum_passes_over_what_was_always_or_never_solved() -> None:
    problems = stream(languages=("de",), keep=1e-9)
    epoch = first_draws(problems, 7)
    for draw, rate in zip(epoch, (0.0, 0.5, 1.0, 0.1, 0.95, 0.9, 0.05), strict=True):
        problems.saw(draw, rate)
    assert problems.take_passed_over() == 0
    solvable = {epoch[1].problem, epoch[3].problem, epoch[5].problem}
    later = first_draws(problems, 3)
    assert {draw.problem for draw in later} == solvable
    assert [draw.number for draw in later] == [7, 8, 9]  # what is passed over is no draw
    # From place 7 on; the last of the three is at place 13 or before, and all others up to it were passed over.
    assert problems.take_passed_over() == later[-1].epoch_index - 7 - 2
    assert problems.take_passed_over() == 0


def test_a_language_that_is_passed_over_as_a_whole_is_drawn_all_the_same() -> None:
    problems = stream(keep=1e-9)
    for draw in first_draws(problems, 14):
        problems.saw(draw, 0.0)
    assert problems.draw("th").epoch_index == 7 + 3  # 7 turns were taken, and one epoch of 3 passed over
    assert problems.draw("de").epoch_index == 7 + 7
    assert problems.take_passed_over() == 10


def test_a_resumed_curriculum_passes_over_the_same() -> None:
    problems = stream(keep=0.3)
    for draw in first_draws(problems, 14):
        problems.saw(draw, draw.epoch_index / 6)
    resumed = rewound(problems, stream(keep=0.3))
    assert resumed.state() == problems.state()
    later = first_draws(problems, 60)
    assert first_draws(resumed, 60) == later
    assert later != first_draws(rewound(stream(keep=0.3), stream(keep=0.3)), 60)
    assert resumed.take_passed_over() == problems.take_passed_over() > 0


def test_without_a_curriculum_nothing_is_remembered() -> None:
    problems = stream()
    for draw in first_draws(problems, 14):
        problems.saw(draw, 0.0)
    assert problems.state()["curriculum"] == {}
    assert first_draws(problems, 6) == first_draws(stream(), 20)[14:]
    assert problems.take_passed_over() == 0


def test_a_stream_of_another_order_is_not_resumed() -> None:
    state = stream().state()
    with refused("run.seed"):
        stream(seed=2).restore(state)
    with refused("data.languages"):
        stream(languages=("de",)).restore(state)
    with refused("data.shares"):
        stream(shares=(0.5, 1)).restore(state)
    with refused("data.path"):
        stream(question="how much?").restore(state)


def test_shares_that_say_the_same_are_the_same_order() -> None:
    problems = stream(shares=(0.5, 0.5))
    first_draws(problems, 3)
    assert keys(rewound(problems, stream()), 5) == keys(stream(), 8)[3:]


def test_a_config_says_shares_and_curriculum() -> None:
    root = Path(__file__).resolve().parents[4]
    settings = ["data.shares=[3, 1, 1]", 'data.curriculum="success_rate"', "data.curriculum_keep=1e-9"]
    config = load_config(root / "configs" / "smollm2.toml", settings)
    problems = open_stream(config, source({"de": 3, "fr": 3, "es": 3}))
    draws = first_draws(problems, 5)
    assert Counter(languages(draws)) == {"de": 3, "fr": 1, "es": 1}
    problems.saw(draws[0], 0.0)
    later = [problems.draw("de").problem for _ in range(6)]  # of the other two, over three epochs
    assert len(set(later)) == 2
    assert draws[0].problem not in later
    assert problems.take_passed_over() >= 2

    plain = open_stream(load_config(root / "configs" / "smollm2.toml", []), source({"de": 3, "fr": 3, "es": 3}))
    assert languages(first_draws(plain, 4)) == ["de", "fr", "es", "de"]
    assert plain.state()["curriculum"] == {}
