"""Steps with everything on the device take the batches, rates and updates of the plain loop, and so does training."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.data import BatchStream, TokenCorpus
from moe_lib.data.injection import injection
from moe_lib.model import build_model
from moe_lib.training import Progress, checkpoint, loop, steps, train
from moe_lib.training.optimizer import learning_rate, make_optimizer
from moe_lib.training.steps import DeviceSteps, HostSteps


@pytest.fixture
def told(small_run: RunConfig) -> RunConfig:
    """A run over several epochs with injected facts, experts and Muon."""
    training = small_run.training.with_(flops=5e9, fact_share=0.5, max_epochs=3.0, batch_size=3, muon_rate=0.02)
    return small_run.with_(model=small_run.model.with_(context_length=256), training=training)


def stream_of(run: RunConfig, corpus: TokenCorpus) -> BatchStream:
    training, injected = run.training, injection(plan(run), corpus.tokenizer)
    return BatchStream(corpus.train, training.batch_size, run.model.context_length, training.seed, injected)


def device_steps(run: RunConfig, corpus: TokenCorpus) -> DeviceSteps:
    model = build_model(run.model, 0, "grouped_mm", precision=run.training.precision)
    optimizer = make_optimizer(model, run.training, capturable=True)
    return DeviceSteps(model, optimizer, stream_of(run, corpus), run, plan(run).n_steps, graph=False)


def test_training_is_the_plain_loop_to_the_last_bit(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    run = small_run.with_(training=small_run.training.with_(muon_rate=0.05, precision="bfloat16"))
    training, n_steps = run.training, plan(run).n_steps
    trained = train(run, small_corpus)
    model = build_model(run.model, training.seed, trained.model.backend, precision=training.precision)
    optimizer = make_optimizer(model, training, native=model.backend == "native")
    for step, expected in enumerate(trained.losses.tolist()):
        output = model(*stream_of(run, small_corpus).batch(step))
        loss = output.nll_BT.mean()
        optimizer.zero_grad()
        (
            loss + training.load_balance_weight * output.load_balance + training.router_z_weight * output.router_z
        ).backward()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, n_steps, training) * group["ratio"]
        optimizer.clip_and_step(training.gradient_clip)
        assert loss.item() == expected
    assert all(map(torch.equal, model.parameters(), trained.model.parameters()))


def test_windows_on_the_device_are_the_streams_batches(told: RunConfig, small_corpus: TokenCorpus) -> None:
    stream, there = stream_of(told, small_corpus), device_steps(told, small_corpus)
    assert stream.injected
    assert stream.epochs_at(plan(told).n_steps) > 0.5
    for step in range(plan(told).n_steps):
        there.step.fill_(step)
        assert all(map(torch.equal, there.batch(), stream.batch(step)))


def test_tokens_above_32767_keep_their_value(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    there = device_steps(small_run, small_corpus)
    there.token_T.fill_(-1)
    assert (there.batch()[0] == 65_535).all()


@pytest.mark.parametrize("muon_rate", [None, 0.02])
def test_device_steps_learn_as_host_steps(
    muon_rate: float | None, small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    run = small_run.with_(training=small_run.training.with_(muon_rate=muon_rate, router_rate=0.5))
    there, n_steps = device_steps(run, small_corpus), plan(run).n_steps
    model = build_model(run.model, 0, "grouped_mm")
    here = HostSteps(model, make_optimizer(model, run.training), stream_of(run, small_corpus), run, n_steps)
    torch.testing.assert_close(there.take(0, n_steps), here.take(0, n_steps), rtol=1e-5, atol=1e-5)
    for ours, right in zip(there.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-3, atol=1e-5)


class Graph:
    """In place of a CUDA graph: a capture runs nothing, and a replay runs the captured step."""

    def __init__(self, there: DeviceSteps) -> None:
        self.replay = there.once


def test_a_capture_leaves_weights_and_optimiser_as_they_were(
    small_run: RunConfig, small_corpus: TokenCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, captured = (device_steps(small_run, small_corpus) for _ in range(2))
    monkeypatch.setattr(captured, "_record", lambda: Graph(captured))
    captured.wants_graph = True
    assert torch.equal(captured.take(0, 5), plain.take(0, 5))
    for ours, right in zip(captured._state(), plain._state(), strict=True):
        assert torch.equal(ours, right)


def test_steps_are_taken_one_by_one_if_there_is_no_graph(
    small_run: RunConfig, small_corpus: TokenCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    plain, other = (device_steps(small_run, small_corpus) for _ in range(2))
    monkeypatch.setattr(other, "_record", fails)
    other.wants_graph = True
    with pytest.warns(UserWarning, match=r"no CUDA graph \(operation not permitted when stream is capturing\); steps"):
        assert torch.equal(other.take(0, 5), plain.take(0, 5))


class Waits(TorchDispatchMode):
    """Counts the values that the host asks for."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += func._schema.name == "aten::_local_scalar_dense"
        return func(*args, **(kwargs or {}))


