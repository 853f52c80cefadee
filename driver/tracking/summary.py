"""Summarise a run in a few numbers, from its folder: for summary.json, `--json` and the last line on the console."""

from collections.abc import Sequence
from statistics import fmean

from driver.evaluation.results import EvaluationResult, read_evaluations
from driver.outcome.changes import compare_moments, kept_rows
from driver.outcome.learning_signal import LearningSignal, learning_signal
from driver.outcome.words import Statement, statements
from driver.tracking.line_logs import read_metrics
from driver.tracking.run_folder import RunFolder


def summarise(folder: RunFolder, *, status: str, seconds: float) -> dict[str, object]:
    """Write summary.json and return it: rewards of the first and last third of the steps, accuracy before and after."""
    steps = read_metrics(folder.metrics)
    rewards = [step.metrics["reward/mean"] for step in steps if "reward/mean" in step.metrics]
    losses = [step.metrics["policy/loss"] for step in steps if "policy/loss" in step.metrics]
    evaluations = read_evaluations(folder.evaluation)
    changes = compare_moments(evaluations, kept_rows(folder.evaluations, evaluations))
    signal = learning_signal([step.metrics for step in steps])
    summary: dict[str, object] = {
        "status": status,
        "run_folder": str(folder.path),
        "report": str(folder.report),
        "steps": len(steps),
        "seconds": round(seconds, 1),
        **(dict(zip(("reward_first_third", "reward_last_third"), thirds(rewards), strict=True)) if rewards else {}),
        "learned_from": _learned_from(signal),
        "evaluation": {moment: by_language(evaluation) for moment, evaluation in evaluations.items()},
        "headline": _headline(signal, statements(changes[0])[:2] if changes else [], _trend(rewards, losses)),
    }
    folder.write_summary(summary)
    return summary


def _learned_from(signal: LearningSignal) -> dict[str, object]:
    """Return how many groups were learned from, and why the others were not."""
    return {
        "groups": signal.num_groups,
        "used": signal.num_used,
        "others": {f"{cause.what} ({cause.advice})": round(cause.num_groups, 1) for cause in signal.causes},
    }


def _headline(signal: LearningSignal, measured: Sequence[Statement], trend: str) -> str:
    """Return the line that a run ends with: that nothing was learned, accuracy and gap, and the reward."""
    nothing = [_as_sentence(signal.sentence)] if signal.num_steps and not signal.has_learned else []
    found = [*nothing, *(statement.text for statement in measured), *([_as_sentence(trend)] if trend else [])]
    return " ".join(found) or "No step was finished."


def _as_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _trend(rewards: Sequence[float], losses: Sequence[float]) -> str:
    """Return how reward or loss went; fine-tuning on references has no rewards. Empty where neither is known."""
    name, values = ("mean reward", rewards) if rewards else ("loss", losses)
    if not values:
        return ""
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
