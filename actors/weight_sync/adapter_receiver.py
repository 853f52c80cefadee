"""Take updates of LoRA adapters in an engine's process: the base weights stay those that the engine has loaded.

Adapters are small. They are kept in host memory until all have arrived, and reach vLLM as a folder that peft could have
written. Must not import vLLM: its engine is described by a Protocol.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from actors.weight_sync.adapter_layout import adapter_checksums, check_adapters_fit
from actors.weight_sync.buckets import ExpectedTensors, WeightBucket, WeightManifest
from actors.weight_sync.layout import format_names
from actors.weight_sync.updates import EngineUpdates, ServingEngine

MEMORY = Path("/dev/shm")
"""File system in the node's memory."""


class AdapterUpdates(EngineUpdates):
    """Update the adapters of one engine: old ones are replaced as a whole by those of the new version."""

    def __init__(
        self, engine: ServingEngine, *, load: Callable[[Path], None], rank: int, tensor_parallel_size: int
    ) -> None:
        """Start stale. `load` gives vLLM a folder with the adapters, which all have rank `rank`."""
        super().__init__(engine, tensor_parallel_size=tensor_parallel_size)
        self._load = load
        self._rank = rank
        self._expected = ExpectedTensors(WeightManifest(specs=()))
        self._tensors: dict[str, torch.Tensor] = {}

    def init_transfer(self, info: Mapping[str, object]) -> None:
        """Refuse: adapters come as buckets.

        Raises:
            ValueError: always.
        """
        raise ValueError("adapters do not travel in a transfer group; they come as buckets")

    def start(self, manifest: WeightManifest) -> None:
        """Expect the tensors of the manifest, as `EngineUpdates` says."""
        self._refuse_if(lambda now: manifest.update < now, manifest.update)
        self.abandon()
        if not self._is_sharded:
            # With several processes the function would have to be sent as a pickle, which vLLM refuses by default.
            self._serving.apply_model(partial(check_adapters_fit, manifest=manifest))
        self._manifest = manifest
        self._expected = ExpectedTensors(manifest)
        self.policy_version = None
        self.is_open = True

    def update(self, info: Mapping[str, object]) -> None:
        """Keep the tensors of one bucket, as `EngineUpdates` says."""
        self._refuse_if_closed()
        bucket = info["bucket"]
        assert isinstance(bucket, WeightBucket), "adapters come as buckets"
        self._refuse_if(lambda now: bucket.update != now, bucket.update)
        try:
            for spec, tensor in bucket.tensors():
                self._expected.take(spec)
                self._tensors[spec.name] = tensor
        except ValueError:
            self.abandon()
            raise

    def finish(self, policy_version: int) -> None:
        """Serve the base weights with the new adapters, as `EngineUpdates` says."""
        self._refuse_if_closed()
        tensors, missing = self._tensors, self._expected.missing
        self.abandon()
        if missing:
            raise ValueError(f"weight update {policy_version} lacks {format_names(missing)}; the engine stays stale")
        try:
            with _adapter_folder(tensors, rank=self._rank) as folder:
                self._load(folder)
        except Exception:
            self.is_broken = self._is_sharded  # its processes may have different adapters
            raise
        self._serve(policy_version)

    def abandon(self) -> None:
        """Clear an unfinished update."""
        self.is_open = False
        self._tensors = {}

    def interrupt(self) -> bool:
        """Return True: an update of adapters waits for nobody."""
        return True

    def _checksums(self, manifest: WeightManifest) -> dict[str, str]:
        return self._serving.apply_model(partial(adapter_checksums, manifest=manifest))[0]


@contextmanager
def _adapter_folder(tensors: Mapping[str, torch.Tensor], *, rank: int) -> Iterator[Path]:
    """Yield a folder of adapters as peft writes it, which exists as long as the context.

    The scale is 1, because B comes multiplied by alpha / rank.
    """
    folder = Path(
        tempfile.mkdtemp(prefix="adapters-", dir=_roomy_folder(sum(each.nbytes for each in tensors.values())))
    )
    try:
        settings = {
            "peft_type": "LORA",
            "r": rank,
            "lora_alpha": rank,
            "bias": "none",
            "target_modules": sorted({name.rsplit(".", 3)[-3] for name in tensors}),
        }
        (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
        save_file(dict(tensors), folder / "adapter_model.safetensors")
        yield folder
    finally:
        shutil.rmtree(folder)


def _roomy_folder(num_bytes: int) -> Path | None:
    """Return the file system in memory if it has room, as it has not in some containers; else None, the usual one."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 * num_bytes
    return MEMORY if has_room else None
