"""References: the pivot's English response to every item, asked for once and kept in a Parquet cache.

Owns the cache's key, its files and the promise that one item is in flight at most once, however many languages ask for
it. Asks the pivot only through the `Generator` port; knows no engine, no reward and no gold answer.
"""

import asyncio
import hashlib
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from driver.errors import BadInput
from driver.ports import Generator
from driver.schema import Problem, Reference, SamplingRequest
from driver.seeds import sampling_seeds

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("item_id", pa.string()),
        ("text", pa.string()),
        ("num_tokens", pa.int64()),
        ("finish_reason", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class PivotSampling:
    """What, beside the prompt, decides the pivot's response; all of it is part of the cache's key."""

    fingerprint: str  # of the pivot's weights, see `model_fingerprint`
    max_tokens: int
    temperature: float
    seed: int  # without effect at temperature 0

    def key(self, prompt_token_ids: tuple[int, ...]) -> str:
        """Cache key of one prompt: the tokens hold the question, the exemplars and the chat template."""
        seed = self.seed if self.temperature > 0 else 0
        parts = [self.fingerprint, self.max_tokens, self.temperature, seed, list(prompt_token_ids)]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


class ReferenceCache:
    """References on disk: a folder of small Parquet files, each written aside and renamed, never changed again.

    Two runs may share a folder: each adds files of its own, and reads the others' when it starts.
    """

    def __init__(self, folder: Path | None) -> None:
        """`folder` None keeps references for this run only."""
        self._folder = folder
        self._references: dict[str, Reference] = {}
        self._unsaved: list[Reference] = []
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(folder.glob("*.parquet")):
                for row in _rows(file):
                    self._references[row["key"]] = Reference(**row)

    def __len__(self) -> int:
        return len(self._references)

    def get(self, key: str) -> Reference | None:
        return self._references.get(key)

    def add(self, reference: Reference) -> None:
        self._references[reference.key] = reference
        self._unsaved.append(reference)

    def save(self) -> None:
        """Write what was added since the last call as one new file. Safe to call at any time."""
        if not self._unsaved or self._folder is None:
            self._unsaved.clear()
            return
        table = pa.Table.from_pylist([asdict(reference) for reference in self._unsaved], schema=SCHEMA)
        name = uuid.uuid4().hex
        aside = self._folder / f".{name}.tmp"
        pq.write_table(table, aside)
        os.replace(aside, self._folder / f"{name}.parquet")
        self._unsaved.clear()


@dataclass
class ReferenceCounts:
    """What `ReferenceBook` did since it was last asked; reset by reading."""

    asked: int = 0  # by problems
    requests: int = 0  # that went to the pivot: neither in the cache nor on their way already
    tokens: int = 0  # that the pivot drew for them


@dataclass
class ReferenceBook:
    """Get-or-ask: the reference of a problem's item, from the cache or from the pivot."""

    pivot: Generator
    prompt: Callable[[str], tuple[int, ...]]  # English question -> prompt token ids
    sampling: PivotSampling
    cache: ReferenceCache
    counts: ReferenceCounts = field(default_factory=ReferenceCounts)
    _in_flight: dict[str, asyncio.Future[Reference]] = field(default_factory=dict)

    async def get(self, problem: Problem) -> Reference:
        """The item's reference. Languages of one item share it, also while it is still being written."""
        prompt_token_ids = self.prompt(problem.question_en)
        key = self.sampling.key(prompt_token_ids)
        self.counts.asked += 1
        if (known := self.cache.get(key)) is not None:
            return known
        if (pending := self._in_flight.get(key)) is None:
            self.counts.requests += 1
            pending = asyncio.ensure_future(self._ask(problem.item_id, key, prompt_token_ids))
            self._in_flight[key] = pending
        return await asyncio.shield(pending)

    def take_counts(self) -> ReferenceCounts:
        taken, self.counts = self.counts, ReferenceCounts()
        return taken

    async def _ask(self, item_id: str, key: str, prompt_token_ids: tuple[int, ...]) -> Reference:
        try:
            (rollout,) = await self.pivot.sample(
                SamplingRequest(
                    request_id=f"reference-{key}",
                    prompt_token_ids=prompt_token_ids,
                    seeds=sampling_seeds(self.sampling.seed, "reference", key, num=1),
                    max_tokens=self.sampling.max_tokens,
                    temperature=self.sampling.temperature,
                )
            )
        finally:
            del self._in_flight[key]
        reference = Reference(
            item_id=item_id,
            key=key,
            text=rollout.text,
            num_tokens=len(rollout.token_ids),
            finish_reason=rollout.finish_reason,
        )
        self.counts.tokens += reference.num_tokens
        self.cache.add(reference)
        return reference


def _rows(file: Path) -> list[dict]:
    try:
        return pq.read_table(file, schema=SCHEMA).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        cause = " ".join(str(error).split())
        raise BadInput(f"{file} is no reference cache file ({cause}); remove it") from None


def model_fingerprint(model: str) -> str:
    """Identity of a model's weights: its name, and for a local folder its config and the start of each weight file.

    Reading 1 MiB of each shard tells two checkpoints of one training run apart without reading all of them.
    """
    folder = Path(model)
    digest = hashlib.blake2b(digest_size=16)
    if not folder.is_dir():
        digest.update(model.encode())
        return digest.hexdigest()
    for file in sorted([folder / "config.json", *folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        if file.exists():
            digest.update(f"{file.name} {file.stat().st_size} ".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(1 << 20))
    return digest.hexdigest()
