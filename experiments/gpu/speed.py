"""Tokens per second, model FLOPs utilisation and memory, beside OLMoE and a dense model, at three sizes."""

import time
from collections.abc import Callable
from typing import Any

import torch

from moe_lib.accounting import count_flops
from moe_lib.config import ModelConfig, RunConfig, TrainingConfig
from moe_lib.model import build_model
from moe_lib.model.grouped import is_fast
from moe_lib.model.huggingface import to_huggingface
from moe_lib.training.optimizer import make_optimizer
from moe_lib.training.steps import DeviceSteps, deterministic

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16 FLOP/s, of data sheets
SIZES = ((256, 4, 32), (512, 8, 32), (1024, 16, 8))  # d_model, layers, experts
SMALL_SIZES = ((24, 1, 4),)  # of a rehearsal
WARM, TIMED = 5, 20


class RandomTokens:
    """A stream of random tokens with the interface that `DeviceSteps` reads."""

    def __init__(self, vocabulary: int, batch: int, context: int) -> None:
        import numpy as np

        self.tokens = np.random.default_rng(0).integers(vocabulary, size=1_000_000, dtype=np.uint16)
        self.batch_size, self.context = batch, context

    def whole(self) -> Any:
        return self.tokens

    def starts(self, first: int, last: int) -> Any:
        import numpy as np

        places = np.arange((last - first) * self.batch_size) * self.context
        return (places % (len(self.tokens) - self.context - 1)).reshape(-1, self.batch_size)


def run_of(size: tuple[int, int, int], experts: bool, device: torch.device, batch: int, context: int) -> RunConfig:
    """Ours of a size, sparse or dense."""
    d_model, n_layers, n_experts = size
    model = ModelConfig(d_model=d_model, n_layers=n_layers, n_heads=max(2, d_model // 64), vocab_size=1024,
                        n_experts=n_experts if experts else 1, context_length=context)  # fmt: skip
    training = TrainingConfig(flops=1e12, batch_size=batch, precision="bfloat16", device=device.type)
    return RunConfig(model=model, training=training)


def ours(run: RunConfig, device: torch.device) -> Callable[[int], object]:
    """Takes so many of our steps, as `train` does."""
    model = build_model(run.model, 0, "grouped_mm", precision="bfloat16").to(device)
    optimizer = make_optimizer(model, run.training, capturable=True)
    stream = RandomTokens(run.model.vocab_size, run.training.batch_size, run.model.context_length)
    steps = DeviceSteps(model, optimizer, stream, run, WARM + TIMED, is_fast("bfloat16", device))  # type: ignore[arg-type]
    return lambda n: steps.take(0, n)


def olmoe(run: RunConfig, device: torch.device) -> Callable[[int], object]:
    """Takes so many steps of Hugging Face's OLMoE of the same shape: autocast, fused AdamW, no auxiliary losses."""
    import transformers

    fields, _ = to_huggingface(build_model(run.model, 0, "loop"))
    config = transformers.OlmoeConfig(**fields, attn_implementation="sdpa", experts_implementation="grouped_mm")
    model = transformers.OlmoeForCausalLM(config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    row_BT = torch.randint(run.model.vocab_size, (run.training.batch_size, run.model.context_length), device=device)

    def take(n: int) -> None:
        for _ in range(n):
            with torch.autocast(device.type, torch.bfloat16):
                logits = model(input_ids=row_BT).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), row_BT.flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return take


def measured(take: Callable[[int], object], run: RunConfig, device: torch.device) -> dict[str, Any]:
    """Speed and memory of steps, by CUDA events on a GPU."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    take(WARM)
    if on_gpu:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        take(TIMED)
        end.record()
        torch.cuda.synchronize()
        seconds = begin.elapsed_time(end) / 1e3
    else:
        began = time.perf_counter()
        take(TIMED)
        seconds = time.perf_counter() - began
    rate = TIMED * run.training.batch_size * run.model.context_length / seconds
    name = torch.cuda.get_device_name(device) if on_gpu else ""
    peak = next((flops for part, flops in PEAKS.items() if part in name), None)
    return {
        "tokens_per_second": rate,
        "utilisation": peak and rate * count_flops(run.model).total / peak,
        "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
    }


def speed(device: torch.device, small: bool) -> tuple[bool, dict[str, Any]]:
    """Every size: ours, ours without experts, and OLMoE; what cannot run is listed with its reason."""
    batch, context = (2, 16) if small else (64, 256)
    results: dict[str, Any] = {}
    for size in SMALL_SIZES if small else SIZES:
        for name, make, experts in (("ours", ours, True), ("dense", ours, False), ("olmoe", olmoe, True)):
            entry = results.setdefault("d{} l{} e{}".format(*size), {})
            run = run_of(size, experts, device, batch, context)
            try:
                with deterministic(device) if make is ours else torch.enable_grad():
                    entry[name] = measured(make(run, device), run, device)
            except Exception as problem:  # a peer that is not installed, or too little memory
                entry[name] = {"not_run": f"{type(problem).__name__}: {str(problem)[:300]}"}
            if device.type == "cuda":
                torch.cuda.empty_cache()
    return all("not_run" not in entry[name] for entry in results.values() for name in ("ours", "dense")), results
