"""Top-k: exactly k, the best, ties by index."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imle_adapters import TopKAdapter
from imle_solvers import InputError, SolverLayer


def by_sorting(theta, k, sense, mask):
    sign = -1 if sense == "max" else 1
    order = sorted((i for i in range(len(theta)) if mask[i]), key=lambda i: (sign * theta[i], i))
    return np.array([float(i in order[:k]) for i in range(len(theta))])


@given(
    theta=st.lists(st.sampled_from([-1.5, 0.0, 0.5, 2.0]), min_size=1, max_size=7),
    sense=st.sampled_from(["min", "max"]),
    data=st.data(),
)
def test_the_k_best_with_ties_to_the_lower_index(theta, sense, data):
    n = len(theta)
    mask = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    k = data.draw(st.integers(0, sum(mask)))
    layer = SolverLayer(TopKAdapter(n, k, sense)).eval()
    batch = torch.tensor([theta, theta])
    z = layer(batch)
    np.testing.assert_array_equal(z[0], by_sorting(theta, k, sense, [True] * n))
    masks = torch.tensor([mask, [True] * n])
    z = layer(batch, mask=masks, k=torch.tensor([k, min(n, k + 1)]))
    np.testing.assert_array_equal(z[0], by_sorting(theta, k, sense, mask))
    np.testing.assert_array_equal(z[1], by_sorting(theta, min(n, k + 1), sense, [True] * n))
    np.testing.assert_array_equal(layer(batch, mask=masks)[0], by_sorting(theta, k, sense, mask))


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"k": [1, 4]}, "instance 1, sample 0: k must be a whole number from 0 to .*, 3; got k=4"),
        ({"k": [-1, 2]}, "instance 0, sample 0: .*got k=-1"),
        ({"k": [1.0, 1.5]}, "got k=1.5"),
        ({"mask": [[True] * 3, [False, True, False]]}, "instance 1, sample 0.*, 1; got k=2"),
        (
            {"mask": [[1.0] * 3, [0.0, 0.0, -np.inf]]},
            "instance 1, sample 0: .*mask to be .* zeros and ones, got -inf",
        ),
    ],
)
def test_a_k_or_a_mask_that_cannot_be_had(context, message):
    with pytest.raises(InputError, match=message):
        SolverLayer(TopKAdapter(3, 2)).eval()(torch.zeros(2, 3), **context)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int64, torch.float32])
def test_k_may_be_of_any_dtype(dtype):
    layer = SolverLayer(TopKAdapter(300, 2)).eval()
    assert layer(torch.zeros(2, 300), k=torch.tensor([0, 1], dtype=dtype)).sum(-1).tolist() == [0, 1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_ties_are_the_same_on_cuda():
    layer = SolverLayer(TopKAdapter(50, 7)).eval()
    theta = torch.randint(0, 3, (64, 50)).float()
    z = layer(theta.cuda())
    assert z.is_cuda
    assert torch.equal(z.cpu(), layer(theta))
