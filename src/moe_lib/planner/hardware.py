"""A model's hardware requirements: bytes of memory, bytes between devices, hours."""

from dataclasses import dataclass

from moe_lib.config import ModelConfig
from moe_lib.errors import InputError

WEIGHT_BYTES = 2  # bfloat16
OPTIMIZER_BYTES = 14  # gradient in bfloat16, float32 master copy and Adam's two moments; Rajbhandari et al. (2020)
ACTIVATION_BYTES = 2  # bfloat16
H100 = 989e12  # dense bfloat16 FLOP/s of an H100 SXM, from its data sheet


@dataclass(frozen=True)
class Hardware:
    """GPUs of `peak_flops` FLOP/s, of which training reaches the share `utilisation`; both are assumptions."""

    peak_flops: float = H100
    utilisation: float = 0.35

    def __post_init__(self) -> None:
        if not 0 < self.utilisation <= 1:
            raise InputError(f"utilisation = {self.utilisation:g} has to be in (0, 1]")
        if not 0 < self.peak_flops < float("inf"):
            raise InputError(f"peak-flops = {self.peak_flops:g} has to be positive and finite")

    def gpu_hours(self, flops: float) -> float:
        """Hours that one GPU needs for a number of FLOPs."""
        return flops / (self.peak_flops * self.utilisation) / 3600


def memory_bytes(n_params: float) -> dict[str, float]:
    """Bytes of weights, and of weights, gradients and Adam's state in mixed precision, over all devices.

    All parameters count, because inactive experts occupy memory too. Activations need more.
    """
    return {"weights": WEIGHT_BYTES * n_params, "training": (WEIGHT_BYTES + OPTIMIZER_BYTES) * n_params}


def all_to_all_bytes(model: ModelConfig) -> dict[str, int]:
    """Bytes of activations that expert parallelism sends per token: in a forward pass, and in a training step.

    Each layer sends the token's d_model activations to its K experts (dispatch) and gets K results back (combine):
    2 K d_model n_layers values of 2 bytes; the backward pass sends the gradients of both. This is an upper bound: it
    assumes that every expert is on another device than the token, and counts a token once per expert even if two
    experts share a device. A dense model sends nothing.
    """
    passes = model.n_layers * model.layer_repeats
    values = 2 * model.n_experts_active * model.d_model * passes if model.n_experts > model.n_experts_active else 0
    return {"forward": values * ACTIVATION_BYTES, "training": 2 * values * ACTIVATION_BYTES}
