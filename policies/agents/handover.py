"""Exploring until a step that is drawn, and from then on what an extension would do, to the end of the episode.

So ELF (Walsman et al., ICLR 2023) has the follower of a teacher show what it comes to from wherever its explorer has
got to. It is not the teacher that acts: what that does tells of the state, and who learned values of it would take a
guess for knowledge.

Dimension key: N envs.
"""

from typing import Any

import numpy as np
import torch

from policies.acting.rollout import Array, Policy
from policies.extensions import AuxiliaryLoss
from policies.models.policy import to_tensors
from policies.models.views import PublicViews


class Leading:
    """What an extension that `leads` would do, by public views alone; its carry is theirs."""

    def __init__(self, public: PublicViews, leader: AuxiliaryLoss, rng: torch.Generator, device: torch.device):
        self.public, self.leader, self.rng, self.device = public, leader, rng, device

    @torch.inference_mode()
    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        carry = None if carry is None else tuple(c.to(self.device) for c in carry)
        now = to_tensors(self.device, obs_NO, prev_action_NA, prev_reward_N, start_N)
        views, carry = self.public.step(now, carry)
        return self.leader.lead(views, self.rng).numpy(), carry


class HandingOver:
    """An explorer that hands over to a leader with probability `rate` before each step, until the next episode."""

    def __init__(self, explorer: Policy, leader: Policy, rate: float, rng: torch.Generator):
        self.explorer, self.leader, self.rate, self.rng = explorer, leader, rate, rng

    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        own, led, led_N = (None, None, np.zeros(len(obs_NO), bool)) if carry is None else carry
        now = (obs_NO, prev_action_NA, prev_reward_N, start_N)
        action, own = self.explorer(*now, own)
        other, led = self.leader(*now, led)
        led_N = led_N & ~start_N.astype(bool)
        led_N = led_N | (torch.rand(len(obs_NO), generator=self.rng).numpy() < self.rate)
        return np.where(led_N if action.ndim == 1 else led_N[:, None], other, action), (own, led, led_N)
