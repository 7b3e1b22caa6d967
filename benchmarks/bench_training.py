"""Where the time of a training step goes: the Warcraft example's, under Python's profiler.

The parts of the layer are those that do anything to speak of; "solves" has the executor and its workers in it. The
profiler makes Python code slower, so shares of the layer are upper bounds.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
from pathlib import Path
from typing import Any

import torch

# The examples of this checkout, and the packages that they import.
sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.common.options import positive
from examples.warcraft.generator import generate
from examples.warcraft.learning import Budget
from examples.warcraft.model import SolverModel
from examples.warcraft.training import Training

PARTS = {
    "whole step": [("warcraft/training.py", "_epoch")],
    "layer": [("layer.py", "_draw"), ("estimators/base.py", "backward")],
    "solves": [("executors/base.py", "solve")],
    "noise": [("distributions.py", "sample")],
    "certificate": [("certificate.py", "find_known")],
    "target": [("target.py", "__call__")],
    "selection": [("selection.py", "select")],
}
"""For each part the functions, in files of these names, whose time with all that they call it is."""


def profile(size: int, batch: int, samples: int, steps: int, device: str) -> dict[str, float]:
    """Milliseconds a step of each part.

    Args:
        size: tiles along the side of a map.
        batch: maps a step.
        samples: S.
        steps: how many are measured, after as many to warm up.
        device: of the network.
    """
    torch.manual_seed(0)
    maps = generate(batch * steps, size, seed=(0, 0))
    model = SolverModel(size, samples=samples, beta=6.0, temperature=0.01, workers=None, seed=0)
    training = Training(model, device=torch.device(device), lr=1e-3, schedule="cycle", batch_size=batch, seed=0)
    training.fit(maps, None, Budget(1), title="warm-up")
    profiler = cProfile.Profile()
    profiler.enable()
    training.fit(maps, None, Budget(2), title="measured")
    profiler.disable()
    functions: dict[tuple[str, int, str], Any] = vars(pstats.Stats(profiler))["stats"]

    def cumulative(file: str, name: str) -> float:
        found = [row[3] for (path, _, function), row in functions.items() if path.endswith(file) and function == name]
        if not found:
            raise RuntimeError(f"the profile has no {name} in {file}")
        return float(sum(found))

    return {part: 1e3 / steps * sum(cumulative(*each) for each in each_of) for part, each_of in PARTS.items()}


def main() -> None:
    """Profiles, prints, and writes what `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, choices=(12, 18, 24, 30), default=12, help="of the maps; default 12")
    parser.add_argument("--batch-size", type=positive, default=70, help="maps a step; default 70")
    parser.add_argument("--samples", type=positive, default=1, help="perturbed paths a map; default 1")
    parser.add_argument("--steps", type=positive, default=20, help="steps that are measured; default 20")
    parser.add_argument("--device", default="cpu", help="of the network; default cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"--device {options.device}: {str(error).splitlines()[0]}")
    parts = profile(options.size, options.batch_size, options.samples, options.steps, options.device)
    whole, layer = parts["whole step"], parts["layer"]
    parts["layer, all else"] = layer - sum(parts[part] for part in list(PARTS)[2:])
    print(f"{options.batch_size} maps of {options.size}x{options.size}, S = {options.samples}, on {options.device}")
    print(f"{'':20}{'ms a step':>12}{'share':>10}")
    for part, milliseconds in parts.items():
        print(f"{part:20}{milliseconds:12.3f}{milliseconds / whole:10.2%}")
    if options.json:
        options.json.write_text(json.dumps(parts, indent=2) + "\n")


if __name__ == "__main__":
    main()
