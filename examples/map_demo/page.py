"""The page: everything that its sliders can ask for is sampled here, and lies in the one file."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import to_hex
from torch import Tensor

from examples.common.files import write_whole
from examples.map_demo.learning import Learned
from examples.map_demo.maps import cheapest
from examples.map_demo.sampling import make_layer, sample
from examples.map_demo.settings import WITH_TARGET, WITHOUT_NOISE
from imle_adapters import ShortestPathAdapter
from imle_solvers.viz.canvas import COLOUR_MAPS

TEMPLATE = Path(__file__).with_name("page.html")
TEMPERATURES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0)
STEPS = (1.0, 3.0, 10.0, 30.0)
"""Lambda: of the targets that a reader can choose."""


def write_page(
    adapter: ShortestPathAdapter,
    costs: Tensor,
    gold: Tensor,
    learned: Sequence[Learned],
    *,
    method: str,
    options: argparse.Namespace,
) -> Path:
    """Writes `page.html` to the folder of results, whole or not at all; returns where.

    Args:
        adapter: of paths.
        costs: (H, W), the map.
        gold: (H, W), its cheapest path.
        learned: by one method, from one seed.
        method: which.
        options: of the command line.
    """
    data = {
        "seed": options.seed,
        "height": costs.shape[0],
        "width": costs.shape[1],
        "costs": costs.flatten().tolist(),
        "colours": {
            kind: [to_hex(colormaps[name](share)) for share in np.linspace(0, 1, 33)]
            for kind, name in COLOUR_MAPS.items()
        },
        "sampling": _sampling(adapter, costs, gold, options),
        "learning": _learning(adapter, gold, learned, method, options),
    }
    text = TEMPLATE.read_text(encoding="utf-8").replace('"the data"', json.dumps(data, separators=(",", ":")))
    file: Path = options.out / "page.html"
    write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))
    return file


def _sampling(adapter: ShortestPathAdapter, costs: Tensor, gold: Tensor, options: argparse.Namespace) -> dict[str, Any]:
    """Paths for each temperature, and for each pair of temperatures, gold path and lambda those of the targets."""
    temperatures, steps, count = (TEMPERATURES[::2], STEPS[2:3], 10) if options.quick else (TEMPERATURES, STEPS, 100)
    golds = {"cheapest": gold, "straight": cheapest(adapter, torch.ones_like(costs))}
    paths, targets = {}, {}
    for number, path in enumerate(golds.values()):
        for beta in steps:
            for temperature in temperatures:
                for target in temperatures:
                    drawn, aims = sample(
                        adapter, costs, path, temperature, target, beta, count=count, seed=options.seed
                    )
                    paths[f"{temperature:g}"] = _bits(drawn)
                    targets[f"{number}/{beta:g}/{temperature:g}/{target:g}"] = _bits(aims)
    return {
        "count": count,
        "temperatures": temperatures,
        "lambdas": steps,
        "golds": [{"name": name, "path": _bits(path)} for name, path in golds.items()],
        "paths": paths,
        "targets": targets,
    }


def _learning(
    adapter: ShortestPathAdapter, gold: Tensor, learned: Sequence[Learned], method: str, options: argparse.Namespace
) -> dict[str, Any]:
    """The course of each training: costs, their cheapest path, marginals."""
    settings = {}
    for each in learned:
        setting = each.setting
        with make_layer(adapter, setting.input, setting.input, 1.0, options.seed) as layer:
            marginals = layer.marginals(each.costs, 20 if options.quick else 100)
        most = float(each.costs.max())
        settings[f"{setting.input:g}/{setting.target:g}/{setting.samples}"] = {
            "most": round(most, 3),
            "wrong": each.wrong,
            "costs": _bytes(each.costs / most),
            "marginals": _bytes(marginals),
            "paths": _bits(cheapest(adapter, each.costs)),
        }
    return {
        "method": method,
        "rate": options.lr,
        "noise": method not in WITHOUT_NOISE,
        "target": method in WITH_TARGET,
        "inputs": sorted({each.setting.input for each in learned}),
        "targets": sorted({each.setting.target for each in learned}),
        "samples": sorted({each.setting.samples for each in learned}),
        "steps": learned[0].shown,
        "gold": _bits(gold),
        "settings": settings,
    }


def _bits(paths: Tensor) -> str:
    """Paths, (*, H, W), as bits, each from a byte of its own on, in base64."""
    packed = np.packbits(paths.reshape(-1, paths.shape[-2] * paths.shape[-1]).numpy() > 0.5, axis=1)
    return base64.b64encode(packed.tobytes()).decode()


def _bytes(shares: Tensor) -> str:
    """Numbers from 0 to 1 as bytes in base64."""
    return base64.b64encode((255 * shares).round().to(torch.uint8).numpy().tobytes()).decode()
