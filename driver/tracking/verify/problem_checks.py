"""Check languages and problems against the draws: `run.seed` alone decides which problem a language has next.

The draws are made again with the run's own stream, over the problems of `data`. A run asks for a draw out of turn to
replace a group (`algorithm.max_replacements`, or one that is too old after the learner was restarted): then whose turn
it was is not checked. A curriculum passes over problems by what the run has seen: with one only turns are checked.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.config.data import BuiltinData, HubData
from contracts.config.learning import PolicyGradientConfig, SftConfig
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.problems.sources import open_source
from driver.problems.stream import ProblemStream
from driver.problems.turns import Turns
from driver.tracking.line_logs import Event
from driver.tracking.samples_file import storable
from driver.tracking.verify.checkpoint_records import CheckpointRecord, Violation


@dataclass(frozen=True, kw_only=True)
class SeedDraws:
    """Make a run's draws again."""

    stream: ProblemStream
    shares: tuple[float, ...]
    passes_over: bool  # a curriculum does
    replaces: bool  # draws of one language may come out of turn

    def turns(self) -> Turns:
        """Return the languages' turns from the first draw on."""
        return Turns(self.stream.state()["languages"], self.shares)

    def problem(self, language: str, place: int) -> Problem:
        """Return the problem that a language has at its draw number `place`, counted from 0."""
        return self.stream.again({"number": 0, "language": language, "place": place}).problem


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenDraw:
    """Hold what the record says of one draw."""

    number: int
    item_id: str  # empty where only its language and place are known
    language: str
    where: str  # group id, or the checkpoint that has it as open
    place: int | None = None
    question: str | None = None  # as samples.parquet has it


def seed_draws(config: Config, checkpoints: Sequence[CheckpointRecord], events: Sequence[Event]) -> SeedDraws | str:
    """Return the run's draws, or why they can't be made again here."""
    data = config.data
    if isinstance(data, HubData) and not Path(data.path).exists():
        return "its dataset is on the hub, and verify loads nothing from there"
    if not isinstance(data, BuiltinData) and not checkpoints:
        return "without a checkpoint nothing says whether the problems are still the same"
    try:
        source = open_source(
            data, languages=data.languages, seed=config.run.seed, needs_english=not _imitates_translations(config)
        )
    except (BadInput, OSError) as refusal:
        return f"its problems can't be read here: {' '.join(str(refusal).split())}"
    if any(checkpoint.problems != source.fingerprint for checkpoint in checkpoints):
        if data.on_bad_item == "skip":
            return "items may have been left out for the length of their prompts, which verify doesn't measure"
        return f"{source.name} has other problems than the run was made with"
    shares = () if data.shares == "equal" else tuple(data.shares)
    algorithm = config.algorithm
    return SeedDraws(
        stream=ProblemStream(source, languages=data.languages, seed=config.run.seed, shares=shares),
        shares=shares,
        passes_over=data.curriculum != "off",
        replaces=(isinstance(algorithm, PolicyGradientConfig) and algorithm.max_replacements > 0)
        or any(event.kind == "learner_lost" or event.reason == "too_stale" for event in events),
    )


def _imitates_translations(config: Config) -> bool:
    """Return whether the run asked no pivot, and so needed no English question."""
    return isinstance(config.algorithm, SftConfig) and config.algorithm.sft_target == "translation"


def wrong_draws(draws: SeedDraws, seen: list[SeenDraw]) -> Iterator[Violation]:
    """Yield the draws of other languages or problems than the seed draws, up to the first draw that is not recorded.

    After a draw that is missing, or in no language of the run, nobody knows how far its language had come.
    """
    by_number: dict[int, list[SeenDraw]] = {}
    for draw in seen:
        by_number.setdefault(draw.number, []).append(draw)
    turns, places = draws.turns(), Counter[str]()
    languages = draws.stream.state()["languages"]
    for number in range(len(by_number)):
        if number not in by_number or by_number[number][0].language not in languages:
            return
        language = by_number[number][0].language
        turn = language if draws.replaces else turns.take()
        if language != turn:
            yield _of(by_number[number][0], f"is in {language}; it was the turn of {turn}")
            return
        problem = None if draws.passes_over else draws.problem(language, places[language])
        for draw in by_number[number]:
            if problem is not None and (wrong := _wrong(draw, problem, places[language])):
                yield _of(draw, wrong)
        places[language] += 1


def _wrong(draw: SeenDraw, expected: Problem, place: int) -> str:
    """Return how a draw differs from the problem that the seed draws; nothing where it doesn't."""
    if draw.place is not None and draw.place != place:
        return f"is number {draw.place} of {draw.language}; the seed draws number {place} there"
    if draw.item_id and draw.item_id != expected.item_id:
        return f"is of item {draw.item_id!r}; the seed draws {expected.item_id!r} there"
    if draw.question is not None and draw.question != storable(expected.question):
        return f"has another question than item {expected.item_id!r} has in {draw.language}"
    return ""


def _of(draw: SeenDraw, wrong: str) -> Violation:
    return Violation(f"draw {draw.number}", f"draw {draw.number} ({draw.where}) {wrong}")
