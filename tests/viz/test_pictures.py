"""What `imle_solvers.viz` draws of arrays."""

from __future__ import annotations

import itertools
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
import torch
from matplotlib import colormaps, colors
from matplotlib.figure import Figure
from PIL import Image

from imle_adapters import ShortestPathAdapter
from imle_solvers import SolverLayer, viz
from imle_solvers.viz.canvas import COLOURS
from tests.viz.test_layer_plots import picture

PATH = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_importing_it_imports_neither_matplotlib_nor_torch():
    program = "import imle_solvers.viz, imle_adapters, sys; print({'matplotlib', 'torch'} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_a_layer_imports_no_matplotlib_and_a_picture_no_pyplot():
    program = """
import io, sys, torch
from imle_solvers import SolverLayer
from imle_adapters import TopKAdapter
layer = SolverLayer(TopKAdapter(4, 2))
assert "matplotlib" not in sys.modules
layer.plot(torch.rand(4)).figure.savefig(io.BytesIO())
assert "matplotlib.pyplot" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def to_rgb(colour):
    """Of 255, as an image has them."""
    return tuple(round(255 * part) for part in colors.to_rgb(colour))


def path_lines(axes):
    """The lines that join neighbours, of (x, y)."""
    return {tuple(map(tuple, line.tolist())) for line in axes.collections[0].get_segments()}


def test_neighbours_on_a_path_are_joined():
    assert path_lines(viz.plot_grid(path=PATH)) == {((0, 0), (1, 1)), ((1, 1), (2, 2))}
    assert path_lines(viz.plot_grid(path=PATH, neighbourhood=4)) == set()
    rising = np.fliplr(PATH)
    assert path_lines(viz.plot_grid(path=rising)) == {((2, 0), (1, 1)), ((1, 1), (0, 2))}
    assert path_lines(viz.plot_grid(path=[[1, 1], [1, 0]], neighbourhood=4)) == {((0, 0), (1, 0)), ((0, 0), (0, 1))}


def test_shares_go_from_zero_to_one_and_gradients_around_zero():
    assert viz.plot_grid(np.full((2, 2), 0.3), kind="shares").images[0].get_clim() == (0, 1)
    assert viz.plot_grid([[1.0, -3.0]], kind="gradient").images[0].get_clim() == (-3, 3)
    assert viz.plot_grid([[2.0, 5.0]]).images[0].get_clim() == (2, 5)
    assert viz.plot_grid(np.zeros((2, 2)), kind="gradient").images[0].get_clim() == (-1, 1)
    with pytest.raises(ValueError, match="kind: expected one of 'values', 'shares', 'gradient', got 'share'"):
        viz.plot_grid([[1.0]], kind="share")


def test_what_is_ruled_out_has_no_colour_and_does_not_stretch_the_others():
    axes = viz.plot_grid([[1.0, 2.0, 1e9]], hidden=[[0, 0, 1]])
    assert axes.images[0].get_clim() == (1, 2)
    assert axes.images[0].get_array().mask.tolist() == [[False, False, True]]


def test_values_that_are_not_finite_are_drawn_as_gaps():
    for plot in (viz.plot_grid, viz.plot_matrix):
        axes = plot([[np.nan, np.inf], [1.0, 2.0]])
        picture(axes)
        assert axes.images[0].get_array().mask.tolist() == [[True, True], [False, False]]
        assert axes.images[0].get_clim() == (1, 2)
        picture(plot(np.full((2, 2), np.nan)))
    axes = viz.plot_bars([np.nan, 1.0])
    picture(axes)
    assert np.isfinite([bar.get_height() for bar in axes.patches]).tolist() == [False, True]
    picture(viz.plot_graph([(0, 1), (1, 2)], [np.nan, 1.0], kind="gradient"))
    picture(viz.plot_graph([(0, 1), (1, 2)], [np.nan, np.nan]))


def test_the_chosen_are_marked():
    axes = viz.plot_matrix(np.arange(6).reshape(2, 3), [[0, 1, 0], [1, 0, 0]])
    assert axes.collections[0].get_offsets().tolist() == [[1, 0], [0, 1]]
    axes = viz.plot_bars([3.0, 1.0, 2.0], [0, 1, 1], names=["a", "b", "c"])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["others", "chosen"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b", "c"]
    picture(viz.plot_bars(np.arange(5000.0), np.arange(5000) % 7 == 0))


def test_wrong_arrays_are_named():
    with pytest.raises(ValueError, match=r"values: expected 2 axes, got shape \(4, 2, 2\); these look like a batch"):
        viz.plot_grid(np.zeros((4, 2, 2)))
    with pytest.raises(ValueError, match=r"path: expected shape \(2, 2\), got shape \(3, 3\)"):
        viz.plot_grid(np.zeros((2, 2)), PATH)
    with pytest.raises(ValueError, match="nothing to draw"):
        viz.plot_grid()
    with pytest.raises(ValueError, match="got both"):
        viz.plot_grid(np.zeros((2, 2)), image=np.zeros((8, 8)))
    with pytest.raises(ValueError, match="neighbourhood: expected 4 or 8, got 6"):
        viz.plot_grid(np.zeros((2, 2)), neighbourhood=6)
    with pytest.raises(TypeError, match="values: expected numbers in an array or a tensor, got str"):
        viz.plot_bars("abc")
    with pytest.raises(ValueError, match="names: expected one for each of the 2 entries, got 1"):
        viz.plot_bars([1.0, 2.0], names=["a"])
    with pytest.raises(ValueError, match=r"values: expected shape \(1,\), got shape \(2,\)"):
        viz.plot_graph([(0, 1)], [1.0, 2.0])
    with pytest.raises(ValueError, match="positions: expected one for each node, got none for 1"):
        viz.plot_graph([(0, 1)], positions={0: (0, 0)})
    with pytest.raises(ValueError, match="edges: expected at least one"):
        viz.plot_graph([])


GRAPHS = {
    "parallel edges and loops": nx.MultiDiGraph([(0, 1), (0, 1), (1, 0), (1, 1), (1, 2)]),
    "several components": nx.Graph([(0, 1), ("a", "b"), ("b", "c")]),
    "a grid": nx.grid_2d_graph(3, 3),
    "many nodes": nx.path_graph(200),
    "long names": nx.Graph([("Berlin", "Hamburg"), ("Hamburg", "Bremen")]),
    "nodes of one place": nx.Graph([((0, 0), (0.0, 1)), ((0, 1), (0, 2))]),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_all_kinds(name):
    graph = GRAPHS[name]
    edges = list(graph.edges(keys=True)) if graph.is_multigraph() else list(graph.edges)
    values, chosen = np.arange(len(edges)), np.arange(len(edges)) % 2
    directed = graph.is_directed()
    for options in ({}, {"values": values, "chosen": chosen}, {"chosen": chosen, "hidden": 1 - chosen}):
        axes = viz.plot_graph(edges, directed=directed, ends=edges[0][:2], **options)
        assert np.array_equal(
            picture(axes), picture(viz.plot_graph(edges, directed=directed, ends=edges[0][:2], **options))
        )


def test_edges_between_the_same_nodes_lie_side_by_side():
    axes = viz.plot_graph([(0, 1), (1, 0), (0, 1)], positions={0: (0, 0), 1: (1, 0)})
    heights = [line[0, 1] for line in axes.collections[0].get_segments()]
    assert len(set(np.round(heights, 6))) == 3
    assert np.isclose(sum(heights), 0)


def test_curves_of_names():
    axes = viz.plot_curves({"a": [1, np.nan, 3], "b": torch.arange(3)}, steps=[0, 10, 20])
    assert axes.lines[0].get_xdata().tolist() == [0, 20]
    viz.plot_curves({"c": [5.0, 6.0]}, axes=axes)
    assert len({line.get_color() for line in axes.lines}) == len({line.get_linestyle() for line in axes.lines}) == 3
    with pytest.raises(ValueError, match=r"curves\['a'\]: expected shape \(1,\), got shape \(2,\)"):
        viz.plot_curves({"a": [1, 2]}, steps=[0])
    with pytest.raises(TypeError, match="curves: expected a mapping of names to values, got list"):
        viz.plot_curves([1, 2])
    with pytest.raises(ValueError, match="curves: expected at least one"):
        viz.plot_curves({})


def test_diagnostics_of_any_size_have_a_panel_each():
    history = [{"share": 0.1 * step, "lambda": 10.0**step} for step in range(5)]
    history[2]["late"] = 1.0
    figure = viz.plot_diagnostics(history, title="training")
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert set(panels) == {"share", "lambda", "late"}
    assert [panels[name].get_yscale() for name in ("share", "lambda", "late")] == ["linear", "log", "linear"]
    assert panels["late"].lines[0].get_xdata().tolist() == [2]
    picture(figure.axes[0])
    assert len(viz.plot_diagnostics({"a": [1.0], "b": [2.0], "c": [3.0], "d": [4.0]}, columns=2).axes) == 4
    with pytest.raises(ValueError, match="history: expected values of at least one name"):
        viz.plot_diagnostics([])
    with pytest.raises(ValueError, match="columns: expected at least 1, got 0"):
        viz.plot_diagnostics({"a": [1.0]}, columns=0)


def test_animations_have_a_frame_for_each_sample_and_step(tmp_path):
    layer = SolverLayer(ShortestPathAdapter.grid(4, 4), num_workers=0)
    theta = torch.rand(5, 4, 4, requires_grad=True)
    samples = viz.animate_samples(layer.adapter, theta[0], layer.sample(theta[0], 3), tmp_path / "samples.gif", dpi=50)
    training = viz.animate_training(
        layer.adapter, theta, layer.map(theta), tmp_path / "training.gif", target=layer.map(theta[0]), fps=10, dpi=50
    )
    for path, frames, each in ((samples, 3, 250), (training, 5, 100)):
        with Image.open(path) as image:
            assert (image.format, image.n_frames, image.size) == ("GIF", frames, (420, 180))
            assert image.info["duration"] == each
            assert image.info["loop"] == 0


def test_animations_of_ones_own(tmp_path):
    path = viz.animate(lambda figure, frame: figure.text(0.5, 0.5, frame), "abc", str(tmp_path / "text.gif"))
    with Image.open(path) as image:
        assert image.n_frames == 3
    with pytest.raises(ValueError, match="frames: expected at least one"):
        viz.animate(lambda figure, frame: None, [], tmp_path / "none.gif")
    with pytest.raises(ValueError, match="fps: expected a number above zero, got 0"):
        viz.animate(lambda figure, frame: None, "a", tmp_path / "none.gif", fps=0)
    assert not (tmp_path / "none.gif").exists()


def test_a_colour_is_the_same_in_all_frames(tmp_path):
    def draw(figure, frame):
        random = np.random.default_rng(frame)
        left, right = figure.subplots(1, 2)
        shares = random.random((12, 12))
        shares[0, 0] = 1.0
        viz.plot_grid(shares, kind="shares", bar=False, axes=left)
        viz.plot_grid(path=np.zeros((9, 9)), image=random.random((30, 30, 3)), axes=right)
        figure.text(0.5, 0.02, "a line", backgroundcolor=COLOURS[2])

    most = tuple(colormaps["viridis"](1.0, bytes=True)[:3])
    with Image.open(viz.animate(draw, range(3), tmp_path / "shares.gif", dpi=60)) as image:
        for frame in range(3):
            image.seek(frame)
            present = {colour for _, colour in image.convert("RGB").getcolors(1 << 16)}
            assert {most, to_rgb(COLOURS[2]), (255, 255, 255)} <= present


def test_nine_curves_differ_in_colour_and_in_line():
    axes = viz.plot_curves({f"curve {index}": [0.0, 1.0] for index in range(9)})
    assert len({line.get_color() for line in axes.lines}) == 9
    for before, line in itertools.pairwise(axes.lines):
        assert before.get_linestyle() != line.get_linestyle()


def test_markers_at_the_ends_of_shares_are_whole():
    axes = viz.plot_curves({"a": [-0.3, 1.0]}, percent=True)
    low, high = axes.get_ylim()
    assert low < -0.3 and high > 1


def test_animations_of_arrays_that_do_not_fit_say_so(tmp_path):
    adapter = ShortestPathAdapter.grid(2, 2)
    thetas = torch.rand(3, 2, 2)
    with pytest.raises(ValueError, match=r"samples: expected shape \(any, 2, 2\), got \(2, 2\)"):
        viz.animate_samples(adapter, thetas[0], thetas[0], tmp_path / "a.gif")
    with pytest.raises(ValueError, match="expected as many thetas, solutions and titles, got 3, 2 and 3"):
        viz.animate_training(adapter, thetas, thetas[:2].round(), tmp_path / "a.gif")


def test_solutions_and_values_of_a_batch():
    adapter = ShortestPathAdapter.grid(3, 3)
    theta, z = torch.rand(2, 3, 3), torch.eye(3).expand(2, 3, 3)
    assert viz.plot_solution(adapter, theta, z, instance=1).get_title() == "solution, instance 1 of 2"
    assert viz.plot_values(adapter, theta[0]).get_title() == "value"
    axes = viz.plot_values(
        adapter, torch.tensor([[0.0] * 3] * 3), kind="shares", label="share", axes=Figure().subplots()
    )
    assert axes.get_title() == "share"
    with pytest.raises(ValueError, match=r"solution: expected shape \(3, 3\) or \(B, 3, 3\).*solution\[:, 0\] or"):
        viz.plot_solution(adapter, theta, torch.zeros(2, 5, 3, 3))
    with pytest.raises(IndexError, match="instance: expected one of the 2 of the batch, got 2"):
        viz.plot_solution(adapter, theta, z, instance=2)
