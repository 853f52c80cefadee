"""Test bucket plan, packing, manifest and checksums with plain tensors."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from actors.weight_sync.buckets import WeightBucket, WeightManifest, learner_checksums, plan_buckets, tensor_checksum

A = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
B = torch.tensor([1.5, -2.5], dtype=torch.float32)
C = torch.ones(3, 1, dtype=torch.float32)


class Source:
    """Serve three tensors in two buckets."""

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [("a", A.dtype, (2, 3)), ("b", B.dtype, (2,)), ("c", C.dtype, (3, 1))]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        yield from ([("a", A), ("b", B)], [("c", C)])


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
    with pytest.raises(ValueError):
        WeightManifest(specs=(spec, spec))


def test_checksum_sees_one_changed_bit_and_no_sign_of_zero() -> None:
    changed = B.clone()
    changed[1] = float(np.nextafter(np.float32(-2.5), np.float32(0)))
    assert tensor_checksum(changed) != tensor_checksum(B)
    assert tensor_checksum(torch.tensor([-0.0, 1.0])) == tensor_checksum(torch.tensor([0.0, 1.0]))
    assert tensor_checksum(A.T.contiguous().T) == tensor_checksum(A)  # the order in memory does not matter
    assert set(learner_checksums(Source())) == {"a", "b", "c"}


def test_buckets_keep_the_order_and_the_limit() -> None:
    # 4, 8, 2 and 2 bytes, then one of 40 that is larger than a bucket, and 2 more.
    metadata = [
        ("a", torch.float32, (1,)),
        ("b", torch.bfloat16, (2, 2)),
        ("c", torch.bfloat16, (1,)),
        ("d", torch.bfloat16, (1, 1)),
        ("large", torch.float32, (10,)),
        ("e", torch.bfloat16, (1,)),
    ]
    assert plan_buckets(metadata, 12) == [["a", "b"], ["c", "d"], ["large"], ["e"]]
    assert plan_buckets(metadata, 1000) == [["a", "b", "c", "d", "large", "e"]]
    assert plan_buckets([], 12) == []


def test_a_bucket_without_room_is_refused() -> None:
    with pytest.raises(ValueError):
        plan_buckets([], 0)
