"""What all pictures share: matplotlib, which is imported when one is drawn, arrays from tensors, colours.

Figures are matplotlib's own objects, not pyplot's: no backend is chosen, no display is needed, and nothing is left to
close.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Kind = Literal["values", "shares", "gradient"]
Array = NDArray[np.float64]

# For the colour-blind: cividis and viridis rise evenly in lightness, PuOr is dark at both ends. The others are of
# Okabe and Ito, the last two of Paul Tol ("muted").
COLOUR_MAPS: dict[Kind, str] = {"values": "cividis", "shares": "viridis", "gradient": "PuOr"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#332288", "#882255")
CHOSEN, HIDDEN = "#D55E00", "0.8"


def new_figure(width: float = 4.4, height: float = 3.6) -> Figure:
    """A figure, in inches, that pyplot knows nothing of.

    Raises:
        ImportError: matplotlib is not installed.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def check_matplotlib() -> None:
    """Raises `ImportError` that says what to install, where matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'pictures need matplotlib, which cannot be imported ({error}): pip install "imle-solvers[plot]"',
            name="matplotlib",
        ) from error


def axes_of(axes: Axes | None, width: float = 4.4, height: float = 3.6) -> Axes:
    """The axes that were given, or those of a new figure.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: something else was given.
    """
    check_axes(axes)
    return new_figure(width, height).subplots() if axes is None else axes


def check_axes(axes: Axes | None) -> None:
    """Raises where nothing can be drawn.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: these are no axes.
    """
    check_matplotlib()
    from matplotlib.axes import Axes as Expected

    if axes is not None and not isinstance(axes, Expected):
        raise TypeError(
            "axes: expected a matplotlib Axes, such as figure.subplots() gives, or one of the array that "
            f"figure.subplots(2, 2) gives; got {type(axes).__name__}"
        )


def as_array(name: str, values: Any) -> Array:
    """Numbers as a float64 array, off the graph and off the device.

    Raises:
        TypeError: these are no numbers; `name` is whose they are.
    """
    if hasattr(values, "detach"):  # a tensor; modules that draw import no torch
        return np.asarray(values.detach().cpu().double().numpy(), dtype=np.float64)
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected numbers in an array or a tensor, got {type(values).__name__}") from None


def array_of(name: str, values: Any, shape: tuple[int, ...] | int) -> Array:
    """An array of this shape, or of this many axes.

    Raises:
        TypeError: these are no numbers.
        ValueError: the shape is another.
    """
    array = as_array(name, values)
    axes, expected = (shape, f"{shape} axes") if isinstance(shape, int) else (len(shape), f"shape {shape}")
    if array.ndim != axes or (isinstance(shape, tuple) and array.shape != shape):
        batch = f"; these look like a batch, of which one is drawn: {name}[0]" if array.ndim == axes + 1 else ""
        raise ValueError(f"{name}: expected {expected}, got shape {array.shape}{batch}")
    return array


def shape_of(given: Mapping[str, Any], axes: int, overlay: str) -> tuple[int, ...]:
    """The shape of the first of these arrays that is not None, which must have this many axes.

    Args:
        given: the arrays by name.
        axes: how many.
        overlay: what may be drawn in place of values, as an error says it.

    Raises:
        TypeError: it has no numbers.
        ValueError: it has another number of axes, or there is none.
    """
    for name, values in given.items():
        if values is not None:
            return array_of(name, values, axes).shape
    raise ValueError(f"expected values or {overlay}, got neither: there is nothing to draw")


def mask_of(name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """What is not zero in an array of this shape; nothing, where it is None.

    Raises:
        TypeError: these are no numbers.
        ValueError: the shape is another.
    """
    return np.zeros(shape, dtype=bool) if values is None else array_of(name, values, shape) != 0


def colours_of(values: Array, kind: Kind, norm: Normalize | None = None) -> tuple[str, Normalize]:
    """The colour map for a kind of values, and what maps them onto it: shares from 0 to 1, gradients around zero.

    Raises:
        ValueError: there is no such kind.
    """
    from matplotlib.colors import Normalize

    if kind not in get_args(Kind):
        raise ValueError(f"kind: expected one of {', '.join(map(repr, get_args(Kind)))}, got {kind!r}")
    if norm is None:
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        if kind == "shares":
            low, high = 0.0, 1.0
        elif kind == "gradient":
            high = float(np.abs(finite).max(initial=0.0)) or 1.0
            low = -high
        elif low == high:  # one colour, and a bar that says of which value
            low, high = low - 0.5, high + 0.5
        norm = Normalize(low, high)
    return COLOUR_MAPS[kind], norm


def draw_cells(
    axes: Axes,
    values: Any,
    away: NDArray[np.bool_],
    kind: Kind,
    norm: Normalize | None,
    label: str | None,
    *,
    bar: bool,
) -> None:
    """Values as colours of cells, apart from those that are ruled out, with a bar if there is to be one.

    Raises:
        TypeError: these are no numbers.
        ValueError: they are not of the shape of `away`, or there is no such kind.
    """
    drawn = np.ma.masked_where(away, array_of("values", values, away.shape))
    cmap, norm = colours_of(np.asarray(drawn.compressed()), kind, norm)
    colour_bar(axes, axes.imshow(drawn, cmap=cmap, norm=norm, interpolation="nearest"), label, shown=bar)


def colour_bar(axes: Axes, mappable: Any, label: str | None, *, shown: bool = True) -> None:
    """A slim bar beside the axes, if it is to be shown."""
    if shown:
        bar = axes.figure.colorbar(mappable, ax=axes, label=label or "", shrink=0.9, aspect=18, pad=0.02)
        plain_numbers(bar)


def plain_numbers(bar: Colorbar) -> None:
    """Writes 6 and 0.2 beside a logarithmic bar, not 6 x 10^0 and 2 x 10^-1."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogFormatterSciNotation

    class Plain(LogFormatterSciNotation):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""  # which leaves some out, where they are many

    if isinstance(bar.norm, LogNorm):
        bar.ax.yaxis.set_major_formatter(Plain())
        bar.ax.yaxis.set_minor_formatter(Plain())


def points_per(axes: Axes, parts: float) -> float:
    """About how many points wide a part is, where this many lie side by side."""
    return min(_size(axes)) / max(parts, 1)


def set_title(axes: Axes, title: str | None) -> None:
    """A title in as many lines as it takes above small axes."""
    width = max(14, int(_size(axes)[0] / 5.2))
    axes.set_title("\n".join(textwrap.wrap(title or "", width)), fontsize=10)


def mark_hidden(axes: Axes, away: NDArray[np.bool_]) -> None:
    """Crosses where cells are ruled out, since grey may be the colour of a value."""
    if not away.any():
        return
    rows, columns = np.nonzero(away)
    side = float(np.clip(0.45 * points_per(axes, max(away.shape)), 1.5, 10))
    axes.scatter(columns, rows, side**2, marker="x", color="0.45", linewidths=0.12 * side, zorder=1.5)


def _size(axes: Axes) -> tuple[float, float]:
    """The width and the height of the axes in points, before titles and bars take their part."""
    box = axes.get_position()
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches()
    return 72 * box.width * width, 72 * box.height * height
