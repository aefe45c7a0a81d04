"""The straightforward implementation that speed is measured against; it computes the same losses and gradients.

One forward pass for each loss, with gradient bookkeeping throughout; padding to the horizon, and every row through each
network; the predictor on a batch of its own; torch's GRU, and attention written out; a replay that is a list; one env
at a time; float32. It takes copies of a real agent's networks, so that both start from the same weights.

Dimension key: T steps, B batch, O observation, A actions, F features, H memory, Z embedding.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from buffers.batch import Episode, EpisodeBatch
from envs.base import EnvSpec
from policies.agents.dqn import DQN
from policies.agents.sac import SAC
from policies.auxiliary.state_prediction import StatePrediction
from policies.intrinsic.information_gain import InformationGain
from policies.losses import lambda_returns, last_steps, masked_mean, prediction_error, taken
from policies.models.heads import Critic, Head
from policies.models.history import History
from policies.models.policy import HistoryPolicy, to_tensors
from policies.models.views import PrivilegedViews, PublicViews, Views
from policies.representation.disentangled import RepresentationObjective
from torchkit.distributions import sample_tanh_gaussian
from torchkit.mutual_information import jsd_loss
from torchkit.networks import Encoder
from torchkit.sequence import GPT, GRU, Memory
from torchkit.sequence.gpt import sine_positions


def encode(net: nn.Module, x: Tensor) -> Tensor:
    """Every row (…, F) through an embedder."""
    if not isinstance(net, Encoder):
        return net(x)
    lead = x.shape[:-1]
    rows = x.reshape(-1, x.shape[-1])
    if net.config.image_shape is not None:
        rows = rows.view(-1, *net.config.image_shape)
    return net.rest(net.first(rows)).view(*lead, net.out_dim)


def remember(memory: Memory, x_TBF: Tensor) -> Tensor:
    """The history (T, B, H): torch's GRU, or a transformer with its scores written out."""
    if isinstance(memory, GRU):
        return memory.net(x_TBF)[0]
    assert isinstance(memory, GPT), "the straightforward implementation has these two memories"
    T = len(x_TBF)
    x = x_TBF.transpose(0, 1) + sine_positions(torch.arange(T), memory.out_dim)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    for block in memory.blocks:
        q, k, v = block.split(x)
        score = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(future, -math.inf)
        x = block.merge(x, score.softmax(-1) @ v)
    return memory.norm(x).transpose(0, 1)


def public_views(public: PublicViews, batch: EpisodeBatch) -> Views:
    """The history and the short cuts (T+1, B, F)."""
    obs = batch.obs.full()
    views = {name: encode(net, obs) for name, net in public.shortcuts.items()}
    history = public.folds["history"]
    assert isinstance(history, History)
    inputs = [history.action_embedder(batch.prev_action), encode(history.obs_embedder, obs)]
    return views | {"history": remember(history.memory, torch.cat(inputs, -1))}


def state_embedding(views: PrivilegedViews, batch: EpisodeBatch) -> Tensor:
    """z_state of every row (T+1, B, Z), which is not learned here."""
    return encode(views.frozen["z_state"], batch.state.full()).detach()


def run_head(head: Head, views: Views) -> Tensor:
    """A head on every row: (T+1, B, out)."""
    return head.net(torch.cat([views[name] for name in head.inputs], -1))


