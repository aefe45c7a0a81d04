"""What each part of the method is worth on HeavenHell: one part taken away or put back at a time, five seeds.

`--config_rl.variant` names what is compared in the runs' summaries.
"""

from ml_collections import ConfigDict

STATE = "--state_embedder_dir={pretrain}"
OBS = "--obs_embedder_dir={pretrain}"
SIZES = "--config_repr=configs/repr/heaven_hell.py"  # of an encoder that is not read from a folder


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "ablations"
    config.axes = ConfigDict(
        {
            "ablation": {
                "full": (STATE, OBS, "--config_rl.variant=mi"),
                "no_bonus": (STATE, OBS, "--config_rl.intrinsic.use=()"),
                "published_bonus": (STATE, OBS, "--config_rl.intrinsic.information_gain.bonus_target=common"),
                # the predictor still learns, and tells the bonus; the memory no longer learns from it
                "no_auxiliary_loss": (STATE, OBS, "--config_rl.auxiliary.state_prediction.weight=0"),
                "no_psi": (STATE, SIZES, "--config_rl.z_obs=scratch"),
                "frozen_psi": (STATE, OBS, "--config_rl.z_obs=frozen"),
                "no_disentangling": (
                    "--state_embedder_dir={pretrain_entangled}",
                    "--obs_embedder_dir={pretrain_entangled}",
                ),
                "random_phi": (OBS, SIZES, "--config_rl.z_state=random"),
                "raw_state": (OBS, "--config_rl.z_state=raw"),
                "no_memory": (STATE, OBS, "--config_seq=configs/seq/mlp.py"),
            },
            "seed": (0, 1, 2, 3, 4),
        }
    )
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "flags": ("--config_env=configs/envs/heaven_hell.py", "--episodes=3000", "--random_episodes=3000"),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "flags": ("--config_env=configs/envs/heaven_hell.py", SIZES, "--data_path={collect}"),
            },
            "pretrain_entangled": {
                "script": "main_pretrain_representations.py",
                "flags": (
                    "--config_env=configs/envs/heaven_hell.py",
                    SIZES,
                    "--config_repr.overlap_weight=0",
                    "--data_path={collect}",
                ),
            },
            "train": {
                "script": "main.py",
                "over": ("ablation", "seed"),
                "flags": (
                    "--config_env=configs/envs/heaven_hell.py",
                    "--config_rl=configs/rl/dqn.py:mi",
                    "--config_rl.variant={ablation}",
                    "--seed={seed}",
                    "--train_episodes=1200",
                ),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 4.0, "memory_gb": 2.0, "runs_per_job": 5})
    return config.lock()
