"""The tangent of a network is its Jacobian, and its transpose."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, jvp

from imle_solvers.calibration.tangent import Tangent


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3), nn.Softplus()).double()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_it_pushes_moves_of_parameters_as_forward_differentiation_does():
    net, x = network(), torch.randn(5, 4, dtype=torch.float64)
    tangent = Tangent(net(x))
    moves = {name: torch.randn_like(parameter) for name, parameter in net.named_parameters()}
    names = {parameter: name for name, parameter in net.named_parameters()}
    _, expected = jvp(
        lambda parameters: functional_call(net, parameters, (x,)), (dict(net.named_parameters()),), (moves,)
    )
    assert torch.allclose(tangent.push(tuple(moves[names[leaf]] for leaf in tangent.leaves)), expected.detach())


def test_pulling_is_the_transpose_of_pushing():
    tangent = Tangent(network()(torch.randn(5, 4, dtype=torch.float64)))
    moves = tuple(torch.randn_like(leaf) for leaf in tangent.leaves)
    gradient = torch.randn(5, 3, dtype=torch.float64)
    pulled = sum((one * other).sum() for one, other in zip(tangent.pull(gradient), moves, strict=True))
    assert torch.allclose((gradient * tangent.push(moves)).sum(), pulled)


def test_a_parameter_that_is_theta_moves_as_it_is_told():
    gradient = torch.randn(5, 3)
    tangent = Tangent(torch.zeros(5, 3, requires_grad=True))
    assert torch.equal(tangent.push(tangent.pull(gradient)), gradient)


def test_one_theta_for_all_instances_moves_by_the_sum_of_their_gradients():
    gradient = torch.randn(5, 3)
    tangent = Tangent(nn.Parameter(torch.zeros(3)).expand(5, 3))
    assert torch.allclose(tangent.push(tangent.pull(gradient)), gradient.sum(0).expand(5, 3))


def test_parameters_that_theta_does_not_depend_on_stay():
    used, unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    theta = (used + torch.where(torch.zeros(3, dtype=torch.bool), unused, torch.zeros(3))).expand(2, 3)
    assert torch.equal(Tangent(theta).push(Tangent(theta).pull(torch.ones(2, 3))), torch.full((2, 3), 2.0))


def test_theta_without_a_graph_is_refused():
    with pytest.raises(ValueError, match="theta: expected it as the network has made it"):
        Tangent(torch.zeros(5, 3))


def test_theta_that_cannot_be_differentiated_twice_is_refused():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return 2 * gradient

    theta = torch.zeros(5, 3, requires_grad=True)
    for made in (Once.apply(theta), Once.apply(theta) + theta, Once.apply(theta.tanh())):
        with pytest.raises(ValueError, match="theta: cannot be differentiated twice .*sdpa_kernel"):
            Tangent(made)