class PlainLearner:
    """What both families share: a predictor of z^s, its loss and bonus, optimisers and targets as loops."""

    def __init__(self, agent: DQN | SAC):
        self.agent = copy.deepcopy(agent)
        self.config = self.agent.config
        predictor = self.agent.extensions.auxiliary["state_prediction"]
        assert isinstance(predictor, StatePrediction), "the straightforward implementation is of mi"
        self.predictor = predictor
        bonus = self.agent.extensions.intrinsic["information_gain"]
        assert isinstance(bonus, InformationGain) and bonus.bonus_target in ("best", "common")
        self.gain = bonus
        self.predictor_optimiser = torch.optim.Adam(predictor.parameters(), self.config.predictor_lr, eps=1e-8)
        self.losses: dict[str, Tensor] = {}

    def optimiser(self, name: str, lr: float) -> torch.optim.Adam:
        """Adam on what the agent trains under that name."""
        return torch.optim.Adam(self.agent.parameters_of[name], lr, eps=self.config.adam_eps)

    def remembering(self) -> PublicViews:
        """The views whose memory is to predict z^s."""
        raise NotImplementedError

    def predictor_step(self, batch: EpisodeBatch) -> None:
        """The predictor alone, on a batch of its own."""
        history = public_views(self.remembering(), batch)["history"].detach()
        target = self.predictor.unit(state_embedding(self.agent.state_views, batch))
        error_RB = prediction_error(self.predictor.net(history), target, self.predictor.error)
        loss = masked_mean(error_RB, batch.row_mask)
        self.predictor_optimiser.zero_grad()
        loss.backward()
        self.predictor_optimiser.step()
        self.losses["predictor_step"] = loss.detach()

    def prediction_loss(self, batch: EpisodeBatch) -> Tensor:
        """The memory must predict z^s; β scales the gradient that reaches it."""
        history, beta = public_views(self.remembering(), batch)["history"], self.predictor.weight
        scaled = beta * history + (1 - beta) * history.detach()
        target = self.predictor.unit(state_embedding(self.agent.state_views, batch))
        return masked_mean(prediction_error(self.predictor.net(scaled), target, self.predictor.error), batch.row_mask)

    def bonus(self, batch: EpisodeBatch) -> Tensor:
        """The information gain (T, B), by the best of the episode or of the common target."""
        prediction = self.predictor.net(public_views(self.remembering(), batch)["history"]).detach()
        target = self.predictor.unit(state_embedding(self.agent.state_views, batch))
        after = prediction_error(prediction, target, self.predictor.error)
        if self.gain.bonus_target == "common":
            return self.gain.weight * (prediction_error(prediction[:-1], target[1:], self.predictor.error) - after[1:])
        after[1:] = after[1:].masked_fill(batch.discount == 0, torch.inf)  # nothing is paid for a true ending
        paid, least = [], after[0].clamp(max=self.gain.nothing)
        for error in after[1:]:
            paid.append(least - torch.minimum(least, error))
            least = torch.minimum(least, error)
        return self.gain.weight * torch.stack(paid)

    def returns(
        self, batch: EpisodeBatch, next_TB: Tensor, keep_TB: Tensor, entropy_TB: Tensor | float = 0.0
    ) -> Tensor:
        """λ-returns (T, B) of rewards, bonuses and the entropy of the step after."""
        discount_TB = self.config.discount * batch.discount
        return lambda_returns(
            batch.reward + self.bonus(batch) + discount_TB * entropy_TB,
            discount_TB,
            next_TB.detach(),
            keep_TB.to(batch.reward.dtype),
            last_steps(batch.mask),
            self.config.return_lambda,
        )

    def learn(self, **tasks: tuple[torch.optim.Adam, Tensor]) -> None:
        """The gradients of each named loss, then the steps; what else a loss reaches learns nothing from it."""
        for name, (_, loss) in tasks.items():
            mine = self.agent.parameters_of[name]
            for parameter, gradient in zip(mine, torch.autograd.grad(loss, mine), strict=True):
                parameter.grad = gradient
            nn.utils.clip_grad_norm_(mine, self.config.max_grad_norm)
        for optimiser, _ in tasks.values():
            optimiser.step()

    def follow(self, target: nn.Module, online: nn.Module) -> None:
        """The target networks move by τ."""
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.copy_((1 - self.config.tau) * slow + self.config.tau * fast)


class PlainDQN(PlainLearner):
    """Recurrent double DQN with `mi`'s loss and bonus."""

    def __init__(self, agent: DQN):
        super().__init__(agent)
        self.dqn: DQN = self.agent  # type: ignore[assignment]
        self.values_optimiser = self.optimiser("values", self.config.lr)

    def remembering(self) -> PublicViews:
        return self.dqn.online.policy.public

    def q_values(self, policy: HistoryPolicy, batch: EpisodeBatch) -> Tensor:
        """Q of every row (T+1, B, A)."""
        return run_head(policy.head, public_views(policy.public, batch))

    def update(self, batch: EpisodeBatch, aux_batch: EpisodeBatch) -> dict[str, Tensor]:
        """The predictor's step, then that of the values; returns the losses."""
        self.predictor_step(aux_batch)
        best_TB = self.q_values(self.dqn.online.policy, batch).argmax(-1)
        next_TB = taken(self.q_values(self.dqn.target.policy, batch), best_TB)[1:]
        keep_TB = best_TB[:-1] == batch.action if self.config.cut_traces else torch.ones_like(batch.action)
        target_TB = self.returns(batch, next_TB, keep_TB)
        q_TB = taken(self.q_values(self.dqn.online.policy, batch)[:-1], batch.action)
        self.losses["td"] = masked_mean((q_TB - target_TB).square(), batch.mask)
        self.losses["state_prediction"] = self.prediction_loss(batch)
        self.learn(values=(self.values_optimiser, self.losses["td"] + self.losses["state_prediction"]))
        self.follow(self.dqn.target, self.dqn.online)
        return self.losses


