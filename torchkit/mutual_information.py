"""Estimators of mutual information between two batches of vectors, and which pairs of rows count as equal.

Dimension key: B batch, O observation, Z embedding, R rows.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, softplus

from torchkit.fast import has_compiler
from torchkit.networks import init_linear


def jsd_loss(local_BZ: Tensor, global_BZ: Tensor, positive_BB: Tensor, count_B: Tensor | None = None) -> Tensor:
    """Minus the Jensen-Shannon lower bound on the information that `global` holds about `local`'s input.

    Scores S_ij = local_i · global_j; with E⁺(x) = ln 2 - softplus(-x) and E⁻(x) = softplus(-x) + x - ln 2 the loss is
    the mean of E⁻(S) over negative pairs minus the mean of E⁺(S) over positive pairs (Hjelm et al., 2019, equation 4,
    shifted by constants so that S = 0 gives 0). Where a kind of pair is absent its mean is 0.

    Args:
        positive_BB: 1 where rows i and j have equal inputs, so that equal inputs are never contrasted.
        count_B: how many times each row stands in the batch; the loss is then that of the batch written out in full.
    """
    score_BB = local_BZ @ global_BZ.T
    positive, negative = positive_BB, 1.0 - positive_BB
    if count_B is not None:
        pairs_BB = count_B[:, None] * count_B[None, :]
        positive, negative = positive * pairs_BB, negative * pairs_BB
    positive = positive / positive.sum().clamp(min=1e-12)
    negative = negative / negative.sum().clamp(min=1e-12)
    shared = positive + negative  # -E⁺ is softplus(-S) - ln 2, and so is E⁻ but for its linear part
    loss = shared.flatten() @ softplus(-score_BB).flatten() + negative.flatten() @ score_BB.flatten()
    return loss - math.log(2.0) * shared.sum()


BOUNDS = ("misa", "dv", "f")  # from the tightest to the loosest


def log_partition(score_RK: Tensor, bound: str, log_weight_RK: Tensor | None = None) -> Tensor:
    """What a lower bound on I(S; A) takes off for its critic's scores, a scalar.

    With E_k the mean over K actions of a policy π in each of R states: `misa` E_s log E_k e^T, which makes the bound
    that of the policy ∝ π e^T (Ma et al., NeurIPS 2023); `dv` log E_s E_k e^T (Donsker & Varadhan); `f` E_s E_k e^(T-1)
    (Nguyen, Wainwright & Jordan). For the same scores `misa` is least and `f` greatest. Its gradient by the scores are
    the weights of the actions in the gradients of policy and critic.

    Args:
        score_RK: T of K actions in each state.
        bound: one of `BOUNDS`.
        log_weight_RK: logarithms of what each action counts for, -log K if not given; of all discrete actions log π,
            which makes it exact. Of K samples the logarithm is of an estimate: `misa` and `dv` are then too small, and
            the bound too great.
    """
    total_RK = score_RK - math.log(score_RK.shape[-1]) if log_weight_RK is None else score_RK + log_weight_RK
    if bound == "misa":
        return total_RK.logsumexp(-1).mean()
    if bound == "dv":
        return total_RK.flatten().logsumexp(0) - math.log(len(total_RK))
    return (total_RK - 1).exp().sum(-1).mean()


def information_bound(log_prob_R: Tensor, score_R: Tensor, partition: Tensor) -> Tensor:
    """The lower bound on I(S; A) less the entropy of actions h(A), which no parameter changes, in nats.

    That of Barber & Agakov, E log π(a | s), and of the critic E T(s, a) less `log_partition`, at stored actions.
    """
    return log_prob_R.mean() + score_R.mean() - partition


class Club(nn.Module):
    """CLUB-sample, an upper bound on the mutual information I(x; y) (Cheng et al., ICML 2020, "vCLUB-S").

    A network q(y | x) = N(μ(x), exp(logvar(x))) is fitted by maximum likelihood; where it equals p(y | x), the mean
    log-ratio of true pairs to shuffled ones is above the mutual information. logvar stays in (-spread, spread), as
    published with a spread of 1.
    """

    def __init__(self, x_dim: int, y_dim: int, hidden_dim: int = 32, spread: float = 1.0):
        super().__init__()
        self.spread = spread
        self.hidden = init_linear(nn.Linear(x_dim, 2 * hidden_dim), bound=hidden_dim**-0.5)  # of two nets side by side
        self.mu = init_linear(nn.Linear(hidden_dim, y_dim))
        self.logvar = init_linear(nn.Linear(hidden_dim, y_dim))

    def forward(self, x_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """μ(x) and logvar(x), (B, Z) each."""
        for_mu, for_logvar = elu(self.hidden(x_BZ)).chunk(2, dim=-1)
        return self.mu(for_mu), self.spread * (self.logvar(for_logvar) / self.spread).tanh()

    def log_likelihood(self, x_BZ: Tensor, y_BZ: Tensor) -> Tensor:
        """Σ_d [-(μ - y)² / exp(logvar) - logvar] of each pair, (B,): twice log q(y | x), but for a constant."""
        mu_BZ, logvar_BZ = self(x_BZ)
        return club_log_likelihood(mu_BZ, logvar_BZ, y_BZ)

    def ascent(self) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """A function of pairs (D, X), (D, Y) and their weights (D,), which returns their weighted likelihood.

        It sets the parameters' gradients to those of its negative, for an optimiser that changes the parameters where
        they are. On a CPU by a compiled kernel: of batches as small as these, autograd would be most of the cost.
        """
        weight = self.mu.weight
        if weight.device.type != "cpu" or weight.dtype != torch.float32 or self.spread != 1.0 or not has_compiler():
            return self._ascend_by_autograd
        from torchkit.fast.kernels import club_gradient  # when it is needed: it takes a while

        layers = (self.hidden, self.mu, self.logvar)
        parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
        gradients = [torch.empty_like(parameter) for parameter in parameters]
        arrays = [tensor.detach().numpy() for tensor in (*parameters, *gradients)]

        def ascend(x_DX: Tensor, y_DY: Tensor, weight_D: Tensor) -> Tensor:
            (D, X), Y = x_DX.shape, self.mu.out_features
            if (X, *y_DY.shape, *weight_D.shape) != (self.hidden.in_features, D, Y, D):
                raise ValueError(
                    f"pairs of shapes {tuple(x_DX.shape)} and {tuple(y_DY.shape)}, {len(weight_D)} weights"
                )
            given = [tensor.detach().float().contiguous().numpy() for tensor in (x_DX, y_DY, weight_D)]
            likelihood = club_gradient(*given, *arrays)
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = gradient
            return torch.tensor(likelihood, dtype=torch.float32)

        return ascend

    def _ascend_by_autograd(self, x_DX: Tensor, y_DY: Tensor, weight_D: Tensor) -> Tensor:
        """What `ascent` returns, without the kernel."""
        self.zero_grad()
        with torch.enable_grad():
            likelihood = weight_D @ self.log_likelihood(x_DX.detach(), y_DY.detach())
            (-likelihood).backward()
        return likelihood.detach()

    def upper_bound(self, x_BZ: Tensor, y_BZ: Tensor, permutation_B: Tensor) -> Tensor:
        """The bound in nats, a scalar; `permutation_B` shuffles y into pairs that are independent of x."""
        mu_BZ, logvar_BZ = self(x_BZ)
        return club_upper_bound(mu_BZ, logvar_BZ, y_BZ, y_BZ[permutation_B])


def club_log_likelihood(mu_BZ: Tensor, logvar_BZ: Tensor, y_BZ: Tensor) -> Tensor:
    """Σ_d [-(μ - y)² / exp(logvar) - logvar], (B,): what fitting q maximises (Cheng et al., 2020)."""
    return -((mu_BZ - y_BZ).square() * (-logvar_BZ).exp() + logvar_BZ).sum(dim=-1)


def club_upper_bound(mu_BZ: Tensor, logvar_BZ: Tensor, y_BZ: Tensor, shuffled_BZ: Tensor) -> Tensor:
    """½ mean_i Σ_d [(μ_i - ỹ_i)² - (μ_i - y_i)²] / exp(logvar_i): log q(y_i | x_i) - log q(ỹ_i | x_i), a scalar."""
    gap_BZ = (mu_BZ - shuffled_BZ).square() - (mu_BZ - y_BZ).square()
    return 0.5 * (gap_BZ * (-logvar_BZ).exp()).sum(dim=-1).mean()


def club_upper_bound_of_pairs(mu_DZ: Tensor, logvar_DZ: Tensor, y_DZ: Tensor, excess_DD: Tensor) -> Tensor:
    """The same bound of pairs that repeat D distinct rows, a scalar.

    `excess_DD` is the share of pairs of x_i with y_j among the shuffled ones less that among the true ones, which stand
    on the diagonal. Its rows add up to 0, since shuffling leaves each x_i: squares of μ drop out.
    """
    shift_Z = y_DZ.detach().mean(0)  # changes nothing but the rounding
    y_DZ, mu_DZ = y_DZ - shift_Z, mu_DZ - shift_Z
    gap_DZ = excess_DD @ y_DZ.square() - 2 * mu_DZ * (excess_DD @ y_DZ)
    return 0.5 * (gap_DZ * (-logvar_DZ).exp()).sum()
