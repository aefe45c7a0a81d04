"""How long it takes until a script says something."""

import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

from benchmarks.measure import Section, middle

TEXT = "Seconds, the median and in brackets the least; files are read from the system's cache."
COLUMNS = ["command", "processor", "by the clock"]
ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("main.py", "main_collect_data.py", "main_pretrain_representations.py", "scripts/report.py")


def measure(folder: Path, repeats: int = 3) -> Section:
    """`--help` of some scripts."""
    rows = []
    for script in SCRIPTS:
        cpu, wall = [], []
        for _ in range(repeats):
            before, began = getrusage(RUSAGE_CHILDREN), perf_counter()
            subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, cwd=ROOT, check=False)
            wall.append(perf_counter() - began)
            after = getrusage(RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        rows.append([f"`python {script} --help`", middle(cpu), middle(wall)])
    return Section("Start", TEXT, COLUMNS, rows)
