"""Pictures that move: paths as they are sampled, and a map as it is learned."""

from __future__ import annotations

from pathlib import Path

from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from examples.map_demo.learning import Learned
from examples.map_demo.maps import hamming
from examples.map_demo.sampling import make_layer, sample
from imle_adapters import ShortestPathAdapter
from imle_solvers.viz import animate, animate_samples, plot_solution, plot_values


def animate_sampling(
    adapter: ShortestPathAdapter, costs: Tensor, temperature: float, *, count: int, seed: int, folder: Path
) -> str:
    """Writes a GIF of sampled paths, one by one, beside the mean of those so far; returns its name."""
    with make_layer(adapter, temperature, temperature, 1.0, seed) as layer:
        paths = layer.sample(costs, count)
    file = folder / "sampling.gif"
    title = f"temperature {temperature:g}"
    animate_samples(adapter, costs, paths, file, title=title, fps=6, dpi=72)
    print(f"animation: {file}")
    return file.name


def animate_learning(
    adapter: ShortestPathAdapter, gold: Tensor, learned: Learned, *, method: str, seed: int, folder: Path
) -> str:
    """Writes a GIF of a sampled path, marginals and costs in the course of a training; returns its name."""
    setting, steps = learned.setting, learned.shown
    norm = Normalize(0, float(learned.costs.max()))

    def draw(figure: Figure, frame: int) -> None:
        costs = learned.costs[frame]
        paths, _ = sample(adapter, costs, gold, setting.input, setting.target, 1.0, count=100, seed=seed)
        left, middle, right = figure.subplots(1, 3)
        text = f"step {steps[frame]}: a path, {int(hamming(paths[0], gold))} cells wrong"
        plot_solution(adapter, costs, paths[0], norm=norm, title=text, axes=left)
        plot_values(adapter, paths.mean(0), kind="shares", title="marginals, 100 samples", axes=middle)
        shown = f"costs, and the gold path: {learned.wrong[steps[frame]]} cells wrong without noise"
        plot_solution(adapter, costs, gold, norm=norm, title=shown, axes=right)
        figure.suptitle(
            f"{method}: input noise {setting.input:g}, target noise {setting.target:g}, samples {setting.samples}"
        )

    name = f"learning-{method}-in{setting.input:g}-target{setting.target:g}-samples{setting.samples}.gif"
    animate(draw, range(len(steps)), folder / name, fps=3, width=11.4, height=3.9, dpi=72)
    print(f"animation: {folder / name}")
    return name
