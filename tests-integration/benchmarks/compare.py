"""The catalog beside others, in one run: every figure, then ratios, goals, and where hmp loses.

``python compare.py [--peers PYTHON] [PART ...]``; PART is ``recording``, ``finding``, ``fields``, ``machine`` or
``bridge``. PYTHON has what hmp is measured beside: mlflow, signac, optuna, and `hydromodpy` 2.0.0a5 of PyPI, whose
import name is that of the umbrella here. Who is not installed is named, and not measured. All takes 10 minutes on two
idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from timing import Figure

HERE = Path(__file__).resolve().parent
#: What is measured -> who is measured beside hmp.
PARTS = {
    "recording": ("mlflow", "signac", "optuna", "original"),
    "finding": ("mlflow", "signac", "original"),
    "fields": (),
    "machine": ("original",),
    "bridge": ("original",),
}
MODULE = {"original": "hydromodpy.results"}


def measure(parts: Sequence[str], peers: str) -> list[Figure]:
    """Run each part by hmp and by those that are installed, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures"
        environment = os.environ | {"HMP_FIGURES": str(file), "HMP_STATE_HOME": folder, "PYTHONWARNINGS": "ignore"}
        for part in parts:
            print(f"\n{part}\n{'─' * len(part)}", flush=True)
            script = str(HERE / f"{part}.py")
            subprocess.run([sys.executable, script, *(["hmp"] if PARTS[part] else [])], env=environment, check=True)
            for who in PARTS[part]:
                if _installed(peers, MODULE.get(who, who)):
                    subprocess.run([peers, script, who], env=environment, check=True)
                else:
                    print(f"{who:19} is not installed for {peers}, and not measured", flush=True)
        return [Figure(**json.loads(line)) for line in file.read_text().splitlines()]


def _installed(python: str, module: str) -> bool:
    looked = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
    return looked.returncode == 0


def tell_ratios(figures: Sequence[Figure]) -> None:
    """Say how many times as long as hmp the others took for the same."""
    print("\nas many times as hmp (median, minimum, processor); less than 1 is where hmp loses")
    lost = list[str]()
    for mine in figures:
        others = [each for each in figures if each.what == mine.what and not each.who.startswith("hmp")]
        if mine.who != "hmp" or not others:
            continue
        print(f"  {mine.what}: hmp {mine.median:.3f} ms, at least {mine.least:.3f} ms")
        for each in others:
            ratio, least = each.median / mine.median, each.least / mine.least
            cpu = f"{each.cpu / mine.cpu:8.2f}" if mine.cpu else "       -"
            loses = "   hmp loses" if min(ratio, least) < 1 else ""
            print(f"    {each.who:19} {ratio:8.2f} {least:8.2f} {cpu}   {each.median:12.3f} ms{loses}")
            lost += [f"{mine.what}: {ratio:.2f} of hmp's time by {each.who}"] if loses else []
    print("\nwhere hmp loses:", *(lost or ["nowhere"]), sep="\n  ")


def tell_goals(figures: Iterable[Figure]) -> bool:
    """Say which goals are met, and return whether all are, by the median."""
    judged = [each for each in figures if each.goal is not None]
    print("\ngoals of hmp:")
    for each in judged:
        print(f"  {each.what:52} median {each.median:9.3f} ms  min {each.least:9.3f} ms {each.judged()}")
    return all(each.median <= (each.goal or 0) for each in judged)


def main() -> None:
    """Measure and compare."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--peers", default=sys.executable, help="the interpreter that has the others")
    asked.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; by default all")
    said = asked.parse_args()
    if unknown := sorted(set(said.parts) - PARTS.keys()):
        asked.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    print("load", " ".join(f"{load:.2f}" for load in os.getloadavg()), "on", os.cpu_count(), "cores")
    figures = measure(said.parts or list(PARTS), said.peers)
    tell_ratios(figures)
    tell_goals(figures)
    print("\nload", " ".join(f"{load:.2f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
