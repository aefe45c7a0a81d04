"""Runs benchmarks and writes docs/performance.md; those that are not run keep what was measured before.

python benchmarks/run.py [learner acting …] [--out docs] [--date 2026-11-21]
"""

import argparse
import datetime
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that wait leave the cores to others
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.measure import Section, machine  # noqa: E402 after the path

BENCHMARKS = ("learner", "acting", "replay", "stage2", "startup", "growth", "limit")
HEAD = """# Performance

Measured by `python benchmarks/run.py`, never by a test; each section says when. The machine: {machine}.
**Other programs shared it during all measurements**, so that ratios within a section hold better than its times.

"""


def main() -> None:
    """Runs what is asked for and writes the document anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"out of {', '.join(BENCHMARKS)}; all if none is given")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="of what is measured now")
    args = parser.parse_args()
    if unknown := set(args.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    folder = args.out / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "sections.json"
    sections = json.loads(kept.read_text()) if kept.exists() else {}
    for name in args.names or BENCHMARKS:
        began = time.monotonic()
        section = import_module(f"benchmarks.{name}").measure(folder)
        section.measured = f"{args.date}, with a load of {os.getloadavg()[1]:.1f} on the machine"
        sections[name] = section.to_json()
        kept.write_text(json.dumps(sections, indent=2, ensure_ascii=False) + "\n")
        print(f"{name}: {time.monotonic() - began:.0f} s\n{section.markdown()}\n", flush=True)
    shown = [Section(**sections[name]).markdown() for name in BENCHMARKS if name in sections]
    text = HEAD.format(machine=machine()) + "\n\n".join(shown) + "\n"
    (args.out / "performance.md").write_text(text)


if __name__ == "__main__":
    main()
