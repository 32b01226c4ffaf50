"""python -m benchmarks: runs all of them, and writes benchmarks/RESULTS.md, while nothing else is running.

With names it runs and prints these alone.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks import as_typed

HERE = Path(__file__).parent
ALL = {
    "step_speed": ["--turns", "3", "--seconds", "3"],
    "pipeline_speed": ["--turns", "15"],
    "analysis_speed": [],
    "start_up": ["--turns", "2"],
    "between_trials": [],
    "two_shells": [],
    "study_cost": [],
    "sweep_overhead": ["--trials", "12", "--sleep", "2.5"],
    "report_speed": [],
}
ON_CIFAR10 = ("start_up", "between_trials")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *ALL], metavar="NAME", help=f"of {', '.join(ALL)}")
    parser.add_argument("--data", help="the folder of CIFAR-10")
    parser.add_argument("--storage", help="of an empty PostgreSQL database, for study_cost there too")
    arguments = parser.parse_args()
    heading = HEADING.format(machine=machine(), date=datetime.date.today().isoformat())
    sections = []
    runs = [(name, ALL[name]) for name in arguments.names or ALL]
    if arguments.storage:
        runs.append(("study_cost", ["--storage", arguments.storage]))
    for name, given in runs:
        words = [*given, *(["--data", arguments.data] if arguments.data and name in ON_CIFAR10 else [])]
        command = ["-m", f"benchmarks.{name}", *words]
        print(f"python {' '.join(command)}", flush=True)
        done = subprocess.run(
            [sys.executable, *command], cwd=HERE.parent, env=as_typed(), capture_output=True, text=True
        )
        print(done.stdout, flush=True)
        if done.returncode:
            sys.exit(f"it failed:\n{done.stderr}")
        shown = " ".join(command).replace(str(arguments.data), "DATA").replace(str(arguments.storage), "URL")
        sections.append(f"## {name}\n\n`python {shown}`\n\n```text\n{done.stdout.rstrip()}\n```\n")
    if not arguments.names:  # else they are for the terminal alone: the file is of one time and machine
        (HERE / "RESULTS.md").write_text("\n".join([heading, *sections]), encoding="utf-8")


HEADING = """# Results of the benchmarks

Written by `python -m benchmarks` on {date}: {machine}. In brackets are the lowest and the highest of the
turns, before them is their median. Each file of this folder says what it measures.
"""


def machine() -> str:
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "albumentations", "optuna", "hydra-core")
    )
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def processor() -> str:
    """Its name, and what it multiplies bfloat16 with."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in fields.items()}
    units = [
        flag for flag in facts.get("flags", "").split() if flag in ("avx512f", "avx512_bf16", "amx_bf16")
    ]
    return f"{facts.get('model name', platform.machine())} ({', '.join(units)})"


if __name__ == "__main__":
    main()
