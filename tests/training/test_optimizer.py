"""The optimiser: the update of the paper's appendix, written out in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_lib.config import TrainingConfig
from moe_lib.native import why_not
from moe_lib.training.optimizer import learning_rate, make_optimizer

HEAVY = TrainingConfig(flops=1, learning_rate=3e-3, weight_decay=0.1)  # decay large enough to be seen
RATES = [1e-3, 2e-3, 3e-3, 2.5e-3, 1e-3]


def torch_updates(optimizer: torch.optim.Optimizer, weight: torch.Tensor, gradients: np.ndarray) -> np.ndarray:
    for rate, gradient in zip(RATES, gradients, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.from_numpy(gradient)
        optimizer.step()
    return weight.detach().numpy()


@pytest.fixture
def problem() -> tuple[torch.nn.Linear, np.ndarray]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 4, bias=False, dtype=torch.float64)
    return layer, torch.randn(len(RATES), 4, 6, dtype=torch.float64).numpy()


def by_hand(weight: np.ndarray, gradients: np.ndarray, training: TrainingConfig) -> np.ndarray:
    """w <- (1 - wd lr_t / lr_peak) w - lr_t m_hat / (sqrt(v_hat) + eps), as in composer's DecoupledAdamW."""
    m, v, w = np.zeros_like(weight), np.zeros_like(weight), weight.copy()
    for t, (rate, g) in enumerate(zip(RATES, gradients, strict=True), start=1):
        m = training.beta1 * m + (1 - training.beta1) * g
        v = training.beta2 * v + (1 - training.beta2) * g**2
        m_hat, v_hat = m / (1 - training.beta1**t), v / (1 - training.beta2**t)
        w = (1 - training.weight_decay * rate / training.learning_rate) * w
        w = w - rate * m_hat / (np.sqrt(v_hat) + training.epsilon)
    return w


def test_first_updates_equal_those_written_by_hand(problem: tuple[torch.nn.Linear, np.ndarray]) -> None:
    layer, gradients = problem
    expected = by_hand(layer.weight.detach().numpy().copy(), gradients, HEAVY)
    ours = torch_updates(make_optimizer(layer, HEAVY), layer.weight, gradients)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.skipif(why_not() is not None, reason="no C++ compiler here")
@pytest.mark.parametrize("max_norm", [1e9, 0.5])
def test_the_native_step_clips_and_updates_as_by_hand(max_norm: float) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(37, 5)
    start = torch.cat([weight.detach().flatten() for weight in layer.parameters()]).double().numpy()
    gradients = torch.randn(len(RATES), start.size)
    clipped = gradients.double() * (max_norm / gradients.double().norm(dim=1, keepdim=True)).clamp(max=1)
    optimizer = make_optimizer(layer, HEAVY, native=True)
    for rate, gradient in zip(RATES, gradients, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.nn.utils.vector_to_parameters(
            gradient, (weight_gradients := [torch.empty_like(w) for w in layer.parameters()])
        )
        for weight, weight_gradient in zip(layer.parameters(), weight_gradients, strict=True):
            weight.grad = weight_gradient
        optimizer.clip_and_step(max_norm)
    ours = torch.cat([weight.detach().flatten() for weight in layer.parameters()]).double().numpy()
    np.testing.assert_allclose(ours, by_hand(start, clipped.numpy(), HEAVY), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(
    "native",
    [False, pytest.param(True, marks=pytest.mark.skipif(why_not() is not None, reason="no C++ compiler here"))],
)
def test_the_decay_of_the_router_is_that_of_all_else_times_its_rate(native: bool) -> None:
    layer = torch.nn.ModuleDict({"router": torch.nn.Linear(3, 3), "other": torch.nn.Linear(3, 3)})
    layers = torch.nn.ModuleDict({"moe": layer})
    start = {name: weight.detach().clone() for name, weight in layers.named_parameters()}
    optimizer = make_optimizer(layers, HEAVY.with_(router_rate=5.0), native=native)
    for group in optimizer.param_groups:
        group["lr"] = HEAVY.learning_rate / 2 * group["ratio"]
    for weight in layers.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.clip_and_step(1.0)
    for name, weight in layers.named_parameters():
        share = HEAVY.weight_decay / 2 * (5 if ".router." in name else 1)
        torch.testing.assert_close(weight.detach(), (1 - share) * start[name])


def test_coupled_weight_decay_would_be_another_optimiser(problem: tuple[torch.nn.Linear, np.ndarray]) -> None:
    layer, gradients = problem
    expected = by_hand(layer.weight.detach().numpy().copy(), gradients, HEAVY)
    coupled = torch.optim.AdamW(layer.parameters(), lr=1.0, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    theirs = torch_updates(coupled, layer.weight, gradients)
    assert np.abs(theirs / expected - 1).max() > 0.05


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0, 1))
def test_rate_stays_between_zero_and_its_peak(n_steps: int, warmup: float, final: float) -> None:
    training = TrainingConfig(flops=1, warmup_fraction=warmup, final_learning_rate_fraction=final)
    rates = [learning_rate(step, n_steps, training) for step in range(n_steps)]
    assert all(0 < rate <= training.learning_rate for rate in rates)
    peak = max(round(warmup * n_steps) - 1, 0)
    assert rates[peak] == training.learning_rate
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_rate_halfway_down_the_cosine_is_half_the_peak() -> None:
    training = TrainingConfig(flops=1, warmup_fraction=0.1)
    assert learning_rate(10 + 45, 100, training) == pytest.approx(training.learning_rate / 2)
    assert math.isclose(learning_rate(4, 100, training), training.learning_rate / 2)
