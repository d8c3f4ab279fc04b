"""The optimiser: the update of the paper's appendix, written out in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_lib.config import TrainingConfig
from moe_lib.native import why_not
from moe_lib.training.optimizer import learning_rate, make_optimizer, orthogonalized

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


class Layer(torch.nn.Module):
    """Attention's two matrices and an expert's, under the names that the optimiser uses."""

    def __init__(self, d: int = 8) -> None:
        super().__init__()
        self.attention = torch.nn.ModuleDict({"qkv": torch.nn.Linear(d, 3 * d, bias=False),
                                              "out": torch.nn.Linear(d, d, bias=False)})  # fmt: skip
        self.block = torch.nn.ModuleDict({"attention": self.attention, "mlp": torch.nn.Linear(d, d, bias=False)})
        del self.attention


@pytest.mark.parametrize(
    "native",
    [False, pytest.param(True, marks=pytest.mark.skipif(why_not() is not None, reason="no C++ compiler here"))],
)
def test_muon_trains_queries_keys_values_and_output_as_torchs_does_and_adam_the_rest(native: bool) -> None:
    """torch's runs in bfloat16 and couples the decay with the rate, so that it is handed decay over peak rate."""
    torch.manual_seed(0)
    training = HEAVY.with_(muon_rate=0.05)
    ours, adams = Layer(), Layer()
    adams.load_state_dict(ours.state_dict())
    qkv, out = (ours.block["attention"][name].weight.detach() for name in ("qkv", "out"))
    theirs = [torch.nn.Parameter(part.clone()) for part in (*qkv.chunk(3), out)]
    muon = torch.optim.Muon(theirs, lr=0.05, weight_decay=training.weight_decay / 0.05)
    optimizer, adam = (make_optimizer(model, one, native=native) for model, one in ((ours, training), (adams, HEAVY)))
    for factor in (0.2, 1.0, 0.6, 0.3):
        muon.param_groups[0]["lr"] = 0.05 * factor
        for one in (optimizer, adam):
            for group in one.param_groups:
                group["lr"] = HEAVY.learning_rate * factor * group["ratio"]
        gradients = [torch.randn(8, 8) for _ in range(5)]
        for weight, gradient in zip(theirs, gradients, strict=False):
            weight.grad = gradient
        for model in (ours, adams):
            model.block["attention"]["qkv"].weight.grad = torch.cat(gradients[:3])
            model.block["attention"]["out"].weight.grad = gradients[3].clone()
            model.block["mlp"].weight.grad = gradients[4].clone()
        muon.step()
        optimizer.clip_and_step(1e9)
        adam.clip_and_step(1e9)
    expected = torch.cat([weight.detach() for weight in theirs])
    found = torch.cat([ours.block["attention"][name].weight.detach() for name in ("qkv", "out")])
    assert (found - expected).abs().max() < 4 * 0.05 * 0.02
    assert torch.equal(ours.block["mlp"].weight, adams.block["mlp"].weight)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 40), st.integers(0, 1000))
def test_orthogonalised_matrices_keep_their_directions_and_lose_their_sizes(d: int, seed: int) -> None:
    u, _, v = torch.linalg.svd(torch.randn(d, d, generator=torch.Generator().manual_seed(seed)))
    sizes = torch.linspace(1, 0.1, d)
    x = orthogonalized((u @ torch.diag(sizes) @ v)[None] * 7)[0]
    inner = u.mT @ x @ v.mT
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-4
    assert float(inner.diagonal().min()) > 0.6
    assert float(inner.diagonal().max()) < 1.3


@pytest.mark.skipif(why_not() is not None, reason="no C++ compiler here")
@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(1, 80))
def test_the_kernel_orthogonalises_as_float64_does(m: int, d: int) -> None:
    x_MDD = torch.randn(m, d, d, generator=torch.Generator().manual_seed(d))
    ours, exact = orthogonalized(x_MDD, native=True), orthogonalized(x_MDD.double())
    assert (ours - exact).abs().max() < 2e-5
    assert torch.equal(ours, orthogonalized(x_MDD, native=True))
