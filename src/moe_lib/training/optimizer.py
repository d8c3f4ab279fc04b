"""Adam with fully decoupled weight decay, and the learning rate over time (Appendix B).

Fully decoupled means w <- (1 - wd lr_t / lr_peak) w beside Adam's step: the decay does not grow with the peak rate.
torch's AdamW multiplies by 1 - wd lr_t instead, so it is handed wd / lr_peak. The router's rate is `router_rate` times
that of all else, its decay with it: both lr_t and the share wd lr_t / lr_peak are multiplied.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from moe_lib.config import TrainingConfig
from moe_lib.native import addresses, call


class Adam(torch.optim.AdamW):
    """torch's AdamW, its state included; `native` steps are one pass of the kernels over float32 weights on the CPU."""

    def __init__(self, model: nn.Module, training: TrainingConfig, native: bool) -> None:
        router = [weight for name, weight in model.named_parameters() if ".router." in name]
        others = [weight for name, weight in model.named_parameters() if ".router." not in name]
        super().__init__(
            [{"params": others, "ratio": 1.0}, {"params": router, "ratio": training.router_rate}],
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            eps=training.epsilon,
            weight_decay=training.weight_decay / training.learning_rate,
            fused=True,
        )
        self.native = native

    def clip_and_step(self, max_norm: float) -> None:
        """Scale the gradients down to a norm of at most `max_norm`, then update the weights."""
        weights = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        if not self.native:
            torch.nn.utils.clip_grad_norm_(weights, max_norm, foreach=True)
            self.step()
            return
        squares = torch.empty((), dtype=torch.float64)
        gradients = [weight.grad.contiguous() for weight in weights]
        call("sum_of_squares", addresses(gradients), _sizes(weights), len(weights), squares)
        shrink = min(1.0, max_norm / (math.sqrt(float(squares)) + 1e-6))
        for group in self.param_groups:
            self._native_step(group, shrink)

    def _native_step(self, group: dict[str, Any], shrink: float) -> None:
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return
        states = [self._state_of(weight) for weight in weights]
        for state in states:
            state["step"] += 1
        step = float(states[0]["step"])
        rate, (beta1, beta2) = group["lr"], group["betas"]
        gradients = [weight.grad.contiguous() for weight in weights]
        call(
            "adam",
            *map(addresses, (weights, gradients)),
            *(addresses([state[moment] for state in states]) for moment in ("exp_avg", "exp_avg_sq")),
            _sizes(weights),
            len(weights),
            shrink,
            rate / (1 - beta1**step),
            beta1,
            beta2,
            group["eps"],
            1 - rate * group["weight_decay"],
            1 / math.sqrt(1 - beta2**step),
        )

    def _state_of(self, weight: Tensor) -> dict[str, Tensor]:
        if not self.state[weight]:
            moments = {moment: torch.zeros_like(weight) for moment in ("exp_avg", "exp_avg_sq")}
            self.state[weight] = {"step": torch.tensor(0.0), **moments}
        state: dict[str, Tensor] = self.state[weight]
        return state


def _sizes(weights: list[Tensor]) -> Tensor:
    return torch.tensor([weight.numel() for weight in weights])


def make_optimizer(model: nn.Module, training: TrainingConfig, *, native: bool = False) -> Adam:
    """The optimiser of a run over all weights; `native` for a model in float32 on the CPU whose back end is native."""
    return Adam(model, training, native)


def learning_rate(step: int, n_steps: int, training: TrainingConfig) -> float:
    """The rate of step 0 <= step < n_steps: linear warm-up to the peak, then a cosine to its final fraction."""
    peak, final = training.learning_rate, training.final_learning_rate_fraction
    n_warmup = round(training.warmup_fraction * n_steps)
    if step < n_warmup:
        return peak * (step + 1) / n_warmup
    progress = (step - n_warmup) / (n_steps - n_warmup)
    return peak * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)
