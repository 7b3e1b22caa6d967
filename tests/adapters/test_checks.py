"""What `check_adapter` finds: each defect in an adapter that has it, and nothing else."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from imle_solvers import FunctionAdapter, Parallelism, Solutions
from imle_solvers.testing import check_adapter
from imle_solvers.testing.check import CHECKS
from imle_solvers.testing.check import test_name as naming
from imle_solvers.testing.subject import Subject
from imle_solvers.testing.travel import check_processes
from tests.unsound import (
    Clamps,
    Counts,
    Deaf,
    Ends,
    EndsAtOnce,
    Fresh,
    GivesUp,
    Halves,
    HashOrder,
    Locked,
    N,
    NotFinite,
    Raises,
    RarelyHalf,
    Refuses,
    Remembers,
    Rows,
    Shares,
    Sound,
    Turned,
    Unsettled,
)

THETA = torch.linspace(0.1, 0.9, N, dtype=torch.float64) + torch.arange(4.0, dtype=torch.float64)[:, None]
"""The largest entry is the last one in each."""


def found(adapter, theta=THETA, **options):
    """What the check says, which is one line, and leaves the user's random state as it was."""
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    with pytest.raises(AssertionError) as info:
        check_adapter(adapter, theta, **options)
    assert "\n" not in str(info.value)
    assert (random.getstate(), str(np.random.get_state())) == states[1:]
    assert torch.get_rng_state().equal(states[0])
    return str(info.value)


def complaints(adapter, theta=THETA, context=None, **options):
    """What each check says that finds something, of all but the one that starts processes, which takes long."""
    subject = Subject(adapter, theta, context or {}, **options)
    said = []
    for check in CHECKS.values():
        if check is not check_processes:
            try:
                check(subject)
            except AssertionError as error:
                said.append(str(error))
    return said


def test_a_sound_adapter_is_found_sound():
    check_adapter(Sound(), THETA, feasible=lambda z: z.sum() == 1)


# ---- the wrong way round


def test_the_sense_the_wrong_way_round():
    theta = torch.rand(6, N, dtype=torch.float64)
    assert 'the sense seems the wrong way round; say "max" if the solver maximises scores' in found(Turned(), theta)


def test_the_sense_the_wrong_way_round_where_all_given_instances_have_one_solution():
    assert 'the sense seems the wrong way round; say "max" if' in found(Turned(), THETA)


def test_a_solver_that_is_wrong_both_ways_is_not_said_to_have_the_wrong_sense():
    adapter = FunctionAdapter(lambda theta: np.roll(theta == theta.max(), 2), sense="max", instance_shape=N)
    message = found(adapter, torch.rand(6, N, dtype=torch.float64))
    assert "is solved worse than by the solution of" in message
    assert "wrong way round" not in message


def test_the_sense_of_solutions_that_are_not_of_thetas_shape():
    adapter = FunctionAdapter(lambda theta: np.array([theta.argmax()]), sense="min", instance_shape=N, solution_shape=1)
    message = found(adapter, objective=lambda theta, z: theta[int(z[0])])
    assert 'say "max" if' in message
    assert "objective=" not in message
    adapter.sense = "max"
    assert complaints(adapter, THETA, objective=lambda theta, z: theta[int(z[0])]) == []


def test_an_objective_of_more_terms_is_told():
    """Its last entry is worth less than it seems."""

    def solve(theta):
        return np.eye(N)[(theta - 0.5 * (np.arange(N) == N - 1)).argmax()]

    adapter = FunctionAdapter(solve, sense="max", instance_shape=N)
    assert "if the objective is not the sum of theta times solution, say what it is" in found(adapter)
    assert complaints(adapter, THETA, objective=lambda theta, z: (theta * z).sum() - 0.5 * z[-1]) == []


# ---- not the same each time


def test_state_between_calls():
    assert "is solved differently when solved" in (message := found(Counts()))
    assert "have solves leave the adapter, and what build() returned, as they were" in message


def test_ties_that_memory_decides():
    message = found(Remembers())
    assert "instance 0 with all entries at their largest is solved differently" in message
    assert "equally good the instance alone must decide" in message


def test_rows_of_a_batch_that_are_not_solved_for_themselves():
    theta = torch.rand(40, N, dtype=torch.float64)
    assert "is solved differently when solved" in found(Rows(), theta)


DRAWS = {
    "numpy.random": lambda: np.random.randint(N),
    "random": lambda: random.randrange(N),
    "torch": lambda: int(torch.randint(N, ())),
}


@pytest.mark.parametrize("name", DRAWS)
def test_solutions_that_depend_on_a_global_generator(name):
    draw = DRAWS[name]
    adapter = FunctionAdapter(lambda theta: np.roll(theta == theta.max(), draw()), sense="max", instance_shape=N)
    assert f"they depend on that of {name};" in found(adapter)


