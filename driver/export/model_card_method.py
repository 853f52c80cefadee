"""The model card's sections on the reward and the training: the config's own values, in words.

Owns those words and the small Markdown that a card needs. Must not know what the run achieved beyond the steps that it
took.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from contracts.config.reward import ReasoningConfig, RewardConfig, RewardWeights
from contracts.config.run import Config
from contracts.paths import absolute
from driver.names import language_name
from driver.report.run_record import RunRecord
from rewards.calibration import Calibration

_PARTS = {
    "answer": "1 where the declared final answer is the pivot's, else 0",
    "reasoning": "how close the reasoning is to the pivot's",
    "numbers": "how well the reasoning's numbers are the pivot's",
    "custom": "a reward of the user's own",
}
_COMBINE = {
    "sum": "the weighted sum of these parts",
    "normalised": "the weighted sum of these parts, each normalised inside its group first",
    "answer_gated": "the weighted sum of these parts, where the others count only as far as the answer is right",
}
_GATES = ("language", "answer_language", "format", "truncation", "empty", "repetition", "copying", "length")
_SFT_TARGETS = {"pivot": "the pivot's English response", "translation": "the translation that the data has"}


def shown(model: str) -> str:
    """A hub's name as it is; a local folder or file by its own name, without the way to it."""
    return Path(model).name if is_local(model) else model


def is_local(model: str) -> bool:
    """Whether a model or a dataset is a folder of this machine and no name on the hub."""
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or absolute(model).exists()


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def has_reward(config: Config) -> bool:
    return config.algorithm.name != "sft"


def reward_section(config: Config, calibration: Calibration | None) -> list[str]:
    if not has_reward(config):
        return [f"None: the policy imitated {_SFT_TARGETS[config.algorithm.sft_target]}."]
    reward = config.reward
    return [
        f"A response earns 0 where a gate is shut, and else {_COMBINE[reward.combine]}. What is compared with is the "
        f"response of `{shown(config.pivot.model)}` to the same problem in English, drawn at temperature "
        f"{config.pivot.temperature:g} with at most {config.pivot.max_response_tokens} tokens; no gold answer enters.",
        _weights(reward),
        _gates(reward),
        f"Closeness of reasonings: {_judge(config)} {_scale(reward.reasoning, calibration)}",
        *_calibration_table(config, calibration),
        *_further_models(config),
    ]


def _weights(reward: RewardConfig) -> str:
    """A column for each point of the schedule; a part that can't exist is left out."""
    points = reward.schedule or (reward.weights,)
    parts = [name for name in _PARTS if name != "custom" or reward.custom.path]
    rows = [(name, *(f"{_by_part(point)[name]:g}" for point in points), _PARTS[name]) for name in parts]
    if not reward.schedule:
        return markdown_table(("part", "weight", "what it is"), rows)
    steps = [f"from step {point.step}" for point in reward.schedule]
    return markdown_table(("part", *steps, "what it is"), rows) + "\n\nBetween these steps weights change linearly."


def _by_part(weights: RewardWeights) -> dict[str, float]:
    return {
        "answer": weights.answer,
        "reasoning": weights.reasoning,
        "numbers": weights.numbers,
        "custom": weights.custom,
    }


def _gates(reward: RewardConfig) -> str:
    switches = reward.gates.model_dump()
    on, off = ([name for name in _GATES if switches[name] is wanted] for wanted in (True, False))
    told = f"Gates: {', '.join(on) or 'none'}." + (f" Switched off: {', '.join(off)}." if off else "")
    if "length" not in on:
        return told
    band = f"[{reward.gates.min_length_ratio:g}, {reward.gates.max_length_ratio:g}]"
    return f"{told} A reasoning's length must be in {band} of the reference's."


def _judge(config: Config) -> str:
    reasoning, encoder = config.reward.reasoning, f"`{shown(config.scorer.model)}`"
    match reasoning.judge:
        case "embedding":
            return f"cosine of embeddings by {encoder}."
        case "translation":
            by_pivot = reasoning.translator == "pivot"
            translator = "the pivot" if by_pivot else f"`{shown(config.translator.model)}`"
            compared = f"embeddings by {encoder}" if reasoning.compare == "embedding" else "chrF"
            return f"translated to English by {translator}, then compared by {compared}."
        case "comet":
            return f"COMET per aligned segment, by `{shown(config.comet.model)}` (feeding: {config.comet.feeding})."
        case "likelihood":
            return "mean probability, to the policy, of the pivot's answer after the policy's own reasoning."


def _scale(reasoning: ReasoningConfig, calibration: Calibration | None) -> str:
    if reasoning.judge == "likelihood":
        return "A probability needs no calibration."
    if not reasoning.is_calibrated:
        return f"Raw values went linearly from [{reasoning.low:g}, {reasoning.high:g}] to [0, 1], in every language."
    if calibration is None:
        return "It was calibrated by language; the statistics are not at hand."
    zero = "of its language on average" if reasoning.baseline == "language" else "itself"
    return (
        f"It was calibrated by language (judge {calibration.judge}): with d the raw value above what the question "
        f"{zero} earns alone, this part is d^2 / (d^2 + half^2). Raw values that were measured:"
    )


