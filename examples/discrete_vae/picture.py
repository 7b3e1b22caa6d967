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
FAR = 4.0  # times the range of the other methods' curves


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
    """Draws the learning curves after the first epoch, and says what was before: it is much higher.

    A method that ends far above all others is cut off, and named with where it ends, so that the others are told apart.
    """
    figure = draw_curves(results, ylabel="nats an image")
    for axes in figure.axes:
        _from_first_epoch(axes)
    return figure


def _from_first_epoch(axes: Axes) -> None:
    curves = {str(line.get_label()): np.asarray(line.get_ydata(), dtype=float) for line in axes.lines}
    before = [curve[0] for curve in curves.values()]
    for line in axes.lines:
        line.set_data(np.asarray(line.get_xdata())[1:], np.asarray(line.get_ydata())[1:])
    low, high = f"{min(before):.4g}", f"{max(before):.4g}"
    said = [f"before training: {low}" + f" to {high}" * (low != high)]
    shown = sorted(curves, key=lambda name: curves[name][-1])
    while len(shown) > 2:
        others = np.concatenate([curves[name][1:] for name in shown[:-1]])
        last = curves[shown[-1]][-1]
        if last - others.max() <= FAR * np.ptp(others):
            break
        said.append(f"above: {shown.pop()}, {last:.4g} at the end")
    values = np.concatenate([curves[name][1:] for name in shown])
    room = 0.05 * (np.ptp(values) or 1.0)
    epochs = max(len(curve) for curve in curves.values()) - 1
    axes.set(xlim=(1 - 0.03 * epochs, 1.03 * epochs), ylim=(values.min() - room, values.max() + room))
    axes.set_title("\n".join([axes.get_title(), *said]), fontsize="medium")


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