RESEEDS = {
    "numpy.random": lambda: np.random.seed(0),
    "random": lambda: random.seed(0),
    "torch": lambda: torch.manual_seed(0),
}


@pytest.mark.parametrize("where", ["build", "solve"])
@pytest.mark.parametrize("name", RESEEDS)
def test_a_global_generator_that_is_reseeded(name, where):
    class Reseeds(Sound):
        def build(self):
            if where == "build":
                RESEEDS[name]()

        def solve(self, state, theta):
            if where == "solve":
                RESEEDS[name]()
            return super().solve(state, theta)

    assert f"another state of that of {name}, which was seeded or drawn from" in found(Reseeds())


def test_threads_that_disturb_each_other():
    theta = torch.eye(N, dtype=torch.float64).repeat(3, 1)
    message = found(Shares(), theta)
    assert "is solved differently when solved in two threads side by side" in message
    assert "of which each thread has its own" in message


def test_the_wrong_claim_of_fresh():
    theta = torch.eye(N, dtype=torch.float64)
    message = found(Fresh(), theta)
    assert "solving instance 1 after instance 0: expected the solution of instance 0 to stay [1., 0." in message
    assert "fresh=False" in message


def test_a_solver_on_tensors_that_returns_the_same_memory():
    buffers = {}

    def solve(thetas):
        values = buffers.setdefault((len(thetas), thetas.dtype), torch.zeros_like(thetas))
        values.copy_(torch.nn.functional.one_hot(thetas.argmax(1), N))
        return values

    adapter = FunctionAdapter(solve, sense="max", instance_shape=N, batched=True)
    theta = torch.eye(N, dtype=torch.float64)
    assert "to stay" in (message := found(adapter, theta)) or "theta to stay" in message


# ---- wrong answers


def test_solutions_that_do_not_depend_on_theta():
    adapter = FunctionAdapter(lambda theta: np.arange(N) == 2, sense="max", instance_shape=N)
    message = found(adapter)
    assert "instances that differ in theta: expected solutions that differ, got [0., 0., 1., 0., 0.] for all" in message


def test_negative_theta_that_is_clamped_in_silence():
    adapter = FunctionAdapter(lambda theta: np.eye(N)[np.maximum(theta, 0).argmin()], sense="min", instance_shape=N)
    message = found(adapter)
    assert "with all signs turned is solved worse than by" in message or "with noise is solved worse" in message
    assert "clamp it and count that" in message
    assert complaints(adapter, THETA, any_sign=False) == []


@pytest.mark.parametrize("adapter", [Clamps(), Refuses(), GivesUp()], ids=lambda adapter: type(adapter).__name__)
def test_negative_theta_may_be_refused_or_clamped_aloud(adapter):
    assert complaints(adapter, THETA) == []


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(
    ("adapter", "message"),
    [(Raises(), "ArithmeticError: contradictory paths found; noise makes"), (NotFinite(), "expected finite numbers")],
)
def test_theta_that_nobody_gave_and_that_fails(adapter, message):
    assert "instance 0 with" in (said := found(adapter))
    assert message in said


def test_a_check_that_fails_is_told_in_one_line():
    class Broken(Sound):
        def check(self, thetas, context):
            raise RuntimeError("limit\nof lines")

    assert "Broken(" in (said := found(Broken()))
    assert "check failed: RuntimeError: limit of lines" in said


