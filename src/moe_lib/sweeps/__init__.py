"""Sweeps: read the runs of a sweep file, and train them locally or on Slurm."""

from moe_lib.sweeps.engine import Event, run_sweep
from moe_lib.sweeps.grid import SweepConfig, read_sweep
from moe_lib.sweeps.slurm import Resources, run_on_slurm

__all__ = ["Event", "Resources", "SweepConfig", "read_sweep", "run_on_slurm", "run_sweep"]
