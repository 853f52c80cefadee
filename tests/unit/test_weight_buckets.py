"""Packing, checksums and the sender's walk, on plain tensors and a hand-written receiver."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from actors.weight_buckets import WeightBucket, WeightManifest, learner_checksums, send_weights, tensor_checksum

A = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
B = torch.tensor([1.5, -2.5], dtype=torch.float32)
C = torch.ones(3, 1, dtype=torch.float32)


class Source:
    """Three tensors in two buckets; counts how far each walk went."""

    def __init__(self) -> None:
        self.walked: list[str] = []

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [("a", A.dtype, (2, 3)), ("b", B.dtype, (2,)), ("c", C.dtype, (3, 1))]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        for bucket in ([("a", A), ("b", B)], [("c", C)]):
            self.walked.extend(name for name, _ in bucket)
            yield bucket


class Recorder:
    """Writes down what it is told, and fails at one of the words."""

    def __init__(self, *, fails_at: str = "", fails_to_abandon: bool = False) -> None:
        self.heard: list[str] = []
        self._fails_at = fails_at
        self._fails_to_abandon = fails_to_abandon

    def _hear(self, word: str) -> None:
        self.heard.append(word)
        if word == self._fails_at:
            raise TimeoutError(f"no answer to {word}")

    def start(self, manifest: WeightManifest) -> None:
        self._hear(f"start {len(manifest.specs)}")

    def receive(self, bucket: WeightBucket) -> Callable[[], None]:
        names = "+".join(spec.name for spec in bucket.specs)
        self._hear(f"send {names}")
        return lambda: self._hear(f"loaded {names}")

    def finish(self, policy_version: int) -> None:
        self._hear(f"finish {policy_version}")

    def abandon(self) -> None:
        self.heard.append("abandon")
        if self._fails_to_abandon:
            raise ConnectionError("nobody there")


def test_bucket_gives_back_what_was_packed() -> None:
    bucket = WeightBucket.pack([("a", A), ("b", B), ("c", C.T)])
    bucket.data.flags.writeable = False  # as it comes out of the object store
    tensors = {spec.name: tensor for spec, tensor in bucket.tensors()}
    assert torch.equal(tensors["a"], A) and tensors["a"].dtype == torch.bfloat16
    assert torch.equal(tensors["b"], B)
    assert torch.equal(tensors["c"], C.T)
    assert bucket.offsets == (0, 64, 128)  # 12, 8 and 12 bytes, each on a boundary of 64
    assert bucket.data.nbytes == 140


def test_manifest_counts_bytes_and_refuses_a_name_twice() -> None:
    assert WeightManifest.of(Source()).num_bytes == 12 + 8 + 12
    spec = WeightManifest.of(Source()).specs[0]
    with pytest.raises(ValueError, match="names a more than once"):
        WeightManifest(specs=(spec, spec))


def test_checksum_sees_one_changed_bit_and_no_sign_of_zero() -> None:
    changed = B.clone()
    changed[1] = float(np.nextafter(np.float32(-2.5), np.float32(0)))
    assert tensor_checksum(changed) != tensor_checksum(B)
    assert tensor_checksum(torch.tensor([-0.0, 1.0])) == tensor_checksum(torch.tensor([0.0, 1.0]))
    assert tensor_checksum(A.T.contiguous().T) == tensor_checksum(A)  # the order in memory does not matter
    assert set(learner_checksums(Source())) == {"a", "b", "c"}


def test_sender_gathers_one_bucket_while_the_one_before_is_loaded() -> None:
    recorder = Recorder()
    manifest = send_weights(Source(), policy_version=7, receivers=recorder)
    assert recorder.heard == ["start 3", "send a+b", "loaded a+b", "send c", "loaded c", "finish 7"]
    assert [spec.name for spec in manifest.specs] == ["a", "b", "c"]


@pytest.mark.parametrize("word", ["start 3", "send a+b", "loaded a+b", "loaded c", "finish 7"])
def test_failed_push_walks_to_the_end_is_abandoned_and_raises(word: str) -> None:
    source, recorder = Source(), Recorder(fails_at=word)
    with pytest.raises(TimeoutError, match=f"no answer to {word.replace('+', '[+]')}"):
        send_weights(source, policy_version=7, receivers=recorder)
    assert source.walked == ["a", "b", "c"]  # the other ranks gather on: this one must too
    assert recorder.heard[-2:] == [word, "abandon"]


def test_failure_of_the_push_is_raised_even_if_abandoning_fails_too() -> None:
    with pytest.raises(TimeoutError, match="no answer to finish 7"):
        send_weights(Source(), policy_version=7, receivers=Recorder(fails_at="finish 7", fails_to_abandon=True))


def test_rank_without_receivers_only_walks_along() -> None:
    source = Source()
    send_weights(source, policy_version=7, receivers=None)
    assert source.walked == ["a", "b", "c"]
