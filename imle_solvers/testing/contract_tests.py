"""The checks of an adapter as a test class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from imle_solvers.adapter import SolverAdapter
from imle_solvers.testing import claims, optimality, repeatability, travel
from imle_solvers.testing.subject import Subject


class AdapterContract:
    """What every adapter must do, a test for each promise, for pytest to run on a subclass.

    A subclass, whose name begins with `Test`, says which adapter, and which instances::

        class TestMine(AdapterContract):
            def make(self):
                return MyAdapter(5)

            def instances(self, adapter):
                return torch.rand(6, 5, dtype=torch.float64), {"capacity": torch.arange(6) + 1.0}

    See `check_adapter` for what is checked. A promise that an adapter does not make is left out by setting its test to
    None in the subclass. The adapter is made, and solves the instances, once for all tests of a class.

    Attributes:
        any_sign: whether theta of other signs than those given are tried.
    """

    any_sign: bool = True
    _subject: ClassVar[Subject | None] = None

    def make(self) -> SolverAdapter:
        """The adapter."""
        raise NotImplementedError(f"{type(self).__name__}: override make(), which returns the adapter")

    def instances(self, adapter: SolverAdapter) -> Tensor | tuple[Tensor, Mapping[str, Any]]:
        """Theta, (B, *instance_shape) float64 with B of at least 2, alone or with its context, name -> (B, ...)."""
        raise NotImplementedError(f"{type(self).__name__}: override instances(adapter), which returns theta")

    def feasible(self, solution: Any, **context: Any) -> bool:
        """Whether a solution, (*solution_shape), is feasible for an instance of this context. Override if you can."""
        return True

    def objective(self, theta: Any, solution: Any, **context: Any) -> Any:
        """What the adapter makes least or largest. Override where that is not the sum of theta times solution."""
        return (theta * solution).sum()

    def subject(self) -> Subject:
        """The adapter with its instances, solved; the same for all tests of the class."""
        __tracebackhide__ = True
        cls = type(self)
        if "_subject" not in vars(cls):  # a subclass of a subclass has its own
            adapter = self.make()
            given = self.instances(adapter)
            theta, context = given if isinstance(given, tuple) else (given, {})
            overrides = type(self).objective is not AdapterContract.objective
            objective = self.objective if overrides else None
            cls._subject = Subject(adapter, theta, context, self.feasible, objective, any_sign=self.any_sign)
        found = cls._subject
        assert found is not None
        return found

    @classmethod
    def teardown_class(cls) -> None:
        """Drops the adapter and its state; pytest calls it."""
        if "_subject" in vars(cls):
            del cls._subject

    def test_it_pickles(self) -> None:
        __tracebackhide__ = True
        travel.check_pickling(self.subject())

    def test_it_depends_on_no_global_random_state_and_moves_none(self) -> None:
        __tracebackhide__ = True
        repeatability.check_random_state(self.subject())

    def test_it_leaves_earlier_solutions_as_they_are(self) -> None:
        __tracebackhide__ = True
        repeatability.check_memory(self.subject())

    def test_it_gives_an_instance_the_same_solution_each_time(self) -> None:
        __tracebackhide__ = True
        repeatability.check_repetition(self.subject())

    def test_it_settles_how_to_solve_once(self) -> None:
        __tracebackhide__ = True
        repeatability.check_revision(self.subject())

    def test_it_solves_float32_as_well(self) -> None:
        __tracebackhide__ = True
        repeatability.check_dtypes(self.subject())

    def test_it_has_zeros_and_ones_where_it_says_is_binary(self) -> None:
        __tracebackhide__ = True
        claims.check_binary(self.subject())

    def test_it_has_about_num_ones_ones(self) -> None:
        __tracebackhide__ = True
        claims.check_num_ones(self.subject())

    def test_it_has_feasible_solutions(self) -> None:
        __tracebackhide__ = True
        claims.check_feasibility(self.subject())

    def test_it_answers_to_theta(self) -> None:
        __tracebackhide__ = True
        optimality.check_theta_matters(self.subject())

    def test_it_has_no_worse_solutions_than_it_has_found_itself(self) -> None:
        __tracebackhide__ = True
        optimality.check_sense(self.subject())

    def test_it_answers_to_context(self) -> None:
        __tracebackhide__ = True
        optimality.check_context_matters(self.subject())

    def test_it_solves_the_same_in_threads(self) -> None:
        __tracebackhide__ = True
        repeatability.check_threads(self.subject())

    def test_it_solves_the_same_in_worker_processes_and_imports_nothing_heavy_there(self) -> None:
        __tracebackhide__ = True
        travel.check_processes(self.subject())
