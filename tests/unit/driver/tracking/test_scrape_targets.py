"""Check the file by which Prometheus finds a run that goes on."""

import asyncio
import json
from pathlib import Path

from driver.tracking.live_metrics import beside
from driver.tracking.run_folder import RunFolder
from driver.tracking.scrape_targets import keep_targets
from tests.fakes.ports import run


def test_the_file_follows_the_nodes_and_is_gone_when_the_run_ends(tmp_path: Path) -> None:
    path = RunFolder(tmp_path / "small").targets
    nodes, looks = ["10.0.0.1:80"], 0
    seen: list[object] = []

    async def next_look(_: float) -> None:
        nonlocal looks
        seen.append(json.loads(path.read_text(encoding="utf-8")))
        looks += 1
        nodes.append(f"10.0.0.{looks + 1}:80")
        if looks == 2:
            done.set()
            await asyncio.Event().wait()

    async def work() -> None:
        await beside(done.wait(), keep_targets(path, lambda: list(nodes), sleep=next_look))

    done = asyncio.Event()
    run(work())
    assert seen == [[{"targets": ["10.0.0.1:80"]}], [{"targets": ["10.0.0.1:80", "10.0.0.2:80"]}]]
    assert not path.exists()
    assert path.parent.parent == tmp_path
