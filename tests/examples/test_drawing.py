"""What pictures of experiments show."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from examples.common.pictures import save_picture
from examples.common.results import Column, Results, Row
from examples.discrete_vae.picture import draw_learning
from examples.map_demo.learning import Learned
from examples.map_demo.picture import draw_summary
from examples.map_demo.settings import Setting
from examples.noise_study.picture import LOOKS
from imle_solvers.viz import plot_grid
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


def test_costs_beside_a_logarithmic_bar_are_plain_numbers():
    axes = plot_grid([[0.2, 6.0], [1.0, 30.0]], norm=LogNorm(0.2, 30.0), label="cost")
    figure = axes.figure
    figure.draw_without_rendering()
    bar = figure.axes[1].yaxis
    texts = [text.get_text() for minor in (False, True) for text in bar.get_ticklabels(minor=minor)]
    assert {"1", "10"} <= set(texts)
    assert not [text for text in texts if "$" in text]


def test_curves_of_the_discrete_vae_begin_after_the_first_epoch_and_name_what_is_cut_off():
    ends = {"random": 27.0, "imle": 23.0, "aimle": 23.5, "ste": 79.0}
    rows = [Row(method, 0, {}, {"nelbo": [46.7, 28.0, end]}) for method, end in ends.items()]
    (axes,) = draw_learning(Results("toy", "", "", "", "", {}, {}, {"nelbo": Column("N-ELBO")}, rows)).axes
    assert axes.get_title().split("\n") == ["N-ELBO", "before training: 46.7", "above: ste, 79 at the end"]
    assert axes.lines[0].get_xdata().tolist() == [1, 2]
    low, high = axes.get_ylim()
    assert low < 23 and 28 < high < 30


def test_a_column_of_the_map_has_one_number_of_samples_and_a_method_without_noise_the_whole_row():
    def learned(*settings):
        return [[Learned(Setting(*setting), [3, 0], [0, 1], torch.ones(2, 2, 2)) for setting in settings]]

    runs = {
        "score": learned((1.0, 1.0, 10)),
        "blackbox": learned((0.0, 0.0, 1)),
        "ste": learned((1.0, 1.0, 1), (1.0, 1.0, 10)),
    }
    panels = {axes.get_title(): axes.get_subplotspec() for axes in draw_summary(runs, 1).axes}
    assert panels["score, 10 samples"].colspan == panels["ste, 10 samples"].colspan == range(1, 2)
    assert panels["ste, 1 sample"].colspan == range(1)
    assert panels["blackbox, no noise, so that all samples are the same"].colspan == range(2)


def test_all_methods_of_the_noise_study_look_different():
    for trait in ("color", "marker"):
        assert len({look[trait] for look in LOOKS.values()}) == len(LOOKS) == 9
