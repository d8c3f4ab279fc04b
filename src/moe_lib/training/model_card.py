"""The model card of an exported run, written from its configuration and its ledger row."""

import json
from collections.abc import Iterator
from typing import Any

from moe_lib.accounting import count_parameters
from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.ledger import Row


def model_card(run: RunConfig, row: Row | None) -> str:
    """A card in Markdown; without a row it says that the results are unknown."""
    parameters, schedule, model = count_parameters(run.model), plan(run), run.model
    facts = {
        "parameters": f"{parameters.total:,}, of which a token uses {parameters.active:,}",
        "experts": f"{model.n_experts} per layer, {model.n_experts_active} per token: sparsity {model.sparsity:.3g}",
        "shape": f"{model.n_layers} layers of width {model.d_model}, {model.n_heads} heads, context "
        f"{model.context_length}, vocabulary {model.vocab_size}",
        "budget": f"{schedule.flops:.3g} FLOPs: {schedule.n_tokens:,} tokens in {schedule.n_steps:,} steps",
        "data": f"`{run.corpus}`",
    }
    if row:
        facts["data"] += f", read {row['epochs']:.2f} times; tokens and tokenizer {row['corpus_digest'][:16]}"
    results = "\n".join(_results(row)) if row else "This export found no row of the run in a ledger."
    lines = [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "pipeline_tag: text-generation",
            "tags: [mixture-of-experts, scaling-laws]",
            "---",
            "",
            f"# Run {run.key}",
            "",
            "A decoder-only Transformer with experts in every layer, trained by moe-lib to measure a scaling law.",
            "It is not meant for any other use. Its architecture here is OLMoE's.",
            "",
            "| | |",
            "|---|---|",
            *lines,
            "",
            "## Results",
            "",
            results,
            "",
            "## Configuration",
            "",
            "```json",
            json.dumps(run.model_dump(), indent=2),
            "```",
            "",
        ]
    )


def _results(row: Row) -> Iterator[str]:
    if row["status"] != "done":
        yield "The run diverged."
        return
    yield (
        f"Held-out loss {row['loss']:.4f} ± {row['loss_standard_error']:.4f} nats per token"
        + (f", {row['bits_per_byte']:.4f} bits per byte" if row.get("bits_per_byte") else "")
        + "."
    )
    if probes := [(name, one) for name, one in _answers(row.get("probes") or {}) if one["n"]]:
        yield from ["", "| probe | questions | accuracy | nats per answer |", "|---|---|---|---|"]
        for name, one in probes:
            accuracy = "" if one.get("accuracy") is None else f"{one['accuracy']:.3f}"
            yield f"| {name} | {one['n']} | {accuracy} | {one['nll']:.3f} |"


def _answers(probes: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Probes with answers by their name and group."""
    for probe, groups in probes.items():
        for group, one in groups.items():
            if isinstance(one, dict) and {"n", "nll"} <= one.keys() and one["nll"] is not None:
                yield f"{probe}: {group}".replace("_", " "), one