@pytest.mark.parametrize(
    ("values", "statuses", "message"),
    [
        (lambda z: z.astype(str), lambda s: s, "expected solutions of real numbers, got <U32"),
        (lambda z: z.astype(object), lambda s: s, "expected solutions of real numbers, got object"),
        (lambda z: z * 1j, lambda s: s, "expected solutions of real numbers, got complex128"),
        (lambda z: z / 0, lambda s: s, "expected finite numbers"),
        (lambda z: z.tolist(), lambda s: s, "expected solutions in an array, got list"),
        (lambda z: z, lambda s: s.astype(str), "expected statuses of real numbers, got <U3"),
        (lambda z: z, lambda s: s + 77, "statuses must be codes of Status, got 77"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_is_no_solution(values, statuses, message):
    class Odd(Sound):
        def solve_batch(self, state, thetas, context):
            return Solutions(values(np.eye(N)[thetas.argmax(1)]), statuses(np.zeros(len(thetas), np.uint8)))

    assert message in found(Odd())


@pytest.mark.parametrize("dtype", [str, object])
def test_a_solution_of_strings_or_objects(dtype):
    adapter = FunctionAdapter(lambda theta: (theta == theta.max()).astype(dtype), sense="max", instance_shape=N)
    assert "expected a solution of real numbers, got" in found(adapter)


# ---- wrong claims


@pytest.mark.parametrize("adapter", [RarelyHalf(), Halves()])
def test_the_wrong_claim_of_is_binary(adapter):
    assert "says is_binary, but has 0.5 in a solution" in found(adapter)


@pytest.mark.parametrize("claimed", [30, 0.0])
def test_the_wrong_claim_of_num_ones(claimed):
    class Many(Sound):
        num_ones = claimed

        def solve(self, state, theta):
            return (theta > 0) if claimed == 0 else super().solve(state, theta)

    assert f"expected about num_ones = {claimed:g}, got" in found(Many())


def test_solutions_that_are_not_feasible():
    message = found(Sound(), feasible=lambda z: z[0] == 0)
    assert "instance 0 with its entries shuffled: expected a feasible solution, got [1., 0., 0., 0., 0.]" in message


def test_feasibility_is_asked_with_the_context():
    class Capped(Sound):
        context = {"last": ()}

        def solve(self, state, theta, last):
            return np.eye(N)[theta[: int(last)].argmax()]

    def feasible(z, last):
        return z[int(last) :].sum() == 0

    theta = torch.rand(4, N, dtype=torch.float64)
    assert complaints(Capped(), theta, feasible=feasible, context={"last": torch.tensor([2, 3, 4, 5])}) == []
    with pytest.raises(TypeError, match="feasible: expected a function, got Tensor; if it is the adapter's context"):
        check_adapter(Capped(), theta, feasible=torch.ones(4))


def test_context_that_changes_nothing():
    mask = torch.eye(N, dtype=torch.bool)[:4].logical_not()
    message = found(Deaf(), mask=mask, k=torch.arange(4))
    assert "exchanging the context 'k' between instances: expected another solution" in message
    assert "have solve() use 'k', or do not declare it" in message
    assert complaints(Deaf(), THETA, {"mask": mask, "k": torch.ones(4)}) == []  # of which nothing can be said


# ---- at workers


def test_what_does_not_pickle_and_which_attribute_it_is():
    assert "entry 'lock' of attribute 'tools' does not pickle" in found(Locked())


HEAVY = """
import torch
import numpy as np
from imle_solvers import SolverAdapter

class Heavy(SolverAdapter):
    sense, instance_shape = "max", (5,)

    def solve(self, state, theta):
        return np.eye(5)[theta.argmax()]
"""


def test_torch_in_a_worker_and_who_imports_it(tmp_path, monkeypatch):
    (tmp_path / "heavy_adapter.py").write_text(HEAVY)
    monkeypatch.syspath_prepend(tmp_path)
    import heavy_adapter

    try:
        message = found(heavy_adapter.Heavy())
    finally:
        del sys.modules["heavy_adapter"]
    assert f"torch, by heavy_adapter ({tmp_path / 'heavy_adapter.py'}, line 2)" in message


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("adapter", "done"), [(Ends(), "solving instance 0"), (EndsAtOnce(), "building the state")])
def test_a_solver_that_ends_its_process_does_not_end_this_one(adapter, done):
    message = found(adapter)
    assert message.startswith(f"{done} in a worker process: expected ")
    assert "with exit code 3" in message
    assert "os._exit" in message


def test_how_it_solves_is_settled_once():
    message = found(Unsettled())
    assert message.startswith("checking the same batch again: expected revision ")
    assert "raise it once" in message


def test_ties_that_the_process_decides(monkeypatch):
    def first_in(seed):  # of a set of all entries, as in workers with this seed
        program = f"print(next(iter({{f'entry {{index}}' for index in range({N})}})))"
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True).stdout

    here = next(iter({f"entry {index}" for index in range(N)}))
    other = next(seed for seed in range(1, 100) if first_in(seed).strip() != here)
    monkeypatch.setenv("PYTHONHASHSEED", str(other))
    message = found(HashOrder(), torch.rand(6, N, dtype=torch.float64))
    assert "solved differently when solved in worker processes" in message
    assert "the order of a set" in message


# ---- what the caller gives


def test_a_single_instance_is_too_few():
    with pytest.raises(ValueError, match="expected at least two instances, got 1"):
        check_adapter(Sound(), THETA[:1])


def test_context_of_another_length():
    with pytest.raises(ValueError, match="context 'k': expected an entry for each of 4 instances"):
        check_adapter(Deaf(), THETA, mask=torch.ones(4, N), k=torch.ones(3))


@pytest.mark.parametrize("form", [lambda t: t.float().requires_grad_(), lambda t: t.numpy(), lambda t: t.long()])
def test_theta_may_be_of_any_numbers(form):
    assert complaints(Sound(), form(3 * THETA)) == []


def test_parallelism_is_no_matter():
    class Threads(Sound):
        parallelism = Parallelism.THREADS

    assert complaints(Threads(), THETA) == []


def test_each_check_has_a_test_in_the_contract():
    from imle_solvers.testing import AdapterContract

    tests = [name for name in vars(AdapterContract) if name.startswith("test_")]
    assert tests == list(map(naming, CHECKS))