class PlainSAC(PlainLearner):
    """Recurrent SAC for continuous actions with twin critics and `mi`'s loss and bonus."""

    def __init__(self, agent: SAC):
        super().__init__(agent)
        self.sac: SAC = self.agent  # type: ignore[assignment]
        self.critic_optimiser = self.optimiser("critic", self.config.critic_lr)
        self.actor_optimiser = self.optimiser("actor", self.config.actor_lr)
        self.temperature_optimiser = self.optimiser("temperature", self.config.temperature.lr)

    def remembering(self) -> PublicViews:
        assert self.sac.critic.public is not None
        return self.sac.critic.public

    def act(self, batch: EpisodeBatch, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Fresh actions (T+1, B, A) and their log-densities (T+1, B)."""
        return sample_tanh_gaussian(run_head(self.sac.actor.head, public_views(self.sac.actor.public, batch)), noise)

    def values(self, critic: Critic, batch: EpisodeBatch, action: Tensor) -> list[Tensor]:
        """Each critic's value (T+1, B)."""
        assert critic.public is not None and critic.action_embedder is not None
        views = public_views(critic.public, batch) | {"action": critic.action_embedder(action)}
        return [run_head(head, views).squeeze(-1) for head in critic.heads]  # type: ignore[arg-type]

    def update(self, batch: EpisodeBatch, aux_batch: EpisodeBatch) -> dict[str, Tensor]:
        """The predictor's step, then those of critics, actor and temperature; returns the losses."""
        self.predictor_step(aux_batch)
        alpha = self.sac.log_alpha.detach().exp()
        noise = torch.randn(*batch.row_mask.shape, batch.action.shape[-1])
        action, log_prob = (x.detach() for x in self.act(batch, noise))
        value_TB = torch.stack(self.values(self.sac.target, batch, action)).amin(0)[1:]
        target_TB = self.returns(batch, value_TB, torch.ones_like(batch.reward), -alpha * log_prob[1:])
        stored = torch.cat([batch.action, torch.zeros_like(batch.action[:1])])
        errors = [
            masked_mean((q[:-1] - target_TB).square(), batch.mask) for q in self.values(self.sac.critic, batch, stored)
        ]
        self.losses["td"] = torch.stack(errors).sum()
        self.losses["state_prediction"] = self.prediction_loss(batch)
        action, log_prob = self.act(batch, noise)
        hoped = torch.stack(self.values(self.sac.critic, batch, action)).amin(0)
        self.losses["actor"] = masked_mean((alpha * log_prob - hoped)[:-1], batch.mask)
        entropy = masked_mean(-log_prob[:-1], batch.mask).detach()
        temperature = self.sac.log_alpha.exp() * (entropy - self.sac.target_entropy)
        self.learn(
            critic=(self.critic_optimiser, self.losses["td"] + self.losses["state_prediction"]),
            actor=(self.actor_optimiser, self.losses["actor"]),
            temperature=(self.temperature_optimiser, temperature),
        )
        self.follow(self.sac.target, self.sac.critic)
        self.follow(self.sac.average, self.sac.policy)
        return self.losses


class PlainReplay:
    """A list of episodes; a batch is filled episode by episode and padded to the horizon."""

    def __init__(self, spec: EnvSpec, seed: int):
        self.spec, self.rng = spec, np.random.default_rng(seed)
        self.episodes: list[Episode] = []

    def add(self, episode: Episode) -> None:
        """Keeps an episode."""
        self.episodes.append(episode)

    def sample(self, batch_size: int) -> EpisodeBatch:
        """B episodes with replacement."""
        return self.batch([self.episodes[int(self.rng.integers(len(self.episodes)))] for _ in range(batch_size)])

    def batch(self, episodes: Sequence[Episode]) -> EpisodeBatch:
        """Those episodes side by side."""
        spec, T, B = self.spec, self.spec.max_episode_steps, len(episodes)
        obs, state = (np.zeros((T + 1, B, dim), np.float32) for dim in (spec.obs_dim, spec.state_dim))
        action = np.zeros((T, B), np.int64) if spec.discrete else np.zeros((T, B, spec.action_dim), np.float32)
        reward, discount, mask = (np.zeros((T, B), np.float32) for _ in range(3))
        for b, episode in enumerate(episodes):
            L = len(episode)
            obs[: L + 1, b], state[: L + 1, b] = episode.obs, episode.state
            action[:L, b], reward[:L, b], discount[:L, b] = episode.action, episode.reward, episode.discount
            mask[:L, b] = 1.0
        obs_t, state_t, action_t, reward_t, discount_t, mask_t = (
            torch.from_numpy(x) for x in (obs, state, action, reward, discount, mask)
        )
        return EpisodeBatch.from_transitions(obs_t, state_t, action_t, reward_t, discount_t, mask_t, spec.action_dim)


def play(env: gym.Env[Any, Any], spec: EnvSpec, policy: HistoryPolicy, epsilon: float, rng: Any, seed: int) -> Episode:
    """One episode of one env, ε-greedy or, of continuous actions, greedy."""
    now, _ = env.reset(seed=seed)
    obs, state, actions, rewards = [now["obs"]], [now["state"]], [], []
    prev_action: Any = np.zeros((1, spec.action_dim))
    prev_reward, start = np.zeros(1), np.ones(1)
    carry, ended, success, terminated = None, False, False, False
    while not ended:
        with torch.no_grad():
            inputs = to_tensors(torch.device("cpu"), obs[-1][None], prev_action, prev_reward, start)
            output, carry = policy.step(inputs, carry)
        action = policy.greedy(output)[0].numpy()
        if rng.random() < epsilon:
            action = np.asarray(env.action_space.sample())
        now, reward, terminated, truncated, info = env.step(action if action.ndim else int(action))
        obs.append(now["obs"])
        state.append(now["state"])
        actions.append(action)
        rewards.append(float(reward))
        ended, success = terminated or truncated, bool(info.get("success", False))
        prev_action, prev_reward, start = spec.encode_action(action)[None], np.array([reward]), np.zeros(1)
    discount = np.ones(len(actions), np.float32)
    discount[-1] = 0.0 if terminated else 1.0
    kind = np.int64 if spec.discrete else np.float32
    return Episode(
        obs=np.stack(obs).astype(np.float32),
        state=np.stack(state).astype(np.float32),
        action=np.stack(actions).astype(kind),
        reward=np.array(rewards, np.float32),
        discount=discount,
        success=success,
    )


class PlainRepresentation:
    """Stage 2 on transitions as they are drawn: every row through every encoder, CLUB one batch at a time."""

    def __init__(self, objective: RepresentationObjective, lr: float, club_lr: float, club_steps: int):
        self.objective, self.club_steps = copy.deepcopy(objective), club_steps
        self.parameters = self.objective.representation_parameters()
        self.optimiser = torch.optim.Adam(self.parameters, lr)
        self.club_optimiser = torch.optim.Adam(self.objective.club.parameters(), club_lr)

    def losses(self, batch: dict[str, Tensor], permutation_B: Tensor) -> dict[str, Tensor]:
        """The weighted total and each term, as `RepresentationObjective.losses`; `batch` holds rows by name."""
        own, config, terms = self.objective, self.objective.config, {}
        z_s, z_o = encode(own.s_encoder, batch["state"]), encode(own.o_encoder, batch["obs"])
        next_s = encode(own.s_encoder, batch["next_state"]).detach()
        next_o = encode(own.o_encoder, batch["next_obs"]).detach()
        for name, tail, net, view, z in (
            ("max_s_zs", own.s_local, own.s_encoder, "state", z_s),
            ("max_o_zo", own.o_local, own.o_encoder, "obs", z_o),
        ):
            same_BB = (batch[view][:, None] == batch[view][None]).all(-1).float()
            terms[name] = torch.zeros(()) if tail is None else jsd_loss(tail(net.local(batch[view])), z, same_BB)
        terms["min_zs_zo"] = own.club.upper_bound(z_s, z_o, permutation_B).relu()
        hidden = torch.cat([0.5 * (z_s + z_o), own.action_embedding(batch["action"])], -1)
        guess_s, guess_o, guess_r = own.dynamics(hidden).split([z_s.shape[1], z_o.shape[1], 1], -1)
        discount = batch["discount"][:, None]
        terms["state_dynamics"] = (guess_s - discount * next_s).square().sum(-1).mean()
        terms["obs_dynamics"] = (guess_o - discount * next_o).square().sum(-1).mean()
        terms["reward"] = (guess_r.squeeze(-1) - batch["reward"]).square().mean()
        total = (
            config.state_info_weight * terms["max_s_zs"]
            + config.obs_info_weight * terms["max_o_zo"]
            + config.overlap_weight * terms["min_zs_zo"]
            + config.state_dynamics_weight * terms["state_dynamics"]
            + config.obs_dynamics_weight * terms["obs_dynamics"]
            + config.reward_weight * terms["reward"]
        )
        return {"total": total, **terms}

    def step(self, batch: dict[str, Tensor], permutation_B: Tensor) -> None:
        """One step of everything but CLUB."""
        self.optimiser.zero_grad()
        self.losses(batch, permutation_B)["total"].backward(inputs=self.parameters)
        self.optimiser.step()

    def club_step(self, batch: dict[str, Tensor]) -> None:
        """One likelihood step of CLUB."""
        z_s = encode(self.objective.s_encoder, batch["state"]).detach()
        z_o = encode(self.objective.o_encoder, batch["obs"]).detach()
        self.club_optimiser.zero_grad()
        (-self.objective.club.log_likelihood(z_s, z_o).mean()).backward()
        self.club_optimiser.step()
