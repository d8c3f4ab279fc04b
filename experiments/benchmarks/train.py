"""How much faster a training step of ours is than its peers', on one thread, as ratios of processor time.

A step is forward, backward, clipping and AdamW on 4 x 256 tokens, vocabulary 1,024 (a run's defaults), in float32 or in
bfloat16: for ours the precision of `TrainingConfig`, for a peer autocast; the faster of a peer's two counts for both of
our rows. Peers, as Hugging Face `transformers` has them: OLMoE with its grouped_mm experts; with one expert the faster
of its dense OLMo and Llama. The peers compute no load-balancing loss; ours computes both of its auxiliary losses. Ours
and the peers take turns, so a busy machine slows all alike, and medians are compared. Peak memory is that of a fresh
process for each, above what it used before the model was built (Linux only). Writes
`experiments/results/train_benchmark.json`.
"""

import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy

from moe_lib.accounting import count_flops
from moe_lib.config import ModelConfig, Precision, TrainingConfig
from moe_lib.files import whole_file
from moe_lib.model import build_model
from moe_lib.repository import RESULTS
from moe_lib.training.optimizer import make_optimizer

RESULT = RESULTS / "train_benchmark.json"
WIDTHS, EXPERTS = (64, 128, 256), (1, 8, 50)
WIDTH_PER_LAYER, HEAD_WIDTH, SEQUENCES, CONTEXT, VOCABULARY = 32, 32, 4, 256, 1_024
ROUNDS, SECONDS_A_TURN, CEILING_SIZE = 5, 0.2, 1_024
GOALS = {"peer / ours": 2.0, "share of fp32 ceiling": 0.6, "step / dense step": 1.35, "memory / peer's": 1.0}

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")

Step = Callable[[], object]


def shape(d_model: int, n_experts: int) -> ModelConfig:
    """The benchmark's model of a width."""
    return ModelConfig(
        d_model=d_model,
        n_layers=d_model // WIDTH_PER_LAYER,
        n_heads=d_model // HEAD_WIDTH,
        n_experts=n_experts,
        vocab_size=VOCABULARY,
        context_length=CONTEXT,
    )


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens and targets, the same for all."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(VOCABULARY, (SEQUENCES, CONTEXT + 1), generator=generator)
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def ours(config: ModelConfig, precision: Precision) -> Step:
    """A step of ours, as `moe-lib train` takes it."""
    model, (tokens, targets) = build_model(config, seed=0, precision=precision), batch()
    training = TrainingConfig(flops=1)
    optimizer = make_optimizer(model, training, native=model.backend == "native")

    def step() -> None:
        output = model(tokens, targets)
        loss = output.nll_BT.mean()
        if config.n_experts > 1:
            loss = loss + training.load_balance_weight * output.load_balance + 1e-3 * output.router_z
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.clip_and_step(training.gradient_clip)

    return step


def peer(config: ModelConfig, kind: str) -> dict[str, Step]:
    """Steps of the same shape with `transformers` and torch's fused AdamW, by precision; they share their weights."""
    import transformers

    transformers.logging.set_verbosity_error()
    names = {
        "hidden_size": config.d_model,
        "intermediate_size": config.d_expert,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_heads,
        "max_position_embeddings": config.context_length,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tied_embeddings,
        "use_cache": False,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "attn_implementation": "sdpa",
    }
    if kind == "Olmoe":
        names |= {"num_experts": config.n_experts, "num_experts_per_tok": config.n_experts_active}
        names |= {"experts_implementation": "grouped_mm"}
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, f"{kind}Config")(**names)).float()
    tokens, targets = batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), fused=True)

    def step(precision: Precision) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(input_ids=tokens).logits
        loss = cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()

    return {name: partial(step, name) for name in PRECISIONS}


def matmul(dtype: torch.dtype) -> Step:
    """A product of square matrices that fit into every cache: the ceiling."""
    a, b = (torch.randn(CEILING_SIZE, CEILING_SIZE).to(dtype) for _ in range(2))
    return lambda: a @ b


def steps_of(config: ModelConfig) -> dict[str, Step]:
    """Ours and the peers of a shape."""
    kinds = ("Olmo", "Llama") if config.n_experts == 1 else ("Olmoe",)
    steps = {f"ours {name}": ours(config, name) for name in PRECISIONS}
    for kind in kinds:
        steps |= {f"{kind} {name}": step for name, step in peer(config, kind).items()}
    return steps


def step_of(config: ModelConfig, kind: str, precision: Precision) -> Step:
    """A step of ours or of a peer."""
    return ours(config, precision) if kind == "ours" else peer(config, kind)[precision]


def seconds(steps: dict[str, Step]) -> dict[str, float]:
    """Processor seconds of each, the median of turns taken in rounds."""
    turns = {}
    for name, step in steps.items():
        step()
        begin = time.process_time()
        step()
        turns[name] = max(1, round(SECONDS_A_TURN / (time.process_time() - begin)))
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            begin = time.process_time()
            for _ in range(turns[name]):
                step()
            taken[name].append((time.process_time() - begin) / turns[name])
    return {name: statistics.median(values) for name, values in taken.items()}


