"""The layer: a combinatorial solver as an `nn.Module`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, get_args

import torch
from torch import Generator, Tensor, nn

from imle_solvers.adapter import Parallelism, SolverAdapter
from imle_solvers.arguments import explain_arguments
from imle_solvers.contract import check_adapter_attributes
from imle_solvers.errors import ClosedError
from imle_solvers.estimators import IMLE, Estimator
from imle_solvers.estimators.base import Sampling
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP
from imle_solvers.executors.base import Executor
from imle_solvers.executors.by_name import make_executor
from imle_solvers.executors.serial import SerialExecutor
from imle_solvers.noise.distributions import resolve_noise
from imle_solvers.picture import Show, check_options, merged_context, picture_of
from imle_solvers.pytorch.graph_break import graph_break
from imle_solvers.solving.batch_solver import BatchSolver, OnFailure
from imle_solvers.solving.clamping import Clamping
from imle_solvers.solving.context import prepare_context
from imle_solvers.solving.diagnostics import Diagnostics
from imle_solvers.solving.observation import Observation
from imle_solvers.solving.stats import Stats
from imle_solvers.solving.theta import is_single

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@explain_arguments()
class SolverLayer(nn.Module):
    """Solves one problem for each theta of a batch, and differentiates the solutions with respect to theta.

    In training mode theta is perturbed and solutions are samples; in evaluation mode solutions are the MAP states, of
    the same shape. Theta is (B, *instance_shape), or one (*instance_shape), of any floating dtype on any device;
    solutions come back in the same dtype on the same device. Half precision is computed in float32.

    Context, as keyword arguments, goes to the adapter with each instance in both solves: arrays or tensors with a
    leading axis of B (without it for a single theta), under the names that the adapter declares. Where it declares
    their shape, too, they hold for all instances if that axis is left out.

    Args:
        adapter: the solver.
        estimator: how gradients are estimated; None: `IMLE()`, whose noise suits the adapter.
        num_samples: S, samples for each theta. None: one, and solutions are (B, *solution_shape). An int:
            (B, S, *solution_shape), also for 1.
        executor: where solves run: "serial", "threads", "processes", or an Executor, which other layers may share
            and which this layer never closes. None or "auto": in-process, in threads or in processes, whichever is
            fastest for the adapter and the size of the batch, see `AutoExecutor`.
        num_workers: how many solves run side by side, 0 in-process; None: the CPUs that this process may use.
        on_failure: what happens to instances that do not end OPTIMAL. "raise": `SolveError`. "zero_grad": the
            solution is zero and gives zero gradient. "keep": FEASIBLE solutions are used as they are, the rest raise.
            `stats()` counts them in any case.
        generator: where noise is drawn from; its state is part of the layer's state_dict. None: torch's default, the
            only one that `torch.utils.checkpoint` sets back before it repeats a forward pass. The processes of
            `torch.distributed` draw noise of their own, also where their generators have the same seed.

    Attributes:
        on_progress: None, or a function that is called as `on_progress(solved, N)` each time that a part of a batch of
            N solves is done, for progress bars over long ones.
        noise_rank: None, or a number that takes the place of this process's rank in its noise. Processes that hold the
            same theta, as in tensor parallelism, draw the same noise if they set the same number.

    Raises:
        TypeError, ValueError: an argument that cannot work, saying what is expected.
        AdapterError: solves are to run in other processes, to which the adapter cannot be sent. Where the layer
            chooses, it solves in-process, with a warning.
    """

    def __init__(
        self,
        adapter: SolverAdapter,
        *,
        estimator: Estimator | None = None,
        num_samples: int | None = None,
        executor: str | Executor | None = None,
        num_workers: int | None = None,
        on_failure: OnFailure = "raise",
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        check_adapter_attributes(adapter)
        if estimator is not None and not isinstance(estimator, Estimator):
            raise TypeError(f"estimator: expected an Estimator such as IMLE(), got {estimator!r}")
        if on_failure not in get_args(OnFailure):
            raise ValueError(f"on_failure: expected one of {', '.join(get_args(OnFailure))}, got {on_failure!r}")
        if generator is not None and not isinstance(generator, Generator):
            seed = generator if isinstance(generator, int) else 0
            raise TypeError(
                f"generator: expected a torch.Generator, got {generator!r}; make one by "
                f"torch.Generator().manual_seed({seed})"
            )
        if num_samples is not None:
            _check_num_samples(num_samples)
        self.adapter = adapter
        self.estimator: Estimator = IMLE() if estimator is None else estimator
        self.num_samples = num_samples
        self.on_failure: OnFailure = on_failure
        self.generator = generator
        self._owns_executor = not isinstance(executor, Executor)
        self._executor = _choose_executor(adapter, executor, num_workers)
        if adapter.parallelism is not Parallelism.DEVICE:
            self._executor.check(adapter)
        self._stats = Stats()
        self._diagnostics = Diagnostics()
        self._clamping: Clamping | None = Clamping()
        self._on_progress: Callable[[int, int], None] | None = None
        self.noise_rank: int | None = None
        if self._owns_executor and executor == "processes":
            self._executor.prepare(adapter)

    @property
    def on_progress(self) -> Callable[[int, int], None] | None:
        """What is called as parts of a batch are done, see the class."""
        return self._on_progress

    @on_progress.setter
    def on_progress(self, function: Callable[[int, int], None] | None) -> None:
        if function is not None and not callable(function):
            raise TypeError(f"on_progress: expected a function of (solved, N), or None, got {function!r}")
        self._on_progress = function

    if TYPE_CHECKING:  # nn.Module says Any

        def __call__(self, theta: Tensor, **context: Any) -> Tensor: ...

    def forward(self, theta: Tensor, **context: Any) -> Tensor:
        """Samples in training mode, MAP states in evaluation mode.

        Args:
            theta: (B, *instance_shape) or (*instance_shape), finite, in natural units (costs or scores).
            **context: per-instance arrays.

        Returns:
            (B, *solution_shape), or (B, S, *solution_shape) with `num_samples=S`; without B for a single theta.

        Raises:
            TypeError, ValueError: theta or context is not what the adapter takes, before any work.
            SolveError: an instance failed and `on_failure` does not accept it.
            AdapterError: the solver raised or returned nonsense.
            ClosedError: after `close()`.
        """
        if self.training:
            return self._draw(theta, context, self.num_samples, trains=True)
        solution = self.map(theta, **context)
        if self.num_samples is None:
            return solution
        axis = solution.ndim - len(self.adapter.solution_shape)
        return solution.unsqueeze(axis).expand(*solution.shape[:axis], self.num_samples, *self.adapter.solution_shape)

    def map(self, theta: Tensor, **context: Any) -> Tensor:
        """MAP states, without noise: (B, *solution_shape). Differentiable, by the estimator without noise."""
        return self._draw(theta, context, None, perturb=False)

    def sample(self, theta: Tensor, num_samples: int, **context: Any) -> Tensor:
        """Differentiable samples, (B, num_samples, *solution_shape), in training and evaluation mode."""
        _check_num_samples(num_samples)
        return self._draw(theta, context, num_samples)

    def marginals(self, theta: Tensor, num_samples: int, **context: Any) -> Tensor:
        """The mean of samples, (B, *solution_shape), in training and evaluation mode.

        Differentiable: the downstream gradient goes to each sample unscaled, so that the estimator's step does not
        depend on their number.
        """
        _check_num_samples(num_samples)
        return self._draw(theta, context, None, group=num_samples)

    def plot(
        self,
        theta: Tensor,
        show: Show = "map",
        *,
        instance: int = 0,
        num_samples: int = 100,
        loss: Callable[[Tensor], Tensor] | None = None,
        axes: Axes | None = None,
        context: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Axes:
        """Draws one instance, as the adapter lays it out, see `imle_solvers.viz`. Needs the extra `plot`.

        Of the layer nothing changes: noise is that of a generator of the picture's own, the same each time; neither
        `stats()` nor what the estimator adapts sees the solves.

        Args:
            theta: (B, *instance_shape) or (*instance_shape).
            show: "map", theta and its MAP state; "sample", theta and a sample; "marginals", the mean of samples;
                "gradient", that of the loss with respect to theta.
            instance: which one of a batch; the title says so.
            num_samples: of which marginals are the mean.
            loss: for "gradient": from solutions as `forward` returns them in training mode, those of the whole batch,
                to a number.
            axes: where to draw; None: in a figure of its own, `axes.figure`.
            context: per-instance arrays by name, for names that are those of arguments here.
            **more: per-instance arrays.

        Returns:
            The axes.

        Raises:
            ImportError: matplotlib is not installed.
            TypeError, ValueError: theta or context is not what the adapter takes; an unknown `show`; no loss, or one
                without need.
            IndexError: there is no such instance.
            SolveError, AdapterError, ClosedError: see `forward`.
        """
        given = merged_context(context, more)
        options = {"show": show, "instance": instance, "num_samples": num_samples, "loss": loss, "axes": axes}
        check_options(options, self.adapter)
        return picture_of(self.beside(), theta, given, show, instance, num_samples, loss, axes)

    def beside(self) -> SolverLayer:
        """A layer that solves where this one does, with noise, counts and an estimator of its own, without warnings.

        Its noise is the same each time. Of this layer, and of the random state of others, nothing changes by it.
        """
        self.check_open()
        with torch.inference_mode(False):  # or its buffers could never change
            estimator = copy.deepcopy(self.estimator)
        beside = SolverLayer(
            self.adapter,
            estimator=estimator,
            num_samples=self.num_samples,
            executor=self._executor,
            on_failure=self.on_failure,
            generator=Generator().manual_seed(0),
        )
        beside.noise_rank = self.noise_rank
        beside._clamping = None
        beside._diagnostics = Diagnostics(warns=False)
        return beside

    def stats(self) -> Stats:
        """What the layer has done: counts of batches, instances and statuses, where they were solved, and times."""
        return self._stats

    def diagnostics(self, *, reset: bool = False) -> dict[str, float]:
        """How the layer has learned of late: means over the last steps that were looked at, for a logger.

        A step is a call that draws samples, and its backward pass. The first eight are looked at, then one in 64;
        the last eight of these are kept. What cannot be told is left out.

        - `nonzero_entries`, `nonzero_instances`: share of theta's entries, and of instances, with a gradient.
        - `unchanged_targets`: share of target solutions that equal their sample, so that they give no gradient.
        - `step_length`: of the target's step, lambda * ||dL/dz||, in units of theta's.
        - `temperature`: length of the noise, in units of theta's.
        - `distinct_samples`: share of samples that differ from the first of their instance.
        - `agreement`: of the gradients of an instance's samples, their mean cosine, weighted by length.
        - `noise_changed`: share of samples that differ from the MAP state, and `noise_gap`, by how much of its value
          they are worse. For these, one step in 256, and a few at first, solves for MAP states once more, unless
          `on_failure` is "keep".
        - `clamped_costs`: share of the entries of theta, noise and step included, that the adapter took as zero.
        - `skipped_solves`: share of solves that need not be done.

        Args:
            reset: whether to forget the steps so far.
        """
        return self._diagnostics.read(reset)

    def close(self) -> None:
        """Ends the layer's workers, unless it was given its executor. May be called again."""
        if self._owns_executor:
            self._executor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @graph_break
    def _draw(
        self,
        theta: Tensor,
        context: dict[str, Any],
        num_samples: int | None,
        *,
        group: int = 1,
        perturb: bool = True,
        trains: bool = False,
    ) -> Tensor:
        prepared, solve, single = self.prepare(theta, context, learning=perturb)
        sampling = self.sampling(num_samples or 1, group, perturb=perturb)
        watch = self._watch(theta, prepared, solve, trains) if perturb else None
        if watch is not None:
            sampling = replace(sampling, watch=watch)
        solutions: Tensor = self.estimator(prepared, solve, sampling)
        if watch is not None and watch.probes and (mapped := solve.map_aside(watch.instances)) is not None:
            watch.compare(mapped)
        if solutions.dtype != theta.dtype:
            solutions = solutions.to(theta.dtype)
        if num_samples is None:
            solutions = solutions.squeeze(1)
        return solutions.squeeze(0) if single else solutions

    def _watch(self, theta: Tensor, prepared: Tensor, solve: BatchSolver, trains: bool) -> Observation | None:
        """Looks at the step that begins here, and warns of what those before it have shown."""
        if not torch.is_grad_enabled():
            return None
        if trains:
            self._diagnostics.detached(not theta.requires_grad)
        if theta.requires_grad:
            solve.watch = self.observe(theta, prepared, solve)
        return solve.watch

    def observe(
        self, theta: Tensor, prepared: Tensor, solve: BatchSolver, *, may_be_shared: bool = False
    ) -> Observation | None:
        """Looks at a step that is differentiated, for `diagnostics`; None: not at this one. See `Diagnostics.watch`."""
        # Where solutions need not be optimal, MAP states tell little, and a SolutionCache would learn from them.
        exact = self.on_failure != "keep"
        noisy = isinstance(self.estimator, PerturbAndMAP) and self.estimator.is_noisy()
        return self._diagnostics.watch(
            theta, prepared, solve.sign, exact=exact, alike=solve.alike, noisy=noisy, may_be_shared=may_be_shared
        )

    def sampling(self, num_samples: int, group: int = 1, *, perturb: bool = True) -> Sampling:
        """How the layer's estimator, and losses on it, draw. See `Sampling`."""
        return Sampling(num_samples, group, perturb=perturb, generator=self.generator, rank=self.noise_rank)

    def prepare(
        self, theta: Tensor, context: dict[str, Any], *, learning: bool = True
    ) -> tuple[Tensor, BatchSolver, bool]:
        """Checks a call's input and turns it into what estimators, and losses on them, work with.

        Args:
            theta: see `forward`.
            context: see `forward`.
            learning: whether theta is learned by this call where the layer is in training mode, so that it may be
                worth a warning: not of the labels that `map` makes of data.

        Returns:
            Theta, (B, *instance_shape), float32 or float64; the solver of max form for it, whose `sign` times theta are
            scores; and whether theta was a single instance, which now has a batch axis of one.

        Raises:
            TypeError, ValueError, ClosedError: see `forward`.
        """
        self.check_open()
        single = is_single(theta, self.adapter)
        if single:
            theta = theta.unsqueeze(0)
        if torch.is_grad_enabled() and theta.requires_grad:
            self.estimator.check_shapes(self.adapter.instance_shape, self.adapter.solution_shape)
        prepared = prepare_context(self.adapter, context, len(theta), theta.device, single=single)
        solve = BatchSolver(
            self.adapter,
            self._executor,
            theta,
            prepared,
            self.on_failure,
            self._stats,
            self.on_progress,
            self._clamping if learning and self.training and theta.requires_grad else None,
        )
        return (theta.float() if theta.dtype in (torch.float16, torch.bfloat16) else theta), solve, single

    def check_open(self) -> None:
        """Raises `ClosedError` after `close()`, or after that of an executor that it was given."""
        if self._executor.closed:
            raise ClosedError(
                f"{self.adapter!r}: {self._executor!r}, which solves it, is closed; make a new layer, or solver"
            )

    def get_extra_state(self) -> Tensor:
        """The generator's state, so that a resumed run draws the same noise; empty where there is no generator."""
        # Not None: whoever copies or saves a state_dict entry by entry, as safetensors does, counts on tensors.
        return torch.empty(0, dtype=torch.uint8) if self.generator is None else self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Restores the generator's state."""
        if self.generator is not None and len(state):
            self.generator.set_state(state.cpu())

    def extra_repr(self) -> str:
        where = "on theta's device" if self.adapter.parallelism is Parallelism.DEVICE else repr(self._executor)
        return (
            f"adapter={self.adapter!r}, num_samples={self.num_samples}, executor={where}, "
            f"on_failure={self.on_failure!r}{self._chosen_noise()}"
        )

    def _chosen_noise(self) -> str:
        """What the adapter makes of an estimator's noise "auto", which says no more of it."""
        noise = getattr(self.estimator, "noise", None)
        try:
            chosen = resolve_noise(noise, self.adapter.num_ones) if noise is not None else None
        except ValueError:  # the first sample will say so
            return ""
        return "" if chosen is noise else f", noise={chosen!r}"


def _choose_executor(adapter: SolverAdapter, executor: str | Executor | None, num_workers: int | None) -> Executor:
    if isinstance(executor, Executor):
        if num_workers is not None:
            raise ValueError("num_workers is the executor's own where an Executor is given; leave it out")
        if executor.closed:
            raise ClosedError(f"{executor!r} is closed; give the layer an open one")
        return executor
    if adapter.parallelism is Parallelism.DEVICE:
        if executor not in (None, "auto", "serial") or num_workers:
            raise ValueError(
                f"{adapter!r} solves tensors on their own device, in one call; "
                f"it has no use for executor={executor!r}, num_workers={num_workers!r}"
            )
        return SerialExecutor()
    return make_executor(executor, num_workers)


def _check_num_samples(num_samples: Any) -> None:
    if isinstance(num_samples, bool) or not isinstance(num_samples, int):
        raise TypeError(f"num_samples: expected an int, got {num_samples!r}")
    if num_samples < 1:
        raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
