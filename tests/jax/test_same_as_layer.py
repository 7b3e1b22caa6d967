"""Solutions and gradients in JAX are those of `SolverLayer`, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imle_adapters import ILPAdapter, ILPSpec, ShortestPathAdapter, TopKAdapter
from imle_solvers import IMLE, FenchelYoungLoss, HammingLoss, ProcessExecutor, SolverLayer, SPOPlusLoss, losses
from tests.cases import KNAPSACK
from tests.host.estimators import ESTIMATORS
from tests.solvers import top_k

jax = pytest.importorskip("jax", reason="needs jax: make test-frontends")
jnp = jax.numpy

import imle_solvers.jax  # noqa: E402

ADAPTERS = {"min": lambda: ShortestPathAdapter.grid(4, 5), "max": lambda: top_k(6, 2)}
SETTINGS = [("float32", None), ("float32", 3), ("float64", None), ("float64", 1), ("bfloat16", 3), ("float16", None)]


def tensor(array):
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(np.array(array).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def same(array, expected):
    np.testing.assert_array_equal(np.asarray(array).astype(np.float64), expected.detach().double().numpy(), strict=True)
    assert array.dtype.name == str(expected.dtype).removeprefix("torch.")


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("sense", ADAPTERS)
@pytest.mark.parametrize(("dtype", "num_samples"), SETTINGS)
def test_steps(estimator, sense, dtype, num_samples):
    with jax.enable_x64(dtype == "float64"):
        adapter = ADAPTERS[sense]()
        solve = imle_solvers.jax.solver(
            adapter, estimator=ESTIMATORS[estimator](), num_samples=num_samples, num_workers=0
        )
        layer = SolverLayer(adapter, estimator=ESTIMATORS[estimator](), num_samples=num_samples, num_workers=0)
        state = solve.init() if solve.plan.adapts else None
        axes = () if num_samples is None else (num_samples,)
        step = jax.jit(
            jax.value_and_grad(lambda *args: loss(solve, *args), argnums=(0, 1), has_aux=True)
            if state is not None
            else jax.value_and_grad(lambda *args: loss(solve, *args), has_aux=True)
        )
        rng = np.random.default_rng(0)
        for i in range(2):
            theta = jnp.asarray(rng.random((4, *adapter.instance_shape)) + 0.1, dtype)
            weights = jnp.asarray(rng.random((4, *axes, *adapter.solution_shape)) - 0.4, dtype)
            key = jax.random.key(i)
            (_, z), gradient = step(theta, state, weights, key)
            if state is not None:
                gradient, moved = gradient
                state = solve.advance(state, moved)
            leaf = tensor(theta).requires_grad_()
            layer.generator = solve.generator(key)
            expected = layer(leaf)
            (expected * tensor(weights)).sum().backward()
            same(z, expected)
            same(gradient, leaf.grad)
            assert leaf.grad.abs().sum() > 0


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.checkpoint])
def test_either_way_of_calling(wrap):
    solve = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_samples=2, num_workers=0)
    rng = np.random.default_rng(0)
    theta = jnp.asarray(rng.random((3, 4, 5)) + 0.1, jnp.bfloat16)
    before = np.array(theta)
    weights = jnp.asarray(rng.random((3, 2, 4, 5)) - 0.4, jnp.bfloat16)
    keys = jax.random.split(jax.random.key(0), 2)
    state = solve.init(theta)

    def step(theta, key):
        return jax.value_and_grad(lambda *args: loss(solve, *args), argnums=(0, 1), has_aux=True)(
            theta, state, weights, key
        )

    (_, z), (gradient, _) = wrap(jax.vmap(step, (None, 0)))(theta, keys)
    layer = SolverLayer(solve.adapter, num_samples=2, num_workers=0)
    layer.estimator.fix_scale(tensor(theta).float())
    for i, key in enumerate(keys):
        leaf = tensor(theta).requires_grad_()
        layer.generator = solve.generator(key)
        expected = layer(leaf)
        (expected * tensor(weights)).sum().backward()
        same(z[i], expected)
        same(gradient[i], leaf.grad)
    np.testing.assert_array_equal(np.asarray(theta), before)  # whose memory callbacks see
    assert solve.map(theta[:0]).shape == (0, 4, 5)


def loss(solve, theta, state, weights, key):
    z = solve(theta, key, state=state)
    return (z * weights).sum(), z


@pytest.mark.parametrize("executor", ["processes", "threads", None])
def test_integer_programs_with_context_on_any_executor(executor):
    spec = ILPSpec(shape=(2, 3), **KNAPSACK)
    rng = np.random.default_rng(0)
    theta, capacities = rng.random((6, 2, 3)).astype(np.float32), rng.integers(5, 9, (6, 1)).astype(np.float32)
    layer = SolverLayer(ILPAdapter(spec), num_workers=0)
    leaf = torch.from_numpy(theta.copy()).requires_grad_()
    with imle_solvers.jax.solver(ILPAdapter(spec), executor=executor, num_workers=2) as solve:
        key = jax.random.key(1)
        step = jax.jit(jax.grad(lambda t, b: (solve(t, key, b_ub=b) * t).sum()))
        gradient = step(theta, capacities)
        layer.generator = solve.generator(key)
        (layer(leaf, b_ub=capacities) * leaf).sum().backward()
        same(gradient, leaf.grad)
        assert solve.stats().instances == layer.stats().instances
    with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match="is closed"):  # JAX has both
        step(theta, capacities)


def test_an_executor_of_the_users_stays_open():
    with ProcessExecutor(1) as executor:
        adapter = top_k(4, 2)
        seen = []
        with imle_solvers.jax.solver(adapter, executor=executor) as solve:
            solve.on_progress = lambda solved, total: seen.append((solved, total))
            assert (solve.map(jnp.arange(12.0).reshape(3, 4)).sum(-1) == 2).all()
        assert not executor.closed and seen[-1] == (3, 3)


def test_samples_marginals_and_map(batch):
    theta, weights = batch
    adapter = ShortestPathAdapter.grid(4, 5)
    solve, layer = imle_solvers.jax.solver(adapter, num_workers=0), SolverLayer(adapter, num_workers=0)
    key = jax.random.key(0)
    for name, arguments in (("sample", (5,)), ("marginals", (5,)), ("map", ())):
        keys = () if name == "map" else (key,)
        factors = np.repeat(weights[:, None], 5, 1) if name == "sample" else weights

        def draw(theta, name=name, keys=keys, arguments=arguments):
            return getattr(solve, name)(theta, *keys, *arguments)

        gradient = jax.grad(lambda theta: (draw(theta) * factors).sum())(theta)  # noqa: B023 - called here
        leaf = torch.from_numpy(theta.copy()).requires_grad_()
        layer.generator = solve.generator(key)
        expected = getattr(layer, name)(leaf, *arguments)
        (expected * torch.from_numpy(factors)).sum().backward()
        same(draw(theta), expected)
        same(gradient, leaf.grad)


def test_adapters_that_solve_tensors():
    adapter = TopKAdapter(6, 2, "min")
    solve, layer = imle_solvers.jax.solver(adapter), SolverLayer(adapter)
    theta = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    k, mask = np.arange(4) % 3, np.array([1, 1, 0, 1, 1, 1], bool)
    key = jax.random.key(0)
    gradient = jax.grad(lambda t: (solve(t, key, k=k, mask=mask) * t).sum())(theta)
    leaf = torch.from_numpy(theta.copy()).requires_grad_()
    layer.generator = solve.generator(key)
    (layer(leaf, k=k, mask=mask) * leaf).sum().backward()
    same(gradient, leaf.grad)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_losses(batch, reduction, dtype):
    theta, truth = (jnp.asarray(np.abs(each) + 0.1, dtype) for each in batch)
    adapter = ShortestPathAdapter.grid(4, 5)
    solve, layer = imle_solvers.jax.solver(adapter, num_workers=0), SolverLayer(adapter, num_workers=0)
    label = solve.map(truth)
    key = jax.random.key(3)
    jax_fy = imle_solvers.jax.FenchelYoungLoss(solve, 4, reduction)
    jax_spo = imle_solvers.jax.SPOPlusLoss(solve, reduction)
    weights = jnp.arange(1.0, 7).astype(dtype) if reduction == "none" else jnp.ones((), dtype)
    for ours, theirs in (
        (lambda t: jax_fy(t, label, key), lambda t: FenchelYoungLoss(layer, 4, reduction)(t, tensor(label))),
        (lambda t: jax_spo(t, truth), lambda t: SPOPlusLoss(layer, reduction)(t, tensor(truth))),
        (
            lambda t: jax_spo(t, truth, label),
            lambda t: SPOPlusLoss(layer, reduction)(t, tensor(truth), tensor(label)),
        ),
    ):
        leaf = tensor(theta).requires_grad_()
        layer.generator = solve.generator(key)
        expected = theirs(leaf)
        (expected * tensor(weights)).sum().backward()
        value = jax.jit(ours)(theta)
        same(jax.jit(jax.grad(lambda t: (ours(t) * weights).sum()))(theta), leaf.grad)  # noqa: B023 - called here
        np.testing.assert_allclose(
            np.asarray(value, np.float64), expected.detach().double().numpy(), rtol=1e-6 if dtype == "float32" else 0.01
        )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("lead", "known"), [((4,), (4,)), ((2, 4), (2, 4)), ((2, 4), (2,)), ((4,), ()), ((), ())])
def test_hamming_loss(reduction, dtype, lead, known):
    adapter = ShortestPathAdapter.grid(4, 5)
    ours = imle_solvers.jax.HammingLoss(imle_solvers.jax.solver(adapter, num_workers=0), reduction)
    theirs = HammingLoss(SolverLayer(adapter, num_workers=0), reduction)
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, (*known, 4, 5)).astype(np.uint8)
    weights = jnp.asarray(rng.random(lead if reduction == "none" else ()), dtype)

    @jax.jit
    def step(z):
        value, pull = jax.vjp(lambda z: ours(z, target), z)
        return value, pull(weights)[0]

    for fractions in (False, True):
        z = jnp.asarray(
            rng.integers(0, 5, (*lead, 4, 5)) / 4 if fractions else rng.integers(0, 2, (*lead, 4, 5)), dtype
        )
        leaf = tensor(z).requires_grad_()
        expected = theirs(leaf, torch.from_numpy(target))
        (expected * tensor(weights)).sum().backward()
        value, gradient = step(z)
        same(value, expected)  # of quarters, so that no sum is rounded, nor a mean
        same(gradient, leaf.grad)
        true = np.broadcast_to(target if target.ndim == z.ndim else target[..., None, :, :], z.shape)
        assert not gradient[true == z].any() and gradient[true != z].all()


def test_hamming_loss_teaches_as_the_layers_does(batch):
    adapter = ShortestPathAdapter.grid(4, 5)
    solve, layer = imle_solvers.jax.solver(adapter, num_samples=3), SolverLayer(adapter, num_samples=3)
    labels = np.array(solve.map(np.abs(batch[1]) + 0.1))
    ours, theirs = imle_solvers.jax.HammingLoss(solve), HammingLoss(layer)
    for key in jax.random.split(jax.random.key(0)):
        value, gradient = jax.jit(jax.value_and_grad(lambda t: ours(solve(t, key), labels)))(batch[0])  # noqa: B023
        leaf = torch.from_numpy(batch[0].copy()).requires_grad_()
        layer.generator = solve.generator(key)
        expected = theirs(layer(leaf), torch.from_numpy(labels))
        expected.backward()
        assert float(value) == pytest.approx(expected.item(), rel=1e-6)
        same(gradient, leaf.grad)
        assert leaf.grad.abs().sum() > 0


def test_names_are_those_of_the_layers_losses():
    front_end = {"FenchelYoungLoss", "HammingLoss", "SPOPlusLoss"}
    assert front_end <= set(losses.__all__)
    assert set(imle_solvers.jax.__all__) == {*front_end, "Solver", "solver"}


def test_two_steps_draw_different_noise_and_a_key_the_same_again(batch):
    solve = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), estimator=IMLE(), num_samples=8, num_workers=0)
    first, second = jax.random.split(jax.random.key(0))
    assert (solve(batch[0], first) == solve(batch[0], first)).all()
    assert (solve(batch[0], first) != solve(batch[0], second)).any()
    legacy = jax.random.key_data(first)
    assert (solve(batch[0], first) == solve(batch[0], legacy)).all()
    assert solve(batch[0], jax.random.key(0, impl="rbg")).shape == (6, 8, 4, 5)  # keys of four words
