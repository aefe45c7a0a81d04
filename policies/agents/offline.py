"""Learning from stored episodes: how critics value actions, and how a policy with a memory stays near what is stored.

Without values of its own actions the policy is a regression on stored ones: behaviour cloning, or with each action
weighted by its advantage (AWR), by critics that see the state (AAWR; Hu et al., NeurIPS 2025), or by expectiles (IQL;
Kostrikov, Nair & Levine, ICLR 2022). With them actor and critics are SAC's, and both losses have a lower bound on
I(S; A) (MISA; Ma et al., NeurIPS 2023), of which CQL(H) (Kumar et al., NeurIPS 2020) is the case of a uniform prior.
"""

import math
from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.agents.actor_critic import ActorCritic, Networks, detached
from policies.agents.assembly import check_inputs, critic_trunk, policy_head
from policies.agents.sac import target_entropy
from policies.losses import (
    advantage_weight,
    effective_share,
    expectile_error,
    lambda_returns,
    last_steps,
    masked_mean,
    spread,
    taken,
)
from policies.models.encoders import vector_embedder
from policies.models.heads import Critic
from policies.models.sources import Sources
from policies.models.trunk import PUBLIC, Trunk
from policies.models.views import PrivilegedViews, Views, after_steps, before_steps
from torchkit.actions import Actions, GaussianMixture, TanhGaussian
from torchkit.distributions import log_prob_gaussian, log_slope_of_tanh
from torchkit.hamiltonian import hamiltonian
from torchkit.mutual_information import BOUNDS, information_bound, log_partition
from utils.errors import UserError, at_least_one, choose_name
from utils.reads import ANY, FROM_ZERO, POSITIVE, SHARE, WIDTH, Range, Reads

CRITICS = ("none", "expectile", "policy")
CHOICES = {  # of fields that are names
    "critics": CRITICS,
    "weight": ("exp", "indicator", "ones"),
    "advantage": ("joint", "marginal"),
    "fit": ("likelihood", "distance"),
    "bound.kind": BOUNDS,
    "bound.prior": ("policy", "uniform"),
    "bound.correction": ("snis", "hmc", "none"),
}
EDGE = 0.999  # continuous actions beyond it count as there, where the density of one under tanh is still moderate


