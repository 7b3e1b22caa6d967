"""The picture of the experiment: images, their codes, what these are decoded to, and images of random codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from examples.common.pictures import draw_curves
from examples.common.results import Results
from examples.discrete_vae.codes import uniform_codes
from examples.discrete_vae.data import Images
from examples.discrete_vae.model import ROWS
from examples.discrete_vae.training import Training

SHOWN = 12


def draw(trainings: Mapping[str, Training], images: Images) -> Figure:
    """Draws held-out images, and what each training makes of them and of codes that are drawn uniformly.

    Below the images stand their codes by the first training.

    Args:
        trainings: by the names of their methods.
        images: of the run.
    """
    first = next(iter(trainings.values()))
    device = first.plan.device
    batch = images.batch(images.test[:SHOWN], device)
    codes = uniform_codes(SHOWN, ROWS, first.codes.settings.k).to(device)
    figure = Figure(figsize=(14.5, 0.5 + 0.72 * (2 + len(trainings))), layout="constrained")
    panels = figure.subplots(2 + len(trainings), 2, squeeze=False)
    for axes in panels[:2, 1]:
        axes.remove()
    _strip(panels[0, 0], batch, images.shape, "held out")
    for row, (method, training) in enumerate(trainings.items()):
        drawn, decoded = training.reconstruct(batch)
        if row == 0:
            _strip(panels[1, 0], drawn.flatten(1), (ROWS, drawn.shape[-1]), f"codes, {method}")
        _strip(panels[2 + row, 0], decoded, images.shape, method)
        _strip(panels[2 + row, 1], training.decode(codes), images.shape, "")
    panels[0, 0].set_title("held-out images, and what their codes are decoded to")
    panels[2, 1].set_title("what codes drawn uniformly are decoded to")
    return figure


def draw_learning(results: Results) -> Figure:
    """Draws the learning curves, as high as they are after the first epoch: before it all is much higher."""
    figure = draw_curves(results, ylabel="nats an image")
    names = [name for name in results.columns if any(name in row.curves for row in results.rows)]
    for name, axes in zip(names, figure.axes, strict=True):
        highest = max(max(row.curves[name][1:]) for row in results.rows if name in row.curves)
        axes.set_ylim(top=1.05 * highest)
    return figure


def _strip(axes: Axes, images: Tensor, shape: tuple[int, int], label: str) -> None:
    """Images side by side, white lines between them."""
    axes.imshow(strip(images, shape), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_ylabel(label, rotation=0, ha="right", va="center")
    for spine in axes.spines.values():
        spine.set_visible(False)


def strip(images: Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
    """(N, pixels) from 0 to 1 -> (height, N * (width + gap)); NaN, which is drawn as nothing, in the gaps."""
    cells = images.detach().cpu().float().unflatten(1, shape)
    gap = torch.full((len(cells), shape[0], max(1, shape[1] // 8)), torch.nan)
    joined: NDArray[np.float32] = torch.cat([cells, gap], 2).transpose(0, 1).flatten(1).numpy()
    return joined
