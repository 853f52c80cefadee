"""Prepare the run that faults are injected into: tiny models, every kind of actor, asynchronous, frequent checkpoints.

Two problems of three have a reference in the cache, so that their groups can be learned from. The pivot is asked for
the others, reaches its token limit, and their groups are dropped. Steps of a tiny model take hardly any time, so a slow
custom reward leaves time for the faults.
"""

from dataclasses import dataclass
from pathlib import Path

from contracts.config.learning import GrpoConfig
from contracts.config.load import load_config
from contracts.config.run import Config
from driver.config_paths import with_absolute_paths
from driver.inputs import prepare_training
from driver.problems.stream import first_draws
from driver.references.store import PivotSampling, ReferenceCache
from driver.tracking.run_folder import RunFolder
from quickstart.tiny import build_tiny_encoder, build_tiny_model
from tests.builders import a_reference
from tests.commands import GATES_OFF

NAME = "run"
CONFIG = """
[run]
folder = "{runs}"
name = "{name}"
seed = {seed}
[data]
languages = ["de", "fr"]
levels = [1, 2]
num_items = 600
[policy]
model = "{folder}/models/tiny"
num_workers = 2
max_model_len = 512
max_response_tokens = 24
max_num_seqs = 32
kv_cache_gib = 0.1
num_cpus = 0.2
timeout_s = 900
[pivot]
model = "{folder}/models/tiny"
max_model_len = 512
max_response_tokens = 12
max_num_seqs = 32
kv_cache_gib = 0.1
num_cpus = 0.2
cache = "{folder}/references"
timeout_s = 900
[scorer]
model = "{folder}/models/tiny-encoder"
num_workers = 2
text_prefix = ""
num_cpus = 0.2
timeout_s = 120
attempts = 5
[reward]
min_group_spread = 1e-9
consistency_floor = 0.0
[reward.weights]
answer = 0.5
reasoning = 0.3
numbers = 0.0
custom = 0.2
[reward.custom]
path = "{folder}/slow_reward.py"
{gates_off}
[reward.reasoning]
calibration = "off"
low = -1.0
high = 1.0
[algorithm]
steps = {steps}
groups_per_step = 4
group_size = 4
max_staleness = 1
max_replacements = 4
[learner]
num_ranks = 2
num_cpus = 0.2
learning_rate = 1e-3
row_tokens = 512
timeout_s = 300
[weights]
timeout_s = 30
[cluster]
start_timeout_s = {start_timeout_s}
[checkpoint]
every_steps = {checkpoint_every}
keep_last = {keep_last}
best_metric = "off"
grace_s = {grace_s}
[fleet]
heartbeat_s = {heartbeat_s}
suspect_after_s = {suspect_after_s}
dead_after_s = {dead_after_s}
max_restarts = 1000
backoff_s = 0.2
max_backoff_s = 2.0
[evaluation]
before = false
after = false
num_items = 2
levels = [1]
"""

SLOW_REWARD = """
import time
from pathlib import Path


def reward(request):
    time.sleep(float(Path("{pace}").read_text()))
    return [min(len(response), 200) / 200 for response in request.responses]
"""


_LAG_ALLOWED = 2
"""A fault may come so many steps after its moment before the run is slowed down."""
_SLOWEST = 6
"""A group takes at most so many times its usual seconds, well below the scorers' limit."""


@dataclass(frozen=True, kw_only=True)
class TinySettings:
    """Hold the settings in which runs differ."""

    steps: int
    seed: int
    checkpoint_every: int = 3
    keep_last: int = 2
    grace_s: float = 120.0
    dead_after_s: float = 8.0
    start_timeout_s: float = 300.0  # the only limit that finds a worker which hangs while it loads
    pace_s: float = 2.5  # the least that a scorer takes for a group


@dataclass(frozen=True, kw_only=True)
class TinyRun:
    """Hold a run that is started, and started again, by the same command."""

    words: tuple[str, ...]  # command line after driver/run.py
    folder: RunFolder
    place: Path  # where everything else is, and what outlives the run's disk
    settings: TinySettings

    def wait_for_faults(self, lag: int) -> None:
        """Slow the run down where the next fault is `lag` steps late: else it could end before its last faults."""
        times = min(max(1, 1 + lag - _LAG_ALLOWED), _SLOWEST)
        aside = _pace(self.place).with_suffix(".new")
        aside.write_text(str(self.settings.pace_s * times), encoding="utf-8")
        aside.replace(_pace(self.place))  # at once: a scorer never reads half a number


def _pace(place: Path) -> Path:
    """Return the file that holds how many seconds a group takes now."""
    return place / "pace"


def prepare(place: Path, settings: TinySettings, *, runs: Path | None = None) -> TinyRun:
    """Make models, config and references in `place`, an absolute path; the run's folder is in `runs`, or there too."""
    runs = runs or place
    build_tiny_model(place / "models" / "tiny")
    build_tiny_encoder(place / "models" / "tiny-encoder")
    path = place / "chaos.toml"
    text = CONFIG.format(
        folder=place,
        runs=runs,
        name=NAME,
        seed=settings.seed,
        steps=settings.steps,
        checkpoint_every=settings.checkpoint_every,
        keep_last=settings.keep_last,
        grace_s=settings.grace_s,
        heartbeat_s=settings.dead_after_s / 16,
        suspect_after_s=settings.dead_after_s / 2,
        dead_after_s=settings.dead_after_s,
        start_timeout_s=settings.start_timeout_s,
        gates_off=GATES_OFF,
    )
    path.write_text(text, encoding="utf-8")
    (place / "slow_reward.py").write_text(SLOW_REWARD.format(pace=_pace(place)), encoding="utf-8")
    _write_references(with_absolute_paths(load_config(path)))
    run = TinyRun(words=("train", str(path)), folder=RunFolder(runs / NAME), place=place, settings=settings)
    run.wait_for_faults(0)
    return run


def _write_references(config: Config) -> None:
    """Write references for more problems than the run can draw, replacements included."""
    inputs = prepare_training(config)
    algorithm = config.algorithm
    assert isinstance(algorithm, GrpoConfig)
    num_draws = (algorithm.steps + 2) * (algorithm.groups_per_step + algorithm.max_replacements)
    problems = {draw.problem.item_id: draw.problem for draw in first_draws(inputs.stream, num_draws)}
    sampling = PivotSampling.of(config)
    cache = ReferenceCache(Path(config.pivot.cache))
    for index, problem in enumerate(problems.values()):
        if index % 3 < 2:
            cache.add(
                a_reference(
                    "We add and subtract the numbers of the question, one after the other.\n"
                    f"The answer is {problem.answer}.",
                    item_id=problem.item_id,
                    key=sampling.key(inputs.pivot_prompter.reference_prompt(problem.question_en)),
                )
            )
    cache.save()
