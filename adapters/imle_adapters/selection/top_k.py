"""Choosing k of n."""

from __future__ import annotations

from typing import Any

from imle_adapters.instances import as_mask
from imle_solvers.adapter import Context, ContextShapes, IsBinary, Parallelism, Sense, Shape, SolverAdapter, check_sense
from imle_solvers.arguments import explain_arguments
from imle_solvers.errors import InputError
from imle_solvers.layouts import BarLayout, Layout


@explain_arguments()
class TopKAdapter(SolverAdapter):
    """The k best of n entries, solved in batch on theta's device.

    Theta, (n,), are scores, or costs with `sense="min"`; z, (n,), has exactly k ones, also with ties, where the entry
    of the lower index wins.

    Context:
        k: () whole numbers, the k of each instance in place of the adapter's.
        mask: (n,) bool or 0/1, true for entries that may be chosen, false for padding.

    Args:
        n: number of entries, at least 1.
        k: how many to choose, 0 to n.
        sense: "max" (theta are scores) or "min" (costs).

    Raises:
        ValueError: `n`, `k` or `sense` out of range. `InputError` when solving: an instance with a k that is not whole
            or below 0, or above the number of entries that may be chosen, or with other values in its mask.
    """

    parallelism = Parallelism.DEVICE
    is_binary: IsBinary = True
    exclusion: str | None = "mask=..., false where an entry may not be chosen"

    def __init__(self, n: int, k: int, sense: Sense = "max") -> None:
        check_sense(sense, "TopKAdapter")
        if n < 1 or n != int(n):
            raise ValueError(f"TopKAdapter: n must be a whole number of at least 1, got {n}")
        if not 0 <= k <= n or k != int(k):
            raise ValueError(f"TopKAdapter: k must be a whole number from 0 to n={n}, got {k}")
        self.n: int = int(n)
        self.k: int = int(k)
        self.sense: Sense = sense
        self.instance_shape: Shape = (self.n,)
        self.context: ContextShapes = {"k": (), "mask": (self.n,)}
        self.num_ones: float | None = float(k)

    def description(self) -> dict[str, Any]:
        return {"name": "top_k", "kwargs": {"n": self.n, "k": self.k, "sense": self.sense}}

    def layout(self, context: Context) -> Layout:
        """A bar for each entry, with those that the mask rules out."""
        return BarLayout(hidden=1 - context["mask"] if "mask" in context else None)

    def solve_tensors(self, thetas: Any, context: Context) -> Any:
        k, mask = context.get("k"), context.get("mask")
        scores = thetas if self.sense == "max" else -thetas
        if k is None and mask is None:
            # A stable sort, since topk breaks ties as it likes, differently on every device.
            chosen = scores.sort(dim=-1, descending=True, stable=True).indices[:, : self.k]
            return scores.new_zeros(scores.shape).scatter_(-1, chosen, 1.0)
        if k is None:
            k = scores.new_full((len(scores),), self.k)
        elif not k.is_floating_point():
            k = k.long()  # a narrow type may not hold n
        if mask is not None:
            mask = as_mask(mask, "mask", self)
            scores = scores.masked_fill(~mask, -float("inf"))
        _check_k(k, mask, self.n)
        order = scores.sort(dim=-1, descending=True, stable=True).indices
        ranks = order.argsort(dim=-1)
        return (ranks < k.unsqueeze(-1)).to(scores.dtype)

    def __repr__(self) -> str:
        return f"TopKAdapter(n={self.n}, k={self.k}, sense={self.sense!r})"


def _check_k(k: Any, mask: Any, n: int) -> None:
    available = k.new_full(k.shape, n) if mask is None else mask.sum(-1)
    bad = (k < 0) | (k > available) | (k != k.round())
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise InputError(
            f"k must be a whole number from 0 to the number of entries that may be chosen, {int(available[row])}; got "
            f"k={k[row].item():g}" + ("" if mask is None else "; give a smaller k for such instances, or a wider mask"),
            row,
        )
