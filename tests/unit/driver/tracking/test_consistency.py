"""Check when a run ends because its policy no longer answers in a language."""

from collections import Counter

import pytest

from contracts.errors import RunFailed
from contracts.rollouts import Score, ScoredGroup, Unscored
from driver.tracking.consistency import ConsistencyWatch, LanguageCounts, count_languages, is_in_language
from tests.builders import a_problem, a_score, a_scored_group
from tests.refusals import raised


def counts(**shares: tuple[int, int]) -> LanguageCounts:
    """Return language -> (in the language, scored)."""
    return LanguageCounts(
        in_language=Counter({language: first for language, (first, _) in shares.items()}),
        scored=Counter({language: second for language, (_, second) in shares.items()}),
    )


def a_group(language: str, *scores: Score | Unscored) -> ScoredGroup:
    return a_scored_group(a_problem("a", language), scores)


def test_a_language_below_the_least_share_ends_the_run() -> None:
    watch = ConsistencyWatch(floor=0.25, steps=2)
    watch.see(counts(de=(8, 8), fr=(2, 8)))
    with pytest.raises(RunFailed) as caught:
        watch.see(counts(de=(8, 8), fr=(1, 8)))  # French: 3 of 16 = 18.75 %
    message = str(caught.value)
    assert caught.value.key == "reward.consistency_floor"
    assert "fr: 18.8% of 16" in message  # the only place that says which language it is
    assert "de:" not in message


def test_exactly_the_floor_is_enough() -> None:
    ConsistencyWatch(floor=0.25, steps=1).see(counts(fr=(2, 8)))


def test_nothing_is_judged_before_the_window_is_full() -> None:
    watch = ConsistencyWatch(floor=0.5, steps=3)
    watch.see(counts(fr=(0, 8)))
    watch.see(counts(fr=(0, 8)))
    with pytest.raises(RunFailed):
        watch.see(counts(fr=(0, 8)))


def test_what_lies_before_the_window_is_forgotten() -> None:
    watch = ConsistencyWatch(floor=0.5, steps=2)
    for in_language in (0, 8, 8, 0, 8):
        watch.see(counts(fr=(in_language, 8)))  # every two neighbours but the first have at least half
    with raised(RunFailed, "fr: 0.0% of 16", key="reward.consistency_floor"):
        watch.see(counts(fr=(0, 8)))
        watch.see(counts(fr=(0, 8)))


def test_a_language_that_nothing_was_scored_in_is_not_judged() -> None:
    watch = ConsistencyWatch(floor=0.5, steps=1)
    watch.see(counts(fr=(0, 0), de=(8, 8)))
    watch.see(counts())


def test_a_floor_of_zero_never_ends_a_run() -> None:
    watch = ConsistencyWatch(floor=0, steps=1)
    for _ in range(3):
        watch.see(counts(fr=(0, 8)))


def test_every_language_under_the_floor_is_named() -> None:
    with raised(RunFailed, "de: 0.0% of 4", "sw: 25.0% of 4", key="reward.consistency_floor"):
        ConsistencyWatch(floor=0.5, steps=1).see(counts(sw=(1, 4), de=(0, 4), th=(4, 4)))


@pytest.mark.parametrize(
    ("score", "wanted"),
    [
        (a_score(gates={"language": True, "answer_language": True, "format": False}), True),
        (a_score(gates={"language": True, "answer_language": False}), False),
        (a_score(gates={"language": False, "answer_language": True}), False),
        (a_score(gates={"answer_language": True}, parts={"language": 0.0}), False),  # switched off, judged all the same
        (a_score(gates={}, parts={"language": 1.0, "answer_language": 1.0}), True),
        (a_score(gates={"format": True}), None),
        (Unscored(reason="no answer"), None),
    ],
)
def test_a_response_is_in_its_language_where_reasoning_and_answer_are(
    score: Score | Unscored, wanted: bool | None
) -> None:
    assert is_in_language(score) is wanted


def test_scored_responses_are_counted_by_language() -> None:
    inside, outside = a_score(gates={"language": True}), a_score(gates={"language": False})
    groups = [
        a_group("de", inside, outside, Unscored(reason="no answer")),
        a_group("de", inside, inside),
        a_group("fr", outside, outside),
    ]
    assert count_languages(groups) == counts(de=(3, 4), fr=(0, 2))