def _calibration_table(config: Config, calibration: Calibration | None) -> list[str]:
    reasoning = config.reward.reasoning
    if calibration is None or not reasoning.is_calibrated:
        return []
    rows = []
    for code in config.data.languages:
        scale = calibration.languages[code]
        half = scale.half if reasoning.baseline == "language" else scale.half_over_question
        rows.append((language_name(code), f"{scale.faithful.mean:.3f}", f"{scale.question.mean:.3f}", f"{half:.4f}"))
    return [markdown_table(("language", "parallel solution", "question alone", "half"), rows)]


def _further_models(config: Config) -> list[str]:
    reward, texts = config.reward, []
    if reward.unparsed_answers == "comet":
        texts.append(
            f"Answers in free text were judged by COMET, `{shown(config.comet.model)}`, raw scores from "
            f"[{config.comet.low:g}, {config.comet.high:g}] to [0, 1]."
        )
    if reward.custom.path:
        texts.append(f"The user's own reward: `{reward.custom.function}` of `{shown(reward.custom.path)}`.")
    return texts


def training_section(config: Config, record: RunRecord) -> list[str]:
    rows = [*_algorithm_rows(config, record), *_learner_rows(config)]
    skipped = sum(step.metrics.get("learner/skipped_steps", 0.0) for step in record.steps)
    texts = [markdown_table(("setting", "value"), rows)]
    if record.steps and not any("policy/loss" in step.metrics for step in record.steps):
        texts.append("No optimiser step was taken: nothing could be learned from. The weights are the base model's.")
    if skipped:
        texts.append(f"{skipped:g} optimiser step(s) were skipped because a loss or gradient was not finite.")
    return texts


def _algorithm_rows(config: Config, record: RunRecord) -> list[tuple[str, str]]:
    algorithm = config.algorithm
    done = f"{record.num_steps} of {algorithm.steps}"
    if algorithm.name == "sft":
        return [
            ("recipe", "sft: negative log-likelihood of the target"),
            ("steps", f"{done}, of {algorithm.groups_per_step} targets"),
        ]
    low, high = algorithm.clip
    scaled = ", over the standard deviation" if algorithm.scale_by_std else ""
    advantage = f"{algorithm.advantage}{scaled}"
    if algorithm.advantage == "gae":
        advantage += f" (gamma {algorithm.gae_gamma:g}, lambda {algorithm.gae_lambda:g})"
    kl = "none"
    if algorithm.kl != "none":
        kl = f"in the {algorithm.kl}: {algorithm.kl_estimator}, coefficient {algorithm.kl_coefficient:g}"
    dual = f", dual clip {algorithm.dual_clip:g}" if algorithm.dual_clip else ""
    rows = [
        ("recipe", algorithm.name),
        ("steps", f"{done}, of {algorithm.groups_per_step} problems with {algorithm.group_size} responses each"),
        ("advantage", advantage),
        ("loss", f"{algorithm.loss}, ratio clipped to [{1 - low:g}, {1 + high:g}]{dual}"),
        ("aggregation", algorithm.aggregation + (", truncated responses left out" if algorithm.mask_truncated else "")),
        ("KL to the base model", kl),
        ("entropy bonus", f"{algorithm.entropy_coefficient:g}"),
        ("importance correction", _importance(config)),
        ("sampling", f"temperature {config.policy.temperature:g}, at most {config.policy.max_response_tokens} tokens"),
    ]
    if algorithm.name == "ppo":
        critic = config.critic
        model = shown(critic.model or config.policy.model)
        rows.append(("critic", f"`{model}`, learning rate {critic.learning_rate:g}, value clip {critic.value_clip:g}"))
    return rows


def _importance(config: Config) -> str:
    algorithm = config.algorithm
    match algorithm.importance:
        case "truncate":
            return f"weight per token, at most {algorithm.importance_cap:g}"
        case "sequence_mask":
            return f"sequences outside [{algorithm.importance_floor:g}, {algorithm.importance_cap:g}] left out"
        case "off":
            return "off"


def _learner_rows(config: Config) -> list[tuple[str, str]]:
    learner, algorithm = config.learner, config.algorithm
    lora, betas = learner.lora, ", ".join(f"{beta:g}" for beta in learner.adam_betas)
    trained = "all weights"
    if lora.rank:
        targets = ", ".join(lora.targets) or "all linear layers but the head"
        trained = f"LoRA of rank {lora.rank}, alpha {lora.alpha:g}, on {targets}; merged into the weights here"
    to = f" to {learner.min_learning_rate:g}" if learner.schedule != "constant" else ""
    return [
        ("optimiser steps a batch", f"{algorithm.mini_batches} mini-batch(es) x {algorithm.epochs} epoch(s)"),
        ("learning rate", f"{learner.learning_rate:g}, {learner.schedule}{to}, warm-up {learner.warmup_steps} step(s)"),
        ("optimiser", f"AdamW, betas {betas}, weight decay {learner.weight_decay:g}"),
        ("gradient norm at most", f"{learner.max_grad_norm:g}"),
        ("trained", trained),
        ("dtype", f"{learner.dtype}, with float32 master weights"),
        ("seed", str(config.run.seed)),
    ]
