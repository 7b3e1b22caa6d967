"""What docs/pytorch.md says of the rest of PyTorch."""

from __future__ import annotations

import re

import pytest
import torch
import torch.distributed
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import IMLE, FenchelYoungLoss, Normal, ScoreFunctionLoss, SolverLayer, SPOPlusLoss, Target, imle
from tests.conftest import ROOT
from tests.solvers import top_k

PAGE = (ROOT / "docs" / "pytorch.md").read_text()
TABLE = dict(re.findall(r"^\| (.*?) \| (works|error) \|", PAGE, re.MULTILINE))


def theta_of(*batch):
    return torch.randn(*batch, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()


def fresh(adapter=None):
    estimator = IMLE(Normal(), Target(beta=5.0))
    generator = torch.Generator().manual_seed(0)
    return SolverLayer(adapter or TopKAdapter(6, 2), estimator=estimator, num_workers=0, generator=generator)


def gradient(run, layer=None):
    theta = theta_of(4)
    (run(layer or fresh(), theta) * torch.arange(6)).sum().backward()
    return theta.grad


def autocast(layer):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(theta_of(4)).dtype == torch.float32


def scaler(layer):
    theta = theta_of(4)
    (layer(theta) * torch.tensor(1e38) * torch.arange(6)).sum().mul(1e4).backward()
    assert theta.grad.isnan().any()


def without_gradients(layer):
    with torch.no_grad():
        expected = layer.map(theta_of(4))
    with torch.inference_mode():
        assert torch.equal(layer.map(theta_of(4)), expected)


def checkpointed(layer):
    def run(layer, theta):
        layer.generator = None
        torch.manual_seed(3)
        return layer(theta)

    def repeated(layer, theta):
        layer.generator = None
        torch.manual_seed(3)
        return checkpoint(layer, theta, use_reentrant=False)

    assert torch.equal(gradient(repeated), gradient(run))


def data_parallel(layer):
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = torch.nn.Sequential(torch.nn.Linear(6, 6), layer)
        torch.nn.parallel.DistributedDataParallel(model)(theta_of(4)).sum().backward()
        assert model[0].weight.grad is not None
    finally:
        torch.distributed.destroy_process_group()


def compiled(layer):
    assert torch.equal(torch.compile(layer, backend="eager")(theta_of(4)), fresh()(theta_of(4)))


def functional_call(layer):
    assert torch.equal(torch.func.functional_call(layer, {}, (theta_of(4),)), fresh()(theta_of(4)))


def jacobian(layer):
    assert torch.autograd.functional.jacobian(layer, theta_of(2)).shape == (2, 6, 2, 6)


def create_graph(layer):
    theta = theta_of(4)
    (first,) = torch.autograd.grad(layer(theta).pow(2).sum(), theta, create_graph=True)
    (plain,) = torch.autograd.grad(fresh()(theta).pow(2).sum(), theta)
    assert torch.equal(first, plain)
    with pytest.raises(RuntimeError, match=r"SolverLayer cannot be differentiated twice: .* without a derivative"):
        first.sum().backward()


WORKS = {
    "`torch.autocast`": autocast,
    "`torch.amp.GradScaler`": scaler,
    "`torch.no_grad`, `torch.inference_mode`": without_gradients,
    "`torch.utils.checkpoint`": checkpointed,
    "`DistributedDataParallel`": data_parallel,
    "`torch.compile`": compiled,
    "`torch.func.functional_call`": functional_call,
    "`torch.autograd.functional.jacobian`": jacobian,
    "`create_graph=True`": create_graph,
}


def dual(layer):
    with forward_ad.dual_level():
        layer(forward_ad.make_dual(theta_of(4), torch.ones(4, 6)))


def fake(layer):
    with torch._subclasses.FakeTensorMode():
        layer(torch.rand(4, 6))


def batched_gradients(layer):
    theta = theta_of(4)
    torch.autograd.grad(layer(theta), theta, torch.ones(3, 4, 6), is_grads_batched=True)


class DTensor(torch.Tensor):
    @staticmethod
    def __new__(cls, theta):
        return torch.Tensor._make_wrapper_subclass(cls, theta.shape, dtype=theta.dtype)

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), options=None):
        raise AssertionError("was looked into")


FUNC = r"SolverLayer does not work under torch\.func .*vmap.*batch of theta, and differentiate by backward\(\)"
TRACED = "SolverLayer cannot be exported or traced, .* export the network that predicts theta"
OUTSIDE = "solvers run outside of the graph: compile without fullgraph=True, and export only the network that predicts"
BATCHED = "SolverLayer takes one downstream gradient at a time"

