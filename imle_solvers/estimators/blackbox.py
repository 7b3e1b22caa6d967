"""Differentiation of blackbox solvers (Vlastelica et al., ICLR 2020, arXiv 1912.02175)."""

from __future__ import annotations

from imle_solvers.arguments import explain_arguments, is_finite
from imle_solvers.estimators.imle import IMLE
from imle_solvers.estimators.target import Target


@explain_arguments()
class Blackbox(IMLE):
    """The gradient of a piecewise linear interpolation of the loss (Algorithm 1 of the paper).

    Forward: z = MAP(theta). Backward, in max form: [z - MAP(theta - lam * dL/dz)] / lam, one solve. It is I-MLE
    without noise, divided by its step; samples are all the same, so `num_samples` is best left out.

    Args:
        lam: the length of the interpolation, lambda in the paper, positive.

    Raises:
        ValueError: `lam` not positive and finite.
    """

    def __init__(self, lam: float = 10.0) -> None:
        if not (is_finite(lam) and lam > 0):
            raise ValueError(f"Blackbox: lam must be positive and finite, got {lam!r}")
        super().__init__(noise=None, target=Target(alpha=1.0, beta=lam), scale_gradient=True)

    def extra_repr(self) -> str:
        """The arguments."""
        assert isinstance(self.target, Target)
        return f"lam={self.target.beta}"
