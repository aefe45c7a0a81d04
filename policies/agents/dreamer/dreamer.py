"""Dreamer on an informed world model, whose variants differ in what the latent must tell.

DreamerV3 (Hafner et al., Nature 2025): a recurrent state-space model is learned from replayed episodes; from every row
of these it dreams what the actor would do next, and actor and critic learn from the dream alone. With `decode` = `obs`
the latent tells the observation, as there; with `info` the state (Lambrechts, Bolland & Ernst, RLC 2024), which the
posterior never reads, so that what acts has no use for it. The model is the auxiliary loss `world_model` on the view
`latent`; other families can have them, too.
"""

from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.agents.assembly import check_folds, frozen_views, make_extensions, policy_head
from policies.agents.dreamer.imagination import ReturnScale, imagine
from policies.agents.learner import Learner, linear
from policies.auxiliary.world_model import WorldModel
from policies.extensions import Extensions
from policies.losses import lambda_returns, spread
from policies.models.heads import Head
from policies.models.latent import Latent
from policies.models.policy import HistoryPolicy
from policies.models.sources import Sources
from policies.models.trunk import Trunk
from policies.models.views import PrivilegedViews, Views
from torchkit.actions import Actions, Categorical, Distribution, TanhGaussian
from torchkit.two_hot import TwoHot
from utils.errors import UserError
from utils.reads import ANY, FROM_ZERO, POSITIVE, SHARE, WIDTH, Range, Reads


