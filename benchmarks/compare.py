"""The whole toolkit against what a user would pick instead: PyEPO, loops over solvers, the published algorithm.

Each row is a training step, forward and backward, of the same batch with the same number of samples and both solves
for each. Contenders must find solutions of equal value before anybody is timed. They take turns, so that a busy
machine slows all of them; figures are medians of the rounds, ratios those of the ratios within a round. Slow ones do
part of the batch, another in each round, and their time is scaled up to the whole; the column "on" says what was
measured. Memory is measured in fresh processes: "step MB" is the peak of a step above what is held after a step on one
instance, "all MB" the peak of the process and what its workers hold; a star says that it was of part of the batch.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from comparison.growth import SERIES, grow
from comparison.memory import memory_of
from comparison.report import text, verdict, write_chart, write_page
from comparison.rows import CORES, ROWS
from comparison.timing import Budget, time_row

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PACKAGES = ("imle-solvers", "torch", "numpy", "scipy", "numba", "networkx", "ortools", "pyepo")
QUICK, FULL = Budget(rounds=5, turn=0.1, fewest=1, warm_up=0.3), Budget(rounds=5, turn=1.5, fewest=4, warm_up=2.0)


def main() -> None:
    """Measures, prints, and writes what the options say."""
    arguments = parse()
    missing = [package for package in ("pyepo", "matplotlib") if importlib.util.find_spec(package) is None]
    if missing:
        raise SystemExit(f"needs {' and '.join(missing)}: pip install -c constraints.txt -e '.[bench]'")
    use_cores(arguments.threads)
    budget = QUICK if arguments.quick else FULL
    results: dict[str, Any] = {"machine": describe_machine(), "rows": [], "growth": []}
    results |= {name: getattr(arguments, name) for name in ("quick", "threads", "shrink")}
    start, results["load_before"] = time.monotonic(), os.getloadavg()
    for key in arguments.rows:
        if key in ROWS:
            results["rows"].append(measure(key, max(2, ROWS[key].batch // arguments.shrink), budget, arguments.quick))
            print(f"{time.monotonic() - start:4.0f} s  {key}: {verdict(results['rows'][-1])}", flush=True)
        else:
            results["growth"].append(grow(SERIES[key.removeprefix("growth-")], arguments.quick))
            print(f"{time.monotonic() - start:4.0f} s  {key}", flush=True)
    results["seconds"], results["load_after"] = time.monotonic() - start, os.getloadavg()
    print(f"\n{text(results)}\n\n{results['seconds']:.0f} s, load {results['load_before'][0]:.1f} before")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.chart and results["rows"]:
        write_chart(arguments.chart, results)
    if arguments.page:
        write_page(PAGE, results)


def parse() -> argparse.Namespace:
    """The command line; `rows` becomes a list of keys."""
    everything = [*ROWS, *(f"growth-{key}" for key in SERIES)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two minutes: less of slow contenders, less growth")
    parser.add_argument("--rows", metavar="KEY,...", help=f"of {', '.join(everything)}")
    parser.add_argument("--shrink", type=int, default=1, metavar="N", help="batches N times smaller, to try it out")
    parser.add_argument(
        "--threads",
        type=int,
        default=CORES,
        help="of torch, for everybody; 1 where others use the machine (default: 2)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw a bar chart to FILE")
    parser.add_argument("--page", action="store_true", help="write the tables to docs/benchmarks.md, between markers")
    arguments = parser.parse_args()
    if arguments.rows is None:
        arguments.rows = everything
    else:
        arguments.rows = arguments.rows.split(",")
    unknown = [key for key in arguments.rows if key not in everything]
    if unknown:
        parser.error(f"--rows: there is no {', '.join(unknown)}; expected {', '.join(everything)}")
    if arguments.shrink < 1:
        parser.error(f"--shrink: expected at least 1, got {arguments.shrink}")
    return arguments


def measure(key: str, batch: int, budget: Budget, quick: bool) -> dict[str, Any]:
    """A row with times and memory."""
    row = ROWS[key]
    result = time_row(row, row.make(batch), CORES, budget)

    def remember(each: dict[str, Any]) -> None:
        each |= memory_of(key, each["name"], batch, min(batch, each["on"] * (1 if quick else 3)))
        each["memory_batch"] = batch

    with ThreadPoolExecutor(CORES) as pool:  # of processes that wait; how long they take does not matter
        list(pool.map(remember, result["contenders"]))
    return result


def use_cores(threads: int) -> None:
    """Leaves this process and all that it starts two cores, which the targets are for, and torch so many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for the processes in which memory and growth are measured
    torch.set_num_threads(threads)


def describe_machine() -> dict[str, Any]:
    """What ran where."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": CORES,
        "system": platform.platform(),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }


if __name__ == "__main__":
    main()
