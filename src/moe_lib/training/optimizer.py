"""Adam with fully decoupled weight decay, Muon for the attention matrices, and the rate over time (Appendix B).

Fully decoupled means w <- (1 - wd lr_t / lr_peak) w beside Adam's step: the decay does not grow with the peak learning
rate. torch's AdamW multiplies by 1 - wd lr_t instead, so it gets wd / lr_peak. `router_rate` multiplies both the
router's rate lr_t and its decay wd lr_t / lr_peak.

Muon (Jordan et al. 2024) replaces a matrix's averaged gradient by approximately the nearest orthogonal matrix: its
singular values end between 0.7 and 1.2. Queries, keys, values and the output of attention count as separate matrices.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from moe_lib.config import TrainingConfig
from moe_lib.native import call

MUON_MOMENTUM = 0.95
MUON_STEPS = 5
MUON_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
AVERAGE = "exp_avg"  # Adam's first moment, and Muon's only one


class Adam(torch.optim.AdamW):
    """torch's AdamW with the same state; a `native` step is one pass of the kernels over float32 weights on the CPU.

    With `training.muon_rate` Muon updates the matrices of attention. With `capturable` the rates and the numbers of
    steps are tensors beside the weights, so that a CUDA graph can hold a step.
    """

    def __init__(self, model: nn.Module, training: TrainingConfig, native: bool, capturable: bool = False) -> None:
        groups: dict[str, list[Tensor]] = {"others": [], "router": [], "muon": []}
        for name, weight in model.named_parameters():
            of_attention = training.muon_rate and ".attention." in name and weight.ndim == 2
            groups["router" if ".router." in name else "muon" if of_attention else "others"].append(weight)
        ratios = {"router": training.router_rate, "muon": (training.muon_rate or 0) / training.learning_rate}
        device = next(model.parameters()).device
        rates = {"lr": torch.tensor(training.learning_rate, device=device)} if capturable else {}
        super().__init__(
            [
                {"params": weights, "ratio": ratios.get(kind, 1.0), "muon": kind == "muon"}
                | {name: rate.clone() for name, rate in rates.items()}
                for kind, weights in groups.items()
            ],
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            eps=training.epsilon,
            weight_decay=training.weight_decay / training.learning_rate,
            fused=True,
            capturable=capturable,
        )
        for group in self.param_groups:
            if group["muon"]:
                group["weight_decay"] = training.weight_decay / (training.muon_rate or 1)
        self.native, self.in_huge_pages = native, False

    def set_rate(self, rate: float | Tensor) -> None:
        """Set the learning rate of every group, in proportion."""
        for group in self.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].copy_(rate * group["ratio"])
            else:
                group["lr"] = rate * group["ratio"]

    def clip_and_step(self, max_norm: float) -> None:
        """Scale the gradients down to a norm of at most `max_norm`, then update the weights."""
        weights = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        if not self.native:
            torch.nn.utils.clip_grad_norm_(weights, max_norm, foreach=True)
            self._muon_step()
            self.step()
            return
        squares = torch.empty((), dtype=torch.float64)
        gradients = [weight.grad.contiguous() for weight in weights]
        call("sum_of_squares", gradients, _sizes(weights), len(weights), squares)
        shrink = min(1.0, max_norm / (math.sqrt(float(squares)) + 1e-6))
        self._muon_step(shrink)
        for group in self.param_groups:
            self._native_step(group, shrink)
        if not self.in_huge_pages:
            tensors = [*weights, *(tensor for state in self.state.values() for tensor in state.values())]
            call("move_to_huge_pages", tensors, _sizes(tensors), len(tensors))
            self.in_huge_pages = True

    @torch.no_grad()
    def _muon_step(self, shrink: float = 1.0) -> None:
        """Update all of Muon's matrices at once and drop their gradients, so that Adam skips them."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None and group["muon"]]
            if not weights:
                continue
            directions = []
            for weight in weights:
                gradient = weight.grad * shrink
                if AVERAGE not in self.state[weight]:
                    self.state[weight][AVERAGE] = torch.zeros_like(weight)
                average = self.state[weight][AVERAGE]
                average.lerp_(gradient, 1 - MUON_MOMENTUM)
                directions.append(gradient.lerp(average, MUON_MOMENTUM).view(-1, *[weight.shape[1]] * 2))
                weight.grad = None
            updates = torch.split(orthogonalized(torch.cat(directions), self.native), [len(one) for one in directions])
            for weight, update in zip(weights, updates, strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                if isinstance(group["lr"], Tensor):
                    weight.sub_(group["lr"] * update.flatten(0, 1))
                else:
                    weight.sub_(update.flatten(0, 1), alpha=group["lr"])

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
            weights,
            gradients,
            *([state[moment] for state in states] for moment in ("exp_avg", "exp_avg_sq")),
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


def orthogonalized(x_MDD: Tensor, native: bool = False) -> Tensor:
    """Each of M square matrices with its singular values brought near 1, by five Newton-Schulz steps."""
    if native:
        call("orthogonalize", y_MDD := x_MDD.clone(), *x_MDD.shape[:2], MUON_STEPS, *MUON_COEFFICIENTS)
        return y_MDD
    a, b, c = MUON_COEFFICIENTS
    x_MDD = x_MDD / torch.linalg.matrix_norm(x_MDD, keepdim=True).clamp(min=1e-7)
    for _ in range(MUON_STEPS):
        gram_MDD = x_MDD @ x_MDD.mT
        x_MDD = torch.baddbmm(x_MDD, torch.baddbmm(gram_MDD, gram_MDD, gram_MDD, beta=b, alpha=c), x_MDD, beta=a)
    return x_MDD


def _sizes(weights: list[Tensor]) -> list[int]:
    return [weight.numel() for weight in weights]


def make_optimizer(
    model: nn.Module, training: TrainingConfig, *, native: bool = False, capturable: bool = False
) -> Adam:
    """The optimiser of a run over all weights; `native` requires float32 weights on the CPU and the native back end."""
    return Adam(model, training, native, capturable)


def learning_rate(step: int, n_steps: int, training: TrainingConfig) -> float:
    """Learning rate of step 0 <= step < n_steps: linear warm-up to the peak, then a cosine to its final fraction."""
    peak, final = training.learning_rate, training.final_learning_rate_fraction
    n_warmup = round(training.warmup_fraction * n_steps)
    if step < n_warmup:
        return peak * (step + 1) / n_warmup
    progress = (step - n_warmup) / (n_steps - n_warmup)
    return peak * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)