def products(config: ModelConfig) -> float:
    """FLOPs of a step in matrix products and attention, without the causal half of the scores and the router."""
    flops = count_flops(config)
    return float(SEQUENCES * CONTEXT * (flops.total - flops.router - flops.attention_scores / 2))


def peak_memory(d_model: int, n_experts: int, name: str) -> float:
    """MiB that three steps take in a separate process."""
    command = [sys.executable, __file__, str(d_model), str(n_experts), *name.split()]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_memory(config: ModelConfig, kind: str, precision: Precision) -> None:
    """What `peak_memory` runs in its process."""
    small = shape(HEAD_WIDTH, config.n_experts)
    step_of(small, kind, precision)()  # libraries that load at their first use
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _peak()
    step = step_of(config, kind, precision)
    for _ in range(3):
        step()
    print(_peak() - before)


def _peak() -> float:
    """Peak resident memory of this process since it was last reset, MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(d_model: int, n_experts: int) -> list[dict[str, Any]]:
    """The rows of a shape, one per precision, without their ratio to the dense step."""
    config = shape(d_model, n_experts)
    steps = steps_of(config) | {"fp32 ceiling": matmul(torch.float32), "bf16 ceiling": matmul(torch.bfloat16)}
    taken = seconds(steps)
    del steps
    gc.collect()
    ceilings = {name: 2 * CEILING_SIZE**3 / taken.pop(name) for name in ("fp32 ceiling", "bf16 ceiling")}
    own = {precision: taken.pop(f"ours {precision}") for precision in PRECISIONS}
    best = min(taken, key=lambda name: taken[name])
    peers_memory = peak_memory(d_model, n_experts, best)
    rows = []
    for precision in PRECISIONS:
        memory = peak_memory(d_model, n_experts, f"ours {precision}")
        rows.append(
            {
                "d_model": d_model,
                "n_experts": n_experts,
                "precision": precision,
                "milliseconds": own[precision] * 1e3,
                "tokens_per_second": SEQUENCES * CONTEXT / own[precision],
                "peer": best,
                "peer / ours": taken[best] / own[precision],
                "float32 / this": own["float32"] / own[precision],
                "share of fp32 ceiling": products(config) / own[precision] / ceilings["fp32 ceiling"],
                "bf16 / fp32 ceiling": ceilings["bf16 ceiling"] / ceilings["fp32 ceiling"],
                "memory_mib": memory,
                "memory / peer's": memory / peers_memory,
            }
        )
    return rows


def holds(row: dict[str, Any], name: str) -> bool | None:
    """Whether a goal holds for a row; None if the row has no such goal."""
    asked = {
        "peer / ours": True,
        "share of fp32 ceiling": (row["d_model"], row["n_experts"], row["precision"]) == (128, 1, "float32"),
        "step / dense step": row["n_experts"] == 50,
        "memory / peer's": True,
    }
    if not asked[name]:
        return None
    more = name in ("peer / ours", "share of fp32 ceiling")
    return bool(row[name] >= GOALS[name] if more else row[name] <= GOALS[name])


def show(rows: list[dict[str, Any]]) -> None:
    """The table, with the goals beside the ratios."""
    signs = {name: "≥" if name in ("peer / ours", "share of fp32 ceiling") else "≤" for name in GOALS}
    table = Table(
        "d",
        "E",
        "",
        "ms",
        "float32 /",
        "tokens/s",
        "peer",
        *(f"{name}\n{signs[name]} {goal}" for name, goal in GOALS.items()),
    )
    for row in rows:
        cells = []
        for name in GOALS:
            mark = {True: " ✓", False: " ✗", None: ""}[holds(row, name)]
            cells.append(f"{row[name]:.2f}{mark}")
        shape_of = (str(row["d_model"]), str(row["n_experts"]), row["precision"])
        numbers = (*shape_of, f"{row['milliseconds']:.0f}", f"{row['float32 / this']:.2f}")
        table.add_row(*numbers, f"{row['tokens_per_second']:,.0f}", row["peer"], *cells)
    Console(width=140).print(table)
    met = [holds(row, name) for row in rows for name in GOALS]
    print(f"{met.count(True)} of {met.count(True) + met.count(False)} goals hold; NOTES.md says what limits the others")


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    """Measure all shapes, print the table, and write it to its file."""
    rows: list[dict[str, Any]] = []
    dense: dict[str, float] = {}
    for d_model, n_experts in product(WIDTHS, EXPERTS):
        for row in measure(d_model, n_experts):
            if n_experts == 1:
                dense[row["precision"]] = row["milliseconds"]
            rows.append(row | {"step / dense step": row["milliseconds"] / dense[row["precision"]]})
    show(rows)
    about = {
        "processor": processor(),
        "backend": build_model(shape(HEAD_WIDTH, 1), seed=0).backend,
        "versions": {name: version(name) for name in ("moe-lib", "torch", "transformers")},
        "goals": GOALS,
        "rows": rows,
    }
    with whole_file(RESULT) as temporary:
        temporary.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 5:
        d_model, n_experts, kind, precision = sys.argv[1:]
        print_memory(shape(int(d_model), int(n_experts)), kind, precision)  # type: ignore[arg-type]
    else:
        main()
