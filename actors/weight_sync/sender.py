"""Send the learner's weights to the policy workers: one attempt of a weight push, on every learner rank.

All ranks gather the weights together; rank 0 also sends them. Each worker succeeds or fails by itself: no worker's
failure stops the gathering, or the update of another worker. Must not import vLLM or Ray: the learner's shell brings a
`WeightReceiver` for each worker.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from actors.weight_sync.buckets import LearnerWeights, UpdateNumber, WeightBucket, WeightManifest

Reply: TypeAlias = Callable[[float], None]
"""Wait for the answer to a message, at most the given seconds. Raises TimeoutError or Missed. It may be asked again."""

POLL_S = 0.1
"""Time for which one worker's answer is waited for, where the first failure of any worker matters."""


class Missed(Exception):
    """Report that one policy worker could not do what a message asked for."""

    def __init__(self, why: str, *, is_dead: bool = False) -> None:
        super().__init__(why)
        self.is_dead = is_dead  # its process has ended


@dataclass(frozen=True, kw_only=True, slots=True)
class PushOrder:
    """Describe one attempt at a push. Every rank gets the same order."""

    policy_version: int
    update: UpdateNumber  # of the attempt: workers refuse late messages of another attempt
    names: tuple[str, ...]  # of the policy workers
    is_new_group: bool = False  # nccl: build a new transfer group first; else the last one is used


@dataclass(frozen=True, kw_only=True, slots=True)
class PushOutcome:
    """Hold the outcome of an attempt.

    A worker in neither `taken` nor `missed` did nothing wrong: the failure of another worker stopped its update.
    """

    taken: tuple[str, ...]  # names of the workers that serve the version now
    missed: Mapping[str, str]  # name of a worker that failed -> why
    dead: frozenset[str]  # names of those that missed because their process has ended
    num_tensors: int
    num_bytes: int


class WeightReceiver(Protocol):
    """Send messages to one policy worker."""

    def init_transfer(self, info: Mapping[str, object]) -> Reply:
        """Join the sender's transfer group (nccl)."""
        ...

    def start(self, manifest: WeightManifest) -> Reply:
        """Stop sampling and expect these tensors. Clears an unfinished update."""
        ...

    def receive(self, shared: object) -> Reply:
        """Load one bucket; `shared` is the result of `share` for it."""
        ...

    def update(self, info: Mapping[str, object]) -> Reply:
        """Load the tensors that the sender broadcasts (nccl)."""
        ...

    def finish(self, policy_version: int) -> Reply:
        """Check that all tensors arrived, and serve them as this version."""
        ...

    def abandon(self) -> None:
        """Drop the update: the worker is stale until a whole one arrives. The answer is not waited for."""
        ...


