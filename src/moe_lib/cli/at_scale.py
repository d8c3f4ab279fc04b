"""The dry run of a sweep on GPUs, as a table and its sums."""

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from moe_lib.config import RunConfig


def print_gpu_plan(runs: "list[RunConfig]", n_devices: int, utilisation: float, console: Console) -> None:
    """Print what each run takes, the sums, and which runs ask for more tokens than their corpus has."""
    from moe_lib.planner.at_scale import WHOLE, gpu_plan
    from moe_lib.planner.hardware import Hardware

    hardware = Hardware(utilisation=utilisation)
    table = gpu_plan(runs, n_devices, hardware)
    printed = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("S", "shape", "C", "N", "N_a", "D", "GB", "GPU-h", "epochs"):
        printed.add_column(name, justify="right", no_wrap=True)
    for row in table.to_dict("records"):
        billions = (f"{row[name] / 1e9:.2f}B" for name in ("n_params", "n_params_active", "n_tokens"))
        printed.add_row(
            f"{row['sparsity']:.3g}",
            f"{row['d_model']} x {row['n_layers']}",
            f"{row['flops']:.1e}",
            *billions,
            f"{row['gigabytes']:.1f}",
            f"{row['gpu_hours']:,.0f}",
            f"{row['epochs']:.2f}" + ("!" if row["epochs"] > 1 else ""),
        )
    console.print(printed)
    console.print(
        f"in all: {len(table)} runs, {table['flops'].sum():.3g} FLOPs, {table['n_tokens'].sum():.3g} tokens, "
        f"{table['gpu_hours'].sum():,.0f} GPU-hours",
        soft_wrap=True,
    )
    console.print(
        f"estimates: GPU-hours at {utilisation:.0%} of the {hardware.peak_flops / 1e12:.0f} TFLOP/s of an H100; GB of "
        f"weights, gradients and Adam's state per device, over {n_devices}, without activations",
        soft_wrap=True,
    )
    too_many = table[table["epochs"] > 1]
    if len(too_many):
        names = ", ".join(f"{name} ({tokens:.2g} tokens)" for name, tokens in WHOLE.items())
        console.print(
            f"! {len(too_many)} runs ask for more tokens than their corpus has: {names}; the most is "
            f"{too_many['n_tokens'].max():.3g} tokens, {too_many['epochs'].max():.2f} times the corpus",
            soft_wrap=True,
        )