ERRORS = {
    "`torch.compile(fullgraph=True)`": [
        (lambda layer: torch.compile(layer, backend="eager", fullgraph=True)(theta_of(4)), OUTSIDE),
        (
            lambda layer: torch.compile(lambda t: layer.map(t), backend="eager", fullgraph=True)(theta_of(4)),
            OUTSIDE,
        ),
    ],
    "`torch.export`, `torch.jit.trace`, fake tensors": [
        (lambda layer: torch.export.export(layer, (theta_of(4).detach(),)), TRACED),
        (lambda layer: torch.export.export(layer, (theta_of(4).detach(),), strict=True), OUTSIDE),
        (lambda layer: torch.jit.trace(layer, (theta_of(4).detach(),)), TRACED),
        (fake, TRACED),
    ],
    "meta tensors": [(lambda layer: layer(torch.empty(4, 6, device="meta")), "theta is on the meta device")],
    "`torch.func.grad`, `vjp`, `jvp`, `jacrev`, `vmap`": [
        (lambda layer: torch.func.grad(lambda theta: layer(theta).sum())(theta_of(4)), FUNC),
        (lambda layer: torch.func.vjp(layer, theta_of(4)), FUNC),
        (lambda layer: torch.func.jvp(layer, (theta_of(4),), (theta_of(4),)), FUNC),
        (lambda layer: torch.func.jacrev(layer)(theta_of(4)), FUNC),
        (lambda layer: torch.func.vmap(layer)(theta_of(3, 2)), FUNC),
        # also where theta has nothing to do with it
        (lambda layer: torch.func.grad(lambda x: x.sum() + layer(torch.ones(4, 6)).sum())(theta_of(4)), FUNC),
    ],
    "`is_grads_batched=True`": [
        (batched_gradients, BATCHED),
        (lambda layer: torch.autograd.functional.jacobian(layer, theta_of(4), vectorize=True), BATCHED),
    ],
    "forward-mode AD": [(dual, "SolverLayer has no forward-mode derivative")],
    "sparse and nested tensors, `DTensor`, float8": [
        (
            lambda layer: layer(torch.eye(6).to_sparse()),
            r"got one of torch.sparse_coo; pass theta.to_dense",
        ),
        (lambda layer: layer(torch.nested.nested_tensor([torch.ones(6)] * 2)), "got a nested one; pad its instances"),
        (lambda layer: layer(DTensor(torch.eye(6))), r"expected a plain tensor, got a DTensor, .*theta.to_local\(\)"),
        (lambda layer: layer(torch.eye(6).to(torch.float8_e5m2)), r"at least 16 bits, got torch\.float8_e5m2; convert"),
    ],
}


def test_the_page_lists_what_is_tested_here():
    assert {**dict.fromkeys(WORKS, "works"), **dict.fromkeys(ERRORS, "error")} == TABLE


@pytest.mark.parametrize("what", WORKS)
@pytest.mark.filterwarnings("ignore")
def test_what_works(what):
    WORKS[what](fresh())


@pytest.mark.parametrize(("what", "number"), [(what, i) for what, cases in ERRORS.items() for i in range(len(cases))])
@pytest.mark.parametrize("adapter", [TopKAdapter(6, 2), top_k(6, 2)], ids=["on tensors", "in process"])
@pytest.mark.filterwarnings("ignore")
def test_what_does_not_work_says_so_before_solving(what, number, adapter):
    run, message = ERRORS[what][number]
    torch._dynamo.reset()
    layer = fresh(adapter)
    with pytest.raises((RuntimeError, TypeError), match=message):
        run(layer)
    assert layer.stats().batches <= (what == "`is_grads_batched=True`")  # whose forward pass is fine


def others(layer):
    """What is built on layers, as functions of theta."""
    fenchel_young, spo = FenchelYoungLoss(layer), SPOPlusLoss(layer)
    zeros = torch.zeros(4, 6)
    solution = (torch.arange(6) < 2).expand(4, 6).float()
    return {
        "Fenchel-Young": lambda theta: fenchel_young(theta, zeros),
        "SPO+": lambda theta: spo(theta, zeros, solution),
        "score function": ScoreFunctionLoss(layer, lambda z: z.sum(-1)),
        "decorated": imle(lambda thetas: (thetas > 0).to(thetas)),
    }


@pytest.mark.parametrize("name", others(fresh()))
def test_losses_and_decorated_functions_say_the_same(name):
    run = others(fresh())[name]
    with pytest.raises(RuntimeError, match=FUNC):
        torch.func.grad(lambda theta: run(theta).sum())(theta_of(4))
    with pytest.raises(RuntimeError, match="meta device"):
        run(torch.empty(4, 6, device="meta"))


@pytest.mark.parametrize("name", ["Fenchel-Young", "SPO+"])
def test_losses_cannot_be_differentiated_twice(name):
    theta = theta_of(4)
    (first,) = torch.autograd.grad(others(fresh())[name](theta).pow(2), theta, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        first.sum().backward()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", others(fresh()))
def test_losses_and_decorated_functions_are_one_break_in_a_compiled_graph(name):
    run = others(fresh())[name]
    explained = torch._dynamo.explain(lambda theta: 2 * run(3 * theta))(theta_of(4))
    assert (explained.graph_count, len(explained.break_reasons)) == (2, 1)


def test_a_subclass_of_tensors_that_is_one_is_solved():
    class Scores(torch.Tensor):
        pass

    theta = theta_of(4).detach()
    for adapter in (TopKAdapter(6, 2), ShortestPathAdapter.grid(2, 3)):
        layer, rows = SolverLayer(adapter, num_workers=0), theta.reshape(4, *adapter.instance_shape)
        assert torch.equal(layer.map(rows.as_subclass(Scores)), layer.map(rows))
        assert torch.equal(layer.map(torch.nn.Parameter(rows)), layer.map(rows))
