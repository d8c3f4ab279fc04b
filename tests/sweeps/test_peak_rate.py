"""The rule for the peak rate."""

from moe_lib.sweeps.peak_rate import PeakRate


def test_rates_have_two_digits() -> None:
    assert PeakRate(at_reference=0.0123456)(1e5, 0, 1e13) == 0.012
