"""What every gradient estimator is, and the one autograd function they share.

Estimators see max form only: scores whose inner product with the solution is maximised. The layer turns costs
around before, and the gradient after.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Generator, Tensor, nn

from imle_solvers.noise.distributions import Noise
from imle_solvers.noise.ranks import generator_of_rank
from imle_solvers.pytorch.transforms import once_differentiable


@dataclass(frozen=True)
class Solved:
    """What solving a batch gave.

    Attributes:
        values: (B, M, *solution_shape), zero where a solve failed and the layer was told to go on.
        ok: (B, M) bool, False where it failed; None where all went well.
        owned: whether nobody else needs the values, so that they may be overwritten.
    """

    values: Tensor
    ok: Tensor | None
    owned: bool = False

    def split(self, size: int, dim: int = 1) -> list[Solved]:
        """Parts of that many draws each, for solves that were fused into one batch; or, with `dim=0`, instances."""
        parts = self.values.split(size, dim)
        oks = [None] * len(parts) if self.ok is None else self.ok.split(size, dim)
        return [Solved(values, ok) for values, ok in zip(parts, oks, strict=True)]

    def repeat(self, times: int) -> Solved:
        """The same so many times over, for solves that are to be fused."""
        ok = None if self.ok is None else torch.cat([self.ok] * times, dim=1)
        return Solved(torch.cat([self.values] * times, dim=1), ok)


class Solve(Protocol):
    """MAP states for scores in max form. Context and failures are dealt with inside.

    Attributes:
        num_ones: about how many ones a solution has, None where that is unknown.
        binary: whether solutions have entries of zero and one only.
        sign: 1 where theta are scores, which are maximised, -1 where they are costs.
    """

    num_ones: float | None
    binary: bool
    sign: int

    def __call__(
        self,
        scores: Tensor,
        *,
        needed: Tensor | None = None,
        owned: bool = False,
        skip_nonfinite: bool = False,
    ) -> Solved:
        """Solves (B, M, *instance_shape): M problems for each of the B instances.

        With `owned`, nobody else needs the scores and they may be overwritten, which saves a copy of them all.

        With `needed`, (B, M) bool, only those where it is true are solved; the others have solutions of zero.

        Scores that are not finite are an error, or, with `skip_nonfinite`, have solutions of NaN. Those of a backward
        pass are made of a downstream gradient, which may overflow. Its NaN must reach the optimiser, or the gradient
        scaler that skips such steps, and must not reach other instances.
        """
        ...


class Watch(Protocol):
    """Is shown the backward pass, for diagnostics."""

    def downstream(self, dz: Tensor) -> None:
        """Before it: dL/dz, (B, M, *solution_shape)."""
        ...

    def finish(self, gradient: Tensor) -> None:
        """After it: dL/dscores, (B, *instance_shape)."""
        ...


@dataclass(frozen=True)
class Sampling:
    """How the forward pass draws.

    Attributes:
        num_samples: S, the samples of each instance.
        group: M; each sample is the mean of M draws. The downstream gradient of a mean goes to each of its draws
            unscaled, since dividing it by M would shrink the target's step by M.
        average: False returns the S * M draws themselves.
        perturb: whether there is noise at all.
        generator: where noise comes from, by way of `noise`; None: torch's default generator.
        rank: whose noise this is under `torch.distributed`, see `generator_of_rank`; None: this process's own.
        watch: who is shown the backward pass; None: nobody.
    """

    num_samples: int = 1
    group: int = 1
    average: bool = True
    perturb: bool = True
    generator: Generator | None = None
    rank: int | None = None
    watch: Watch | None = None

    @property
    def draws(self) -> int:
        """S * M, how often each instance is solved."""
        return self.num_samples * self.group

    def noise(self, distribution: Noise, scores: Tensor) -> Tensor:
        """Draws the noise of all draws.

        Args:
            distribution: of the noise.
            scores: (B, *instance_shape).

        Returns:
            (B, S * M, *instance_shape), of the dtype of scores and on their device.

        Raises:
            ValueError: the distribution gives another shape.
        """
        shape = (scores.shape[0], self.draws, *scores.shape[1:])
        generator = generator_of_rank(self.generator, scores.device, self.rank)
        noise = distribution.sample(shape, generator=generator, device=scores.device, dtype=scores.dtype)
        if noise.shape != shape:
            raise ValueError(f"{distribution!r}: expected noise of shape {shape}, got {tuple(noise.shape)}")
        return noise.to(scores)


Saved = tuple[Any, ...]
"""Tensors, or None in their place, that `draw` leaves for `gradient`."""

SCORES = "scores"
"""Stands for the scores among what `draw` leaves: they are made of theta again, and take no memory until then."""


class Estimator(nn.Module):
    """A way to solve forward and to estimate the gradient backward.

    A subclass overrides `draw` and `gradient`, in tensor maths on the given `solve`. What it adapts in training
    belongs in buffers. It never scales what `gradient` returns by the incoming gradient: that is an argument.

    Attributes:
        num_marginal_samples: M, of how many draws each sample is the mean; 1, unless set.
    """

    num_marginal_samples: int = 1

    def draw(self, scores: Tensor, solve: Solve, sampling: Sampling) -> tuple[Solved, Saved]:
        """Solves forward.

        Args:
            scores: (B, *instance_shape), float32 or float64.
            solve: the solver.
            sampling: S * M draws an instance.

        Returns:
            The solutions, (B, S * M, *solution_shape), and the tensors that `gradient` needs, `SCORES` for the scores.
        """
        raise NotImplementedError

    def gradient(self, saved: Saved, dz: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        """Estimates dL/dscores, (B, *instance_shape).

        Args:
            saved: what `draw` returned, with the scores in place of `SCORES`. Nobody else holds on to it, unless the
                graph is retained.
            dz: (B, S * M, *solution_shape), dL/dz of every draw; that of a mean of M draws comes to each unscaled.
            solve: the solver.
            sampling: how it was drawn.
        """
        raise NotImplementedError

    def check_shapes(self, instance_shape: tuple[int, ...], solution_shape: tuple[int, ...]) -> None:
        """Raises `ValueError` where this estimator cannot differentiate a solver of these shapes."""

    if TYPE_CHECKING:  # nn.Module says Any

        def __call__(self, theta: Tensor, solve: Solve, sampling: Sampling) -> Tensor: ...

    def forward(self, theta: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        """Samples of solutions, (B, S, *solution_shape), differentiable in theta, (B, *instance_shape)."""
        samples: Tensor = _Estimate.apply(theta, self, solve, self._grouped(sampling))  # type: ignore[no-untyped-call]
        return samples

    @torch.no_grad()
    def pull_back(self, theta: Tensor, dz: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        """dL/dtheta of a forward pass of which nothing was kept: it is run again, with the same noise.

        Args:
            theta: (B, *instance_shape).
            dz: (B, S, *solution_shape), the gradient in what `forward` returned.
            solve: first gives the solutions that the forward pass had, without solving.
            sampling: with a generator in the state that the forward pass found it in.
        """
        sampling = self._grouped(sampling)
        scores = _turned(theta, solve)
        _, saved = self.draw(scores, solve, sampling)
        saved = tuple(scores if tensor is SCORES else tensor for tensor in saved)
        dz = _to_draws(dz, sampling)
        if sampling.watch is not None:
            sampling.watch.downstream(dz)
        gradient = self.gradient(saved, dz, solve, sampling)
        if sampling.watch is not None:
            sampling.watch.finish(gradient)
        return _turned(gradient, solve)

    def _grouped(self, sampling: Sampling) -> Sampling:
        """Each sample is the mean of so many draws more."""
        if sampling.perturb and self.num_marginal_samples > 1:
            return replace(sampling, group=sampling.group * self.num_marginal_samples)
        return sampling


class _Estimate(torch.autograd.Function):
    # It turns the sense itself. Done outside, by an operation that autograd records, that takes a tenth of a pass.

    @staticmethod
    def forward(ctx: Any, theta: Tensor, estimator: Estimator, solve: Solve, sampling: Sampling) -> Tensor:
        solved, saved = estimator.draw(_turned(theta, solve), solve, sampling)
        ctx.save_for_backward(*(theta if tensor is SCORES else tensor for tensor in saved))
        ctx.of_theta = [tensor is SCORES for tensor in saved]
        ctx.estimator, ctx.solve, ctx.sampling = estimator, solve, sampling
        if sampling.group == 1 or not sampling.average:
            return solved.values
        groups: Tensor = solved.values.unflatten(1, (sampling.num_samples, sampling.group))
        return groups.mean(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dz: Tensor) -> tuple[Tensor, None, None, None]:
        dz = _to_draws(dz, ctx.sampling)
        watch = ctx.sampling.watch
        if watch is not None:
            watch.downstream(dz)
        gradient = ctx.estimator.gradient(_take_saved(ctx), dz, ctx.solve, ctx.sampling)
        if watch is not None:
            watch.finish(gradient)
        return _turned(gradient, ctx.solve), None, None, None


def _turned(theta: Tensor, solve: Solve) -> Tensor:
    """Between theta's sense and max form."""
    return -theta if solve.sign < 0 else theta


def _to_draws(dz: Tensor, sampling: Sampling) -> Tensor:
    """The gradient in samples -> that in their draws."""
    return dz.repeat_interleave(sampling.group, dim=1) if sampling.group > 1 and sampling.average else dz


def _take_saved(ctx: Any) -> Saved:
    tensors = zip(ctx.saved_tensors, ctx.of_theta, strict=True)
    saved = tuple([_turned(tensor, ctx.solve) if of_theta else tensor for tensor, of_theta in tensors])
    # Unless the graph is retained, so that an estimator can let go of each tensor once it has used it. Older versions
    # of PyTorch do it after the backward pass only.
    getattr(ctx, "maybe_clear_saved_tensors", int)()
    return saved
