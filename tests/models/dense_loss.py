"""Compute the losses again, straight from their formulas and in another way: what the tests compare with.

Padded [B, T] tensors and a mask, probabilities instead of log-probabilities, cases told apart by the advantage's sign,
plain autograd. Shares nothing with the code under test but the settings.
"""

import torch
from torch import Tensor

from actors.learning.policy_loss import LossSettings, TokenValues


def dense_loss(tokens: TokenValues, settings: LossSettings) -> Tensor:
    """Return the weighted sum of the losses of `tokens`, computed on a padded batch of one sequence a line."""
    lengths = torch.unique_consecutive(tokens.sequences, return_counts=True)[1].tolist()
    mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]  # [B, T]

    def padded(values: Tensor) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(list(values.split(lengths)), batch_first=True)

    now, old, engine = (padded(v).exp() for v in (tokens.logprobs, tokens.old_logprobs, tokens.sampling_logprobs))
    advantages = padded(tokens.advantages)
    match settings.loss:
        case "nll":
            loss = -torch.log(now)
        case "cispo":
            with torch.no_grad():
                weight = torch.clip(now / old, 1 - settings.clip_low, 1 + settings.clip_high)
            loss = -weight * advantages * torch.log(now)
        case "gspo":
            loss = _clipped(_gspo_ratio(now, old, mask), advantages, settings)
        case "ppo_clip":
            loss = _clipped(now / old, advantages, settings)
    if settings.loss != "nll":
        loss = loss * _importance(old / engine, mask, settings)
    if settings.kl_coefficient:
        loss = loss + settings.kl_coefficient * _kl(now, padded(tokens.reference_logprobs).exp(), settings)
    loss = loss - settings.entropy_coefficient * padded(tokens.entropy)
    # Selected, not multiplied: padding holds whatever the formulas make of e^0.
    return (loss * padded(tokens.weights)).masked_select(mask).sum()


def _clipped(ratio: Tensor, advantages: Tensor, settings: LossSettings) -> Tensor:
    """Return the clipped ratio: for A > 0 at most 1 + high; for A < 0 at least 1 - low and at most dual_clip."""
    most = settings.dual_clip if settings.dual_clip else float("inf")
    good = ratio.clip(max=1 + settings.clip_high)
    bad = ratio.clip(min=1 - settings.clip_low, max=most)
    return -advantages * torch.where(advantages > 0, good, bad)


def _gspo_ratio(now: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    """Return GSPO-token's ratio sg(s_i) · pi / sg(pi); s_i is the geometric mean: the root of the product."""
    with torch.no_grad():
        product = torch.where(mask, now / old, 1.0).prod(dim=1, keepdim=True)
        sequence = product ** (1 / mask.sum(dim=1, keepdim=True))
    return sequence * now / now.detach()


def gspo_sequence_loss(tokens: TokenValues, settings: LossSettings) -> Tensor:
    """Return the loss of GSPO itself: the mean over sequences of -min(s·A, clip(s)·A), with the full gradient of s."""
    lengths = torch.unique_consecutive(tokens.sequences, return_counts=True)[1].tolist()
    losses = []
    parts = zip(tokens.logprobs.split(lengths), tokens.old_logprobs.split(lengths), strict=True)
    for (logprobs, old), advantage in zip(parts, tokens.advantages.split(lengths), strict=True):
        ratio = (logprobs.exp() / old.exp()).prod() ** (1 / logprobs.numel())
        bounded = ratio.clip(1 - settings.clip_low, 1 + settings.clip_high)
        losses.append(-torch.minimum(ratio * advantage[0], bounded * advantage[0]))
    return torch.stack(losses).mean()


def _importance(ratio: Tensor, mask: Tensor, settings: LossSettings) -> Tensor:
    if settings.importance == "truncate":
        return torch.where(ratio > settings.importance_cap, settings.importance_cap, ratio)
    if settings.importance == "sequence_mask":
        product = torch.where(mask, ratio, 1.0).prod(dim=1, keepdim=True)
        mean = product ** (1 / mask.sum(dim=1, keepdim=True))
        return ((mean >= settings.importance_floor) & (mean <= settings.importance_cap)).double()
    if settings.importance == "sequence_ratio":
        product = torch.where(mask, ratio, 1.0).prod(dim=1, keepdim=True)
        is_inside = (product >= settings.importance_floor) & (product <= settings.importance_cap)
        return torch.where(is_inside, product, 0.0)
    return torch.ones_like(ratio)


def _kl(now: Tensor, reference: Tensor, settings: LossSettings) -> Tensor:
    if settings.kl_estimator == "k2":
        return 0.5 * torch.log(now / reference) ** 2
    return reference / now - 1 - torch.log(reference / now)
