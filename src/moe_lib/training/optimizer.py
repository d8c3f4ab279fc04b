"""Adam with fully decoupled weight decay, and the learning rate over time (Appendix B).

Fully decoupled means w <- (1 - wd lr_t / lr_peak) w beside Adam's step: the decay does not grow with the peak rate.
torch's AdamW multiplies by 1 - wd lr_t instead, so it is handed wd / lr_peak.
"""

import math

import torch
from torch import nn

from moe_lib.config import TrainingConfig


def make_optimizer(model: nn.Module, training: TrainingConfig) -> torch.optim.AdamW:
    """The optimiser of a run over all weights, in one fused pass."""
    return torch.optim.AdamW(
        model.parameters(),
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
        weight_decay=training.weight_decay / training.learning_rate,
        fused=True,
    )


def learning_rate(step: int, n_steps: int, training: TrainingConfig) -> float:
    """The rate of step 0 <= step < n_steps: linear warm-up to the peak, then a cosine to its final fraction."""
    peak, final = training.learning_rate, training.final_learning_rate_fraction
    n_warmup = round(training.warmup_fraction * n_steps)
    if step < n_warmup:
        return peak * (step + 1) / n_warmup
    progress = (step - n_warmup) / (n_steps - n_warmup)
    return peak * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)
