"""Test when a run needs no pivot: the cache has every reference that its steps can draw."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.problems.sources import ListSource
from driver.problems.stream import DrawState, ProblemStream
from driver.references.cache import ReferenceCache
from driver.references.coverage import CachedKeys, has_every_reference
from driver.references.store import PivotSampling
from tests.builders import a_config, a_problem, a_reference
from tests.fakes.ports import token_ids
from tests.runs.cached_references import files, filled, key


class PlainPrompts:
    """Write a question as the whole prompt, and refuse those that the test names."""

    def __init__(self, *too_long: str) -> None:
        self.too_long = too_long

    def reference_prompt(self, question_en: str) -> tuple[int, ...]:
        if question_en in self.too_long:
            raise BadInput(f"{question_en} is too long")
        return token_ids(question_en)


def config_of(folder: Path, **algorithm: object) -> Config:
    keys = {"steps": 2, "groups_per_step": 2, "max_replacements": 0} | algorithm
    return a_config(
        policy={"num_workers": 1},
        pivot={"cache": str(folder)},
        data={"languages": ["de", "th"]},
        algorithm=keys,
    )


def fill(config: Config, names: str) -> None:
    sampling = PivotSampling.of(config)
    cache = ReferenceCache(config.pivot.cache_folder)
    for name in names:
        cache.add(a_reference(item_id=name, key=sampling.key(token_ids(a_problem(name).question_en))))
    cache.save()


def stream_of(names: Mapping[str, str], *, num_drawn: int = 0) -> ProblemStream:
    problems = [a_problem(name, language) for language, letters in names.items() for name in letters]
    stream = ProblemStream(ListSource(problems, name="some"), languages=tuple(names), seed=1)
    for _ in range(num_drawn):
        stream.draw()
    return stream


def covered(
    config: Config,
    stream: ProblemStream,
    *,
    after_step: int = 0,
    again: Sequence[DrawState] = (),
    prompts: PlainPrompts | None = None,
    looked_at: list[int] | None = None,
) -> bool:
    progress = looked_at if looked_at is not None else []
    prompter = prompts or PlainPrompts()
    return has_every_reference(
        config, stream, prompter, again=again, after_step=after_step, on_progress=progress.append
    )


def test_every_item_of_every_language_must_be_there(tmp_path: Path) -> None:
    config, looked_at = config_of(tmp_path, steps=9), list[int]()
    fill(config, "abcd")
    assert covered(config, stream_of({"de": "abc", "th": "bcd"}), looked_at=looked_at)
    assert looked_at == [1, 2, 3, 4]  # languages share an item, which is looked for once
    assert not covered(config, stream_of({"de": "abc", "th": "cde"}))


def test_an_empty_cache_or_none_covers_nothing(tmp_path: Path) -> None:
    stream = stream_of({"de": "a", "th": "a"})
    assert not covered(config_of(tmp_path / "absent"), stream)
    assert not (tmp_path / "absent").exists()  # `plan` writes nothing
    off = config_of(tmp_path)
    assert not covered(off.model_copy(update={"pivot": off.pivot.model_copy(update={"cache": "off"})}), stream)


def test_other_settings_of_the_pivot_need_other_references(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    fill(config, "a")
    stream = stream_of({"de": "a", "th": "a"})
    assert covered(config, stream)
    longer = config.pivot.model_copy(update={"max_response_tokens": 7})
    assert not covered(config.model_copy(update={"pivot": longer}), stream)


def test_a_question_that_the_pivot_can_not_read_asks_for_no_reference(tmp_path: Path) -> None:
    config = config_of(tmp_path, steps=9)
    fill(config, "a")
    stream = stream_of({"de": "ab", "th": "ab"})
    assert not covered(config, stream)
    assert covered(config, stream, prompts=PlainPrompts("Question b?"))


LETTERS = "abcdefghijklmnop"
TWO_LANGUAGES = {"de": LETTERS, "th": LETTERS.upper()}


def drawn(num: int, *, replaced: int = 0) -> dict[str, str]:
    """Return what a run draws in turn and then as replacements of each language, by language."""
    stream, found = stream_of(TWO_LANGUAGES), {"de": "", "th": ""}
    for _ in range(num):
        problem = stream.draw().problem
        found[problem.language] += problem.item_id
    for language in found:
        found[language] += "".join(stream.draw(language).problem.item_id for _ in range(replaced))
    return found


@pytest.mark.parametrize("replacements", [0, 1])
def test_only_what_the_steps_can_draw_is_looked_for(tmp_path: Path, replacements: int) -> None:
    config, wanted = config_of(tmp_path, max_replacements=replacements), drawn(4, replaced=2 * replacements)
    assert {language: len(names) for language, names in wanted.items()} == dict.fromkeys(wanted, 2 + 2 * replacements)
    fill(config, wanted["de"] + wanted["th"][:-1])
    assert not covered(config, stream_of(TWO_LANGUAGES))
    fill(config, wanted["th"][-1])
    assert covered(config, stream_of(TWO_LANGUAGES))


def test_a_continued_run_needs_what_it_draws_from_now_on_and_what_it_draws_again(tmp_path: Path) -> None:
    config, wanted = config_of(tmp_path), drawn(4)
    stream = stream_of(TWO_LANGUAGES, num_drawn=2)
    fill(config, wanted["de"][1:] + wanted["th"][1:])
    assert covered(config, stream, after_step=1)
    assert not covered(config, stream_of(TWO_LANGUAGES))
    assert not covered(config, stream, after_step=1, again=[{"number": 0, "language": "de", "place": 0}])


def test_looking_moves_no_stream() -> None:
    stream = stream_of({"de": "abcd", "th": "abcd"})
    before = stream.state()
    assert len(list[Problem](stream.upcoming(3))) == 3
    assert len(list[Problem](stream.upcoming(3, num_replacements=4))) == 8
    assert stream.state() == before


def test_a_damaged_file_counts_as_missing_and_stays_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path, "kept")
    (kept,) = files(tmp_path)
    filled(tmp_path, "lost")
    (lost,) = set(files(tmp_path)) - {kept}
    assert key("kept") in CachedKeys(tmp_path) and key("lost") in CachedKeys(tmp_path)
    lost.write_bytes(b"damaged")
    assert key("kept") in CachedKeys(tmp_path) and key("lost") not in CachedKeys(tmp_path)
    assert set(files(tmp_path)) == {kept, lost}
