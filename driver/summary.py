"""A run in a few numbers, read from its folder: summary.json, `--json` and the last line that a person sees."""

from collections.abc import Sequence
from statistics import fmean

from driver.evaluation import EvaluationResult, read_evaluations
from driver.metrics import read_metrics
from driver.run_folder import RunFolder


def summarise(folder: RunFolder, *, status: str, seconds: float) -> dict[str, object]:
    """Write summary.json and return it: rewards of the first and last third of the steps, accuracy before and after."""
    steps = read_metrics(folder.metrics)
    rewards = [step.metrics["reward/mean"] for step in steps if "reward/mean" in step.metrics]
    evaluations = read_evaluations(folder.evaluation)
    first, last = thirds(rewards)
    summary: dict[str, object] = {
        "status": status,
        "run_folder": str(folder.path),
        "report": str(folder.path / "report.html"),
        "steps": len(steps),
        "seconds": round(seconds, 1),
        "reward_first_third": first,
        "reward_last_third": last,
        "evaluation": {moment: by_language(evaluation) for moment, evaluation in evaluations.items()},
        "headline": f"mean reward {first:.3f} (first third of the steps) -> {last:.3f} (last third)"
        if rewards
        else "no step had a scored group",
    }
    folder.write_summary(summary)
    return summary


def thirds(values: Sequence[float]) -> tuple[float, float]:
    """Means of the first and of the last third; of all where there are fewer than three."""
    if not values:
        return 0.0, 0.0
    size = max(1, len(values) // 3)
    return fmean(values[:size]), fmean(values[-size:])


def by_language(evaluation: EvaluationResult) -> dict[str, dict[str, float]]:
    """Accuracy, language consistency and both together, by language code."""
    return {
        result.language: {
            "num_items": result.num_items,
            "accuracy": result.accuracy,
            "language_consistency": result.language_consistency,
            "accuracy_in_language": result.accuracy_in_language,
        }
        for result in evaluation.languages
    }
