"""What a gap, and the linear relaxation, cost in the quality of decisions, and save in time.

A linear model predicts the prices of a program from five features, of which the true prices are a polynomial of degree
four with noise between 0.5 and 1.5 (the data of Elmachtoub and Grigas, Management Science 2022, section 6). It is
trained by SPO+, whose solves, labels included, are exact, within a gap, or of the relaxation. All start from the least
squares fit, which is the first row. Then test instances are decided by what the model predicts: by the exact program,
whatever it was trained with, and by that which it was trained with. Fractions are rounded there: of the columns that
the relaxation uses at all, from the largest share of one to the smallest, a knapsack takes each that fits, and a cover
each that covers a row that none before does. Regret is what decisions lose by the true prices, as a share of the best
that there is.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from ilp_families import multi_knapsack, set_cover
from torch import Tensor, nn

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_solvers import SolverLayer, SPOPlusLoss
from imle_solvers.deferred import wait_for_kernels

FEATURES, DEGREE, BATCH = 5, 4, 20
USED = 1e-6  # the share of a column from which on the relaxation uses it

SETTINGS: dict[str, dict[str, Any]] = {
    "exact": {},
    "gap 1 %": {"relative_gap": 0.01},
    "gap 5 %": {"relative_gap": 0.05},
    "gap 10 %": {"relative_gap": 0.1},
    "relaxed": {"relaxed": True},
}


FAMILIES: dict[str, ILPSpec] = {
    "multi-knapsack, 50 items, 15 limits": multi_knapsack(50, 15, 1).spec,
    "set cover, 150 columns, 80 rows": set_cover(150, 80, 0.05, 1).spec,
}


class Data(NamedTuple):
    """Features, (N, FEATURES) and a column of ones, and true prices, (N, n)."""

    features: Tensor
    prices: Tensor


def main() -> None:
    """Trains and decides in every way, prints the table, and writes the figures where `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="data sets, of which means are taken (default: 3)")
    parser.add_argument("--instances", type=int, default=100, help="of training, and as many to test (default: 100)")
    parser.add_argument("--epochs", type=int, default=6, help="(default: 6)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| family | trained with | regret, decided exactly | regret, decided alike | training, s | times exact | gap |"
    )
    print("|---|---|---|---|---|---|---|")
    rows = []
    for name, family in FAMILIES.items():
        runs = [compare(family, seed, options.instances, options.epochs) for seed in range(options.seeds)]
        exact = mean(run["exact"]["seconds"] for run in runs)
        for setting in runs[0]:
            row = {key: mean(run[setting][key] for run in runs) for key in runs[0][setting]}
            row["worst_gap"] = max(run[setting]["worst_gap"] for run in runs)
            rows.append({"family": name, "setting": setting, **row})
            regrets = f"{row['regret']:.2%} | {row['alike']:.2%}"
            gaps = f"{row['gap']:.2%}, worst {row['worst_gap']:.2%}" if row["gap"] else "-"
            print(f"| {name} | {setting} | {regrets} | {row['seconds']:.1f} | {row['seconds'] / exact:.2f} | {gaps} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def compare(family: ILPSpec, seed: int, instances: int, epochs: int) -> dict[str, dict[str, float]]:
    """Regrets, seconds of training and proven gaps there, by setting, on data of one seed."""
    train, test = data(family, seed, instances)
    decide = _layer(family, {})
    best = decide.map(test.prices)

    def regret(weights: Tensor, layer: SolverLayer) -> float:
        chosen = rounded(family, layer.map(test.features @ weights))
        lost = (test.prices * (chosen - best)).sum(1) * (1 if family.sense == "min" else -1)
        return float(lost.sum() / (test.prices * best).sum())

    start = torch.linalg.lstsq(train.features, train.prices).solution
    plain = regret(start, decide)
    results = {"least squares": {"regret": plain, "alike": plain, "seconds": 0.0, "gap": 0.0, "worst_gap": 0.0}}
    for name, setting in SETTINGS.items():
        layer = _layer(family, setting)
        layer.map(train.prices[:1])  # which builds the state
        wait_for_kernels()
        layer.stats().reset()
        begin = time.perf_counter()
        weights = fit(layer, train, start, epochs, seed)
        seconds = time.perf_counter() - begin
        gaps = layer.stats().gaps
        told = {"seconds": seconds, "gap": gaps.mean, "worst_gap": gaps.worst}
        results[name] = {"regret": regret(weights, decide), "alike": regret(weights, layer), **told}
    return results


def _layer(family: ILPSpec, setting: dict[str, Any]) -> SolverLayer:
    return SolverLayer(ILPAdapter(family, **setting), num_workers=0, on_failure="keep")


def rounded(spec: ILPSpec, solutions: Tensor) -> Tensor:
    """Zeros and ones that satisfy the rows, (N, n), from solutions with fractions; others as they are."""
    result, matrix = solutions.clone(), torch.from_numpy(spec.A_ub.toarray())
    limits = torch.tensor(spec.b_ub)
    for row in ((solutions - solutions.round()).abs() > USED).any(1).nonzero().flatten().tolist():
        chosen = torch.zeros_like(solutions[row])
        for column in solutions[row].argsort(descending=True, stable=True).tolist():
            left = limits - matrix @ chosen  # below 0 where a row of a cover has none yet
            takes = matrix[:, column]
            wanted = (takes <= left).all() if spec.sense == "max" else ((left < 0) & (takes < 0)).any()
            chosen[column] = float(wanted and bool(solutions[row, column] > USED))
        result[row] = chosen
    return result


def data(spec: ILPSpec, seed: int, instances: int) -> tuple[Data, Data]:
    """Training and test data of the same polynomial."""
    generator = torch.Generator().manual_seed(seed)
    (size,) = spec.shape
    matrix = (torch.rand(FEATURES, size, generator=generator) < 0.5).double()

    def draw() -> Data:
        features = torch.randn(instances, FEATURES, generator=generator, dtype=torch.float64)
        prices = ((features @ matrix / FEATURES**0.5 + 3) ** DEGREE + 1) / 3.5**DEGREE
        noise = 0.5 + torch.rand(prices.shape, generator=generator, dtype=torch.float64)
        return Data(torch.cat([features, torch.ones(instances, 1)], 1), prices * noise)

    return draw(), draw()


def fit(layer: SolverLayer, train: Data, start: Tensor, epochs: int, seed: int) -> Tensor:
    """Weights, (FEATURES + 1, n), by SPO+ with solves of the layer's."""
    weights = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([weights], lr=0.02)
    loss, labels = SPOPlusLoss(layer), layer.map(train.prices)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels), generator=generator).split(BATCH):
            optimizer.zero_grad()
            loss(train.features[rows] @ weights, train.prices[rows], labels[rows]).backward()
            optimizer.step()
    return weights.detach()


if __name__ == "__main__":
    main()
