"""Losses that know the solver.

`HammingLoss` and `RegretLoss` are of solutions, and count each instance alike. The others compare theta with a
solution, or with the true theta: each takes theta and targets in the adapter's own sense, (B, *shape), costs or scores,
and solves with the layer's adapter, executor and policy for failures; instances whose solve failed contribute zero. For
users.
"""

from __future__ import annotations

from imle_solvers.losses.fenchel_young import FenchelYoungLoss
from imle_solvers.losses.hamming import HammingLoss
from imle_solvers.losses.regret import RegretLoss
from imle_solvers.losses.score_function import ScoreFunctionLoss
from imle_solvers.losses.spo_plus import SPOPlusLoss

__all__ = ["FenchelYoungLoss", "HammingLoss", "RegretLoss", "SPOPlusLoss", "ScoreFunctionLoss"]
