"""Run every arm of an experiment with every seed, one after the other, and keep the results.

A run that is finished is not made again; one that was killed is continued from its last checkpoint by `train` itself. A
run that fails is named, and the others go on.
"""

import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.paths import ROOT
from driver.tracking.run_folder import RunFolder
from experiments.measuring import moments_of, per_step, steps_of
from experiments.plan import Arm, Experiment, digest_of
from experiments.rows import Row, append_row, current_commit, newest, read_rows

Say = Callable[[str], None]
_LAST_LINES = 3  # of a failed command's output that are kept


@dataclass(frozen=True, kw_only=True)
class Job:
    """Hold one run that is to be made."""

    arm: Arm
    seed: int
    config: Config
    digest: str


def run_all(experiment: Experiment, *, arms: Sequence[str], seeds: Sequence[int], any_commit: bool, say: Say) -> int:
    """Run what is missing. Return how many runs failed.

    Raises:
        BadInput: an arm is unknown, or the results are of another commit or config: nothing was started.
    """
    jobs = list(_jobs(experiment, arms, seeds))
    commit = current_commit()
    done = newest(read_rows(experiment.results))
    for job in jobs:
        _check_same(done.get((job.arm.name, job.seed)), job, experiment, commit="" if any_commit else commit)
    left = [job for job in jobs if (found := done.get((job.arm.name, job.seed))) is None or found.failure]
    say(f"{experiment.name}: {len(jobs) - len(left)} of {len(jobs)} runs are done")
    num_failed = 0
    for number, job in enumerate(left, start=1):
        say(f"run {number} of {len(left)}: arm {job.arm.name}, seed {job.seed}")
        row = _run(experiment, job, commit=commit)
        append_row(experiment.results, row)
        num_failed += bool(row.failure)
        say(f"  {'FAILED: ' + row.failure if row.failure else _in_short(row)} ({row.seconds:.0f} s)")
    return num_failed


def _jobs(experiment: Experiment, arms: Sequence[str], seeds: Sequence[int]) -> Iterator[Job]:
    if unknown := sorted(set(arms) - experiment.arms.keys()):
        raise BadInput(f"no arm {', '.join(unknown)}; there are {', '.join(experiment.arms)}", key="--arms")
    for seed in seeds or experiment.seeds:  # a whole comparison first, then its repetition
        for name in arms or experiment.arms:
            arm = experiment.arms[name]
            config = experiment.load(arm, seed)
            yield Job(arm=arm, seed=seed, config=config, digest=digest_of(config))


def _check_same(found: Row | None, job: Job, experiment: Experiment, *, commit: str) -> None:
    if found is None or found.failure:
        return
    where = f"{experiment.results.name} has arm {found.arm}, seed {found.seed}"
    if found.digest != job.digest:
        raise BadInput(
            f"{where} of another config or other models; move the file away, or undo the change", key="config"
        )
    if commit and found.commit != commit:
        raise BadInput(
            f"{where} of commit {found.commit}, and this is {commit}; move the file away, or say --any-commit",
            key="commit",
        )


def _run(experiment: Experiment, job: Job, *, commit: str) -> Row:
    name = f"{job.arm.name}-{job.seed}"
    folder = RunFolder(ROOT / "runs" / experiment.name / name)
    words = [*experiment.words(job.arm, job.seed), f"run.folder=runs/{experiment.name}", f"run.name={name}"]
    start = time.monotonic()
    failure = "" if _is_finished(folder) else _train(experiment.config, words, folder.path.with_suffix(".log"))
    seconds = time.monotonic() - start
    row = Row(
        experiment=experiment.name,
        arm=job.arm.name,
        seed=job.seed,
        commit=commit,
        digest=job.digest,
        machine=f"{platform.machine()}, {_cpu_model()}",
        seconds=round(seconds, 1),
        trained_languages=job.config.data.languages,
        failure=failure,
    )
    return row if failure else _with_results(row, folder, job.config)


def _is_finished(folder: RunFolder) -> bool:
    return folder.summary.exists() and '"finished"' in folder.summary.read_text(encoding="utf-8")


def _train(config: Path, words: Sequence[str], log: Path) -> str:
    """Train in a process of its own. Return why it failed; "" if it did not."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "driver" / "run.py"), "train", str(config), *words]
    with log.open("a", encoding="utf-8") as output:
        code = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    if code == 0:
        return ""
    last = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()][-_LAST_LINES:]
    return f"exit code {code}: {' / '.join(last)}"


def _with_results(row: Row, folder: RunFolder, config: Config) -> Row:
    steps = steps_of(folder)
    return replace(
        row,
        moments=moments_of(folder, config),
        num_steps=len(steps),
        rewards=per_step(steps, "reward/mean"),
        mismatch=per_step(steps, "policy/mismatch_kl"),
    )


def _in_short(row: Row) -> str:
    assert row.moments is not None
    last = row.moments["after"]
    others = [shares.right_in_language for language, shares in last.items() if language != "en"]
    return f"right and in the language: English {last['en'].right_in_language:.2f}, others {fmean(others):.2f}"


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")
