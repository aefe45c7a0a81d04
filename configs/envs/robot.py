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


def get_config(domain_name: str = "block_pulling") -> ConfigDict:
    """The settings that all of them share, and a domain's own."""
    name, own = VARIANTS[domain_name]
    # action_dim 5: the gripper as well; noise: of the depth; first: which object the expert tries first, "movable",
    # "fixed", "either" (a coin) or "nearest"
    kwargs = own | {"noise": False, "first": "either"}
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
    config = domain(name, horizon=50, interval=4000, episodes=50, kwargs=kwargs, rl=rl, augment="se2", n_aug=4)
    # the same of every memory; published: images as they are
    layers = {"channels": (32, 64, 64), "kernels": (8, 4, 3), "strides": (4, 2, 1)}
    scale = {"centre": (0.14, 0.0), "spread": (0.05, 1.0)}  # metres, those of demonstrations' depths; masks as they are
    config.seq = ConfigDict({"image": {"obs_dim": 64, "cnn": {**layers, **scale}}})
    return config.lock()
