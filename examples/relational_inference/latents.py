"""Latent interactions: trees, rooted trees, the best edges, drawn by a solver layer; or relaxed edges, by none."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, permutations

import torch
from torch import Tensor, nn
from torch.nn import functional

from imle_adapters import MaxArborescenceAdapter, MaxSpanningTreeAdapter, TopKAdapter
from imle_solvers import AIMLE, IMLE, Estimator, Gumbel, SolverAdapter, SolverLayer, StraightThrough, Target

METHODS = ("imle", "aimle", "aimle-central", "ste", "rooted", "top-k", "relaxed")
"""Spanning trees by four estimators; rooted trees, best edges, by central AIMLE; relaxed edges, by no solver."""

TEMPERATURE = 1.0  # of the noise, which is that of the prior

CONCRETE = 0.5  # temperature of relaxed edges (Kipf et al., ICML 2018)


class Solved(nn.Module):
    """A structure of greatest score under Gumbel noise, whose prior has scores of zero.

    Args:
        adapter: its solver; theta has an entry for each pair.
        pairs: (sender, receiver), which act on each other unless `directed`.
        estimator: of the layer.
        nodes: n.
        directed: whether pairs are scored in one direction.
        both: whether what is chosen acts both ways.
    """

    def __init__(
        self,
        adapter: SolverAdapter,
        pairs: list[tuple[int, int]],
        estimator: Estimator,
        nodes: int,
        *,
        directed: bool,
        both: bool,
    ) -> None:
        super().__init__()
        self.layer = SolverLayer(adapter, estimator=estimator, num_workers=0)
        self.nodes, self.directed, self.both = nodes, directed, both
        senders, receivers = torch.tensor(pairs).T
        self.register_buffer("there", receivers * nodes + senders, persistent=False)
        self.register_buffer("back", senders * nodes + receivers, persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """A sample of the influence, (B, n, n), for scores (B, n, n)."""
        return self._influence(self.layer.sample(self.theta(scores), 1)[:, 0])

    def mode(self, scores: Tensor) -> Tensor:
        """The influence of greatest score."""
        return self._influence(self.layer.map(self.theta(scores)))

    def divergence(self, scores: Tensor) -> Tensor:
        """(B,), KL of the noisy scores and the prior's: u + exp(-u) - 1, summed over entries of theta."""
        u = self.theta(scores) / TEMPERATURE
        return (u + torch.exp(-u) - 1).sum(1)

    def theta(self, scores: Tensor) -> Tensor:
        """(B, E): of undirected pairs, the mean of both directions."""
        flat = scores.flatten(1)
        there: Tensor = flat[:, self.there]  # type: ignore[index]
        return there if self.directed else (there + flat[:, self.back]) / 2  # type: ignore[index]

    def _influence(self, z: Tensor) -> Tensor:
        flat = z.new_zeros(len(z), self.nodes**2).index_add(1, self.there, z)  # type: ignore[arg-type]
        influence = flat.view(-1, self.nodes, self.nodes)
        return influence + influence.transpose(1, 2) if self.both else influence


class Relaxed(nn.Module):
    """Each edge for itself, a binary concrete variable in training: neural relational inference as first published.

    Args:
        nodes: n.
        both: whether an edge acts both ways.
    """

    def __init__(self, nodes: int, *, both: bool) -> None:
        super().__init__()
        self.both = both
        self.prior = math.log(2 / nodes / (1 - 2 / nodes)) if both else -math.log(nodes - 1)  # a tree's edges
        self.register_buffer("others", 1 - torch.eye(nodes), persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """A sample of the influence, (B, n, n): in training between 0 and 1."""
        uniform = torch.rand_like(scores).clamp(1e-6, 1 - 1e-6)
        if self.both:
            uniform = uniform.triu(1) + uniform.triu(1).transpose(1, 2) + torch.eye(scores.shape[1]).to(scores) / 2
        drawn = self._logits(scores) + torch.log(uniform) - torch.log1p(-uniform)
        soft = torch.sigmoid(drawn / CONCRETE) if self.training else (drawn > 0).to(scores)
        return soft * self.others  # type: ignore[operator]

    def mode(self, scores: Tensor) -> Tensor:
        """The edges that are more likely than not."""
        return (self._logits(scores) > 0) * self.others  # type: ignore[operator]

    def divergence(self, scores: Tensor) -> Tensor:
        """(B,), KL of the edges and the prior's."""
        logits = self._logits(scores)
        on, off = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        prior = torch.tensor(self.prior).to(scores)
        each = on.exp() * (on - functional.logsigmoid(prior)) + off.exp() * (off - functional.logsigmoid(-prior))
        return (each * self.others).sum((1, 2)) / (1 + self.both)  # type: ignore[operator]

    def _logits(self, scores: Tensor) -> Tensor:
        return self.prior + ((scores + scores.transpose(1, 2)) / 2 if self.both else scores)


def make_latent(method: str, nodes: int, *, directed: bool, step: float) -> Solved | Relaxed:
    """The latent of a method.

    Args:
        method: one of `METHODS`.
        nodes: n.
        directed: whether interactions of the data are; what is undirected acts both ways even so.
        step: lambda of I-MLE.
    """
    if method == "relaxed":
        return Relaxed(nodes, both=not directed)
    undirected, ordered = list(combinations(range(nodes), 2)), list(permutations(range(nodes), 2))
    estimator = ESTIMATORS.get(method, ESTIMATORS["aimle-central"])(step)
    if method == "rooted":
        adapter = MaxArborescenceAdapter.from_edges(ordered, nodes=range(nodes))
        return Solved(adapter, ordered, estimator, nodes, directed=True, both=not directed)
    if method == "top-k" and directed:
        return Solved(TopKAdapter(len(ordered), nodes - 1), ordered, estimator, nodes, directed=True, both=False)
    if method == "top-k":
        return Solved(TopKAdapter(len(undirected), nodes - 1), undirected, estimator, nodes, directed=False, both=True)
    tree = MaxSpanningTreeAdapter.from_edges(undirected, nodes=range(nodes))
    return Solved(tree, undirected, estimator, nodes, directed=False, both=True)


ESTIMATORS: dict[str, Callable[[float], Estimator]] = {
    "imle": lambda step: IMLE(Gumbel(), Target(beta=step), input_noise_temperature=TEMPERATURE, scale_gradient=True),
    "aimle": lambda _: AIMLE(Gumbel(), initial_beta=0.5, step=1e-3, input_noise_temperature=TEMPERATURE),
    "aimle-central": lambda _: AIMLE(
        Gumbel(), symmetric=True, initial_beta=0.5, step=1e-3, input_noise_temperature=TEMPERATURE
    ),
    "ste": lambda _: StraightThrough(Gumbel(), noise_temperature=TEMPERATURE),
}
"""All have gradients in the loss's unit, as its other part, the divergence, has."""
