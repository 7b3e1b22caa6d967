"""Context of instances on graphs, checked: nodes given by their index, masks of nodes and edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_adapters.graphs.network import Network
from imle_adapters.instances import as_mask
from imle_solvers.adapter import Context, Shape
from imle_solvers.errors import InputError


def node_indices(given: Any, name: str, rows: int, nodes: int, adapter: object) -> NDArray[np.int64]:
    """(rows,) indices of nodes.

    Raises:
        ValueError: another shape.
        InputError: a number that is not the index of one of so many nodes.
    """
    given = np.asarray(given)
    if given.shape != (rows,):
        raise ValueError(f"{adapter!r}: expected {name} of shape {(rows,)}, one node an instance, got {given.shape}")
    with np.errstate(invalid="ignore"):
        index: NDArray[np.int64] = given.astype(np.int64)
    wrong = (index != given) | (index < 0) | (index >= nodes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{adapter!r}: expected {name} to be an index into the adapter's nodes, a whole number "
            f"from 0 to {nodes - 1}, got {given[row]}; look it up with adapter.nodes.index(node)",
            row,
        )
    return index


def mask_rows(given: Any, name: str, rows: int, shape: Shape, adapter: object) -> NDArray[np.bool_]:
    """(rows, entries) of a mask of (rows, *shape).

    Raises:
        ValueError: another shape.
        InputError: other values than zeros and ones.
    """
    given = np.asarray(given)
    if given.shape != (rows, *shape):
        raise ValueError(f"{adapter!r}: expected {name} of shape {(rows, *shape)}, got {given.shape}")
    mask: NDArray[np.bool_] = np.ascontiguousarray(as_mask(given, name, adapter).reshape(rows, -1))
    return mask


def blocked_rows(
    context: Context, rows: int, network: Network, adapter: object
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What `blocked_edges` and `blocked_nodes` of a context leave out.

    Returns:
        (rows, E) the edges that may not be used, or (0, E) where all may; (rows, nodes) the nodes that are not there,
        or (0, nodes) where all are.

    Raises:
        ValueError: another shape.
        InputError: other values than zeros and ones, or no node left.
    """
    edges, nodes = len(network.tails), len(network.nodes)
    blocked, absent = np.zeros((0, edges), dtype=bool), np.zeros((0, nodes), dtype=bool)
    if "blocked_edges" in context:
        blocked = mask_rows(context["blocked_edges"], "blocked_edges", rows, (edges,), adapter)
    if "blocked_nodes" in context:
        absent = mask_rows(context["blocked_nodes"], "blocked_nodes", rows, (nodes,), adapter)
        empty = absent.all(axis=1)
        if empty.any():
            raise InputError(
                f"{adapter!r}: expected blocked_nodes to leave a node, got one that blocks all {nodes}; leave the "
                "instance out of the batch",
                int(np.argmax(empty)),
            )
        # Not absent[:, tails], whose order of memory a kernel would be compiled for once more.
        touched = absent.take(network.tails, axis=1) | absent.take(network.heads, axis=1)
        blocked = touched | blocked if len(blocked) else touched
    return blocked, absent


def refuse_blocked(
    blocked: NDArray[np.bool_], name: str, chosen: NDArray[np.int64], nodes: list[Any], adapter: object
) -> None:
    """Raises `InputError` for the first row whose mask (rows, nodes) blocks the node (rows,) that is called this."""
    wrong = blocked[np.arange(len(chosen)), chosen]
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{adapter!r}: expected a mask that leaves the {name} open, got one that blocks "
            f"{nodes[chosen[row]]!r}; clear it in the mask, or choose another {name}",
            row,
        )
