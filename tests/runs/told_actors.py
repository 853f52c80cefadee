"""Start small actors in a run's bundles, that tell the GPUs and settings which Ray gave to their processes."""

import os
from collections.abc import Mapping
from pathlib import Path

import ray

from actors.remote.process import RemoteClass
from cluster.launch import start_actor
from cluster.layout import Layout
from cluster.reserve import Bundles


def _teller() -> RemoteClass:
    """Return the actor class. Made here, so that Ray sends the class itself: its processes don't know the tests."""

    @ray.remote
    class Teller:
        def has(self) -> dict[str, str | None]:
            names = ("CUDA_VISIBLE_DEVICES", "HF_TOKEN", "NCCL_DEBUG", "MY_SECRET", "PB_RLSVR_ROLE")
            return {name: os.environ.get(name) for name in names}

    return Teller


def told(layout: Layout, bundles: Bundles, *names: str) -> dict[str, Mapping[str, str | None]]:
    """Return the variables of small actors that are started in the bundles of these names."""
    kind = _teller()
    wanted = [placement for placement in layout.placements if placement.name in names]
    actors = [start_actor(kind, placement, bundles, ()) for placement in wanted]
    answers = ray.get([actor.has.remote() for actor in actors], timeout=180)
    return dict(zip((placement.name for placement in wanted), answers, strict=True))


def files_with(secret: str, folder: Path) -> list[Path]:
    """Return the files below a folder that hold a text. There must be files."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    return [file for file in files if secret.encode() in file.read_bytes()]
