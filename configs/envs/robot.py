"""The robot domains: of two things that look alike move the one that can be moved. --config_env=…/robot.py:DOMAIN."""

from ml_collections import ConfigDict

from configs.envs._shared import domain

VARIANTS = {
    # bring the block that moves into contact with the other
    "block_pulling": ("BlockPulling-v0", {"action_dim": 4}),
    # push the cube that moves onto the goal
    "block_pushing": ("BlockPushing-v0", {"action_dim": 5}),
    # open the drawer that is not locked
    "drawer_opening": ("DrawerOpening-v0", {"action_dim": 5}),
}


# how the publication reads images, as they are, by names within config_seq
PUBLISHED = {
    "image.obs_dim": 64,
    "image.shared": False,
    "image.cnn.channels": (32, 64, 64),
    "image.cnn.kernels": (8, 4, 3),
    "image.cnn.strides": (4, 2, 1),
    "image.cnn.shrink": 1,
    "image.cnn.norm": False,
    **dict.fromkeys([f"image.cnn.{name}" for name in ("largest", "median", "centre", "spread", "clip")], ()),
}


def get_config(domain_name: str = "block_pulling") -> ConfigDict:
    """The settings that all of them share, and a domain's own."""
    name, own = VARIANTS[domain_name]
    # action_dim 5: the gripper as well; first: which object the expert tries first, "movable", "fixed", "either" (a
    # coin) or "nearest"; what a robot has otherwise: noise of the depth, metres and degrees that the camera is off at
    # most, the share that the mass is, and steps by which actions come late
    kwargs = own | {"first": "either", "noise": False}
    kwargs |= {"camera_shift": 0.0, "camera_turn": 0.0, "mass_spread": 0.0, "latency": 0}
    # as published
    sac = {
        "updates_per_step": 1.0,
        "batch_size": 32,
        "replay_steps": 100_000,
        "temperature": {"initial": 0.01, "lr": 1e-3},
        "intrinsic": {"information_gain": {"weight": 0.1}},
        "auxiliary": {"self_prediction": {"weight": 0.1}},
    }
    faster = {"actor_lr": 1e-3, "critic_lr": 1e-3}
    rows = {f"sac:{row}": faster for row in ("history", "ba", "zp", "embed", "zero_on", "zero_off")}
    rl = {"sac": sac, **rows, "sac:believer": {"temperature": {"lr": 3e-4}}}
    # copies of demonstrations that read the picture; most of it was not measured by itself (docs/robot_domains.md)
    rl["offline:bc"] = {
        "policy_inputs": ("history", "observation", "travelled"),
        "mixture": 5,
        "drop_action": 0.5,
        "auxiliary": {"use_actor": ("observation_cloning", "action_chunk")},
        "head_dims": (160,),
        "batch_size": 16,
        "num_updates": 3_000,
        "actor_lr": 1e-3,
        "tau": 0.01,
        "max_grad_norm": 5.0,
    }
    config = domain(name, horizon=50, interval=4000, episodes=50, kwargs=kwargs, rl=rl, augment="d4", n_aug=4)
    # of every memory: 42 pixels a side, and depths less the frame's median, the height of the tool above the floor, in
    # units of a mark's
    layers = {"channels": (32, 48), "kernels": (3, 4), "strides": (3, 2), "norm": True}
    read = {"shrink": 2, "largest": (1,), "median": (0,), "clip": (-3.0, 1.5)}
    scale = {"centre": (0.0, 0.0, 0.14), "spread": (0.02, 1.0, 0.05)}  # metres; masks as they are
    config.seq = ConfigDict({"image": {"obs_dim": 160, "shared": True, "cnn": {**layers, **read, **scale}}})
    return config.lock()