class Offline(ActorCritic):
    """See the module's docstring, and `Networks` for what it learns with; settings are those of configs/rl/offline.py.

    The critics are two Q and, by expectiles, a V; a target copy of Q is made here. `marginal` regresses on advantages
    what the policy sees.
    """

    learns_from = "stored_data"
    continuous_actions = TanhGaussian(log_std_bounds=(-5.0, 2.0))
    reads: ClassVar[Reads] = {
        **dict.fromkeys(CHOICES, ANY),
        "expectile": Range(lambda x: 0 < x < 1, "a number between 0 and 1"),
        **dict.fromkeys(("temperature.initial", "temperature.lr", "max_weight", "bound.hmc.step"), POSITIVE),
        **dict.fromkeys(("inverse_temperature", "bound.critic_weight", "bound.actor_weight"), FROM_ZERO),
        **dict.fromkeys(("bound.samples", "bound.rows", "bound.hmc.transitions", "bound.hmc.leaps"), WIDTH),
        "temperature.target_share": SHARE,
        "mixture": Range(lambda x: isinstance(x, int) and x >= 0, "a whole number from 0 on"),
        **dict.fromkeys(("action_dim", "temperature.auto", "temperature.target_entropy"), ANY),
    }

    def __init__(
        self,
        networks: Networks,
        marginal: Critic | None,
        config: ConfigDict,
        action_dim: int,
        seed: int,
        device: torch.device,
    ):
        super().__init__(networks, config, seed)
        self.marginal, self.critics = marginal, config.critics
        self.target_entropy = target_entropy(config.temperature, action_dim, self.discrete)
        self.acts_after_last = self.critics == "policy" or self.extensions.of_policy
        if self.critics == "policy":
            self.log_alpha = nn.Parameter(torch.tensor(float(config.temperature.initial)).log())
        self._settle(device)
        if self.critics != "none":
            self.target = self._copy_of(self.critic)
            del self.target.heads[2:]  # V bootstraps as it is
            self._follow(self.target, self.critic)
            learned = [*self.critic.parameters(), *self.extensions.learned()]
            learned += [] if marginal is None else marginal.parameters()
            self._train_with("critic", learned, config.critic_lr)
        self._train_with("actor", [*self.actor.parameters(), *self.actor_extensions.learned()], config.actor_lr)
        if self.critics == "policy":
            self._train_with("temperature", [self.log_alpha], config.temperature.lr)

    @classmethod
    def continuous_of(cls, config_rl: ConfigDict) -> Actions | None:
        components = config_rl.get("mixture", 0)
        return GaussianMixture(components) if components else cls.continuous_actions

    @classmethod
    def build(cls, sources: Sources, actions: Actions, seed: int, device: torch.device) -> Self:
        """One of any variant.

        Raises:
            UserError: fields that say nothing, or do not go together.
        """
        rl, spec = sources.config.rl, sources.spec
        check_fields(rl, spec.discrete)
        trunk = Trunk(sources, actions)
        head = policy_head(trunk)
        own, heads = critic_trunk(trunk), []
        action = {} if spec.discrete else {"action": rl.action_dim}
        width = spec.action_dim if spec.discrete else 1
        embedder, marginal = None, None
        if rl.critics != "none":
            heads = [own.head(rl.critic_inputs, width, **action) for _ in range(2)]
            embedder = None if spec.discrete else vector_embedder(spec.action_dim, rl.action_dim)
        if rl.critics == "expectile":
            heads.append(own.head(rl.critic_inputs, 1))
        if rl.critics == "expectile" and rl.advantage == "marginal":
            check_inputs(rl.policy_inputs, PUBLIC, "--config_rl.policy_inputs")
            own_embedder = None if spec.discrete else vector_embedder(spec.action_dim, rl.action_dim)
            seen = own.head(rl.policy_inputs, width, **action)
            marginal = Critic(None, PrivilegedViews({}, {}), [seen], own_embedder)
        networks = Networks.of(trunk, head, own, heads, embedder)
        if rl.mixture and networks.extensions.of_policy:
            raise UserError(
                f"--config_rl.mixture={rl.mixture}: a bonus of what the policy does needs one Gaussian; choose 0"
            )
        return cls(networks, marginal, rl, spec.action_dim, seed, device)

    def losses(self, batch: EpisodeBatch, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        with batch.encoding_once():
            with self._autocast():
                state_views = self.state_views(batch)
                critic_views, actor_views = self._look(batch, state_views)
            losses = self._own_losses(batch, state_views, (critic_views, actor_views), metrics)
        metrics["policy/spread"] = spread(actor_views["policy"][:-1], batch.mask)
        if "critic" in losses:
            losses["critic"] = losses["critic"] + self.extensions.total(critic_views, batch, metrics)
        losses["actor"] = losses["actor"] + self.actor_extensions.total(actor_views, batch, metrics, "actor_")
        return losses

    def _own_losses(
        self, batch: EpisodeBatch, state_views: Views, looked: tuple[Views, Views], metrics: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """What each optimiser descends, but for the extensions'."""
        critic_views, output = looked[0], looked[1]["policy"]
        if self.critics == "none":
            return {"actor": self._regression(output, torch.zeros_like(batch.reward), batch, metrics)}
        with torch.no_grad(), self._autocast():
            acting_views, acting_output = critic_views, output
            if self.has_dropout:
                acting_views, acting_output = self._without_dropout(batch, state_views)
            bonus_TB = self._bonus(acting_views, batch, metrics, acting_output)
            target_views = self.target.views(batch, state_views)
        if self.critics == "policy":
            views = critic_views, acting_output, target_views
            return self._constrained(output, views, batch, bonus_TB, metrics)
        advantage_TB, critic_loss = self._expectiles(critic_views, acting_views, target_views, batch, bonus_TB, metrics)
        return {"critic": critic_loss, "actor": self._regression(output, advantage_TB, batch, metrics)}

    def _without_dropout(self, batch: EpisodeBatch, state_views: Views) -> tuple[Views, Tensor]:
        """The critics' views and the actor's output as the acting agent computes them, for bonuses and targets."""
        with self._as_acting():
            critic_views, actor_views = self._look(batch, state_views)
        return critic_views, actor_views["policy"]

    def _returns(self, value_TB: Tensor, batch: EpisodeBatch, bonus_TB: Tensor) -> Tensor:
        """λ-returns (T, B) of the values of the rows after each step."""
        reward_TB, discount_TB = batch.reward + bonus_TB, self.config.discount * batch.discount
        keep_TB, last_TB = torch.ones_like(reward_TB), last_steps(batch.mask)
        return lambda_returns(reward_TB, discount_TB, value_TB, keep_TB, last_TB, self.config.return_lambda)

    def _of_stored(self, values: list[Tensor], batch: EpisodeBatch) -> list[Tensor]:
        """Of critics' outputs before each step those of the stored actions (T, B)."""
        return [taken(q, batch.action) if self.discrete else q.squeeze(-1) for q in values]

    def _expectiles(
        self,
        critic_views: Views,
        acting_views: Views,
        target_views: Views,
        batch: EpisodeBatch,
        bonus_TB: Tensor,
        metrics: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Advantages of stored actions (T, B), by which the policy learns, and the critics' loss."""
        seen, of_values = before_steps(critic_views), slice(2, None)
        with self._autocast():
            q, (v,) = (
                self.critic(seen, batch, batch.action, slice(2)),
                self.critic(critic_views, batch, which=of_values),
            )
            with torch.no_grad():
                judged = self._of_stored(self.target(before_steps(target_views), batch, batch.action), batch)
                acting_v = v if acting_views is critic_views else self.critic(acting_views, batch, which=of_values)[0]
        judged_TB, value_TB = torch.stack(judged).amin(0), v.squeeze(-1)
        target_TB = self._returns(acting_v.detach().squeeze(-1)[1:], batch, bonus_TB)
        stored = self._of_stored(q, batch)
        errors = [masked_mean((q_TB - target_TB).square(), batch.mask) for q_TB in stored]
        metrics["loss/td"] = torch.stack(errors).sum()
        error_TB = expectile_error(judged_TB - value_TB[:-1], self.config.expectile)
        metrics["loss/value"] = masked_mean(error_TB, batch.mask)
        loss, advantage_TB = metrics["loss/td"] + metrics["loss/value"], judged_TB - acting_v.detach().squeeze(-1)[:-1]
        if self.marginal is not None:
            with self._autocast():
                (mean_TB,) = self._of_stored(self.marginal(seen, batch, batch.action), batch)
            metrics["loss/marginal"] = masked_mean((mean_TB - advantage_TB).square(), batch.mask)
            loss, advantage_TB = loss + metrics["loss/marginal"], mean_TB.detach()
        metrics["q/taken"] = masked_mean(stored[0], batch.mask)
        metrics["q/target"] = masked_mean(target_TB, batch.mask)
        metrics["advantage/positive"] = masked_mean((advantage_TB > 0).float(), batch.mask)
        return advantage_TB, loss

    def _regression(
        self, output: Tensor, advantage_TB: Tensor, batch: EpisodeBatch, metrics: dict[str, Tensor]
    ) -> Tensor:
        """How far the policy is from stored actions, each as its advantage weighs."""
        rl = self.config
        fit_TB = self.actions.distance(output[:-1], batch.action)
        if rl.fit == "likelihood":
            fit_TB = -self._log_prob(output[:-1], batch)
        weight_TB = advantage_weight(advantage_TB, rl.weight, rl.inverse_temperature, rl.max_weight)
        metrics["loss/actor"] = loss = masked_mean(weight_TB * fit_TB, batch.mask)
        metrics["policy/fit"] = masked_mean(fit_TB, batch.mask)
        metrics["advantage/effective_share"] = effective_share(weight_TB, batch.mask)
        return loss

    def _log_prob(self, output_TBX: Tensor, batch: EpisodeBatch) -> Tensor:
        """Log-probabilities, or -densities, of the stored actions (T, B)."""
        action = batch.action if self.discrete else batch.action.clamp(-EDGE, EDGE)
        return self.actions.log_prob(output_TBX, action)

    def _split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of continuous actions before the tanh."""
        assert isinstance(self.actions, TanhGaussian)
        return self.actions.split(output)

    def _constrained(
        self,
        output: Tensor,
        views: tuple[Views, Tensor, Views],
        batch: EpisodeBatch,
        bonus_TB: Tensor,
        metrics: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """SAC's losses, with no entropy in the targets, and with the bound in those of critics and actor."""
        critic_views, acting_output, target_views = views
        alpha, settings = self.log_alpha.detach().exp(), self.config.bound
        with self._autocast():
            seen, ahead = before_steps(critic_views), after_steps(target_views)
            q = self._values(self.critic, seen, batch, batch.action)
            action, log_prob = self.actions.fresh(output)
            own = q if self.discrete else self._values(self.critic, detached(seen), batch, action[:-1])
            expected, log_prob = torch.stack(own).amin(0), log_prob[:-1]
            expected = expected.detach() if self.discrete else expected
            with torch.no_grad():
                next_action, next_log_prob = self.actions.fresh(acting_output)
                judged = torch.stack(self._values(self.target, ahead, batch, next_action[1:])).amin(0)
        target_TB = self._returns(self._expected(judged, next_log_prob[1:]), batch, bonus_TB)
        stored = [taken(values, batch.action) if self.discrete else values for values in q]
        metrics["loss/td"] = torch.stack([masked_mean((x - target_TB).square(), batch.mask) for x in stored]).sum()
        metrics["loss/actor"] = masked_mean(self._expected(alpha * log_prob - expected, log_prob), batch.mask)
        entropy = masked_mean(self._expected(-log_prob, log_prob), batch.mask).detach()
        critic_loss, actor_loss = metrics["loss/td"], metrics["loss/actor"]
        if settings.critic_weight or settings.actor_weight:
            of_critics, of_actor = self._bound(output, critic_views, q, stored, batch, metrics)
            critic_loss = critic_loss + settings.critic_weight * of_critics
            actor_loss = actor_loss + settings.actor_weight * of_actor
        metrics |= {"policy/entropy": entropy, "policy/temperature": alpha}
        metrics["q/taken"] = masked_mean(stored[0], batch.mask)
        metrics["q/target"] = masked_mean(target_TB, batch.mask)
        losses = {"critic": critic_loss, "actor": actor_loss}
        if self.config.temperature.auto:
            losses["temperature"] = self.log_alpha.exp() * (entropy - self.target_entropy)
        return losses

    def _bound(
        self,
        output: Tensor,
        critic_views: Views,
        q: list[Tensor],
        stored: list[Tensor],
        batch: EpisodeBatch,
        metrics: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """What critics and actor lower: minus the bound, as far as it is theirs.

        The actor's gradient has two parts: `-log π(a)` of stored actions, and what the normaliser changes with the
        policy, which is that of `Σ w log π` over actions weighted by the normaliser's own gradient, w.
        """
        settings = self.config.bound
        rows_R = batch.mask.flatten().nonzero().squeeze(-1)
        if not self.discrete and len(rows_R) > settings.rows:
            rows_R = rows_R[torch.randperm(len(rows_R))[: settings.rows].to(rows_R.device)]
        output_RX = output.flatten(0, 1)[rows_R]
        if self.discrete:
            score_RK, log_prob_RK = [one.flatten(0, 1)[rows_R] for one in q], output_RX.log_softmax(-1)
            uniform = settings.prior == "uniform"
            log_weight_RK = torch.zeros_like(log_prob_RK) if uniform else log_prob_RK.detach()
        else:
            views_RF = {name: view.flatten(0, 1)[rows_R] for name, view in critic_views.items()}
            action_KRA, log_prob_KR, log_weight_KR = self._proposed(output_RX)
            with self._autocast():
                score_RK = [one.T for one in self.critic.of_samples(views_RF, action_KRA)]
            log_prob_RK, log_weight_RK = log_prob_KR.T, log_weight_KR.T
        partitions = [log_partition(one, settings.kind, log_weight_RK) for one in score_RK]
        stored_R = [one.flatten()[rows_R] for one in stored]
        of_critics = torch.stack([z - s.mean() for z, s in zip(partitions, stored_R)]).sum()
        log_prob_TB = self._log_prob(output[:-1], batch)
        of_actor = -masked_mean(log_prob_TB, batch.mask)
        least_RK = torch.stack(score_RK).amin(0).detach().requires_grad_()
        partition = log_partition(least_RK, settings.kind, log_weight_RK)
        (weight_RK,) = torch.autograd.grad(partition, least_RK)
        least_R = torch.stack(stored_R).amin(0).detach()
        information = information_bound(log_prob_TB.detach().flatten()[rows_R], least_R, partition.detach())
        metrics |= {"bound/information": information, "bound/fit": of_actor}
        metrics["bound/gap"] = partition.detach() - least_R.mean()
        metrics["bound/effective"] = (weight_RK.sum(-1).square() / weight_RK.square().sum(-1).clamp(min=1e-30)).mean()
        if not settings.actor_weight or settings.correction == "none" or settings.prior != "policy":
            return of_critics, of_actor
        if settings.correction == "hmc" and not self.discrete:
            return of_critics, of_actor + self._by_chains(output_RX, views_RF, metrics)
        return of_critics, of_actor + (weight_RK * log_prob_RK).sum()

    def _proposed(self, output_RX: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """K actions (K, R, A) for each row, their log-densities by the policy (K, R), and log-weights (K, R).

        The log-densities are those before the tanh, whose gradient is the same. With a uniform prior half of the
        actions are drawn from it and half from the policy, each weighted against the density that it was drawn from;
        there the log-densities are the policy's half alone.
        """
        K, mine, (R, X) = self.config.bound.samples, self.config.bound.prior == "policy", output_RX.shape
        own = K if mine else K - K // 2
        noise_KRA = torch.randn(own, R, X // 2, device=output_RX.device)
        with torch.no_grad():
            mean_RA, log_std_RA = self._split(output_RX)
            raw_KRA = mean_RA + log_std_RA.exp() * noise_KRA
        log_prob_KR = log_prob_gaussian(*self._split(output_RX), raw_KRA)
        action_KRA = torch.tanh(raw_KRA)
        if mine:
            return action_KRA, log_prob_KR, torch.full_like(log_prob_KR, -math.log(K)).detach()
        squash_KR = log_slope_of_tanh(raw_KRA).sum(-1)
        any_KRA = 2 * torch.rand(K // 2, R, X // 2, device=output_RX.device) - 1
        volume_KR = torch.full(any_KRA.shape[:2], math.log(2.0) * (X // 2), device=output_RX.device)
        log_weight_KR = torch.cat([squash_KR - log_prob_KR.detach(), volume_KR]) - math.log(K)
        return torch.cat([action_KRA, any_KRA]), log_prob_KR, log_weight_KR

    def _by_chains(self, output_RX: Tensor, views_RF: Views, metrics: dict[str, Tensor]) -> Tensor:
        """The mean log-density by the policy of actions drawn from π e^Q by chains, whose gradient is the normaliser's.

        A chain is a noise e with the action tanh(μ + σ e), of log-density Q - |e|²/2: the policy's own density, and
        that of the tanh, cancel. It starts from a draw of the policy.
        """
        settings, K = self.config.bound, self.config.bound.samples
        views_RF = detached(views_RF)
        with torch.no_grad():
            mean_RA, log_std_RA = self._split(output_RX)
            std_RA = log_std_RA.exp()

        def log_density(e_KRA: Tensor) -> Tensor:
            with self._autocast():
                q = self.critic.of_samples(views_RF, torch.tanh(mean_RA + std_RA * e_KRA))
            return torch.stack(q).amin(0) - 0.5 * e_KRA.square().sum(-1)

        start_KRA = torch.randn(K, *mean_RA.shape, device=mean_RA.device)
        found = hamiltonian(log_density, start_KRA, settings.hmc.transitions, settings.hmc.step, settings.hmc.leaps)
        metrics |= {"chains/acceptance": found.acceptance, "chains/moved": found.moved}
        raw_KRA = mean_RA + std_RA * found.position_CD
        return log_prob_gaussian(*self._split(output_RX), raw_KRA).mean()


def check_fields(rl: ConfigDict, discrete: bool) -> None:
    """Refuses names that are none, and fields that do not go together.

    Raises:
        UserError: names the field.
    """
    for field, known in CHOICES.items():
        group, _, name = field.rpartition(".")
        choose_name(known, (rl[group] if group else rl)[name], f"--config_rl.{field}")
    at_least_one({"--config_rl.action_dim": rl.action_dim})
    if rl.critic_memory == "shared":
        raise UserError("--config_rl.critic_memory: offline critics have a memory of their own; choose separate")
    if rl.mixture and (discrete or rl.critics == "policy"):
        why = "actions are discrete" if discrete else "critics of the policy's own actions need one Gaussian"
        raise UserError(f"--config_rl.mixture={rl.mixture}: {why}; choose 0")
    if rl.critics == "none":
        for field in ("auxiliary", "intrinsic"):
            if rl[field].use:
                raise UserError(
                    f"--config_rl.{field}.use: without critics (critics=none) there is auxiliary.use_actor alone"
                )
        if rl.weight != "ones":
            raise UserError("--config_rl.weight: without critics (critics=none) there are no advantages; choose ones")
    if rl.bound.correction == "hmc" and rl.bound.kind != "misa":
        raise UserError("--config_rl.bound.correction=hmc: chains are drawn from what kind=misa is of; choose snis")
    if rl.bound.correction == "hmc" and rl.bound.prior != "policy":
        raise UserError("--config_rl.bound.correction=hmc: chains are of prior=policy; choose snis")
