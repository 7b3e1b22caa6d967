"""`layer.plot()`: every adapter can be drawn, and drawing changes nothing."""

from __future__ import annotations

import sys

import matplotlib as mpl
import networkx as nx
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from imle_adapters import AssignmentAdapter, ShortestPathAdapter, TopKAdapter
from imle_solvers import AIMLE, FunctionAdapter, SolverAdapter, SolverLayer
from imle_solvers.layouts import BarLayout, GraphLayout, GridLayout, MatrixLayout
from tests.cases import CASES
from tests.solvers import top_k

SHOWN = ("map", "sample", "marginals", "gradient")


def picture(axes):
    """The pixels, which are drawn to see that they can be."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = axes.get_figure(root=True)
    figure.set(dpi=40, layout_engine="none")  # which takes most of the time
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def drawn(layer, theta, show, **options):
    loss = (lambda z: z.square().sum()) if show == "gradient" else None
    return layer.plot(theta, show, loss=loss, num_samples=5 if show == "marginals" else 100, **options)


@pytest.mark.parametrize("name", CASES)
def test_every_adapter_is_drawn_in_every_way(name):
    case = CASES[name]
    adapter = case.make()
    with SolverLayer(adapter, num_workers=0) as layer:
        theta = case.theta(adapter, batch=3)
        panels = Figure().subplots(1, 4)
        for axes, show in zip(panels, SHOWN, strict=True):
            assert drawn(layer, theta, show, instance=1, axes=axes, **case.context(3)) is axes
            assert "instance 1 of 3" in axes.get_title().replace("\n", " ")
    assert len(np.unique(picture(panels[0]).reshape(-1, 4), axis=0)) > 5


@pytest.mark.parametrize("show", SHOWN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_of_a_graph_in_any_precision(show, dtype):
    layer = SolverLayer(ShortestPathAdapter.grid(4, 4), num_workers=0, num_samples=2)
    theta = (torch.rand(2, 4, 4, requires_grad=True) + 0.1).to(dtype)
    assert drawn(layer, theta, show).has_data()
    with torch.inference_mode():
        assert drawn(layer, theta.detach() + 0, show).has_data()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_tensors_on_the_gpu():
    layer = SolverLayer(TopKAdapter(5, 2))
    for show in SHOWN:
        axes = drawn(layer, torch.rand(2, 5, device="cuda", requires_grad=True), show)
        picture(axes)
        assert axes.has_data()


def test_a_single_instance_is_drawn_as_the_same_one_of_a_batch():
    layer = SolverLayer(ShortestPathAdapter.grid(4, 4), num_workers=0)
    theta, blocked = torch.rand(3, 4, 4), torch.zeros(3, 4, 4)
    blocked[2, 1, 1] = 1
    alone = layer.plot(theta[2], blocked=blocked[2])
    assert alone.get_title() == "MAP state"
    of_batch = layer.plot(theta, instance=-1, blocked=blocked)
    assert of_batch.get_title() == "MAP state, instance 2 of 3"
    of_batch.set_title(alone.get_title(), fontsize=10)
    assert np.array_equal(picture(alone), picture(of_batch))


def test_nothing_of_the_layer_or_of_the_surroundings_changes():
    generator = torch.Generator().manual_seed(3)
    layer = SolverLayer(ShortestPathAdapter.grid(4, 4), estimator=AIMLE(), num_workers=0, generator=generator)
    weight = torch.rand(2, 4, 4, requires_grad=True)
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    own, numpys, settings = torch.get_rng_state(), np.random.get_state()[1].copy(), dict(mpl.rcParams.copy())
    for show in SHOWN:
        picture(drawn(layer, weight, show))
    assert all(torch.equal(value, state[name]) for name, value in layer.state_dict().items())
    assert layer.stats().instances == 0
    assert weight.grad is None
    assert torch.equal(own, torch.get_rng_state())
    assert (numpys == np.random.get_state()[1]).all()
    assert dict(mpl.rcParams.copy()) == settings
    if "matplotlib.pyplot" in sys.modules:  # of another test
        assert not sys.modules["matplotlib.pyplot"].get_fignums()


def test_pictures_are_the_same_each_time():
    layer = SolverLayer(ShortestPathAdapter.grid(4, 4), num_workers=0)
    theta = torch.rand(4, 4)
    for show in SHOWN:
        assert np.array_equal(picture(drawn(layer, theta, show)), picture(drawn(layer, theta, show)))


def test_it_draws_on_the_axes_that_it_is_given():
    layer = SolverLayer(TopKAdapter(5, 2))
    axes = Figure().subplots(1, 2)
    assert layer.plot(torch.rand(5), axes=axes[1]) is axes[1]
    with pytest.raises(TypeError, match=r"axes: expected a matplotlib Axes.*got ndarray"):
        layer.plot(torch.rand(5), axes=axes)


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    layer = SolverLayer(top_k(4, 2), num_workers=0)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "imle-solvers\[plot\]"'):
        layer.plot(torch.rand(4))
    assert layer.stats().instances == 0


def test_calls_that_cannot_be_drawn_say_why():
    layer = SolverLayer(top_k(4, 2), num_workers=0)
    theta = torch.rand(3, 4)
    with pytest.raises(ValueError, match='show: expected "map", "sample", "marginals" or "gradient", got \'mean\''):
        layer.plot(theta, "mean")
    with pytest.raises(IndexError, match="instance: expected one of the 3 of the batch, got 3"):
        layer.plot(theta, instance=3)
    for show, loss in (("gradient", None), ("map", torch.sum)):
        with pytest.raises(ValueError, match='show="gradient" draws that of a loss'):
            layer.plot(theta, show, loss=loss)
    with pytest.raises(TypeError, match=r"instance: expected an int, got 0\.5"):
        layer.plot(theta, instance=0.5)
    for loss in (lambda z: z, lambda z: torch.tensor(1.0), lambda z: 3.0):
        with pytest.raises(ValueError, match="loss: expected a scalar that depends on the solutions it is given, got"):
            layer.plot(theta, "gradient", loss=loss)
    with pytest.raises(ValueError, match="theta: expected shape"):
        layer.plot(torch.rand(3, 5))
    with pytest.raises(ValueError, match="does not take colour as context"):
        layer.plot(theta, colour=1)


def test_an_adapter_says_how_it_is_drawn():
    positions = {node: (node, node % 2) for node in range(3)}
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, positions, "pos")
    layout = ShortestPathAdapter(graph, 0, 2).layout({"source": 1, "blocked_nodes": np.array([0, 0, 1])})
    assert isinstance(layout, GraphLayout)
    assert layout.positions == positions
    assert list(layout.ends) == [1, 2]
    assert layout.hidden.tolist() == [False, True]
    for neighbourhood in (4, 8):
        layout = ShortestPathAdapter.grid(3, 4, neighbourhood).layout({})
        assert isinstance(layout, GridLayout)
        assert layout.neighbourhood == neighbourhood
        assert layout.ends == [(0, 0), (2, 3)]
    layout = AssignmentAdapter(2, 2, allowed=[[1, 1], [0, 1]]).layout({"allowed": np.array([[1, 0], [1, 1]])})
    assert isinstance(layout, MatrixLayout)
    assert layout.hidden.tolist() == [[False, True], [True, False]]
    layout = TopKAdapter(3, 1).layout({"mask": np.array([1, 0, 1])})
    assert isinstance(layout, BarLayout)
    assert layout.hidden.tolist() == [0, 1, 0]


def test_positions_of_another_kind_are_none_of_ours():
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, {0: "noun", 1: "verb", 2: "noun"}, "pos")
    assert ShortestPathAdapter(graph, 0, 2).layout({}).positions is None


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 2, 3)])
def test_solutions_of_any_shape_are_drawn_where_the_adapter_says_nothing(shape):
    layer = SolverLayer(
        FunctionAdapter(lambda theta: (theta > 0.5).astype(float), sense="max", instance_shape=shape), num_workers=0
    )
    for show, options in (("map", {}), ("marginals", {"num_samples": 3})):
        axes = layer.plot(torch.rand(2, *shape), show, **options)
        picture(axes)
        assert axes.has_data()


def test_solutions_of_another_shape_than_theta_are_drawn_alone():
    adapter = FunctionAdapter(
        lambda theta: np.eye(3)[theta.argmax()], sense="max", instance_shape=(2, 2), solution_shape=3
    )
    adapter.solve = lambda state, theta: np.eye(4)[theta.argmax(), :3]
    axes = SolverLayer(adapter, num_workers=0).plot(torch.rand(2, 2))
    assert axes.get_ylabel() == "solution"


def test_a_layout_that_is_none_is_an_error():
    adapter = top_k(4, 2)
    adapter.layout = lambda context: "grid"
    with pytest.raises(TypeError, match=r"expected its layout to be one of those of imle_solvers\.layouts"):
        SolverLayer(adapter, num_workers=0).plot(torch.rand(4))


class Named(SolverAdapter):
    """Takes context of the names that `plot` has for its arguments."""

    sense, instance_shape, is_binary = "max", (4,), True
    context = {"instance": (4,), "axes": (), "k": (), "context": ()}

    def solve(self, state, theta, instance=0, axes=0, k=0, context=0):
        return np.eye(4)[int((theta + instance + 0 * (axes + k + context)).argmax())]


def test_context_may_have_the_names_of_arguments():
    layer = SolverLayer(Named(), num_workers=0)
    theta, axes = torch.rand(3, 4), Figure().subplots()
    context = {"instance": torch.eye(4)[:3] * 9, "axes": torch.ones(3), "context": torch.zeros(3)}
    drawn(layer, theta, "map", instance=2, axes=axes, context=context, k=torch.ones(3))
    assert "instance 2 of 3" in axes.get_title().replace("\n", " ")
    other = Figure().subplots()
    without = drawn(layer, theta, "map", instance=2, axes=other, k=torch.ones(3))
    assert not np.array_equal(picture(axes), picture(without))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instance": torch.eye(4)[:3]}, r"instance is an argument of plot's own; .* by context=\{'instance': ...\}"),
        ({"context": torch.zeros(3)}, r"context: expected a mapping from names to arrays, got Tensor; .*context="),
        ({"context": {"k": torch.ones(3)}, "k": torch.ones(3)}, "got 'k' twice, in context= and as a keyword"),
    ],
)
def test_context_of_an_arguments_name_that_is_passed_as_one_is_told(options, message):
    with pytest.raises(TypeError, match=message):
        SolverLayer(Named(), num_workers=0).plot(torch.rand(3, 4), **options)
