"""Declare the metrics that the learner measures and those of the batches that it is given.

In the sentences below, logp_engine is the log-probability of a token by the engine that sampled it, logp_old the one by
the learner before the batch, u = exp(logp_old - logp_engine) the importance ratio, R a return and v the critic's value.
KL divergences are k3 estimates.
"""

from contracts.metrics.metric import Metric, MetricSection, Reduction, Unit

_NOT_SFT = "not with sft"
_PPO = "with ppo"


def _per_token(name: str, title: str, unit: Unit, meaning: str, *, when: str = "") -> Metric:
    """Declare a mean over the response tokens of an optimiser step."""
    return Metric(name, title, unit, Reduction.MEAN, meaning, Reduction.MEAN, when=when)


def _loss(name: str, title: str, meaning: str, *, when: str = "") -> Metric:
    """Declare a sum over tokens, each of which already carries its weight in the loss of the batch."""
    return Metric(name, title, Unit.LOSS, Reduction.WEIGHTED_SUM, meaning, Reduction.MEAN, when=when)


def _largest(name: str, title: str, unit: Unit, meaning: str, *, when: str = "") -> Metric:
    """Declare a maximum over the response tokens of a batch."""
    return Metric(name, title, unit, Reduction.MAX, meaning, Reduction.MAX, when=when)


def _of_optimizer(model: str, words: str, *, when: str = "") -> tuple[Metric, Metric]:
    """Declare what the optimiser of the policy or of the critic says of its step."""
    return (
        Metric(
            f"{model}/learning_rate",
            "Learning rate" if model == "policy" else "Critic: learning rate",
            Unit.RATE,
            Reduction.LAST,
            f"Learning rate of the {words}'s optimiser step.",
            Reduction.LAST,
            when=when,
        ),
        Metric(
            f"{model}/grad_norm",
            "Gradient norm" if model == "policy" else "Critic: gradient norm",
            Unit.NORM,
            Reduction.MEAN,
            f"Norm of the {words}'s gradient over all ranks, before clipping.",
            Reduction.MEAN,
            when=when,
        ),
    )


POLICY_TOKENS = (
    _loss("policy/loss", "Loss", "The loss of the policy."),
    _loss("policy/kl_loss", "KL loss", "The KL term's part of the loss.", when='with kl = "loss"'),
    _per_token("policy/entropy", "Entropy", Unit.NATS, "Entropy of the policy's distribution at a token."),
    _per_token(
        "policy/ratio_mean",
        "Policy ratio, mean",
        Unit.RATIO,
        "Probability of a token by the policy now over its probability before the batch (gspo: the sequence's ratio).",
        when=_NOT_SFT,
    ),
    _per_token(
        "policy/clip_fraction",
        "Clipped tokens",
        Unit.SHARE,
        "Share of tokens whose ratio was stopped by any bound (cispo: whose weight was clipped).",
        when=_NOT_SFT,
    ),
    _per_token(
        "policy/clip_fraction_low",
        "Clipped tokens, lower bound",
        Unit.SHARE,
        "Share of tokens whose ratio was stopped at 1 - clip_low.",
        when=_NOT_SFT,
    ),
    _per_token(
        "policy/clip_fraction_high",
        "Clipped tokens, upper bound",
        Unit.SHARE,
        "Share of tokens whose ratio was stopped at 1 + clip_high.",
        when=_NOT_SFT,
    ),
    _per_token(
        "policy/dual_clip_fraction",
        "Clipped tokens, dual clip",
        Unit.SHARE,
        "Share of tokens with a negative advantage A whose loss was stopped at dual_clip · |A|.",
        when="with dual_clip",
    ),
    _per_token(
        "policy/approx_kl",
        "KL of old and new policy",
        Unit.NATS,
        "KL(policy before the batch ‖ policy now).",
        when=_NOT_SFT,
    ),
    _per_token(
        "policy/reference_kl",
        "KL to the reference",
        Unit.NATS,
        "KL(policy ‖ reference model), whichever estimator the loss or the reward charges.",
        when="with a reference model",
    ),
    _per_token(
        "policy/logprob_diff_mean",
        "Mismatch, mean difference of log-probabilities",
        Unit.NATS,
        "|logp_old - logp_engine| of a token.",
        when=_NOT_SFT,
    ),
    _per_token("policy/mismatch_kl", "Mismatch, KL", Unit.NATS, "KL(engine ‖ learner).", when=_NOT_SFT),
    _per_token(
        "policy/importance_ratio_mean",
        "Importance ratio, mean",
        Unit.RATIO,
        "The importance ratio u of a token, before any bound.",
        when=_NOT_SFT,
    ),
    _per_token(
        "policy/importance_capped_fraction",
        "Importance ratio, share that was capped",
        Unit.SHARE,
        "Share of tokens whose importance ratio u is above the cap.",
        when='with importance = "truncate"',
    ),
    _per_token(
        "policy/importance_masked_fraction",
        "Importance ratio, share that was masked",
        Unit.SHARE,
        "Share of tokens that lie in sequences whose importance ratio masks them.",
        when='with importance = "sequence_mask" or "sequence_ratio"',
    ),
    _largest("policy/ratio_max", "Policy ratio, largest", Unit.RATIO, "The largest ratio of any token.", when=_NOT_SFT),
    _largest(
        "policy/logprob_diff_max",
        "Mismatch, largest difference of log-probabilities",
        Unit.NATS,
        "The largest |logp_old - logp_engine| of any token.",
        when=_NOT_SFT,
    ),
    _largest(
        "policy/importance_ratio_max",
        "Importance ratio, largest",
        Unit.RATIO,
        "The largest importance ratio u of any token, before any bound.",
        when=_NOT_SFT,
    ),
)
"""Measured at every response token by the loss of the policy."""

