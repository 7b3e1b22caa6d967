"""The networks of the Warcraft example."""

import pytest
import torch

from examples.warcraft.model import PlainModel, SolverModel


def test_the_network_has_the_layers_of_a_resnet18():
    plain = PlainModel(12)
    convolutions = [module for module in plain.network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 20  # 17 and the 3 of shortcuts
    assert (
        sum(parameter.numel() for parameter in plain.network.parameters()) == 11_176_512
    )  # torchvision's, without head


@pytest.mark.parametrize("size", [12, 30])
def test_evaluation_does_not_depend_on_the_batch(size):
    torch.manual_seed(0)
    network = SolverModel(size, samples=1, beta=1.0, temperature=0.1, workers=0, seed=0)
    images = torch.rand(3, 3, 8 * size, 8 * size)
    network.train()
    network.costs(images)  # moves the running means
    network.eval()
    with torch.no_grad():
        costs, paths = network.costs(images), network(images)
        assert costs.shape == paths.shape == (3, size, size)
        assert (costs >= 0).all()
        torch.testing.assert_close(network.costs(images[:1]), costs[:1])
        assert torch.equal(network(images), paths)
