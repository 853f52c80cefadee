"""Summarise a run in a few numbers, from its folder: for summary.json, `--json` and the last line on the console."""

from collections.abc import Sequence
from statistics import fmean

from driver.evaluation.results import EvaluationResult, read_evaluations
from driver.tracking.line_logs import read_metrics
from driver.tracking.run_folder import RunFolder


def summarise(folder: RunFolder, *, status: str, seconds: float) -> dict[str, object]:
    """Write summary.json and return it: rewards of the first and last third of the steps, accuracy before and after."""
    steps = read_metrics(folder.metrics)
    rewards = [step.metrics["reward/mean"] for step in steps if "reward/mean" in step.metrics]
    losses = [step.metrics["policy/loss"] for step in steps if "policy/loss" in step.metrics]
    evaluations = read_evaluations(folder.evaluation)
    summary: dict[str, object] = {
        "status": status,
        "run_folder": str(folder.path),
        "report": str(folder.report),
        "steps": len(steps),
        "seconds": round(seconds, 1),
        **(dict(zip(("reward_first_third", "reward_last_third"), thirds(rewards), strict=True)) if rewards else {}),
        "evaluation": {moment: by_language(evaluation) for moment, evaluation in evaluations.items()},
        "headline": _headline(rewards, losses)
        + ("" if losses or not steps else "; nothing was learned: no step had a sample to learn from"),
    }
    folder.write_summary(summary)
    return summary


def _headline(rewards: Sequence[float], losses: Sequence[float]) -> str:
    """Return the line that a run ends with; supervised fine-tuning has losses and no rewards."""
    name, values = ("mean reward", rewards) if rewards else ("loss", losses)
    if not values:
        return "no step had a sample to learn from"
    first, last = thirds(values)
    return f"{name} {first:.3f} (first third of the steps) -> {last:.3f} (last third)"


def thirds(values: Sequence[float]) -> tuple[float, float]:
    """Return the means of the first and of the last third of `values`; of all where there are fewer than three."""
    if not values:
        return 0.0, 0.0
    size = max(1, len(values) // 3)
    return fmean(values[:size]), fmean(values[-size:])


def by_language(evaluation: EvaluationResult) -> dict[str, dict[str, float | None]]:
    """Return accuracy, language consistency and both together, by language code."""
    return {
        result.language: {
            "num_items": result.num_items,
            "accuracy": result.accuracy,
            "language_consistency": result.language_consistency,
            "accuracy_in_language": result.accuracy_in_language,
        }
        for result in evaluation.languages
    }
