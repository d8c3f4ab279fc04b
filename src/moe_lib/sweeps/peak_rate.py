"""The rule for the peak learning rate of a sweep's runs."""

from typing import Annotated

from pydantic import Field

from moe_lib.config import Config, Positive

REFERENCE_SIZE, REFERENCE_FLOPS = 1e5, 1e13
Exponent = Annotated[float, Field(allow_inf_nan=False)]


class PeakRate(Config):
    """A rule for the peak learning rate: `at_reference` holds for N_a = 1e5, S = 0, C = 1e13 FLOPs.

    The rate is at_reference (N_a / 1e5)^size (1 - S)^density (C / 1e13)^budget, rounded to two digits. The rule
    interpolates and is valid only within the range of its tuning runs.
    """

    at_reference: Positive
    size: Exponent = 0.0
    density: Exponent = 0.0
    budget: Exponent = 0.0

    def __call__(self, n_params_active: float, sparsity: float, flops: float) -> float:
        """The peak learning rate of one run."""
        rate = (
            self.at_reference
            * (n_params_active / REFERENCE_SIZE) ** self.size
            * (1 - sparsity) ** self.density
            * (flops / REFERENCE_FLOPS) ** self.budget
        )
        return float(f"{rate:.2g}")
