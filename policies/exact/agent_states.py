"""Critics of an agent state, exactly: what aliasing costs them, and not those that see the state as well.

An agent state z' = u(z, a, o') stands for the history; (s, z) is Markov. TD with Q(z, a) takes z for Markov and comes
to rest off E[Q(s, z, a) | z]; TD with Q(s, z, a) does not (Lambrechts, Ernst & Mahajan, ICML 2025).

Dimension key: S states, Z agent states, A actions, O observations; X = S Z pairs, Y = S Z A triples, W = Z A pairs.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from envs.finite import FinitePOMDP, Floats, dense

Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class AgentStates:
    """A finite POMDP, an agent state and a policy of it.

    Attributes:
        model: the POMDP; where an episode ends nothing more is paid.
        start_SZ: of the first state and agent state, sums to 1.
        next_ZAO: u(z, a, o).
        policy_ZA: Pr(a | z).
    """

    model: FinitePOMDP
    start_SZ: Floats
    next_ZAO: Ints
    policy_ZA: Floats

    @property
    def sizes(self) -> tuple[int, int, int]:
        """S, Z and A."""
        return (*self.start_SZ.shape, self.policy_ZA.shape[1])

    @cached_property
    def onward_YX(self) -> Floats:
        """Pr(s', z', the episode goes on | s, z, a)."""
        S, Z, A = self.sizes
        onward = np.zeros((S, Z, A, S, Z))
        for a in range(A):
            moved_SE, seen_EO = dense(self.model.going_on(a)), dense(self.model.observation_AEO[a])
            for z in range(Z):
                for o, after in enumerate(self.next_ZAO[z, a]):
                    onward[:, z, a, :, after] += moved_SE * seen_EO[:, o]
        return onward.reshape(S * Z * A, S * Z)

    @cached_property
    def chain_YY(self) -> Floats:
        """Pr(s', z', a', the episode goes on | s, z, a)."""
        S, Z, A = self.sizes
        policy_XA = np.tile(self.policy_ZA, (S, 1))
        return np.asarray((self.onward_YX[:, :, None] * policy_XA).reshape(S * Z * A, -1))

    @cached_property
    def reward_Y(self) -> Floats:
        """E[r | s, a], at each triple."""
        S, Z, A = self.sizes
        return np.broadcast_to(self.model.reward_SA[:, None, :], (S, Z, A)).reshape(-1)

    @cached_property
    def visits_Y(self) -> Floats:
        """d, the discounted visitation, sums to 1."""
        start_Y = (self.start_SZ[:, :, None] * self.policy_ZA).reshape(-1)
        visits_Y = np.linalg.solve(np.eye(len(start_Y)) - self.model.discount * self.chain_YY.T, start_Y)
        return np.asarray(visits_Y / visits_Y.sum())

    @cached_property
    def values_Y(self) -> Floats:
        """Q(s, z, a), at which TD with a critic of state and agent state comes to rest, whatever its steps."""
        left_YY = np.eye(len(self.reward_Y)) - self.model.discount * self.chain_YY
        return np.asarray(np.linalg.solve(left_YY, self.reward_Y), np.float64)

    @cached_property
    def mean_WY(self) -> Floats:
        """The mean over b̂(s | z) = d(s | z) of what depends on the state; uniform where z is never visited."""
        S, Z, A = self.sizes
        share_SZ = self.visits_Y.reshape(S, Z, A).sum(axis=2)
        total_Z = share_SZ.sum(axis=0)
        share_SZ = np.where(total_Z > 0, share_SZ / np.where(total_Z > 0, total_Z, 1.0), 1.0 / S)
        mean = np.zeros((Z, A, S, Z, A))
        for z in range(Z):
            for a in range(A):
                mean[z, a, :, z, a] = share_SZ[:, z]
        return mean.reshape(Z * A, S * Z * A)

    @cached_property
    def lift_YW(self) -> Floats:
        """Functions of (z, a) as such of (s, z, a)."""
        S, Z, A = self.sizes
        return np.tile(np.eye(Z * A), (S, 1))

    @property
    def true_W(self) -> Floats:
        """Q(z, a) = E[Q(s, z, a) | z] by b̂: what a critic of the agent state should have."""
        return np.asarray(self.mean_WY @ self.values_Y)

    def fixed_point_W(self, steps: int = 1) -> Floats:
        """What TD of so many steps comes to with a critic of the agent state alone."""
        chain_YY, discount = self.chain_YY, self.model.discount
        paid_Y, far_YY = np.zeros(len(self.reward_Y)), np.eye(len(self.reward_Y))
        for _ in range(steps):
            paid_Y, far_YY = paid_Y + far_YY @ self.reward_Y, discount * far_YY @ chain_YY
        onward_WW = self.mean_WY @ far_YY @ self.lift_YW
        paid_W = self.mean_WY @ paid_Y
        return np.asarray(np.linalg.solve(np.eye(len(onward_WW)) - onward_WW, paid_W), np.float64)

    def norm(self, value_W: Floats) -> float:
        """‖·‖_d of a function of (z, a)."""
        return float(np.sqrt(self.visits_Y.reshape(-1, len(value_W)).sum(axis=0) @ np.square(value_W)))

    def alias_error(self, steps: int = 1) -> float:
        """How far the fixed point is off."""
        return self.norm(self.true_W - self.fixed_point_W(steps))

    def alias_bound(self, steps: int = 1, visits: int = 200) -> float:
        """R / (1 - γ) ‖E[Σ_{k ≥ 1} γ^{km} TV(Pr(s_km | z₀, a₀, z_km), b̂(· | z_km)) | z₀, a₀]‖_d, of rewards of range R.

        Args:
            steps: m.
            visits: of which the sum is taken; what follows is left out, γ^{200 m} of it.
        """
        S, Z, A = self.sizes
        now_WY, total_W = self.mean_WY, np.zeros(Z * A)
        mean_ZS = np.stack([self.mean_WY.reshape(Z, A, S, Z, A)[z, 0, :, z, 0] for z in range(Z)])
        jump_YY = np.linalg.matrix_power(self.model.discount * self.chain_YY, steps)
        for _ in range(visits):
            now_WY = now_WY @ jump_YY
            joint_WSZ = now_WY.reshape(-1, S, Z, A).sum(axis=-1)  # discounted
            total_W += 0.5 * np.abs(joint_WSZ - joint_WSZ.sum(axis=1, keepdims=True) * mean_ZS.T).sum(axis=(1, 2))
            if now_WY.sum() < 1e-12:
                break
        scale = float(np.ptp(self.model.reward_SA)) / (1.0 - self.model.discount)
        return scale * self.norm(total_W)

    def start_value(self) -> float:
        """The discounted return from the start."""
        start_Y = (self.start_SZ[:, :, None] * self.policy_ZA).reshape(-1)
        return float(start_Y @ self.values_Y)

    def improved(self, critic_W: Floats, rate: float) -> "AgentStates":
        """After a step of natural actor-critic with a softmax of its own for each z: π ∝ π exp(rate Q)."""
        logit_ZA = np.log(np.maximum(self.policy_ZA, 1e-300)) + rate * critic_W.reshape(self.policy_ZA.shape)
        policy_ZA = np.exp(logit_ZA - logit_ZA.max(axis=1, keepdims=True))
        return replace(self, policy_ZA=policy_ZA / policy_ZA.sum(axis=1, keepdims=True))


def window_states(model: FinitePOMDP, length: int, policy_A: Floats) -> AgentStates:
    """The agent state is the last so many observations; the policy is the same everywhere.

    Args:
        model: one that shows something before the first action.
        length: of the window, at least 1.
        policy_A: Pr(a).
    """
    assert model.first_SO is not None, "it shows something before the first action"
    num_A, num_O = len(model.actions), len(model.observations)
    moved_SE = sum((dense(model.going_on(a)) for a in range(num_A)), np.zeros((len(model.states),) * 2)) > 0
    seen_EO = sum((dense(matrix) for matrix in model.observation_AEO), np.zeros((len(model.states), num_O))) > 0
    first_SO = model.start_S[:, None] * dense(model.first_SO)
    possible: dict[tuple[int, ...], Bools] = {
        (int(o),): first_SO[:, o] > 0 for o in np.flatnonzero(first_SO.any(axis=0))
    }
    waiting = list(possible)
    for past in waiting:  # grows; states that may stand behind each window
        onward_S = moved_SE[possible[past]].any(axis=0)
        for o in np.flatnonzero(seen_EO[onward_S].any(axis=0)):
            after, behind_S = (*past, int(o))[-length:], onward_S & seen_EO[:, o]
            before_S = possible.get(after, np.zeros_like(behind_S))
            if (behind_S & ~before_S).any():
                possible[after] = before_S | behind_S
                waiting.append(after)
    number = {past: z for z, past in enumerate(possible)}
    next_ZO = np.array([[number.get((*past, o)[-length:], 0) for o in range(num_O)] for past in possible], np.intp)
    start_SZ = np.zeros((len(model.start_S), len(number)))
    for o in np.flatnonzero(first_SO.any(axis=0)):
        start_SZ[:, number[(int(o),)]] = first_SO[:, o]
    next_ZAO = np.repeat(next_ZO[:, None], num_A, axis=1)
    return AgentStates(model, start_SZ, next_ZAO, np.tile(policy_A, (len(number), 1)))
