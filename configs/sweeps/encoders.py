"""How much encoders differ between data sets, seeds and threads: --config_sweep=…/encoders.py:DOMAIN.

Called again with MKL_ENABLE_INSTRUCTIONS=AVX2 and ONEDNN_MAX_CPU_ISA=AVX2 set and another --save_dir, it shows what
other instructions make of the same; `python scripts/results.py FOLDERS --computed=encoders` makes a page of them.
"""

from ml_collections import ConfigDict

from configs.sweeps.sure import DOMAINS

VARIANTS = DOMAINS


def get_config(variant: str = "heaven_hell") -> ConfigDict:
    domain = DOMAINS[variant]
    env = f"--config_env=configs/envs/{domain.env}.py"
    config = ConfigDict()
    config.name = f"encoders_{variant}"
    config.axes = ConfigDict({"data": (0, 1, 2), "seed": (0, 1)})
    learn = {
        "script": "main_pretrain_representations.py",
        "flags": (env, f"--config_repr=configs/repr/{domain.repr}.py", "--data_path={collect}", "--seed={seed}"),
    }
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("data",),
                "flags": (env, "--episodes=3000", "--seed={data}", *domain.collect),
            },
            "pretrain": learn | {"over": ("data", "seed")},
            "two_threads": learn | {"over": ("data", "seed"), "threads": 2, "list": ((0, 0),)},
        }
    )
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 3.0, "runs_per_job": 4})
    return config.lock()
