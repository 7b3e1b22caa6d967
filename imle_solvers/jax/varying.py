"""Over which axes of a mesh arrays vary, inside `shard_map`: callbacks forget it, and gradients would be wrong."""

from __future__ import annotations

from typing import Any

import jax


def axes_of(tree: Any) -> frozenset[str]:
    """All axes that any of the arrays varies over."""
    return frozenset().union(*(_axes(leaf) for leaf in jax.tree.leaves(tree)))


def varying(tree: Any, axes: frozenset[str]) -> Any:
    """The same arrays, varying over all of these axes."""

    def cast(leaf: Any) -> Any:
        missing = tuple(sorted(axes - _axes(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast, tree)


def _axes(leaf: Any) -> frozenset[str]:
    kind = jax.typeof(leaf)
    manual = getattr(kind, "manual_axis_type", None)  # vma is its name in older versions
    axes: frozenset[str] = kind.vma if manual is None else manual.varying
    return axes