class Dreamer(Learner):
    """See the module's docstring; settings are those of configs/rl/dreamer.py.

    Args:
        policy: the actor, which reads the latent alone.
        critic: two-hot values of a latent; a slow copy is made here.
        state_views, extensions, config, seed: see `Learner`; `world_model` is among the extensions.
    """

    learns_from = "replayed_envs"
    discrete_actions, continuous_actions = Categorical(), TanhGaussian()
    reads: ClassVar[Reads] = {
        **dict.fromkeys(("model_lr", "actor_lr", "critic_lr"), POSITIVE),
        **dict.fromkeys(("discount", "return_lambda", "return_rate"), SHARE),
        **dict.fromkeys(("entropy.start", "entropy.end", "entropy.steps", "slow_critic"), FROM_ZERO),
        "imagined_steps": WIDTH,
        "critic_bins": Range(lambda x: x >= 3, "at least 3"),
        "latent": ANY,
    }

    def __init__(
        self,
        policy: HistoryPolicy,
        critic: Head,
        state_views: PrivilegedViews,
        extensions: Extensions,
        config: ConfigDict,
        seed: int,
        device: torch.device,
    ):
        super().__init__(policy, state_views, extensions, config, seed)
        self.actor, self.critic = policy, critic
        self.two_hot, self.scale = TwoHot(config.critic_bins), ReturnScale(config.return_rate)
        self._bounds: Tensor | None = None  # of returns, once the step that learned from them is made
        self._settle(device)
        self.slow = self._copy_of(critic)
        self._follow(self.slow, critic)
        if config.deploy == "average":
            self.average = self._copy_of(policy)
            self._follow(self.average, policy)
            self._deployed = [self.average]
        self._train_with("model", [*policy.public.parameters(), *extensions.learned()], config.model_lr)
        self._train_with("actor", policy.head.parameters(), config.actor_lr)
        self._train_with("critic", critic.parameters(), config.critic_lr)

    @classmethod
    def build(cls, sources: Sources, actions: Actions, seed: int, device: torch.device) -> Self:
        """A Dreamer of any variant."""
        rl = sources.config.rl
        if tuple(rl.policy_inputs) != ("latent",):
            raise UserError(
                "--config_rl.policy_inputs: dreamer's actor learns in dreams, of latents; choose ('latent',)"
            )
        if tuple(rl.auxiliary.use) != ("world_model",):
            raise UserError(
                "--config_rl.auxiliary.use: dreamer's latent learns by its world model; choose ('world_model',)"
            )
        trunk = Trunk(sources, actions)
        head = policy_head(trunk)
        critic = trunk.head(("latent",), rl.critic_bins, out_bound=0.0)
        check_folds(trunk, rl.auxiliary.use, "use")
        extensions = make_extensions(trunk, rl.auxiliary.use, ())
        policy = HistoryPolicy(trunk.public(), head, actions)
        return cls(policy, critic, frozen_views(sources), extensions, rl, seed, device)

    @property
    def latent(self) -> Latent:
        """The fold that dreams."""
        fold = self.policy.public.folds["latent"]
        assert isinstance(fold, Latent)
        return fold

    @property
    def world_model(self) -> WorldModel:
        """What the latent tells."""
        loss = self.extensions.auxiliary["world_model"]
        assert isinstance(loss, WorldModel)
        return loss

    def entropy_weight(self) -> float:
        """What the entropy is worth now, in shares of the range of returns."""
        settings = self.config.entropy
        return linear(settings.start, settings.end, settings.steps, self.env_steps)

    def losses(self, batch: EpisodeBatch, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        with self._autocast():
            views = self._part_views(batch)
            self.extensions.extend(views, batch)
            model = self.extensions.total(views, batch, metrics)
            return {"model": model, **self._dreamed_losses(*_starts(views["latent"], batch), metrics)}

    def _dreamed_losses(self, start_RF: Tensor, goes_on_R: Tensor, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of actor and critic, on dreams from R latents, each of which counts where its episode went on."""
        config, head, actions, two_hot = self.config, self.policy.head, self.policy.actions, self.two_hot
        assert isinstance(actions, Distribution)
        with torch.no_grad():
            dream = imagine(self.latent.model, lambda z: head({"latent": z}), actions, start_RF, config.imagined_steps)
            reward_KR = self.world_model.reward(dream.latent[1:])
            discount_KR = config.discount * self.world_model.continuation(dream.latent[1:])
            slow_KR = two_hot.mean(two_hot.shares(self.slow({"latent": dream.latent[:-1]})))
            weight_KR = torch.cat([goes_on_R[None], discount_KR[:-1]]).cumprod(0)
            total = weight_KR.sum().clamp(min=1.0)
        logits = self.critic({"latent": dream.latent})
        share = two_hot.shares(logits)
        value_KR = two_hot.mean(share)
        last_KR = torch.zeros_like(reward_KR)
        last_KR[-1] = 1.0
        keep_KR = torch.ones_like(reward_KR)
        return_KR = lambda_returns(reward_KR, discount_KR, value_KR[1:], keep_KR, last_KR, config.return_lambda)
        self._bounds = self.scale.after(return_KR)
        scale = ReturnScale.of(self._bounds)
        advantage_KR = (return_KR - value_KR[:-1]) / scale
        output = head({"latent": dream.latent[:-1]})
        log_prob_KR, entropy_KR = actions.log_prob(output, dream.action), actions.entropy(output)
        actor_KR = -advantage_KR * log_prob_KR - self.entropy_weight() * entropy_KR
        targets = torch.stack([return_KR, slow_KR], dim=-1)
        of_return_KR, of_slow_KR = two_hot.loss(logits[:-1], share[:-1], targets).unbind(-1)
        critic_KR = of_return_KR + config.slow_critic * of_slow_KR
        losses = {name: (weight_KR * loss).sum() / total for name, loss in (("actor", actor_KR), ("critic", critic_KR))}
        metrics |= {f"loss/{name}": loss for name, loss in losses.items()}
        metrics["policy/entropy"] = (weight_KR * entropy_KR).sum() / total
        metrics["policy/spread"] = spread(output, weight_KR)
        metrics["q/target"] = (weight_KR * return_KR).sum() / total
        metrics["q/scale"], metrics["dream/reward"] = scale, reward_KR.mean()
        return losses

    def _learning(self) -> tuple[nn.Module, ...]:
        return (self.actor,)

    def _part_views(self, batch: EpisodeBatch) -> Views:
        return self.policy.public(batch) | self.state_views(batch)

    def _after_step(self) -> None:
        super()._after_step()
        assert self._bounds is not None
        self.scale.keep(self._bounds)


def _starts(latent: Tensor, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
    """The latents of all real rows (R, F), and 0 where the episode had truly ended there, else 1 (R,)."""
    goes_on = torch.cat([torch.ones_like(batch.discount[:1]), batch.discount])
    latent_RF, goes_on_R = latent.flatten(0, 1), goes_on.flatten()
    rows = batch.real_rows
    if rows is None:
        return latent_RF, goes_on_R
    return latent_RF.index_select(0, rows), goes_on_R.index_select(0, rows)