CRITIC_TOKENS = (
    _loss("critic/loss", "Critic: loss", "The loss of the critic.", when=_PPO),
    _per_token("critic/value_mean", "Critic: value", Unit.REWARD, "The critic's value v of a token.", when=_PPO),
    _per_token("critic/return_mean", "Critic: return", Unit.REWARD, "The return R of a token.", when=_PPO),
    _per_token(
        "critic/clip_fraction",
        "Critic: clipped values",
        Unit.SHARE,
        "Share of tokens whose value was stopped by the value clip.",
        when="with ppo and critic.value_clip",
    ),
    _largest("critic/error_max", "Critic: largest error", Unit.REWARD, "The largest |R - v| of any token.", when=_PPO),
)
"""Measured at every response token by the loss of the critic."""

POLICY = MetricSection("Policy", (*POLICY_TOKENS, *_of_optimizer("policy", "policy")))

CRITIC = MetricSection(
    "Critic",
    (
        *CRITIC_TOKENS,
        Metric(
            "critic/explained_variance",
            "Critic: explained variance",
            Unit.RATIO,
            Reduction.RATIO,
            "1 - Var(R - v) / Var(R) over the response tokens of an optimiser step.",
            Reduction.MEAN,
            when="with ppo, where the returns differ",
        ),
        *_of_optimizer("critic", "critic", when=_PPO),
    ),
)


def _seconds(name: str, title: str, meaning: str) -> Metric:
    """Declare seconds of the slowest rank; skipped optimiser steps take time too."""
    return Metric(name, title, Unit.SECONDS, Reduction.MAX, meaning, Reduction.SUM, counts_skipped_steps=True)


LEARNER = MetricSection(
    "Learner",
    (
        _seconds(
            "learner/forward_s",
            "Learner: forward",
            "Seconds of the slowest rank's forward passes, by the device's clock.",
        ),
        _seconds(
            "learner/backward_s",
            "Learner: backward",
            "Seconds of the slowest rank's backward passes, by the device's clock.",
        ),
        _seconds(
            "learner/optimizer_s",
            "Learner: optimiser",
            "Seconds that the slowest rank spent between its last backward pass and its new weights.",
        ),
        _seconds(
            "learner/checkpoint_wait_s",
            "Learner: waiting for a checkpoint",
            "Seconds that the slowest rank waited before its optimiser step because a checkpoint was still being "
            "written from the weights.",
        ),
        Metric(
            "learner/memory_gib",
            "Learner: memory",
            Unit.GIB,
            Reduction.MAX,
            "The most memory that any rank has held so far: of its GPU, or of its process on CPUs.",
            Reduction.MAX,
            counts_skipped_steps=True,
        ),
        Metric(
            "learner/micro_batches",
            "Learner: micro-batches",
            Unit.COUNT,
            Reduction.LAST,
            "Micro-batches of a rank; every rank has the same number.",
            Reduction.SUM,
            counts_skipped_steps=True,
        ),
        Metric(
            "learner/sequences",
            "Learner: sequences",
            Unit.COUNT,
            Reduction.SUM,
            "Sequences over all ranks.",
            Reduction.SUM,
            counts_skipped_steps=True,
        ),
        Metric(
            "learner/optimizer_steps",
            "Optimiser steps taken",
            Unit.COUNT,
            Reduction.SUM,
            "Optimiser steps of the batch that were taken.",
        ),
        Metric(
            "learner/skipped_steps",
            "Optimiser steps skipped",
            Unit.COUNT,
            Reduction.SUM,
            "Optimiser steps of the batch that were skipped because a loss or a gradient was not finite.",
        ),
    ),
)

PACKING = MetricSection(
    "Packing",
    (
        Metric(
            "packing/efficiency",
            "Packing efficiency",
            Unit.SHARE,
            Reduction.RATIO,
            "Tokens to compute over the token slots that the ranks spend, waiting for each other included.",
            Reduction.MEAN,
        ),
        Metric(
            "packing/budget_efficiency",
            "Packing efficiency of the row budget",
            Unit.SHARE,
            Reduction.RATIO,
            "Tokens to compute over rows times learner.row_tokens.",
            Reduction.MEAN,
        ),
        Metric(
            "packing/shared_fraction",
            "Tokens saved by shared prompts",
            Unit.SHARE,
            Reduction.RATIO,
            "Share of the batch's tokens (prompts once a response) that is not computed because prompts are shared.",
            Reduction.MEAN,
        ),
    ),
)

SECTIONS = (POLICY, CRITIC, LEARNER, PACKING)
