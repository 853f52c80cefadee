"""Find out before a run starts whether the cache has every reference that the run can draw: then it needs no pivot yet.

Only keys are looked up, and nothing is written: `plan` asks too. A file that can't be read counts as missing. A text
that turns out damaged later is asked for again, and the pivot is started then.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Protocol

from contracts.config.learning import PolicyGradientConfig
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.problems.stream import DrawState, ProblemStream
from driver.references.files import ENDING, FileIndex, UnusableFile, read_index
from driver.references.store import PivotSampling


class ReferencePrompts(Protocol):
    """Write the pivot's prompts."""

    def reference_prompt(self, question_en: str) -> tuple[int, ...]:
        """Return the prompt token ids [P] of an English question.

        Raises:
            BadInput: the question is too long for the pivot.
        """
        ...


class CachedKeys:
    """Hold the keys of all references in a cache's folder."""

    def __init__(self, folder: Path) -> None:
        """Read the keys of every file that can be read; none where there is no folder."""
        self._files = [index for path in sorted(folder.glob(f"*{ENDING}")) if (index := _index(path)) is not None]

    def __len__(self) -> int:
        """Return the number of rows: a key that is in two files counts twice."""
        return sum(map(len, self._files))

    def __contains__(self, key: str) -> bool:
        """Return whether there is a reference of this key."""
        wanted = bytes.fromhex(key)
        return any(file.find(wanted) is not None for file in self._files)


def has_every_reference(
    config: Config,
    stream: ProblemStream,
    prompts: ReferencePrompts,
    *,
    again: Sequence[DrawState] = (),
    after_step: int = 0,
    on_progress: Callable[[int], None] = lambda number: None,
) -> bool:
    """Return whether the cache has the reference of every problem that the steps after `after_step` can draw.

    Groups that are too old for their step are drawn again, without a limit. Their replacements are not looked for.

    Args:
        config: of the run, with absolute paths.
        stream: at the draw where the run starts.
        prompts: of the pivot.
        again: the draws that the run makes again.
        after_step: the last finished step.
        on_progress: is called with the number of problems looked at so far.

    Raises:
        BadInput: the files of the pivot's model can't be read.
    """
    folder = config.pivot.cache_folder
    if folder is None or not len(keys := CachedKeys(folder)):
        return False
    sampling = PivotSampling.of(config)
    for number, problem in enumerate(_drawable(config, stream, again, after_step), start=1):
        try:
            prompt_token_ids = prompts.reference_prompt(problem.question_en)
        except BadInput:  # too long for the pivot: its group is dropped, and asks for no reference
            continue
        if sampling.key(prompt_token_ids) not in keys:
            return False
        on_progress(number)
    return True


def _drawable(config: Config, stream: ProblemStream, again: Sequence[DrawState], after_step: int) -> Iterator[Problem]:
    """Yield every problem that can be drawn, each English question once."""
    algorithm, seen = config.algorithm, set[bytes]()
    replaced = algorithm.max_replacements if isinstance(algorithm, PolicyGradientConfig) else 0
    upcoming = stream.upcoming(
        algorithm.steps * algorithm.groups_per_step, num_replacements=(algorithm.steps - after_step) * replaced
    )
    for problem in chain((stream.again(draw).problem for draw in again), upcoming):
        digest = blake2b(problem.question_en.encode(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield problem


def _index(path: Path) -> FileIndex | None:
    try:
        return read_index(path)
    except (UnusableFile, OSError):  # the run's own cache says so, and renames it
        return None
