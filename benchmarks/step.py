"""Split a whole step of a run by stage: start `driver/run.py train` as a person does, then read its metrics.jsonl.

The stages of a step overlap: each has the window from its first start to its last end.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Sizes
from benchmarks.outcomes import StageSplit
from contracts.config.load import dump_config
from contracts.paths import ROOT
from driver.tracking.line_logs import StepMetrics, read_metrics

STAGES = ("generate", "pivot", "score", "learn", "push", "step")
RATES = ("policy_tokens", "pivot_tokens", "scorer_texts", "learner_tokens")


def run(sizes: Sizes) -> list[StageSplit]:
    """Run some steps and return the seconds of each stage."""
    config = sizes.config
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        file = Path(folder) / "step.toml"
        file.write_text(dump_config(config), encoding="utf-8")
        command = [sys.executable, str(ROOT / "driver" / "run.py"), "train", str(file)]
        overrides = {
            "run.folder": folder,
            "run.name": "run",
            "algorithm.steps": str(sizes.rounds + 1),
            "pivot.cache": "off",  # every reference is generated
            "evaluation.before": "false",
            "evaluation.after": "false",
        }
        subprocess.run([*command, *(f"{key}={value}" for key, value in overrides.items())], check=True, cwd=ROOT)
        steps = read_metrics(Path(folder) / "run" / "metrics.jsonl")[1:]  # the first one warms up
    learned = [step for step in steps if "timing_s/learn" in step.metrics]
    if not learned:
        raise RuntimeError(f"none of {len(steps)} steps had a group to learn from; ask for more --rounds")
    algorithm, silent = config.algorithm, len(steps) - len(learned)
    return [
        StageSplit(
            name="step",
            work=f"{algorithm.groups_per_step} problems x {algorithm.samples_per_problem} responses of at most "
            f"{config.policy.max_response_tokens} tokens, with the threads that the config gives each actor"
            + (f"; {silent} more had nothing to learn from" if silent else ""),
            steps=tuple(_seconds(step) for step in learned),
            notes=_rates(learned[-1]),
        )
    ]


def _seconds(step: StepMetrics) -> dict[str, float]:
    names = {stage: f"timing_s/{stage}" for stage in STAGES}
    return {stage: step.metrics[name] for stage, name in names.items() if name in step.metrics}


def _rates(step: StepMetrics) -> dict[str, float]:
    """Return the rates of the last step, which a reader needs to judge the seconds."""
    found = {
        f"{rate.replace('_', ' ')}/s": step.metrics[f"throughput/{rate}_per_s"]
        for rate in RATES
        if f"throughput/{rate}_per_s" in step.metrics
    }
    return found | {name: step.metrics[name] for name in ("group/used",) if name in step.metrics}
