"""Encoder and decoder of neural relational inference, as published (Kipf et al., ICML 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Mlp(nn.Module):
    """Two layers with ELU, and batch normalisation over all but the last axis."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Linear(size, hidden), nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden)
        for layer in (self.first, self.second):
            nn.init.xavier_normal_(layer.weight)
            nn.init.constant_(layer.bias, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) to (..., hidden)."""
        x = functional.elu(self.second(functional.elu(self.first(x))))
        normed: Tensor = self.norm(x.flatten(0, -2)).view(x.shape)
        return normed


class Encoder(nn.Module):
    """A score for each ordered pair of particles, by messages over all pairs: the factor-graph MLP.

    Args:
        size: of a particle's track, T * D.
        hidden: units.
    """

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.of_nodes, self.of_pairs = Mlp(size, hidden), Mlp(2 * hidden, hidden)
        self.of_sums, self.of_all = Mlp(hidden, hidden), Mlp(3 * hidden, hidden)
        self.score = nn.Linear(hidden, 1)
        nn.init.xavier_normal_(self.score.weight)
        nn.init.constant_(self.score.bias, 0.1)

    def forward(self, tracks: Tensor) -> Tensor:
        """(B, T, n, D) to (B, n, n), [i, j] the score of j acting on i; the diagonal means nothing."""
        nodes = self.of_nodes(tracks.transpose(1, 2).flatten(2))
        pairs = self.of_pairs(_pairs(nodes))
        others = 1 - torch.eye(nodes.shape[1], device=nodes.device)
        sums = self.of_sums(torch.einsum("ij,bijh->bih", others, pairs) / nodes.shape[1])
        scores: Tensor = self.score(self.of_all(torch.cat([_pairs(sums), pairs], -1))).squeeze(-1)
        return scores


class Decoder(nn.Module):
    """The next step of each particle, from messages of those that act on it: the interaction net.

    What all others do to it, as they repel it in a layout, is a message of its own beside that of edges. Published
    decoders have one message for edges and one for other pairs. That is as much, but knows no sense of edges: with
    latents that know nothing yet both become the mean of the two, and which is which is decided by chance. Here a first
    step gives edges the sense of what all pairs have in common.

    Args:
        size: of a particle's state, D.
        hidden: units.
        background: whether pairs without an edge interact, too.
    """

    def __init__(self, size: int, hidden: int, background: bool) -> None:
        super().__init__()
        kinds = 1 + background
        self.senders = nn.Linear(size, kinds * hidden)
        self.receivers = nn.Linear(size, kinds * hidden, bias=False)
        self.messages = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(kinds))
        self.out = nn.Sequential(
            nn.Linear(size + hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, size),
        )

    def step(self, state: Tensor, influence: Tensor) -> Tensor:
        """The states after (B, S, n, D), by (B, n, n) influence in [0, 1]."""
        hidden = functional.relu(self.receivers(state).unsqueeze(3) + self.senders(state).unsqueeze(2))
        others = (1 - torch.eye(state.shape[2], device=state.device)).expand_as(influence)
        kinds = len(self.messages)
        total = state.new_zeros(*state.shape[:-1], hidden.shape[-1] // kinds)
        for message, part, weight in zip(
            self.messages, hidden.chunk(kinds, -1), (influence, others)[:kinds], strict=True
        ):
            total = total + torch.einsum("bij,bsijh->bsih", weight, functional.relu(message(part)))
        change: Tensor = self.out(torch.cat([state, total], -1))
        return state + change

    def forward(self, tracks: Tensor, influence: Tensor, ahead: int) -> Tensor:
        """Predicts (B, T - 1, n, D), all steps of (B, T, n, D) but the first; every `ahead` steps from true states."""
        state = tracks[:, :-1:ahead]
        predicted = []
        for _ in range(min(ahead, tracks.shape[1] - 1)):
            state = self.step(state, influence)
            predicted.append(state)
        return torch.stack(predicted, 2).flatten(1, 2)[:, : tracks.shape[1] - 1]


def _pairs(nodes: Tensor) -> Tensor:
    """(B, n, h) to (B, n, n, 2 h), [i, j] what j, the sender, and i have."""
    shape = (-1, -1, nodes.shape[1], -1)
    return torch.cat([nodes.unsqueeze(1).expand(-1, nodes.shape[1], -1, -1), nodes.unsqueeze(2).expand(shape)], -1)
