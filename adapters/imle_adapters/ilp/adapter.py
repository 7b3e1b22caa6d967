"""ILPs and LPs by OR-Tools: theta is the objective."""

from __future__ import annotations

import datetime
import functools
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from imle_adapters.ilp.choice import DEFAULT_WORK, ORTOOLS, Choice, same_ortools, solvers_of
from imle_adapters.ilp.engines import cp_sat
from imle_adapters.ilp.engines.backends import ENGINES, available_backends
from imle_adapters.ilp.engines.engine import Claim, Deadline, Engine, scaled
from imle_adapters.ilp.engines.fit import unfit_bounds
from imle_adapters.ilp.engines.portfolio import Portfolio
from imle_adapters.ilp.engines.search import Search
from imle_adapters.ilp.limits import checked_flag, checked_gap, checked_relaxed, proven_gap, seconds_of
from imle_adapters.ilp.program import Bounds, Program
from imle_adapters.ilp.spec import Floats, ILPSpec, check_right_hand_side, clip_infinite
from imle_adapters.ilp.state import State
from imle_adapters.ilp.trial import INSTANCES, choose
from imle_adapters.ilp.verdicts import feasibility, improves_forever, settle, why_no_optimum
from imle_solvers.adapter import Context, ContextShapes, FloatArray, Parallelism, Sense, Shape, Solutions, SolverAdapter
from imle_solvers.arguments import explain_arguments
from imle_solvers.deferred import Deferred
from imle_solvers.errors import AdapterError, InputError
from imle_solvers.gaps import OPTIMAL_WITHIN, gather_gaps
from imle_solvers.status import Status
from imle_solvers.waiting import Interrupted, Waiting, call_interruptibly

_log = logging.getLogger(__name__)
_CHOOSING = threading.Lock()  # one trial at a time; adapters that pickle have no locks of their own


