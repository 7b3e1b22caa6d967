"""A solver of one's own as a layer: 0/1 knapsack by dynamic programming, written in NumPy.

A linear model sees features of items and, as labels, what the best knapsacks hold; it learns what items are worth.
"""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

import examples.custom_solver.knapsack  # noqa: F401  registers "knapsack"
from examples.common.options import Parser, positive
from examples.common.pictures import save_picture
from examples.common.progress import progress_bar
from imle_solvers import HammingLoss, SolverLayer, make_adapter
from imle_solvers.viz import plot_curves


def main() -> None:
    """Trains, and draws the learning curve."""
    parser = Parser("custom_solver", __doc__)
    parser.add_argument(
        "--epochs", type=positive, default=20, metavar="N", help="passes over 500 knapsacks; default 20"
    )
    options = parser.parse()
    epochs, count = (2, 100) if options.quick else (options.epochs, 500)
    torch.manual_seed(options.seed)
    weights = torch.randint(3, 15, (16,)).tolist()
    adapter = make_adapter("knapsack", weights=weights, capacity=sum(weights) // 3)
    features, taste = torch.randn(2 * count, 16, 5), torch.randn(5)
    worth = features @ taste
    with SolverLayer(adapter) as layer:
        with progress_bar("solving", total=2 * count) as bar:
            layer.on_progress = lambda solved, _: bar.update(solved - bar.n)
            best = layer.map(worth)
            layer.on_progress = None
        model = torch.nn.Linear(5, 1)
        wrong = HammingLoss(layer)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        curve = []
        with progress_bar("training", total=epochs) as bar:
            for epoch in range(epochs + 1):
                packed = layer.map(model(features[count:]).squeeze(-1)).detach()
                exact = (packed == best[count:]).all(-1).float().mean().item()
                curve.append((exact, ((packed * worth[count:]).sum() / (best * worth)[count:].sum()).item()))
                if epoch < epochs:
                    for rows in torch.randperm(count).split(50):
                        loss = wrong(layer(model(features[rows]).squeeze(-1)), best[rows])
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
                    bar.update()
    for when, (exact, value) in (("before", curve[0]), ("after", curve[-1])):
        print(f"{when} training, on held-out knapsacks: exact match {exact:.1%}, value {value:.1%} of the best")
    exact_match, of_best = zip(*curve, strict=True)
    figure = Figure(figsize=(6, 4), layout="constrained")
    plot_curves(
        {"exact match": exact_match, "value, of the best": of_best},
        xlabel="epoch",
        ylabel="share, on held-out knapsacks",
        percent=True,
        axes=figure.subplots(),
    )
    save_picture(figure, options.out, "custom_solver")
