"""Hold what a model answered to an item, and keep it in a journal, so that a killed evaluation goes on item by item."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from contracts.errors import BadInput
from contracts.rollouts import Rollout


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """Hold one response to one item."""

    text: str  # without thinking
    thinking: str
    num_tokens: int  # thinking included
    num_thinking_tokens: int
    is_truncated: bool

    @classmethod
    def of(cls, rollout: Rollout) -> Self:
        """Return what is kept of a rollout."""
        return cls(
            text=rollout.text,
            thinking=rollout.thinking,
            num_tokens=len(rollout.token_ids),
            num_thinking_tokens=rollout.num_thinking_tokens,
            is_truncated=rollout.is_truncated,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceScore:
    """Hold the log-likelihood of one option."""

    logprob: float  # sum over the continuation's tokens, in nats
    num_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """Hold all that was drawn or scored for one item: responses, or a score for each option."""

    key: str  # of the item
    responses: tuple[Response, ...] = ()
    choices: tuple[ChoiceScore, ...] = ()


class Journal:
    """Write each answered item as a line of a file, and read what an earlier start wrote.

    The first line is the digest of what is evaluated: lines of another evaluation are never mixed in. A line that a
    kill has cut is removed.
    """

    def __init__(self, path: Path, *, digest: str) -> None:
        """Open the journal, or begin it.

        Raises:
            BadInput: it belongs to another evaluation, or a line before its last is damaged.
        """
        self.path = path
        self.answered: dict[str, Answered] = {}
        kept = 0
        if path.exists():
            for end, record in _whole_lines(path):
                if kept == 0:
                    _check_digest(path, record, digest)
                else:
                    answered = _answered(path, record)
                    self.answered[answered.key] = answered
                kept = end
            with path.open("r+b") as file:
                file.truncate(kept)
        self._file = path.open("a", encoding="utf-8")
        if kept == 0:
            self._write({"evaluation": digest})

    def add(self, answered: Answered) -> None:
        """Keep what was answered to an item."""
        self.answered[answered.key] = answered
        self._write(asdict(answered))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, record: Mapping[str, object]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._file.flush()


def _whole_lines(path: Path) -> Iterator[tuple[int, object]]:
    """Yield the end of each whole line, in bytes, and its record."""
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return  # cut by a kill
            end += len(line)
            try:
                record = json.loads(line)
            except ValueError:
                raise BadInput(f"{path}, line {number} is damaged; move the file away", key=path.name) from None
            yield end, record


def _check_digest(path: Path, record: object, digest: str) -> None:
    if not isinstance(record, dict) or record.get("evaluation") != digest:
        raise BadInput(
            f"{path} was written for another model, tasks or settings; choose another run.name, or give the same ones",
            key="run.name",
        )


def _answered(path: Path, record: object) -> Answered:
    try:
        if not isinstance(record, dict):
            raise TypeError
        return Answered(
            key=record["key"],
            responses=tuple(Response(**found) for found in record["responses"]),
            choices=tuple(ChoiceScore(**found) for found in record["choices"]),
        )
    except (KeyError, TypeError):
        raise BadInput(f"{path} is no journal of an evaluation; move it away", key=path.name) from None
