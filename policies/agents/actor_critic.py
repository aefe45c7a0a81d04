"""What actor-critics share: an actor, critics of their own, and extensions on the views of either."""

from typing import ClassVar, NamedTuple, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.agents.assembly import check_folds, frozen_views, make_extensions
from policies.agents.learner import Learner
from policies.extensions import Extensions, transition_rows
from policies.models.heads import Critic, Head
from policies.models.policy import HistoryPolicy
from policies.models.trunk import Trunk
from policies.models.views import PrivilegedViews, PublicViews, Views, before_steps
from torchkit.actions import Categorical, Distribution, TanhGaussian
from utils.errors import UserError
from utils.reads import ANY, POSITIVE, SHARE, Reads


class Networks(NamedTuple):
    """What an actor-critic learns with.

    Attributes:
        policy: the actor.
        critic: the online critics.
        state_views: see `Learner`.
        extensions: auxiliary losses and intrinsic rewards on the critics' views.
        actor_extensions: auxiliary losses on the actor's own views.
    """

    policy: HistoryPolicy
    critic: Critic
    state_views: PrivilegedViews
    extensions: Extensions
    actor_extensions: Extensions

    @classmethod
    def of(
        cls, trunk: Trunk, head: Head, own: Trunk, heads: list[Head], action_embedder: nn.Module | None = None
    ) -> Self:
        """The actor of a head on `trunk`, and critics of heads on `own`, which may be the same.

        Raises:
            UserError: nothing would train a view, or a loss has nothing to train.
        """
        rl, shared = trunk.config.rl, own is trunk
        check_folds(own, rl.auxiliary.use, "use")
        if not shared:
            check_folds(trunk, rl.auxiliary.use_actor, "use_actor")
        extensions = make_extensions(own, rl.auxiliary.use, rl.intrinsic.use)
        actor_extensions = make_extensions(trunk, rl.auxiliary.use_actor, (), actor=True)
        if shared and (idle := sorted(name for name, part in trunk.auxiliary.items() if not part.of_actor)):
            raise UserError(
                f"--config_rl.auxiliary.use_actor: {', '.join(idle)} cannot reach a memory that the critics' loss "
                "trains (critic_memory=shared); name it in auxiliary.use, or choose separate"
            )
        public = trunk.public()
        critic = Critic(public if shared else own.public(), own.privileged(), heads, action_embedder)
        policy = HistoryPolicy(public, head, trunk.actions)
        return cls(policy, critic, frozen_views(trunk.sources), extensions, actor_extensions)


class ActorCritic(Learner):
    """A learner whose policy is an actor, judged by critics of their own; `config` and `seed` as of `Learner`.

    `acts_after_last` says whether what the actor would do after the last step is read; else its output is 0 there.
    """

    acts_after_last = True
    discrete_actions = Categorical()
    continuous_actions = TanhGaussian()
    reads: ClassVar[Reads] = {
        **dict.fromkeys(("actor_lr", "critic_lr"), POSITIVE),
        **dict.fromkeys(("discount", "return_lambda"), SHARE),
        **dict.fromkeys(("critic_inputs", "critic_memory", "auxiliary.use_actor"), ANY),
    }

    def __init__(self, networks: Networks, config: ConfigDict, seed: int):
        super().__init__(networks.policy, networks.state_views, networks.extensions, config, seed)
        self.actor, self.critic = networks.policy, networks.critic
        self.add_module("actor_parts", networks.actor_extensions)  # by the name that checkpoints have for them
        assert isinstance(self.actor.actions, Distribution)
        self.actions: Distribution = self.actor.actions
        self.discrete = self.actions.discrete

    @property
    def actor_extensions(self) -> Extensions:
        """Auxiliary losses on the actor's own views."""
        return self.get_submodule("actor_parts")  # type: ignore[return-value]

    def _learning(self) -> tuple[nn.Module, ...]:
        return self.actor, self.critic

    def _all_extensions(self) -> tuple[Extensions, ...]:
        return self.extensions, self.actor_extensions

    def _after_step(self) -> None:
        super()._after_step()
        self.actor_extensions.after_step(self.config.tau)

    @torch.no_grad()
    def look_back(self, batch: EpisodeBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        losses, full = super().look_back(batch)
        if len(self.actor_extensions.auxiliary):
            with self._autocast():
                _, actor_views = self._look(batch, self.state_views(batch))
                of_actor = self.actor_extensions.row_losses(actor_views, batch)
            losses |= {f"actor_{name}": loss for name, loss in of_actor.items()}
        return losses, full

    def _extended_views(self) -> PublicViews:
        return self.policy.public if self.critic.public is None else self.critic.public

    def _part_views(self, batch: EpisodeBatch) -> Views:
        return self.critic.views(batch, self.state_views(batch))

    def _look(self, batch: EpisodeBatch, state_views: Views) -> tuple[Views, Views]:
        """The views of critic and actor, the extensions' and the actor's output `policy` among them."""
        critic_views = self.critic.views(batch, state_views)
        self.extensions.extend(critic_views, batch)
        actor_views = self._actor_views(batch, state_views, critic_views)
        if self.acts_after_last:
            actor_views["policy"] = self.policy.head(actor_views, batch)
        else:
            actor_views["policy"] = transition_rows(self.policy.head(before_steps(actor_views), batch))
        self.actor_extensions.extend(actor_views, batch)
        return critic_views, actor_views

    def _actor_views(self, batch: EpisodeBatch, state_views: Views, critic_views: Views) -> Views:
        """The actor's own; a family in which it may share the critics' says so."""
        return state_views | self.policy.public(batch)

    def _values(self, critic: Critic, views: Views, batch: EpisodeBatch, action: Tensor) -> list[Tensor]:
        """Each critic's value of the action (T+1, B), or of all discrete actions (T+1, B, A), whatever the action.

        Of views at some rows, as `before_steps` gives them, and actions there, these rows' values.
        """
        values = critic(views, batch, action)
        return values if self.discrete else [q.squeeze(-1) for q in values]

    def _expected(self, value: Tensor, log_prob: Tensor) -> Tensor:
        """The policy's expectation (T+1, B): of a sampled action the value itself."""
        return (log_prob.exp() * value).sum(-1) if self.discrete else value


def detached(views: Views) -> Views:
    """The same views, through which no gradient goes."""
    return {name: view.detach() for name, view in views.items()}
