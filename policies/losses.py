"""Losses and targets as pure functions of tensors: T steps, B batch, A actions, Z embedding. No networks, no config."""

import torch
import torch.nn.functional as F
from torch import Tensor

PREDICTION_ERRORS = ("share", "nats", "l2", "cosine", "abs_cosine")
BLUR = 0.1  # least standard deviation of a prediction in nats, where what is predicted has variance 1


def masked_mean(loss: Tensor, mask: Tensor) -> Tensor:
    """The mean over real entries; padding past an episode's end counts for nothing."""
    return torch.where(mask > 0, loss, 0.0).sum() / mask.sum().clamp(min=1.0)


def taken(q_TBA: Tensor, action_TB: Tensor) -> Tensor:
    """The values (T, B) of the actions that were taken."""
    return q_TBA.gather(-1, action_TB[..., None]).squeeze(-1)


def lambda_returns(
    reward_TB: Tensor, discount_TB: Tensor, value_TB: Tensor, keep_TB: Tensor, last_TB: Tensor, return_lambda: float
) -> Tensor:
    """λ-returns of a stored episode, cut where the behaviour left the greedy policy (Watkins's Q(λ)).

    `G_t = r_t + d_t [(1 - λ c_{t+1}) V_{t+1} + λ c_{t+1} G_{t+1}]`, where c is `keep` one step on and 0 beyond the last
    stored step. With λ = 0 these are the one-step targets `r_t + d_t V_{t+1}`.

    Args:
        reward_TB: rewards r_t.
        discount_TB: d_t, γ times the batch's discount (0 on a true ending).
        value_TB: bootstrap values V_{t+1} of the row after each step.
        keep_TB: 1 where the action taken at step t is the greedy one, else 0.
        last_TB: 1 on each episode's last stored step; nothing after it is used.
        return_lambda: λ in [0, 1].
    """
    over_TB = last_TB.cumsum(0) > last_TB  # padding: whatever stands there, 0 times it must be 0
    if return_lambda == 0.0:
        return (reward_TB + discount_TB * value_TB).masked_fill(over_TB, 0.0)
    keep_next_TB = torch.cat([keep_TB[1:], torch.zeros_like(keep_TB[:1])])
    trace_TB = (return_lambda * keep_next_TB).masked_fill(last_TB > 0, 0.0)
    base_TB = (reward_TB + discount_TB * (1 - trace_TB) * value_TB).masked_fill(over_TB, 0.0)
    carry_TB = (discount_TB * trace_TB).masked_fill(over_TB, 0.0)
    returns, following = [], torch.zeros_like(base_TB[0])
    for base, carry in zip(reversed(base_TB.unbind(0)), reversed(carry_TB.unbind(0)), strict=True):
        following = torch.addcmul(base, carry, following)
        returns.append(following)
    return torch.stack(returns[::-1])


def last_steps(mask_TB: Tensor) -> Tensor:
    """1 on each episode's last real step, else 0: (T, B)."""
    return mask_TB - torch.cat([mask_TB[1:], torch.zeros_like(mask_TB[:1])])


def policy_gradient(log_prob_TB: Tensor, advantage_TB: Tensor, discount: float) -> Tensor:
    """The loss (T, B) whose gradient is `-γ^t A_t ∇log π(a_t | h_t)`; with `discount` 1 every step weighs the same."""
    weight_T1 = discount ** torch.arange(len(log_prob_TB), device=log_prob_TB.device, dtype=log_prob_TB.dtype)[:, None]
    return -weight_T1 * advantage_TB.detach() * log_prob_TB


def prediction_error(prediction: Tensor, target: Tensor, kind: str) -> Tensor:
    """How far a prediction of z_state, or of its standardised form, is off: (…, Z) -> (…).

    `l2` is the squared Euclidean distance, as in the paper; so is `share`, whose target has variance 1 in all. `cosine`
    is 1 - cos; `abs_cosine` is 1 - |cos|, as in the released code (an opposite prediction counts as right). `nats` is
    -log N(target; μ, σ²) but for a constant, of a target whose coordinates have variance 1 each: the prediction (…, 2Z)
    holds μ and what gives σ = `BLUR` + softplus(·), so that what is known to within the blur counts as known.
    """
    if kind in ("share", "l2"):
        return (prediction - target).square().sum(-1)
    if kind == "nats":
        mean, raw = prediction.chunk(2, dim=-1)
        std = BLUR + F.softplus(raw)
        return (0.5 * ((target - mean) / std).square() + std.log()).sum(-1)
    cosine = F.cosine_similarity(prediction, target, dim=-1, eps=1e-6)
    return 1 - (cosine.abs() if kind == "abs_cosine" else cosine)


def balanced_kl(posterior: Tensor, prior: Tensor, free_nats: float, dynamics: float, representation: float) -> Tensor:
    """KL(posterior ‖ prior) of groups of codes, weighed by who learns of it (Hafner et al., Nature 2025, eq. 5).

    `dynamics · max(KL(sg(q) ‖ p), free) + representation · max(KL(q ‖ sg(p)), free)` with the KL in nats, summed over
    groups; below `free_nats` nothing learns.

    Args:
        posterior: log-probabilities log q (…, G, C).
        prior: log p, likewise.
        free_nats: what the codes of a step may tell at no cost.
        dynamics: the weight of what pulls the prior to the posterior.
        representation: that of what pulls the posterior to the prior.

    Returns:
        (…).
    """

    def kl(q: Tensor, p: Tensor) -> Tensor:
        return (q.exp() * (q - p)).sum((-2, -1)).clamp(min=free_nats)

    return dynamics * kl(posterior.detach(), prior) + representation * kl(posterior, prior.detach())
