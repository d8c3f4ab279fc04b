"""`moe-lib flops`: parameters and FLOPs of a model, before anything is built."""

from typing import Annotated

import typer
from rich.table import Table

from moe_lib.accounting import count_flops, count_parameters
from moe_lib.cli.console import plain_console
from moe_lib.cli.output import print_json
from moe_lib.config import ModelConfig
from moe_lib.paper import CONTEXT, VOCABULARY


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(flops)


def flops(
    d_model: Annotated[int, typer.Option(help="Model width.")],
    layers: Annotated[int, typer.Option(help="Number of layers.")],
    heads: Annotated[int, typer.Option(help="Attention heads.")] = 1,
    experts: Annotated[int, typer.Option(help="Experts per layer, E.")] = 1,
    active: Annotated[int, typer.Option(help="Experts per token, K.")] = 1,
    granularity: Annotated[int, typer.Option(help="Base width / expert width, G.")] = 1,
    vocab: Annotated[int, typer.Option(help="Vocabulary size.")] = VOCABULARY,
    context: Annotated[int, typer.Option(help="Context length in tokens.")] = CONTEXT,
    tied: Annotated[bool, typer.Option("--tied", help="One matrix for embedding and unembedding.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Parameters and FLOPs per token of a model, counted as in Appendix C of the paper.

    Example: `moe-lib flops --d-model 512 --layers 8 --heads 8 --experts 50 --json`
    """
    model = ModelConfig(
        d_model=d_model,
        n_layers=layers,
        n_heads=heads,
        n_experts=experts,
        n_experts_active=active,
        granularity=granularity,
        vocab_size=vocab,
        context_length=context,
        tied_embeddings=tied,
    )
    parameters, per_token = count_parameters(model), count_flops(model)
    result = {
        "sparsity": model.sparsity,
        "parameters": {
            name: getattr(parameters, name)
            for name in ("total", "active", "total_non_embedding", "active_non_embedding")
        },
        "flops_per_token": {
            name: getattr(per_token, name)
            for name in (
                "total",
                "eq9",
                "attention_projections",
                "attention_scores",
                "router",
                "experts",
                "unembedding",
            )
        },
    }
    if as_json:
        print_json(result)
        return
    table = Table("", "count", title=f"S = {model.sparsity:.4g}")
    for group, title in (("parameters", "parameters"), ("flops_per_token", "FLOPs per token")):
        table.add_section()
        for name, value in result[group].items():  # type: ignore[attr-defined]
            table.add_row(f"{title}: {name.replace('_', ' ')}", f"{value:,}")
    plain_console().print(table)
