"""`moe-lib sweep --dry-run --devices`: what a sweep would take on GPUs."""

from moe_lib.repository import EXPERIMENTS


def test_the_dry_run_prints_sums_and_who_asks_for_too_many_tokens(moe_here) -> None:
    done = moe_here("sweep", EXPERIMENTS / "paper" / "grid.yaml", "--dry-run", "--devices", 8, "--utilisation", 0.5)
    assert (done.returncode, done.stderr) == (0, "")
    assert "in all: 245 runs" in done.stdout
    assert "GPU-hours at 50% of the 989 TFLOP/s" in done.stdout
    assert "runs ask for more tokens than their corpus has: redpajama (1.2e+12 tokens)" in done.stdout


def test_devices_without_a_dry_run_are_refused(moe_here) -> None:
    done = moe_here("sweep", EXPERIMENTS / "paper" / "grid.yaml", "--devices", 8)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "devices plans a dry run on GPUs; give --dry-run too" in done.stderr
