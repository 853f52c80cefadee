"""The order of a run: seeded, in turn by language, every problem once an epoch, resumable."""

import json
from collections import Counter
from itertools import islice, pairwise

import pytest

from driver.errors import BadInput
from driver.problems.sources import ListSource
from driver.problems.stream import ProblemStream, permuted
from driver.schema import Problem

SIZES = {"de": 7, "th": 3}
GOLDEN = [0, 7, 1, 2, 9, 5, 6, 4, 8, 3]


def source(sizes: dict[str, int], *, question: str = "how many?") -> ListSource:
    problems = [
        Problem(item_id=f"i{number}", language=language, question=question, question_en=question)
        for language, size in sizes.items()
        for number in range(size)
    ]
    return ListSource(problems, name="the test's problems")


def stream(*, seed: int = 1, languages: tuple[str, ...] = ("de", "th"), **changed: str) -> ProblemStream:
    return ProblemStream(source(SIZES, **changed), languages=languages, seed=seed)


def keys(problems: ProblemStream, num: int) -> list[str]:
    return [problem.group_key for problem in islice(problems, num)]


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


def test_an_index_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"index 5 is not in range\(5\)"):
        permuted(5, 5, key="a")


def test_languages_take_turns() -> None:
    assert [problem.language for problem in islice(stream(), 6)] == ["de", "th"] * 3
    assert [problem.language for problem in islice(stream(languages=("th", "de")), 3)] == ["th", "de", "th"]


def test_every_epoch_of_a_language_holds_each_of_its_problems_once_in_a_new_order() -> None:
    drawn = keys(stream(), 2 * 42)  # 42 turns of each language: 6 epochs of the 7 in German, 14 of the 3 in Thai
    german = [key for key in drawn if key.endswith("/de")]
    epochs = [german[start : start + 7] for start in range(0, 42, 7)]
    assert all(sorted(epoch) == [f"i{number}/de" for number in range(7)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert Counter(key for key in drawn if key.endswith("/th")) == {"i0/th": 14, "i1/th": 14, "i2/th": 14}


def test_the_seed_alone_fixes_the_order() -> None:
    assert keys(stream(seed=1), 40) == keys(stream(seed=1), 40)
    assert keys(stream(seed=1), 40) != keys(stream(seed=2), 40)


@pytest.mark.parametrize("drawn", [0, 1, 13, 14, 29])
def test_a_resumed_stream_goes_on_exactly(drawn: int) -> None:
    whole = keys(stream(), 60)
    first = stream()
    assert keys(first, drawn) == whole[:drawn]
    kept = json.loads(json.dumps(first.state()))
    resumed = stream()
    resumed.restore(kept)
    assert keys(resumed, 60 - drawn) == whole[drawn:]


def test_looking_at_a_position_does_not_move_the_stream() -> None:
    problems = stream()
    expected = keys(stream(), 5)
    assert problems.at(4).group_key == expected[4]
    assert keys(problems, 5) == expected


def test_a_stream_of_another_order_is_not_resumed() -> None:
    state = stream().state()
    with pytest.raises(BadInput, match=r"run\.seed was 1 at the checkpoint and is 2 now"):
        stream(seed=2).restore(state)
    with pytest.raises(BadInput, match=r"data.languages was \['de', 'th'\] at the checkpoint and is \['de'\] now"):
        stream(languages=("de",)).restore(state)
    with pytest.raises(BadInput, match="problems have changed"):
        stream(question="how much?").restore(state)
