"""What pictures of experiments show."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from examples.common.pictures import save_picture
from imle_solvers.viz.canvas import COLOURS


def test_pictures_have_the_colours_that_were_drawn(tmp_path):
    """Beside an image of many colours, to which a palette would give its own."""
    figure = Figure(figsize=(6, 3))
    left, right = figure.subplots(1, 2)
    left.imshow(np.random.default_rng(0).random((40, 40, 3)))
    for index, colour in enumerate(COLOURS):
        right.axhline(index, color=colour, linewidth=3)
    assert save_picture(figure, tmp_path, "lines") == "lines.png"
    with Image.open(tmp_path / "lines.png") as image:
        present = {colour for _, colour in image.getcolors(1 << 20)}
    assert {tuple(round(255 * part) for part in to_rgb(colour)) for colour in COLOURS} <= present
