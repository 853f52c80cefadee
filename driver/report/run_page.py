"""Collect what report.html shows of a training run: the outcome first, then how it came about."""

from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean

from driver.outcome.learning_signal import learning_signal
from driver.outcome.words import Statement, statements
from driver.report.curves import figure_groups
from driver.report.figures import AFTER, BEFORE, shade, smoothing_window
from driver.report.responses import evaluated_examples, event_summary, sampled_groups
from driver.report.run_record import RunRecord
from driver.report.task_sections import task_sections

_FEWEST_STEPS = 4
"""Rewards of fewer steps are not compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """Hold how far a run came, and how it ended."""

    text: str
    kind: str  # "better": finished, "worse": failed; empty otherwise
    failure: str  # why it failed; empty otherwise


def run_facts(record: RunRecord) -> dict[str, object]:
    """Return what the template of a training run is filled in with."""
    tasks = task_sections(record.evaluations, record.changes)
    return {
        "status": status(record),
        "verdict": verdict(record),
        "is_training": is_training(record),
        "signal": learning_signal([step.metrics for step in record.steps]),
        "last_step_at": datetime.fromtimestamp(record.steps[-1].time, tz=UTC) if record.steps else None,
        "tasks": tasks,
        "moments": [
            {"label": label, "shade": shade(colour)}
            for label, colour in zip(tasks[0].shown_moments if tasks else (), (BEFORE, AFTER), strict=False)
        ],
        "window": smoothing_window(len(record.steps)),
        "figure_groups": figure_groups(record),
        "sampled_groups": sampled_groups(record),
        "examples": evaluated_examples(record),
        "events": event_summary(record),
    }


def is_training(record: RunRecord) -> bool:
    """Return whether the folder holds a training run: the summaries of `references` and `calibrate` have no status."""
    return bool(record.steps or record.evaluations or not record.summary or "status" in record.summary)


def status(record: RunRecord) -> Status:
    """Return how many steps are done, and how the run ended where its summary says so."""
    if not is_training(record):
        return Status(
            text="No training and no evaluation. What the command found is in the summary.", kind="", failure=""
        )
    planned = record.setting("algorithm", "steps")
    of_all = f" of {planned}" if isinstance(planned, int) else ""
    found = record.summary.get("status")
    ended = found if isinstance(found, str) else ""
    is_failed = ended.startswith("failed")
    ending = "failed" if is_failed else ended or ("" if record.summary else "no summary yet")
    return Status(
        text="Training: " + "; ".join(filter(None, [f"{record.num_steps}{of_all} steps done", ending])) + ".",
        kind="worse" if is_failed else "better" if ended == "finished" else "",
        failure=ended.removeprefix("failed:").strip() if is_failed else "",
    )


def verdict(record: RunRecord) -> list[Statement]:
    """Return the outcome: a failure, that nothing was learned, what changed on the first task, and the reward."""
    found: list[Statement] = []
    if failure := status(record).failure:
        found.append(
            Statement(text=f"The run failed: {failure}. The output of every process is in logs/.", tone="worse")
        )
    signal = learning_signal([step.metrics for step in record.steps])
    if signal.is_weak:
        found.append(Statement(text=f"{signal.sentence[0].upper()}{signal.sentence[1:]}.", tone="worse"))
    for task in record.changes[:1]:
        found += statements(task)
    if trend := _reward_trend(record):
        found.append(Statement(text=trend))
    if not found and is_training(record):
        found.append(Statement(text="Nothing has been measured yet."))
    return found


def _reward_trend(record: RunRecord) -> str:
    """Compare the first tenth of the steps with the last; empty for steps without a reward, and for very few."""
    rewards = [step.metrics["reward/mean"] for step in record.steps if "reward/mean" in step.metrics]
    if not rewards and record.steps and any(step.metrics.get("response/unscored") for step in record.steps):
        return "No response could be scored: there is no reward."
    if len(rewards) < _FEWEST_STEPS:
        return ""
    size = max(2, len(rewards) // 10)
    return (
        f"Mean reward of the first {size} steps: {fmean(rewards[:size]):.3f}; of the last {size}: "
        f"{fmean(rewards[-size:]):.3f}."
    )
