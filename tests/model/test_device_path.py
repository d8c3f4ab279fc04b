"""What a GPU computes, checked on a CPU: the same numbers, no atomics, and a step that never waits for the host."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from moe_lib.config import ModelConfig, RunConfig
from moe_lib.errors import InputError, Notice
from moe_lib.model import BACKENDS, Router, backends, build_model, grouped, reference
from moe_lib.model.grouped import grouped_problem
from moe_lib.model.routing import Routing, by_expert
from moe_lib.training.optimizer import make_optimizer
from moe_lib.training.steps import update

WAITS = ("_local_scalar_dense", "nonzero", "bincount", "item", "lift_fresh", "unique")  # for the host, or the host's
ATOMICS = ("index_add", "scatter_add", "index_put", "scatter_reduce", "histc")
CUDA = torch.device("cuda")


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounded products take the path of a GPU, from bfloat16 tensors."""
    for module in (reference, grouped):
        monkeypatch.setattr(module, "in_bfloat16", lambda x: True)


class Watch(TorchDispatchMode):
    """Refuses operations that wait for the host, or that sum in any order."""

    def __init__(self, refused: tuple[str, ...]) -> None:
        super().__init__()
        self.refused, self.seen = refused, set[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        self.seen.add(name)
        assert not name.rstrip("_").startswith(self.refused), f"{name} in the step"
        return func(*args, **(kwargs or {}))


def to_the_host(x: Tensor, *_: Any) -> None:
    raise AssertionError("a value goes to the host in the step")


CONFIG = ModelConfig(d_model=32, n_layers=2, n_heads=2, n_experts=6, n_experts_active=2, granularity=2, vocab_size=64,
                     context_length=16, qk_bias=True)  # fmt: skip


def run_of(model: ModelConfig = CONFIG, **training: Any) -> RunConfig:
    return RunConfig(model=model, training={"flops": 1e9, "precision": "bfloat16", **training})


def one_step(run: RunConfig) -> Callable[[], Tensor]:
    """A step as `DeviceSteps` takes it: everything that changes is a tensor."""
    model = build_model(run.model, 0, "grouped_mm", precision=run.training.precision)
    optimizer = make_optimizer(model, run.training, capturable=True)
    tokens, rate = torch.zeros(3, 16, dtype=torch.int64), torch.full((), 1e-3)
    return lambda: update(model, optimizer, tokens, tokens, rate, run)


@pytest.fixture(params=["adam", "muon", "dense", "untied"])
def run(request: pytest.FixtureRequest) -> RunConfig:
    dense = CONFIG.with_(n_experts=1, n_experts_active=1, granularity=1)
    return {
        "adam": run_of(),
        "muon": run_of(muon_rate=0.05),
        "dense": run_of(dense),
        "untied": run_of(CONFIG.with_(tied_embeddings=False, embedding_multiplier=5.0)),
    }[request.param]


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_step_never_waits_for_the_host_and_has_no_atomics(run: RunConfig) -> None:
    with FakeTensorMode():  # refuses what depends on values: a scalar on the host, or a shape
        step = one_step(run)
        step()  # makes the optimiser's state
        with Watch(WAITS + ATOMICS) as watch, pytest.MonkeyPatch.context() as patch:
            for method in ("cpu", "item", "numpy", "tolist"):
                patch.setattr(Tensor, method, to_the_host, raising=False)
            step()
    assert {"sort", "_grouped_mm", "embedding_dense_backward"} <= watch.seen


@pytest.mark.usefixtures("as_on_a_gpu")
def test_the_watch_notices_what_it_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(expert_NK: Tensor, n_experts: int) -> tuple[Tensor, Tensor]:
        return expert_NK.flatten().argsort(stable=True), torch.bincount(expert_NK.flatten(), minlength=n_experts)

    monkeypatch.setattr(reference, "by_expert", counted)
    with pytest.raises(AssertionError, match="bincount in the step"), Watch(("bincount",)):
        one_step(run_of())()
    with FakeTensorMode(), pytest.raises(torch._subclasses.fake_tensor.DynamicOutputShapeException):
        one_step(run_of())()


def test_one_sort_gives_order_and_loads() -> None:
    expert_NK = torch.randint(9, (50, 3))
    expert_NK[expert_NK == 4] = 5  # an expert without tokens
    order_A, load_E = by_expert(expert_NK, 9)
    assert torch.equal(load_E, torch.bincount(expert_NK.flatten(), minlength=9))
    assert torch.equal(order_A, expert_NK.flatten().argsort(stable=True))
    routing = Router(8, 9, 3)(torch.randn(50, 8))
    assert torch.equal(routing.load_E, torch.bincount(routing.expert_NK.flatten(), minlength=9))


def results(name: str, routing: Routing, inputs: list[Tensor], rounded: bool = False) -> Iterator[Tensor]:
    x_ND, gate_NK, *weights = [value.clone().requires_grad_() for value in inputs]
    nothing = torch.zeros(())
    routed = Routing(routing.expert_NK, gate_NK, routing.load_E, nothing, nothing, nothing, routing.order_A)
    y_ND = BACKENDS[name](x_ND, routed, *weights, rounded)
    yield y_ND.detach()
    yield from torch.autograd.grad(y_ND.sin().sum(), [x_ND, gate_NK, *weights])


@pytest.mark.parametrize("k", [1, 3])
def test_gathers_equal_the_loop_in_outputs_and_gradients(k: int) -> None:
    torch.manual_seed(0)
    routing = reference.route(torch.randn(70, 7) + 3 * torch.arange(7), k)  # the first experts have no tokens
    inputs = [torch.randn(70, 16), routing.gate_NK, *(torch.randn(7, 8, 16) / 4 for _ in range(3))]
    for ours, right in zip(results("grouped_mm", routing, inputs), results("loop", routing, inputs), strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_bfloat16_experts_differ_from_the_rounded_loop_by_the_rounding_of_results() -> None:
    torch.manual_seed(0)
    routing = reference.route(torch.randn(70, 7), 2)
    inputs = [torch.randn(70, 16), routing.gate_NK, *(torch.randn(7, 8, 16) / 4 for _ in range(3))]
    pairs = zip(results("grouped_mm", routing, inputs, True), results("loop", routing, inputs, True), strict=True)
    for ours, right in pairs:
        assert 1e-4 < torch.linalg.vector_norm(ours - right) / torch.linalg.vector_norm(right) < 1e-2
        assert ours.dtype == torch.float32


def test_a_linear_map_of_bfloat16_tensors_equals_the_rounded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    leaves = [torch.randn(4, 9, 24, requires_grad=True), torch.randn(40, 24, requires_grad=True)]

    def values() -> list[Tensor]:
        y = reference.linear(*leaves, rounded=True)
        return [y, *torch.autograd.grad(y.sin().sum(), leaves)]

    rounded = values()
    monkeypatch.setattr(reference, "in_bfloat16", lambda x: True)
    for ours, right in zip(values(), rounded, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_model_on_that_path_keeps_float32_weights_and_learns_the_same() -> None:
    losses = []
    for backend in ("grouped_mm", "loop"):
        run = run_of(muon_rate=0.02)
        model = build_model(run.model, 0, backend, precision="bfloat16")
        optimizer = make_optimizer(model, run.training)
        tokens = torch.randint(64, (4, 17), generator=torch.Generator().manual_seed(0))
        losses.append([float(update(model, optimizer, tokens[:, :-1], tokens[:, 1:], 3e-3, run)) for _ in range(20)])
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert losses[0][-1] < 0.8 * losses[0][0]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_a_gpu_refuses_widths_that_the_bfloat16_kernel_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    quarter = ModelConfig(d_model=36, n_layers=1, n_heads=2, sparsity=0.25)  # three active of four: F = 48
    message = r"needs multiples of 8, and here d_model = 36 and 4 d_model / granularity = 48"
    with pytest.raises(InputError, match=message):
        backends.check_backend("grouped_mm", quarter, "bfloat16", CUDA)
    backends.check_backend("grouped_mm", quarter, "float32", CUDA)
    backends.check_backend("grouped_mm", quarter, "bfloat16")
    backends.check_backend("grouped_mm", quarter.with_(d_model=48), "bfloat16", CUDA)
    with pytest.warns(Notice, match=r"multiples of 8.*loop is used"):
        assert backends.backend_for(quarter, CUDA, "bfloat16") == "loop"
    many = ModelConfig(d_model=16, n_layers=1, n_heads=2, n_experts=1_024)
    assert "at most 1,023 experts in bfloat16 on a GPU, and here n_experts = 1024" in str(
        grouped_problem(many, "bfloat16", CUDA)
    )
    assert grouped_problem(many, "float32", CUDA) is None


def test_a_gpu_whose_kernel_is_wrong_for_empty_experts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (10, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA B200")
    with pytest.raises(InputError, match=r"is wrong in bfloat16 for experts without tokens .* B200; set training"):
        backends.check_backend("grouped_mm", CONFIG, "bfloat16", CUDA)
    assert not grouped.is_fast("bfloat16", CUDA)


def test_the_kernels_are_refused_on_a_gpu_and_a_gpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "problem_of", lambda backend: None)
    with pytest.raises(InputError, match="backend = 'native' is for the CPU"):
        backends.check_backend("native", CONFIG, "float32", CUDA)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"training\.device = 'cuda' needs a CUDA device, and torch finds none"):
        backends.device_of("cuda")
