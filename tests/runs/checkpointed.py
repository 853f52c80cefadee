"""Build a run's folder with checkpoints, of which the learner's part is some bytes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from contracts.config.learning import CheckpointConfig
from contracts.sealed_folder import SummedFile
from driver.run_state.checkpoints import Checkpoints, FoundCheckpoint, find_checkpoint, whole_checkpoints
from driver.run_state.model_fingerprints import Fingerprint
from driver.run_state.state import RunState
from driver.tracking.line_logs import MetricsLog

FINGERPRINTS = {
    "policy.model": Fingerprint(label="models/tiny (12ab)", digest="12ab"),
    "learner.lora": Fingerprint(label="off", digest="off"),
}
STATE = RunState(
    step=10,
    policy_version=9,
    optimizer_steps=18,
    skipped_in_a_row=1,
    open={
        "stream": {
            "number": 40,
            "places": {"de": 20, "sw": 20},
            "turns": {"de": 20, "sw": 20},
            "seed": 7,
            "languages": ["de", "sw"],
            "shares": [1, 1],
            "fingerprint": "abc",
            "curriculum": {},
        },
        "again": [{"number": 38, "language": "de", "place": 19}],
    },
    num_ranks=2,
    seed=7,
    calibration='{"judge": "embedding"}',
)

Shards = dict[str, bytes]


class CheckpointedRun:
    """Hold the checkpoints of one folder, and what they printed."""

    def __init__(
        self, folder: Path, *, fingerprints: Mapping[str, Fingerprint] = FINGERPRINTS, **settings: object
    ) -> None:
        self.folder = folder / "checkpoints"
        self.metrics = folder / "metrics.jsonl"
        self.notes: list[str] = []
        self.checkpoints = Checkpoints(
            self.folder,
            settings=CheckpointConfig.model_validate({"every_steps": 10, **settings}),
            fingerprints=fingerprints,
            metrics=self.metrics,
            note=self.notes.append,
        )

    def save(self, step: int, shards: Shards | None = None) -> Path:
        """Save a checkpoint whose shards are summed while they are written; raise CheckpointFailed as a run does."""
        shards = shards or {"policy/rank-0.pt": b"weights" * 1000, "policy/rank-1.pt": b"others" * 1000}
        try:
            begun = self.checkpoints.begin(replace(STATE, step=step))
            assert list(begun.learner.iterdir()) == []
            sums = {}
            for name, content in shards.items():
                path = begun.learner / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with SummedFile(path) as file:
                    file.write(content)
                sums[str(path)] = file.sum
            return self.checkpoints.finish(begun, sums)
        except OSError as failure:
            raise self.checkpoints.give_up(step, failure) from failure

    def log(self, **rewards: float) -> None:
        """Log mean rewards: s1=0.5 is step 1 with 0.5."""
        log = MetricsLog(self.metrics)
        for name, reward in rewards.items():
            log.append(int(name[1:]), {"reward/mean": reward})
        log.close()

    def steps(self) -> list[int]:
        return sorted(whole_checkpoints(self.folder))

    def pointer(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8").strip()

    def find(self, on_damage: str = "previous") -> FoundCheckpoint | None:
        return find_checkpoint(self.folder, fingerprints=FINGERPRINTS, on_damage=on_damage)
