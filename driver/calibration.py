"""Find, read or measure the calibration of a run's reasoning component.

Values are asked for through the `Similarities` port; which pairs are measured, and how the values become a scale, is
defined with the rewards.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from contracts.config.reward import CalibratedReasoning, ReasoningConfig
from contracts.errors import BadInput, RunFailed
from contracts.files import write_whole
from contracts.paths import PROGRAM, absolute
from contracts.ports import Console
from contracts.rollouts import ParallelSolution
from contracts.user_files import read_user_text
from driver.problems.parallel import BUILTIN_SOURCES, fingerprint, load_solutions
from driver.rollouts.engine_features import PivotTranslations
from rewards.calibration import FIT, Calibration, calibration_pairs, fit, from_json
from rewards.reasoning.similarity import ReasoningPair

FOLDER = ".cache/calibration"
COMMAND = f"{PROGRAM} calibrate"

_KEY = "reward.reasoning.calibration"

_SEED = 0  # of the built-in solutions: the same in all runs, so that they share a calibration
_PAIRS_PER_CALL = 32  # a large COMET or translation model on a CPU finishes them within the scorers' deadline
# More than one scorer takes at once: the fleet passes on what its scorers can take. Not all calls at once: a pivot that
# translates first has a deadline too, which covers everything that is asked at the same time.
_CALLS_AT_ONCE = 16


class Similarities(Protocol):
    """Return raw similarities, from the scorers."""

    async def similarity_fingerprint(self) -> str:
        """Return the fingerprint of the comparison, which is the same in all scorers."""
        ...

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        """Return [N] raw values in order, NaN where the comparison has none.

        Each call has a deadline of its own, which begins when a scorer takes it.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TranslatedSimilarities:
    """Ask the scorers about pairs whose reasonings the pivot translates first, for a comparison of translations."""

    scorers: Similarities
    translations: PivotTranslations

    async def similarity_fingerprint(self) -> str:
        """Return the fingerprint of the scorers' comparison."""
        return await self.scorers.similarity_fingerprint()

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        """Return [N] raw values in order."""
        languages = dict.fromkeys(pair.language for pair in pairs)
        english: dict[tuple[str, str], str] = {}
        for language in languages:
            texts = [pair.reasoning for pair in pairs if pair.language == language]
            found = await self.translations.translate(texts, source=language, name=f"calibration/{uuid.uuid4().hex}")
            english |= {(language, text): translation for text, translation in zip(texts, found, strict=True)}
        return await self.scorers.similarities(
            [replace(pair, translation=english[pair.language, pair.reasoning]) for pair in pairs]
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Hold a calibration and the path of its file."""

    calibration: Calibration
    path: Path


async def calibration_for(
    config: ReasoningConfig, scorers: Similarities, *, languages: Sequence[str], console: Console
) -> Calibration | None:
    """Return the calibration of a run in `languages`; None where scorers need none.

    It is the one that `reward.reasoning.calibration` names. With "auto" it is measured and kept where it is missing.

    Raises:
        BadInput: the named file is not a calibration, belongs to another way of comparing, or lacks a language; or
            calibration_data is wrong.
        RunFailed: the similarities can't be calibrated.
    """
    if not isinstance(config, CalibratedReasoning) or not config.is_calibrated:
        return None
    match config.calibration:
        case "auto":
            method = await scorers.similarity_fingerprint()
            wanted = calibration_solutions(config, languages)
            # A calibration that was made for all languages of the data serves every run.
            for solutions in (calibration_solutions(config), wanted):
                path = _kept(method, solutions)
                if path.exists() and covers(known := read_calibration(path), languages):
                    return known
            return (await measure(wanted, scorers, console=console)).calibration
        case named:
            known = _read_named(config, languages)
            _check_method(known, await scorers.similarity_fingerprint(), named)
            return known


def check_calibration(config: ReasoningConfig, languages: Sequence[str]) -> None:
    """Check what can be checked before any scorer is started.

    Raises:
        BadInput: the named file or calibration_data is wrong.
    """
    if not isinstance(config, CalibratedReasoning) or not config.is_calibrated:
        return
    if config.calibration == "auto":
        calibration_solutions(config, languages)
    else:
        _read_named(config, languages)


async def calibrate(config: CalibratedReasoning, scorers: Similarities, *, console: Console) -> Measured:
    """Measure all languages of calibration_data, whatever was measured before, and keep the calibration.

    It is written to the file that `reward.reasoning.calibration` names, or else to where every run looks.

    Raises:
        BadInput: calibration_data is wrong.
        RunFailed: the similarities can't be calibrated.
    """
    path = None if config.calibration in ("auto", "off") else absolute(config.calibration)
    return await measure(calibration_solutions(config), scorers, console=console, path=path)


async def measure(
    solutions: Sequence[ParallelSolution], scorers: Similarities, *, console: Console, path: Path | None = None
) -> Measured:
    """Ask the scorers for every pair of the solutions, fit, and write to `path`, by default to where every run looks.

    Raises:
        RunFailed: the similarities can't be calibrated.
    """
    method = await scorers.similarity_fingerprint()
    values = await _values(calibration_pairs(solutions), scorers, console)
    try:
        calibration = fit(solutions, values, similarity=method, data=fingerprint(solutions))
    except ValueError as error:
        raise RunFailed(str(error), key="calibration") from None
    path = path or _kept(method, solutions)
    _write(path, calibration.to_json())
    return Measured(calibration=calibration, path=path)


def calibration_solutions(config: CalibratedReasoning, languages: Sequence[str] = ()) -> list[ParallelSolution]:
    """Return the parallel solutions of calibration_data in `languages`, by default in all that it has.

    Raises:
        BadInput: calibration_data is no such file, or lacks a language.
    """
    source = config.calibration_data
    is_builtin = source in BUILTIN_SOURCES
    try:
        return load_solutions(
            source if is_builtin else str(absolute(source)),
            languages=languages,
            num_items=config.calibration_items,
            seed=_SEED,
            split="train",
        )
    except BadInput as error:
        if not is_builtin:
            raise
        advice = 'name a file of parallel solutions, or set reward.reasoning.calibration = "off"'
        raise BadInput(
            f"reward.reasoning.calibration_data = {source!r}: {error}; {advice}",
            key="reward.reasoning.calibration_data",
        ) from None


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        BadInput: there is no such file, or it is damaged.
    """
    text = read_user_text(path, key=_KEY, way_out=f"write one with `{COMMAND}`")
    try:
        return from_json(text)
    except ValueError as error:
        raise BadInput(f"{path}: {error}", key=_KEY) from None


def covers(calibration: Calibration, languages: Sequence[str]) -> bool:
    """Return whether all of the languages were measured."""
    return set(languages) <= set(calibration.languages)


def _kept(method: str, solutions: Sequence[ParallelSolution]) -> Path:
    """Return where every run looks. The name is a digest of the fingerprint, which may hold any character."""
    digest = blake2b(f"{method} {FIT}".encode(), digest_size=8).hexdigest()
    return absolute(FOLDER) / f"{digest}-{fingerprint(solutions)}.json"


async def _values(pairs: Sequence[ReasoningPair], scorers: Similarities, console: Console) -> list[float]:
    """Return the similarities [N], and show the progress call by call."""
    batches = [pairs[start : start + _PAIRS_PER_CALL] for start in range(0, len(pairs), _PAIRS_PER_CALL)]
    turns = asyncio.Semaphore(_CALLS_AT_ONCE)
    num_done = 0

    async def ask(batch: Sequence[ReasoningPair], advance: Callable[[int], None]) -> list[float]:
        nonlocal num_done
        async with turns:
            values = await scorers.similarities(batch)
        if len(values) != len(batch):
            raise RunFailed(f"the scorers returned {len(values)} values for {len(batch)} pairs", key="scorer")
        num_done += len(batch)
        advance(num_done)
        return values

    with console.phase("calibrating the reasoning part", total=len(pairs)) as advance:
        calls = [asyncio.ensure_future(ask(batch, advance)) for batch in batches]
        try:
            answers = await asyncio.gather(*calls)
        finally:
            for call in calls:  # after a failure the other calls are not made
                call.cancel()
    return [value for values in answers for value in values]


def _read_named(config: CalibratedReasoning, languages: Sequence[str]) -> Calibration:
    """Return the calibration that the config names, for these languages and for its calibration_data."""
    named = config.calibration
    calibration = read_calibration(absolute(named))
    try:
        calibration.require(languages)
    except ValueError as error:
        raise BadInput(f"{_KEY} = {named!r}: {error}", key=_KEY) from None
    if calibration.data != (data := fingerprint(calibration_solutions(config))):
        raise BadInput(
            f"{_KEY} = {named!r} was measured on other data ({calibration.data}) than calibration_data = "
            f"{config.calibration_data!r} with calibration_items = {config.calibration_items} is now ({data}); "
            f"measure it again with `{COMMAND}`",
            key="reward.reasoning.calibration_data",
        )
    return calibration


def _check_method(calibration: Calibration, method: str, named: str) -> None:
    if calibration.similarity != method:
        raise BadInput(
            f"{_KEY} = {named!r} was made with {calibration.similarity}, but this run compares reasonings with "
            f"{method}: another "
            f"encoder, prefix, precision or chunk size; make a calibration for it with `{COMMAND}`",
            key=_KEY,
        )


def _write(path: Path, text: str) -> None:
    """Write the file whole, also where another run writes the same file at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text, is_shared=True)
