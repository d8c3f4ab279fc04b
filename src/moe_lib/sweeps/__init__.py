"""Many runs: what a sweep file asks for, and the engine that trains it, killed or not."""

from moe_lib.sweeps.engine import Event, run_sweep
from moe_lib.sweeps.grid import SweepConfig, read_sweep
from moe_lib.sweeps.slurm import run_on_slurm

__all__ = ["Event", "SweepConfig", "read_sweep", "run_on_slurm", "run_sweep"]
