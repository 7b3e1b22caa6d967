"""Pictures that move: animations as GIF files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from imle_solvers.adapter import SolverAdapter
from imle_solvers.viz.canvas import as_array, check_matplotlib, new_figure
from imle_solvers.viz.instances import check_shape, plot_solution, plot_values
from imle_solvers.viz.palette import Pixels, in_one_palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Frame = TypeVar("Frame")


def animate(
    draw: Callable[[Figure, Frame], Any],
    frames: Iterable[Frame],
    file: str | Path,
    *,
    fps: float = 4.0,
    width: float = 4.4,
    height: float = 3.6,
    dpi: int = 100,
) -> Path:
    """Writes a GIF that plays without end, its last frame four times as long, in colours that frames share.

    Args:
        draw: is called as `draw(figure, frame)` for each frame, with an empty figure.
        frames: what `draw` gets.
        file: where to write it.
        fps: frames in a second.
        width, height, dpi: the size of the picture, in inches, and pixels to the inch.

    Returns:
        The path of the file.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there are no frames, or not more than zero in a second.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps: expected a number above zero, got {fps}")
    figure = new_figure(width, height)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image  # which matplotlib needs, too

    figure.set_dpi(dpi)
    canvas: Any = FigureCanvasAgg(figure)  # whose methods have no types
    pictures: list[Pixels] = []
    maps: dict[str, Any] = {}  # colour maps that were used, by their names
    for frame in frames:
        figure.clear()
        draw(figure, frame)
        canvas.draw()
        pictures.append(np.array(canvas.buffer_rgba())[..., :3])
        coloured: list[Any] = figure.findobj(lambda artist: getattr(artist, "cmap", None) is not None)
        for artist in coloured:
            if np.ndim(artist.get_array()) in (1, 2):  # None: drawn in one colour; 3: an image, in its own
                maps[artist.cmap.name] = artist.cmap
    if not pictures:
        raise ValueError("frames: expected at least one, got none")
    path, pause = Path(file), round(1000 / fps)
    indices, palette = in_one_palette(pictures, list(maps.values()))
    first, *others = (Image.fromarray(each) for each in indices)
    for each in (first, *others):
        each.putpalette(palette.tobytes())
    first.save(
        path,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=[pause] * (len(pictures) - 1) + [4 * pause],
        loop=0,
    )
    return path


def animate_samples(
    adapter: SolverAdapter,
    theta: Any,
    samples: Any,
    file: str | Path,
    *,
    context: Mapping[str, Any] | None = None,
    title: str = "",
    **options: Any,
) -> Path:
    """Writes a GIF of samples of one instance, one by one, beside the mean of those so far.

    Args:
        adapter: whose solutions they are: `layer.adapter`.
        theta: (*instance_shape).
        samples: (S, *solution_shape), such as `layer.sample(theta, S)`.
        file: where to write it.
        context: the instance's own, see `plot_solution`.
        title: above each sample.
        **options: of `animate`.

    Returns:
        The path of the file.

    Raises:
        ImportError, TypeError, ValueError: see `animate` and `plot_solution`.
    """
    theta = check_shape("theta", theta, adapter.instance_shape)
    drawn = check_shape("samples", samples, adapter.solution_shape, leading=True)
    norm = _norm_of(theta)

    def draw(figure: Figure, count: int) -> None:
        left, right = figure.subplots(1, 2)
        text = f"{title}: " * bool(title) + f"sample {count} of {len(drawn)}"
        plot_solution(adapter, theta, drawn[count - 1], norm=norm, context=context, title=text, axes=left)
        plot_values(
            adapter, drawn[:count].mean(0), kind="shares", context=context, title="mean of samples so far", axes=right
        )

    return animate(draw, range(1, len(drawn) + 1), file, **{"width": 8.4, **options})


def animate_training(
    adapter: SolverAdapter,
    thetas: Any,
    solutions: Any,
    file: str | Path,
    *,
    target: Any = None,
    context: Mapping[str, Any] | None = None,
    titles: Iterable[str] | None = None,
    **options: Any,
) -> Path:
    """Writes a GIF of one instance in the course of training: theta as it is learned, and its solution.

    Args:
        adapter: whose solutions they are: `layer.adapter`.
        thetas: (T, *instance_shape), what the network predicted for the instance at T times.
        solutions: (T, *solution_shape), such as `layer.map(thetas)`.
        file: where to write it.
        target: (*solution_shape), the solution that is to be learned, drawn beside it; None: none is.
        context: the instance's own, see `plot_solution`.
        titles: T of them; None: "step 1 of T".
        **options: of `animate`.

    Returns:
        The path of the file.

    Raises:
        ImportError, TypeError, ValueError: see `animate` and `plot_solution`.
    """
    learned = check_shape("thetas", thetas, adapter.instance_shape, leading=True)
    drawn = check_shape("solutions", solutions, adapter.solution_shape, leading=True)
    texts = [f"step {step + 1} of {len(learned)}" for step in range(len(learned))] if titles is None else list(titles)
    if not len(learned) == len(drawn) == len(texts):
        raise ValueError(
            f"expected as many thetas, solutions and titles, got {len(learned)}, {len(drawn)} and {len(texts)}"
        )
    norm = _norm_of(learned)

    def draw(figure: Figure, step: int) -> None:
        panels = figure.subplots(1, 1 if target is None else 2, squeeze=False)[0]
        plot_solution(
            adapter, learned[step], drawn[step], norm=norm, context=context, title=texts[step], axes=panels[0]
        )
        if target is not None:
            plot_solution(adapter, learned[step], target, norm=norm, context=context, title="target", axes=panels[1])

    width = {} if target is None else {"width": 8.4}
    return animate(draw, range(len(learned)), file, **{**width, **options})


def _norm_of(thetas: Any) -> Any:
    """The same colours in all frames."""
    check_matplotlib()
    from matplotlib.colors import Normalize

    values = as_array("theta", thetas)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return Normalize(low, high if high > low else low + 1.0)