@explain_arguments()
class ILPAdapter(SolverAdapter):
    """The optimum of an integer, mixed-integer or linear program whose objective is theta.

    Theta, of `spec.shape`, holds the costs (sense "min") or the scores (sense "max") of the variables that
    `spec.theta_index` names; the solution has theta's shape and holds the values of these variables. Integer
    variables come back as exact integers.

    The gap is 0, relative and absolute: the MAP state and not one near it. What remains is floating point: SCIP and
    CBC do not see differences below about 1e-9 of the objective's value, HiGHS and CP-SAT see finer ones. Every
    solution is checked against the rows (to 1e-6 of their scale) and the bounds after rounding; one that fails ends
    CRASHED, never in a wrong answer. Tied optima: the same instance gives the same solution, whatever was solved
    before it, once "auto" has chosen; the choice may decide among them, and nothing else.

    CP-SAT takes programs with integer variables only, finite bounds, and rows that a factor makes integer. Their
    coefficients count as the decimal numbers that they print as; rows of long ones, such as 1/3, may be missed by 1e-12
    of the sum of their terms. The objective is integer too: theta is scaled by the power of two 2**e that lets the
    terms sum to 2**59, and then rounded. The solution is exactly optimal if no entry loses bits, as with float32 theta
    whose magnitudes spread no further than about 2**30; otherwise its objective is off by at most
    `objective_loss(theta)`, about n * 2**-60 of the sum of |theta| * max |x|.

    Programs with integer variables only, bounded ones, and not too many (rows times variables up to 4096) are solved
    by a compiled branch and bound first, where a trial shows that it can. It solves a batch outside the GIL, in
    microseconds for each of a few dozen variables, and answers only where that is sure to be what every exact solver
    answers: the optimum is better than all other points by more than 1e-7 of the sum of |theta| * max |x|. Ties, and
    what takes it too long, it leaves to the backend; and all, while a process of its own compiles it, on a machine's
    first use.

    Programs with integer variables only need no branching if their rows are totally unimodular: paths, flows,
    assignments and other bipartite matchings, schedules of intervals, as `unimodular.unimodular_rows` recognises them
    when the adapter is made. GLOP solves these, with sides and bounds rounded to what integers can reach; a point that
    is not integer, or does not satisfy every row exactly, is left to SCIP. It sees differences of about 1e-14 of the
    largest cost.

    Bound the integer variables where you can: branch and bound need not end on an infeasible program whose integer
    variables have infinite bounds, unless there is a time limit. An unbounded objective is found beforehand.

    Context, each with a leading batch axis, for the names that the spec has: b_ub (m_ub,), b_eq (m_eq,), lb (n,),
    ub (n,), in place of the spec's own for one instance.

    Attributes:
        spec: the program.
        choice: what "auto" has chosen at the first batch, or what was given. None: nothing yet, or there is no choice.
        time_limit: seconds for one instance, or None.
        compiled: whether the compiled search may go first.
        relative_gap: within which of the optimum solutions are.
        relaxed: whether it is the linear relaxation that is solved.
    """

    limit_advice: str = (
        "another backend may be faster, see imle_adapters.ilp.fastest_settings(spec, thetas), and time_limit=seconds "
        "ends most solves with the best solution found (not where SCIP is long in a single step)"
    )
    exclusion: str | None = "ub=..., 0 where a variable may not be used"

    def __init__(
        self,
        spec: ILPSpec | Mapping[str, Any],
        backend: str | Choice | Mapping[str, Any] = "auto",
        time_limit: float | datetime.timedelta | None = None,
        compiled: bool = True,
        *,
        relative_gap: float = 0.0,
        relaxed: bool = False,
    ) -> None:
        """Checks the spec for feasibility with one solve, which the time limit bounds too.

        Args:
            spec: the program; or the arguments of `ILPSpec`, as a dict.
            backend: "cp_sat" (see above), "scip", both also as "cp_sat_no_cuts" and "scip_no_cuts", "cbc" (integer
                variables need finite bounds), "highs" (finite bounds of integer variables may not be beyond 1e6),
                "glop" (linear programs, and integer ones with totally unimodular rows), or "gurobi" or "xpress", where
                you have library and licence. "auto" is GLOP for what that can take, and otherwise what a trial
                chooses. A `Choice` is what another adapter's trial has chosen.
            time_limit: seconds for one instance. A solve that reaches it ends FEASIBLE with the best solution
                found, or TIMEOUT without one; such solutions are not reproducible.
            compiled: False leaves all to the backend. The solutions are the same.
            relative_gap: how much worse than the optimum a solution may be proven to be, relative to its objective.
                Above 0 solutions are approximate, and end FEASIBLE unless hardly a gap is left, so give the layer
                `on_failure="keep"`; and every target is solved for. What was proven is in `layer.stats().gaps`.
            relaxed: whether to solve the linear relaxation instead. Solutions may be fractions; rounding is yours.

        Raises:
            TypeError: spec is not an ILPSpec, the backend no text, or relaxed no truth value.
            ValueError: the spec is infeasible, the backend is unknown, not there or cannot hold it, the time limit is
                not positive, or the gap is no number of at least 0, or above 0 for the relaxation.
        """
        if isinstance(spec, Mapping):
            spec = ILPSpec(**spec)
        if isinstance(backend, Mapping):  # of another version of OR-Tools: it is chosen again
            backend = Choice(**backend) if backend.get("ortools", ORTOOLS) == ORTOOLS else "auto"
        if not isinstance(spec, ILPSpec):
            raise TypeError(f"expected an ILPSpec, got {type(spec).__name__}; make one with ILPSpec(...)")
        self.spec = spec
        self.sense: Sense = spec.sense
        self.instance_shape: Shape = spec.shape
        self.time_limit: float | None = seconds_of(time_limit)
        self.compiled: bool = checked_flag("compiled", compiled)
        self.relative_gap: float = checked_gap(relative_gap)
        self.relaxed: bool = checked_relaxed(relaxed, backend, self.relative_gap)
        self._program = Program.of(spec).relaxed() if self.relaxed else Program.of(spec)
        self._given = backend
        self.choice: Choice | None = same_ortools(backend) if isinstance(backend, Choice) else None
        self._solvers: tuple[str, ...] = solvers_of(backend, self._program)
        self._trial: tuple[State, Floats, Context] | None = None
        self._branches = bool(self._program.integrality.any()) and self.backend != "glop"
        # All release the GIL. Those that cannot be stopped get processes, which can, and CBC's driver is not
        # documented to be thread-safe.
        self.in_process: bool = self.backend not in ("cbc", "highs")
        self.parallelism = Parallelism.THREADS if self.in_process else Parallelism.PROCESSES
        self.context: ContextShapes = {
            name: shape
            for name, shape in {
                "b_ub": spec.b_ub.shape,
                "b_eq": spec.b_eq.shape,
                "lb": spec.lb.shape,
                "ub": spec.ub.shape,
            }.items()
            if shape != (0,)
        }
        self.num_ones: float | None = _num_ones(spec)
        self._feasible = self._find_feasible()

    def description(self) -> dict[str, Any]:
        choice = self.choice
        return {
            "name": "ilp",
            "kwargs": {
                "spec": self.spec.description(),
                "backend": self._given if choice is None else {**asdict(choice), "solvers": list(choice.solvers)},
                "time_limit": self.time_limit,
                "compiled": self.compiled,
                "relative_gap": self.relative_gap,
                "relaxed": self.relaxed,
            },
        }

    @property
    def backend(self) -> str:
        """The name of the solver that goes first; before the first batch that of "auto" is only a guess."""
        return self._solvers[0]

    @classmethod
    def backends(cls) -> tuple[str, ...]:
        return available_backends()

    def is_binary(self, context: Context) -> bool:
        """Where theta prices 0/1 variables only, without bounds of an instance's own, and solutions are optimal."""
        priced = self.spec.theta_index
        whole = bool(self._program.integrality[priced].all()) and self.relative_gap == 0
        unit = bool((self.spec.lb[priced] >= 0).all() and (self.spec.ub[priced] <= 1).all())
        return whole and unit and not {"lb", "ub"} & set(context)

    def build(self) -> State:
        """Loads the program into the solver, and tries the compiled search on it, if its kernels are there."""
        if self.choice is not None:
            same_ortools(self.choice)  # a worker may have another
        state = self._load()
        if self.compiled and (self.choice is None or self.choice.search) and Search.takes(self._program):
            objective = self.spec.objective
            typical = None if objective is None else self._costs(objective[None])[0]
            state.deferred = Deferred(functools.partial(Search.of, self._program, typical))
            # With a gap the backend's solutions may be others, which must not depend on what has been compiled.
            (state.deferred.get_now if self.relative_gap else state.deferred.get)()
        return state

    def _load(self) -> State:
        return State(self._program, self._solvers, self._engine())

    def _engine(self) -> Engine:
        if len(self._solvers) == 1:
            return ENGINES[self.backend](self._program, self.relative_gap)
        work = DEFAULT_WORK if self.choice is None else self.choice.work
        return Portfolio(self._program, self._solvers, work, self.relative_gap)

    def objective_loss(self, theta: FloatArray) -> float:
        """How far the objective of CP-SAT's optimum for theta may be from the true optimum; 0 if exact.

        Args:
            theta: (*spec.shape).

        Raises:
            ValueError: the backend is not CP-SAT; the others work in floating point and state no such bound.
        """
        if not self.backend.startswith("cp_sat"):
            raise ValueError(f'expected backend "cp_sat", which bounds its loss, got {self.backend!r}')
        return cp_sat.integer_costs(self._costs(theta[None])[0], self._program.bounds)[1]

    def check(self, thetas: FloatArray, context: Context) -> None:
        """Raises `InputError` for right-hand sides or bounds that mean nothing. Has "auto" choose by the first batch.

        Args:
            thetas: (N, *spec.shape).
            context: b_ub (N, m_ub), b_eq (N, m_eq), lb (N, n), ub (N, n), any of them.
        """
        rows = {name: np.asarray(values, dtype=np.float64) for name, values in context.items()}
        try:
            self._check_rows(rows, len(thetas))
        except ValueError:
            for instance in range(len(thetas)):  # whose fault it is
                try:
                    self._check_rows({name: values[instance : instance + 1] for name, values in rows.items()}, 1)
                except ValueError as error:
                    raise InputError(str(error), instance) from None
        if self._undecided and len(thetas):
            with _CHOOSING:
                if self._undecided:
                    context = {name: array[:INSTANCES].copy() for name, array in rows.items()}
                    self._trial = self._trial or (self.build(), self._costs(thetas[:INSTANCES]), context)
                    self._choose(*self._trial)

    @property
    def _undecided(self) -> bool:
        return self.choice is None and len(self._solvers) > 1

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trial": None}

    def _choose(self, state: State, costs: Floats, context: Context) -> None:
        """Tries the solvers on what the compiled search leaves of the first instances, once it is compiled."""
        begin = time.monotonic()
        left, search = list(range(len(costs))), state.search
        if state.deferred is not None and state.deferred.pending:
            return
        if search is not None:
            found = search.solve(costs, self._bounds(context, len(costs)))
            left = np.flatnonzero(~(found.solved | found.infeasible)).tolist()
        if not left:
            self._decide(Choice(self._solvers))
            return
        bounds = [self._bounds({name: array[row] for name, array in context.items()}) for row in left]
        portfolio = Portfolio(self._program, self._solvers, DEFAULT_WORK, self.relative_gap)
        with Waiting(
            lambda: (
                f"{self!r} has tried solvers for ten seconds, to choose one; backend=... of a name, or the Choice "
                f"that it comes to, needs no trial, and {self.limit_advice}"
            )
        ):
            solvers, work = call_interruptibly(
                lambda: choose(portfolio, costs[left], bounds, self.time_limit), portfolio.stop, repr(self)
            )
        self._decide(Choice(solvers, work, search is not None and 2 * len(left) <= len(costs)))
        _log.info("%r was chosen in %.1f s", self, time.monotonic() - begin)

    def _decide(self, choice: Choice) -> None:
        self.choice, self._solvers, self._trial = choice, choice.solvers, None
        self.revision: int = self.revision + 1

    def solve_batch(self, state: State, thetas: FloatArray, context: Context) -> Solutions:
        """Solves a batch by the compiled search, and by the backend what that leaves.

        Where there is a search, "solved by search" and "left to the backend" are counted.
        """
        search = state.search
        if search is None or (self.choice is not None and not self.choice.search):
            return self._solve_by_backend(state, thetas, context)
        found = search.solve(self._costs(thetas), self._bounds(context, len(thetas)))
        values = found.values[:, self.spec.theta_index].reshape(thetas.shape).astype(thetas.dtype)
        statuses = np.where(found.infeasible, Status.INFEASIBLE, Status.OPTIMAL).astype(np.uint8)
        rest = np.flatnonzero(~(found.solved | found.infeasible))
        gaps = None
        if rest.size:
            try:
                others = {name: np.asarray(array)[rest] for name, array in context.items()}
                solved = self._solve_by_backend(state, thetas[rest], others)
            except AdapterError as error:
                error.of_part(rest)
                raise
            values[rest], statuses[rest] = solved.values, solved.statuses
            gaps = gather_gaps([(rest, solved.gaps)], statuses)
        counters = {"solved by search": len(thetas) - rest.size, "left to the backend": rest.size}
        counts = {name: int(count) for name, count in counters.items() if count}
        return Solutions(values, statuses, counts, fresh=True, gaps=gaps)

    def _solve_by_backend(self, state: State, thetas: FloatArray, context: Context) -> Solutions:
        if state.solvers != self._solvers:  # chosen since
            state.solvers, state.engine = self._solvers, self._engine()
        solve = functools.partial(super().solve_batch, state, thetas, context)
        try:
            return call_interruptibly(solve, lambda: self.interrupt(state), repr(self))
        except Exception as error:
            if not state.stopped:
                raise
            raise Interrupted(error) from None  # a signal handler's, and nothing that was wrong with a row

    def interrupt(self, state: State) -> None:
        """Ends solves with this state for good; CBC and HiGHS cannot be stopped in the middle of one."""
        state.stop()

    def solve(
        self, state: State, theta: FloatArray, **context: Any
    ) -> tuple[Floats | None, Status] | tuple[Floats, Status, float]:
        """Solves one instance by the backend: theta (*spec.shape) -> (*spec.shape), and its gap unless optimal."""
        if state.stopped:
            raise RuntimeError("solves with this state were interrupted; build another one")
        deadline = Deadline(self.time_limit)
        bounds = self._bounds(context)
        if bounds.crossed:
            return None, Status.INFEASIBLE
        costs = self._costs(theta[None])[0]
        if self.relative_gap == 0:  # a gap is relative to the whole objective
            # Fixed variables have no say, or a mask over huge costs leaves nothing of the others at their scale.
            costs = np.where(bounds.lb == bounds.ub, 0.0, costs)
        if self._branches and improves_forever(state, costs, bounds, deadline):
            # Branch and bound may search an unbounded tree forever, or stop anywhere in it: it must not start.
            return None, why_no_optimum(state, costs, bounds, deadline, feasible=self._knows_feasible(bounds))
        claim, x, _, bound = state.engine.minimize(costs, bounds, deadline.left())
        if claim is Claim.LIMIT:
            return None, Status.TIMEOUT
        point = None if x is None else settle(state, x, costs, bounds, deadline)
        if point is None:
            return None, why_no_optimum(state, costs, bounds, deadline, feasible=self._knows_feasible(bounds))
        solution = point[self.spec.theta_index].reshape(self.instance_shape)
        if claim is Claim.OPTIMAL and self.relative_gap == 0:
            return solution, Status.OPTIMAL
        gap = proven_gap(float(scaled(costs) @ point), bound)
        # Backends call optimal what is within the gap that they were allowed.
        status = Status.OPTIMAL if claim is Claim.OPTIMAL and gap <= OPTIMAL_WITHIN else Status.FEASIBLE
        return solution, status, gap

    def _costs(self, thetas: FloatArray) -> Floats:
        """What to minimise, (N, n), for thetas (N, *spec.shape)."""
        costs = np.tile(self.spec.fixed_cost, (len(thetas), 1))
        costs[:, self.spec.theta_index] = np.asarray(thetas, dtype=np.float64).reshape(len(thetas), -1)
        return costs if self.sense == "min" else -costs

    def _bounds(self, context: Context, rows: int | None = None) -> Bounds:
        """The bounds of one instance, or of a batch with a leading axis, of 1 if all have the same."""
        if not context:
            bounds = self._program.bounds
            return bounds if rows is None else bounds.stacked()
        shape = () if rows is None else (rows,)

        def side(name: str) -> Floats:
            given = np.asarray(context.get(name, getattr(self.spec, name)), dtype=np.float64)
            return given.reshape(*shape, -1) if name in context else np.broadcast_to(given, (*shape, given.size))

        return self._program.bounds_for(
            clip_infinite(side("lb")), clip_infinite(side("ub")), side("b_ub"), side("b_eq")
        )

    def _check_rows(self, context: dict[str, Floats], rows: int) -> None:
        for name in context.keys() & {"b_ub", "b_eq"}:
            check_right_hand_side(name, context[name])
        bounds = (clip_infinite(context.get(name, getattr(self.spec, name))) for name in ("lb", "ub"))
        lb, ub = np.broadcast_arrays(*bounds)
        for name, bound in (("lb", lb), ("ub", ub)):
            if np.isnan(bound).any():
                raise ValueError(f"expected {name} to be numbers, got nan in {name}[{np.argmax(np.isnan(bound))}]")
        crossed = (lb > ub) | (lb == np.inf) | (ub == -np.inf)
        if crossed.any():
            where = int(np.argmax(crossed))
            variable = self.spec.variable(where % self.spec.num_variables)
            raise ValueError(f"expected lb <= ub, got lb = {lb.flat[where]}, ub = {ub.flat[where]} for {variable}")
        reasons = [unfit_bounds(name, self._program, self._bounds(context, rows)) for name in self._solvers]
        if None not in reasons:
            raise ValueError(f"backend {self.backend!r} cannot take these bounds: {reasons[0]}")

    def _knows_feasible(self, bounds: Bounds) -> bool:
        """Whether these are the bounds of the spec, which are known to leave a point."""
        return bounds is self._program.bounds and bool(self._feasible)

    def _find_feasible(self) -> bool | None:
        """True if the spec is feasible, None if the time limit left that open."""
        state, bounds = self._load(), self._program.bounds
        with Waiting(lambda: f"{self!r} has looked for any feasible point for ten seconds; {self.limit_advice}"):
            status = call_interruptibly(
                lambda: feasibility(state, bounds, Deadline(self.time_limit)),
                lambda: self.interrupt(state),
                repr(self),
            )
        if status is Status.INFEASIBLE:
            raise ValueError(
                f"expected a feasible program, but no x satisfies the constraints of {self.spec!r}, says "
                f"{self.backend}; check the signs of A_ub and b_ub (a >= row is negated) and the bounds (lb is 0 "
                "unless given)"
            )
        return True if status is Status.OPTIMAL else None

    def __repr__(self) -> str:
        backend = self.choice or ("auto" if self._undecided else self.backend)
        gap = f", relative_gap={self.relative_gap}" if self.relative_gap else ""
        relaxed = ", relaxed=True" if self.relaxed else ""
        return f"ILPAdapter({self.spec!r}, backend={backend!r}, time_limit={self.time_limit}{gap}{relaxed})"


def _num_ones(spec: ILPSpec) -> float | None:
    """The number of ones in every solution, if all are 0/1 and the equality rows say it when added up."""
    index = spec.theta_index
    binary = spec.integrality[index] & (spec.lb[index] == 0.0) & (spec.ub[index] == 1.0)
    total = np.asarray(spec.A_eq.sum(axis=0)).ravel()
    each = total[index[0]]
    others = np.delete(total, index)
    if not binary.all() or each <= 0.0 or (total[index] != each).any() or others.any():
        return None
    return float(spec.b_eq.sum() / each)