def test_losses_are_read_once_for_many_steps(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    there = device_steps(small_run, small_corpus)
    with Waits() as waits:
        there.take(0, 10)
    assert not waits.count


def as_on_a_device(monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    monkeypatch.setattr(loop, "is_resident", lambda device, n_tokens: True)
    monkeypatch.setattr(DeviceSteps, "at_once", every)


def test_a_run_resumes_there_bit_identical_at_any_multiple_of_the_reading(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_on_a_device(monkeypatch, every=7)
    undisturbed = train(small_run, small_corpus, backend="grouped_mm")
    seen = []

    def killed(progress: Progress) -> None:
        seen.append(progress.step)
        if progress.step > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_run, small_corpus, tmp_path, backend="grouped_mm", seconds_between_checkpoints=0, on_step=killed)
    resumed = train(small_run, small_corpus, tmp_path, backend="grouped_mm")
    assert torch.equal(resumed.losses, undisturbed.losses)
    assert torch.equal(resumed.looks, undisturbed.looks)
    assert resumed.looks.isfinite().all()


def test_what_follows_a_divergence_between_two_readings_is_dropped(
    small_run: RunConfig, small_corpus: TokenCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_on_a_device(monkeypatch, every=50)
    bad = 9
    take = DeviceSteps.take

    def exploding(self: DeviceSteps, first: int, last: int) -> Tensor:
        losses = take(self, first, last)
        losses[max(0, bad - first) : max(0, bad + 1 - first)] = math.inf
        return losses

    monkeypatch.setattr(loop, "look_steps", lambda n_steps: [0, n_steps])
    monkeypatch.setattr(DeviceSteps, "take", exploding)
    trained = train(small_run, small_corpus, backend="grouped_mm")
    assert trained.diverged
    assert trained.losses[: bad + 1].tolist()[-1] == math.inf
    assert trained.losses[bad + 1 :].isnan().all()
    assert trained.looks[1:].isnan().all()


def test_a_checkpoint_of_the_cpu_is_refused_on_a_gpu_and_the_other_way_round(tmp_path) -> None:
    here, there = "run corpus loop", "run corpus loop NVIDIA-H100-80GB-HBM3 torch-2.13.0"
    for was, now in ((here, there), (there, here)):
        message = checkpoint._of_another(tmp_path, was, now)
        assert "of device" in message
        assert "cpu" in message
    assert "of version torch-2.13.0, and this is torch-2.14.0" in checkpoint._of_another(
        tmp_path, there, there.replace("2.13", "2.14")
    )


def test_the_device_is_part_of_a_runs_key_and_the_cpu_is_the_default(small_run: RunConfig) -> None:
    there = small_run.with_(training=small_run.training.with_(device="cuda"))
    assert there.key != small_run.key
    older = small_run.model_dump()
    del older["training"]["device"]
    assert RunConfig(**older).key == small_run.key


def test_memory_on_a_gpu_counts_the_logits(small_run: RunConfig) -> None:
    schedule = plan(small_run)
    schedule.require_memory(schedule.n_bytes)
    assert schedule.n_logit_bytes == 8 * schedule.tokens_per_step * small_run.model.vocab_size
    with pytest.raises(Exception, match="of memory"):
        schedule.require_memory(schedule.n_bytes, with_logits=True)


def test_the_cpu_is_left_as_it_is() -> None:
    with steps.deterministic(torch.device("cpu")):
        assert not torch.are_deterministic_algorithms_enabled()
    assert not steps.is_resident(torch.device("cpu"), 1)
