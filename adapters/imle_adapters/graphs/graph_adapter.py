"""What adapters on a graph have in common: names of nodes and edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_adapters.graphs.network import Network
from imle_solvers.adapter import Context, SolverAdapter
from imle_solvers.layouts import Layout


class GraphAdapter(SolverAdapter):
    """An adapter of which theta is (E,), a number for each edge of a network.

    Attributes:
        network: the graph.
    """

    network: Network

    @property
    def nodes(self) -> list[Any]:
        """The graph's nodes; (row, column), row by row, for grids."""
        return self.network.nodes

    @property
    def edges(self) -> list[Any]:
        """The graph's edges in theta's order, (u, v), or (u, v, key) for multigraphs."""
        return self.network.edges

    def theta_of(self, values: Mapping[Any, Any]) -> NDArray[np.float64]:
        """(E,) costs or scores that are named by their edge, `{(u, v): cost}`, in theta's order.

        Raises:
            TypeError: no mapping.
            ValueError: an edge that the graph lacks, or that has two values, or none.
        """
        return self.network.theta_of(values)

    def layout(self, context: Context) -> Layout:
        """The graph, without what this instance's context blocks."""
        return self.network.layout(hidden=self._hidden(context))

    def _hidden(self, context: Context) -> NDArray[np.bool_] | None:
        """(E,) the edges that `blocked_edges` and `blocked_nodes` rule out; None where there is neither."""
        hidden = None
        if "blocked_edges" in context:
            hidden = np.asarray(context["blocked_edges"]) != 0
        if "blocked_nodes" in context:
            absent = np.asarray(context["blocked_nodes"]) != 0
            touched = absent[self.network.tails] | absent[self.network.heads]
            hidden = touched if hidden is None else hidden | touched
        return hidden
