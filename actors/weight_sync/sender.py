"""The sender's side of a weight push: what rank 0 tells the policy workers while all ranks walk through the weights.

Owns who still takes part in a push: each worker succeeds or misses by itself, and no worker's failure stops the ranks'
walk or another worker's update. Knows neither vLLM nor Ray: a shell brings a `WeightReceiver` for each worker
(actors/learner.py), vLLM's own transport between GPUs is in actors/weight_sync/vllm_transfer.py. Who is sent what,
and again: actors/weight_sync/rounds.py.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from actors.weight_sync.buckets import LearnerWeights, UpdateNumber, WeightBucket, WeightManifest

Reply: TypeAlias = Callable[[float], None]
"""Waits for an answer, so many seconds at most. Raises TimeoutError or Missed."""


class Missed(Exception):
    """One policy worker could not do what it was told."""

    def __init__(self, why: str, *, is_gone: bool = False) -> None:
        super().__init__(why)
        self.is_gone = is_gone  # its process has ended


@dataclass(frozen=True, kw_only=True, slots=True)
class PushOrder:
    """One attempt at a push, as every rank hears of it."""

    policy_version: int
    update: UpdateNumber  # of the attempt: the workers refuse what is late from another one
    names: tuple[str, ...]  # of the policy workers
    meeting: tuple[str, int] | None = None  # nccl: where to build a new group; None: the one that there is still fits


@dataclass(frozen=True, kw_only=True, slots=True)
class PushOutcome:
    """What came of an attempt. A worker that is named nowhere is not to blame: another's failure stopped its update."""

    taken: tuple[str, ...]  # these serve the version now
    missed: Mapping[str, str]  # these don't; why, by name
    gone: frozenset[str]  # of those that missed: their process has ended
    num_tensors: int
    num_bytes: int


class WeightReceiver(Protocol):
    """How messages reach one policy worker."""

    def init_transfer(self, info: Mapping[str, object]) -> Reply:
        """nccl: join the sender's group."""
        ...

    def start(self, manifest: WeightManifest) -> Reply:
        """Stop sampling and expect these tensors. Clears an update that was left half-done."""
        ...

    def receive(self, shared: object) -> Reply:
        """Load one bucket; `shared` is what the receivers' `share` made of it."""
        ...

    def update(self, info: Mapping[str, object]) -> Reply:
        """nccl: load what the sender broadcasts."""
        ...

    def finish(self, policy_version: int) -> Reply:
        """Check that everything arrived, and serve it as this version."""
        ...

    def abandon(self) -> None:
        """Give up the update: stale until a whole one arrives. Nobody waits for the answer."""
        ...


class Receivers:
    """The policy workers of one attempt. Who does not do as told within the deadline is left out of the rest of it."""

    def __init__(
        self, mailboxes: Mapping[str, WeightReceiver], *, share: Callable[[WeightBucket], object], timeout_s: float
    ) -> None:
        """`share` puts a bucket where every worker can read it, or raises Missed; `timeout_s` is each message's."""
        self._listening = dict(mailboxes)
        self._share = share
        self._timeout_s = timeout_s
        self._taken: tuple[str, ...] = ()
        self._missed: dict[str, str] = {}
        self._gone: set[str] = set()

    @property
    def listening(self) -> tuple[str, ...]:
        """Who has missed nothing so far."""
        return tuple(self._listening)

    def init_transfer(self, infos: Mapping[str, Mapping[str, object]]) -> None:
        replies = {name: box.init_transfer(infos[name]) for name, box in self._listening.items()}
        self._hear("join the weight transfer", replies, self._deadline())

    def start(self, manifest: WeightManifest) -> None:
        self._tell("start a weight update", lambda mailbox: mailbox.start(manifest))()

    def receive(self, bucket: WeightBucket) -> Callable[[], None]:
        """Hand over one bucket; the result waits until everybody who listens has loaded it."""
        if not self._listening:
            return nothing_under_way
        try:
            shared = self._share(bucket)
        except Missed as failure:
            self.give_up(str(failure))
            return nothing_under_way
        return self._tell("load a bucket of weights", lambda mailbox: mailbox.receive(shared))

    def update(self, info: Mapping[str, object]) -> None:
        self._tell("load weights", lambda mailbox: mailbox.update(info))()

    def finish(self, policy_version: int) -> None:
        self._tell(f"finish the weight update to version {policy_version}", lambda box: box.finish(policy_version))()
        self._taken = self.listening

    @property
    def has_missed(self) -> bool:
        """Whether anybody has."""
        return bool(self._missed)

    def give_up(self, why: str) -> None:
        """Nobody takes this update. Where no worker is to blame for it, all of them are told that they missed it."""
        is_anybody_to_blame = self.has_missed
        for name in self.listening:
            if is_anybody_to_blame:
                self._listening.pop(name).abandon()
            else:
                self._leave_out(name, why)

    def outcome(self, manifest: WeightManifest) -> PushOutcome:
        return PushOutcome(
            taken=self._taken,
            missed=dict(self._missed),
            gone=frozenset(self._gone),
            num_tensors=len(manifest.specs),
            num_bytes=manifest.num_bytes,
        )

    def _tell(self, what: str, ask: Callable[[WeightReceiver], Reply]) -> Callable[[], None]:
        """Ask everybody at once; the result waits for their answers."""
        replies = {name: ask(mailbox) for name, mailbox in self._listening.items()}
        return partial(self._hear, what, replies, self._deadline())

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_s

    def _hear(self, what: str, replies: Mapping[str, Reply], deadline: float) -> None:
        for name, reply in replies.items():
            if name not in self._listening:
                continue
            try:
                reply(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                self._leave_out(name, f"did not {what} within {self._timeout_s:g} s (weights.timeout_s)")
            except Missed as failure:
                self._leave_out(name, f"could not {what}: {failure}", is_gone=failure.is_gone)

    def _leave_out(self, name: str, why: str, *, is_gone: bool = False) -> None:
        mailbox = self._listening.pop(name)
        self._missed[name] = why
        if is_gone:
            self._gone.add(name)
        else:
            mailbox.abandon()


class Sender(Protocol):
    """A way of the weights, on every learner rank."""

    def send(self, order: PushOrder, receivers: Receivers | None) -> WeightManifest:
        """Push all weights; every rank calls it, all but rank 0 with `receivers=None`.

        Gathering is a collective: whatever becomes of the receivers, each rank walks through all weights to the end.
        """
        ...


class BucketSender:
    """Pushes bucket by bucket; one is loaded while the next is gathered."""

    def __init__(self, source: LearnerWeights) -> None:
        self._source = source

    def send(self, order: PushOrder, receivers: Receivers | None) -> WeightManifest:
        manifest = WeightManifest.of(self._source, update=order.update)
        if receivers is None:
            walk(self._source)
            return manifest
        receivers.start(manifest)
        loaded = nothing_under_way
        for tensors in self._source.buckets():
            if not receivers.listening:
                continue
            bucket = WeightBucket.pack(tensors, update=order.update)
            loaded()
            loaded = receivers.receive(bucket)
        loaded()
        receivers.finish(order.policy_version)
        return manifest


def walk(source: LearnerWeights) -> None:
    """Take part in the gathering, and keep nothing."""
    for _ in source.buckets():
        pass


def nothing_under_way() -> None:
    """No bucket is being loaded."""