class ActiveReceivers:
    """Send each message to all policy workers of one attempt. A worker that fails or is late gets no more."""

    def __init__(
        self, receivers: Mapping[str, WeightReceiver], *, share: Callable[[WeightBucket], object], timeout_s: float
    ) -> None:
        """Start with all `receivers`, by worker name.

        `share` puts a bucket where every worker can read it, or raises Missed. `timeout_s` is the time limit of each
        message.
        """
        self._active = dict(receivers)
        self._share = share
        self._timeout_s = timeout_s
        self._taken: tuple[str, ...] = ()
        self._missed: dict[str, str] = {}
        self._dead: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the workers that have missed nothing so far."""
        return tuple(self._active)

    def init_transfer(self, infos: Mapping[str, Mapping[str, object]]) -> None:
        """Let every worker join the sender's transfer group (nccl); `infos` is by worker name."""
        replies = {name: receiver.init_transfer(infos[name]) for name, receiver in self._active.items()}
        self._await_replies("join the weight transfer", replies, self._deadline())

    def start(self, manifest: WeightManifest) -> None:
        """Let every worker start the update."""
        self._send("start a weight update", lambda receiver: receiver.start(manifest))()

    def receive(self, bucket: WeightBucket) -> Callable[[], None]:
        """Send one bucket; the returned function waits until all active workers have loaded it."""
        if not self._active:
            return _nothing_to_wait_for
        try:
            shared = self._share(bucket)
        except Missed as failure:
            self.cancel(str(failure))
            return _nothing_to_wait_for
        return self._send("load a bucket of weights", lambda receiver: receiver.receive(shared))

    def update(self, info: Mapping[str, object]) -> None:
        """Let every worker load the tensors that the sender broadcasts (nccl).

        Returns as soon as one of them fails: the others wait for it in the broadcast, and answer nothing.
        """
        replies = {name: receiver.update(info) for name, receiver in self._active.items()}
        deadline = self._deadline()
        while replies and not self.has_missed and time.monotonic() < deadline:
            replies = {
                name: reply
                for name, reply in replies.items()
                if not self._await_reply("load weights", name, reply, POLL_S)
            }
        if not self.has_missed:
            self._await_replies("load weights", replies, deadline)

    def finish(self, policy_version: int) -> None:
        """Let every worker serve the weights as `policy_version`."""
        self._send(
            f"finish the weight update to version {policy_version}", lambda receiver: receiver.finish(policy_version)
        )()
        self._taken = self.names

    @property
    def has_missed(self) -> bool:
        """Return whether a worker has missed the update."""
        return bool(self._missed)

    def cancel(self, why: str) -> None:
        """Drop the update on all active workers.

        If no worker has missed it so far, all of them are counted as having missed it, because of `why`.
        """
        has_missed = self.has_missed
        for name in self.names:
            if has_missed:
                self._active.pop(name).abandon()
            else:
                self._remove(name, why)

    def outcome(self, manifest: WeightManifest) -> PushOutcome:
        """Return the outcome of the attempt."""
        return PushOutcome(
            taken=self._taken,
            missed=dict(self._missed),
            dead=frozenset(self._dead),
            num_tensors=len(manifest.specs),
            num_bytes=manifest.num_bytes,
        )

    def _send(self, what: str, send: Callable[[WeightReceiver], Reply]) -> Callable[[], None]:
        """Send a message to all active workers at once; the returned function waits for their answers."""
        replies = {name: send(receiver) for name, receiver in self._active.items()}
        return partial(self._await_replies, what, replies, self._deadline())

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_s

    def _await_replies(self, what: str, replies: Mapping[str, Reply], deadline: float) -> None:
        for name, reply in replies.items():
            left_s = max(0.0, deadline - time.monotonic())
            if name in self._active and not self._await_reply(what, name, reply, left_s):
                self._remove(name, f"did not {what} within {self._timeout_s:g} s (weights.timeout_s)")

    def _await_reply(self, what: str, name: str, reply: Reply, wait_s: float) -> bool:
        """Wait for one answer, and leave the worker out if it failed. Return whether it has answered."""
        try:
            reply(wait_s)
        except TimeoutError:
            return False
        except Missed as failure:
            self._remove(name, f"could not {what}: {failure}", is_dead=failure.is_dead)
        return True

    def _remove(self, name: str, why: str, *, is_dead: bool = False) -> None:
        receiver = self._active.pop(name)
        self._missed[name] = why
        if is_dead:
            self._dead.add(name)
        else:
            receiver.abandon()


class Sender(Protocol):
    """Push weights, on every learner rank."""

    def send(self, order: PushOrder, receivers: ActiveReceivers | None) -> WeightManifest:
        """Push all weights. Every rank calls it, all but rank 0 with `receivers=None`.

        Gathering is a collective: whatever happens to the receivers, each rank gathers all weights to the end.
        """
        ...


class BucketSender:
    """Push bucket by bucket: the workers load one while the ranks gather the next."""

    def __init__(self, source: LearnerWeights) -> None:
        self._source = source

    def send(self, order: PushOrder, receivers: ActiveReceivers | None) -> WeightManifest:
        """Push all weights, as `Sender.send` says."""
        manifest = WeightManifest.of(self._source, update=order.update)
        if receivers is None:
            for _ in self._source.buckets():  # takes part in the gathering and keeps nothing
                pass
            return manifest
        receivers.start(manifest)
        wait_until_loaded = _nothing_to_wait_for
        for tensors in self._source.buckets():
            if not receivers.names:
                continue
            bucket = WeightBucket.pack(tensors, update=order.update)
            wait_until_loaded()
            wait_until_loaded = receivers.receive(bucket)
        wait_until_loaded()
        receivers.finish(order.policy_version)
        return manifest


def _nothing_to_wait_for() -> None:
    """Return at once: no bucket is being loaded."""
