"""Makes the policy of a finished run fit to be given away: its two files, without a path of where it was trained.

main.py plays the folder as it is: --policy_dir=pretrained/NAME with the --config_env that it was trained on.

Example: python scripts/publish.py logs/default/mi --out=pretrained/mi
"""

import json
import sys
from pathlib import Path
from typing import Any

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from policies.deployed.flags import define_run, folder_of
from utils.app import run
from utils.errors import UserError

FILES = ("policy.json", "policy.safetensors")

_RUN = define_run()
_OUT = flags.DEFINE_string(
    "out", None, "folder to write, such as pretrained/NAME; a policy there is replaced", required=True
)


def without_folders(value: Any) -> Any:
    """A config's fields with paths from the root or from home, such as one of a .pomdp file, as the file's name."""
    if isinstance(value, dict):
        return {name: without_folders(one) for name, one in value.items()}
    if isinstance(value, list):
        return [without_folders(one) for one in value]
    path = Path(value) if isinstance(value, str) else Path()
    return path.name if path.is_absolute() or str(path).startswith("~") else value


def main() -> None:
    """Checks the policy by loading it, and writes it."""
    from policies.deployed.files import check_deployable, load_policy, settings_of
    from utils.files import atomic_path, atomic_write

    folder, out = folder_of(_RUN), Path(_OUT.value).expanduser()
    _, told = load_policy(str(folder), flag="--run")
    check_deployable(told, "--run")
    paths = {*settings_of(told), "data_path", "expert_policy"}
    folder = folder / "policy" if (folder / "policy" / FILES[0]).exists() else folder
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - {*FILES, "films"}):
        raise UserError(f"--out: {out} holds something that is not a policy; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    about = json.loads((folder / FILES[0]).read_text())
    about["config"] = without_folders(about["config"])
    about["settings"] = {name: None if name in paths else value for name, value in about.get("settings", {}).items()}
    with atomic_path(out / FILES[1]) as draft:
        draft.write_bytes((folder / FILES[1]).read_bytes())
    atomic_write(out / FILES[0], json.dumps(about, indent=2) + "\n")
    size = sum((out / name).stat().st_size for name in FILES)
    rows = told["config"]
    print(f"{out}: {rows['rl']['family']}:{rows['rl']['variant']}, {rows['seq']['memory']}, {size / 1000:,.0f} kB")


if __name__ == "__main__":
    run(main, positional="run")
