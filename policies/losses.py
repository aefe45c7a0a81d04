"""Losses and targets as pure functions of tensors: T steps, B batch, A actions, X outputs, Z embedding. No networks."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from torchkit.sequence.scan import scan

PREDICTION_ERRORS = ("share", "nats", "l2", "cosine", "abs_cosine")
VISIT_CORRECTIONS = ("none", "tree")
BLUR = 0.1  # least standard deviation of a prediction in nats, where what is predicted has variance 1


def masked_mean(loss: Tensor, mask: Tensor) -> Tensor:
    """The mean over real entries; padding past an episode's end counts for nothing."""
    return torch.where(mask > 0, loss, 0.0).sum() / mask.sum().clamp(min=1.0)


def spread(output_TBX: Tensor, mask_TB: Tensor) -> Tensor:
    """By how much an output (T, B, X) differs among the real rows: greatest less least, the mean over its X numbers ().

    It is 0 where the output is the same at all of them, as of an MLP all of whose units in one layer are 0.
    """
    output_TBX, is_real = output_TBX.detach().float(), mask_TB[..., None] > 0
    greatest, least = (torch.where(is_real, output_TBX, beyond) for beyond in (-torch.inf, torch.inf))
    return (greatest.flatten(0, 1).amax(0) - least.flatten(0, 1).amin(0)).mean()


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
    return scan(carry_TB.flip(0), base_TB.flip(0)).flip(0)


def tree_backup_returns(
    reward_TB: Tensor,
    discount_TB: Tensor,
    value_TB: Tensor,
    taken_TB: Tensor,
    chance_TB: Tensor,
    last_TB: Tensor,
    return_lambda: float,
) -> Tensor:
    """Returns of a policy that did not act itself, the tree-backup ones (Precup, Sutton & Singh, 2000).

    `G_t = r_t + d_t [V_{t+1} + λ π(a_{t+1} | h_{t+1}) (G_{t+1} - Q(h_{t+1}, a_{t+1}))]`, the second term 0 beyond the
    last stored step. Where Q is right every step's correction has mean 0, whoever acted by the history alone.

    Args:
        reward_TB, discount_TB, value_TB, last_TB, return_lambda: as of `lambda_returns`, V being the policy's.
        taken_TB: Q of the action taken at step t.
        chance_TB: the policy's probability of it.
    """
    lead_TB = chance_TB * (value_TB.roll(1, 0) - taken_TB)  # V_t stands at t - 1; the first of these is not read
    lead_TB = torch.cat([lead_TB[1:], torch.zeros_like(lead_TB[:1])]).masked_fill(last_TB > 0, 0.0)
    paid_TB = reward_TB + discount_TB * return_lambda * lead_TB
    return lambda_returns(paid_TB, discount_TB, value_TB, chance_TB, last_TB, return_lambda)


def last_steps(mask_TB: Tensor) -> Tensor:
    """1 on each episode's last real step, else 0: (T, B)."""
    return mask_TB - torch.cat([mask_TB[1:], torch.zeros_like(mask_TB[:1])])


def expectile_error(error: Tensor, expectile: float) -> Tensor:
    """`|τ - 1[error < 0]| error²`, least where what is subtracted is the τ-expectile (Kostrikov et al., 2022, eq. 5).

    With τ = 0.5 that is the mean, and the error half a square.
    """
    return torch.where(error > 0, expectile, 1.0 - expectile) * error.square()


def advantage_weight(advantage: Tensor, kind: str, inverse_temperature: float, most: float) -> Tensor:
    """What a stored action counts for in weighted regression: `min(exp(A / β), most)`, 1[A > 0], or 1 (`ones`)."""
    if kind == "ones":
        return torch.ones_like(advantage)
    if kind == "indicator":
        return (advantage > 0).to(advantage.dtype)
    return (inverse_temperature * advantage).clamp(max=math.log(most)).exp()


def effective_share(weight: Tensor, mask: Tensor) -> Tensor:
    """The effective sample size (Σw)² / Σw² of weights on real entries, as a share of their number."""
    weight = torch.where(mask > 0, weight, 0.0)
    return weight.sum().square() / (weight.square().sum() * mask.sum()).clamp(min=1e-12)


def visit_targets(
    cell_TB: Tensor,
    ahead_TBK: Tensor,
    discount_TB: Tensor,
    mask_TB: Tensor,
    gamma: float,
    steps: int,
    keep_TB: Tensor | None = None,
    own_TBK: Tensor | None = None,
) -> Tensor:
    """N-step targets (T, B, K) of the measure of cells to come, q(z | c_t, a_t), each a distribution.

    `(1-γ) Σ_{n≤N} γ^{n-1} [z_{t+n}] + γ^N q(· | c_{t+N})` within an episode: the last row of one that has ended is
    where it stays for ever, that of one that was cut off is bootstrapped from. Dropping the weights of the N-1 stored
    actions between, as published, biases N > 1. With `keep` and `own` the target goes on along a stored action by its
    probability alone: where it would, `q(· | c) + π(a | c) (target - q(· | c, a))` (tree backup).

    Args:
        cell_TB: the cell of each row (T+1, B).
        ahead_TBK: q(· | c), the policy's expectation over actions at each row (T+1, B, K).
        discount_TB: 0 on a true ending, 1 otherwise.
        mask_TB: 1 on real steps.
        gamma: γ of the measure.
        steps: N.
        keep_TB: π(a_t | c_t) of stored actions.
        own_TBK: q(· | c_t, a_t) of these.
    """
    last_TB1 = (last_steps(mask_TB) > 0)[..., None]
    ended_TB1 = last_TB1 & (discount_TB == 0)[..., None]
    now_TBK = F.one_hot(cell_TB[1:], ahead_TBK.shape[-1]).to(ahead_TBK.dtype)
    cut_TBK = torch.where(ended_TB1, now_TBK, ahead_TBK[1:])  # what is to come of the next row by the model alone
    target_TBK = torch.lerp(now_TBK, cut_TBK, gamma)
    if steps == 1:
        return target_TBK
    # what of it does not go on along the stored action, and how much does
    apart_TBK, along_TB1 = torch.zeros_like(now_TBK), torch.ones_like(mask_TB)[..., None]
    if keep_TB is not None and own_TBK is not None:
        along_TB1 = keep_TB[..., None]
        apart_TBK = ahead_TBK[:-1] - along_TB1 * own_TBK
    fixed_TBK = torch.lerp(now_TBK[:-1], torch.where(last_TB1[:-1], cut_TBK[:-1], apart_TBK[1:]), gamma)
    along_TB1 = gamma * along_TB1[1:].masked_fill(last_TB1[:-1], 0.0)
    for _ in range(steps - 1):
        target_TBK = torch.cat([torch.addcmul(fixed_TBK, along_TB1, target_TBK[1:]), target_TBK[-1:]])
    return target_TBK


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
