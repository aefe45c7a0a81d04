"""`asymmetric-learning SCRIPT --flag=value …`: the scripts of an installed package, each as by `python SCRIPT.py`."""

import runpy
import sys

from utils.app import USER_ERROR
from utils.errors import suggest

SCRIPTS = {
    "collect": ("main_collect_data", "stage 1: episodes of a domain"),
    "pretrain": ("main_pretrain_representations", "stage 2: embeddings of them"),
    "train": ("main", "stage 3: a policy, or --policy_dir to play one"),
    "solve": ("scripts.solve", "bounds of the optimum of a finite domain, and its policy"),
    "report": ("scripts.report", "tables, figures and a page of finished runs"),
    "results": ("scripts.results", "a page of results from run folders"),
    "criteria": ("scripts.exploration_criteria", "what exploration terms do to objectives, gradients and agents"),
    "sweep": ("scripts.sweep", "methods, domains and seeds, here or on SLURM"),
    "inspect": ("scripts.inspect_episode", "episodes step by step"),
    "export": ("scripts.export", "a policy as ONNX or TorchScript"),
    "gauge": ("scripts.gauge", "what the memory of a run holds of the belief"),
    "signals": ("scripts.signals", "which features of the state are worth giving to a critic"),
    "vssm": ("scripts.vssm", "a study of generative models of sequences"),
    "publish": ("scripts.publish", "a policy to be given away"),
}
USAGE = "usage: asymmetric-learning SCRIPT --flag=value ...; each has --help, configs/ is found from any folder"


def main() -> None:
    """Runs the script that the first word names, with the rest of the command line."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        width = max(map(len, SCRIPTS))
        sys.stdout.write("\n".join([USAGE, *(f"  {key:<{width}}  {what}" for key, (_, what) in SCRIPTS.items()), ""]))
        return
    if name not in SCRIPTS:
        sys.stderr.write(f"error: unknown script {name!r}{suggest(name, SCRIPTS)}; choose from {', '.join(SCRIPTS)}\n")
        sys.exit(USER_ERROR)
    del sys.argv[1]
    runpy.run_module(SCRIPTS[name][0], run_name="__main__", alter_sys=True)
