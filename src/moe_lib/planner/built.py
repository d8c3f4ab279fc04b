"""The model of a family that can be built with the lowest loss within a demand."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from moe_lib.accounting import FLOPS_PER_WEIGHT, count_flops, count_parameters
from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.laws.shapes import width
from moe_lib.planner.demand import Question
from moe_lib.planner.family import Family

GRANULARITIES = (1, 2)  # Table 1
MOST_EXPERTS = 4096  # per layer, of a model to build
ALIKE = 1e-3  # nats; within this difference the coarser experts are chosen
FORWARD = 2 / FLOPS_PER_WEIGHT  # share of the forward pass in a token's FLOPs


@dataclass(frozen=True)
class Built:
    """A model as built, with exact counts, and its loss under the law.

    `n_tokens` follows from the full count of FLOPs (Appendix C with attention scores and router), and so differs from
    C / (6 N_a); `flops_per_token` is forward and backward.
    """

    model: ModelConfig
    n_params: int
    n_params_active: float
    n_tokens: float
    loss: float
    flops_per_token: int

    @property
    def training_flops(self) -> float:
        """FLOPs of the model's training."""
        return self.n_tokens * self.flops_per_token


def build(question: Question, model: ModelConfig) -> Built | None:
    """The model with its tokens and loss; None if it is too large or its budget buys less than one sequence."""
    counts, per_token = count_parameters(model), count_flops(model).total
    paid = question.flops / per_token - question.serving_tokens * FORWARD
    tokens = min(paid, question.max_tokens)
    if counts.total > question.max_params or tokens < model.context_length:
        return None
    active = counts.active_under(question.convention)
    columns = {"N": counts.total, "Na": active, "D": tokens, "S": model.sparsity}
    loss = float(question.law.loss(**{name: columns[name] for name in question.law.form.inputs}))
    return Built(model, counts.total, active, tokens, loss, per_token)


def nearest(question: Question, sparsity: float, family: Family) -> Built:
    """The model of lowest loss among those near the optimum at `sparsity`: E whole, d_model a multiple of the head.

    Candidates are numbers of experts whose 1 - S is within a factor of three, and the widths around the best of each.
    Of granularities within 0.001 nats the smallest is chosen. `InputError` if no model of the family fits the demand.
    """
    as_built = replace(question, convention=family.convention)
    best: Built | None = None
    for granularity in GRANULARITIES:
        found = [one for model in _near(as_built, sparsity, family, granularity) if (one := build(question, model))]
        if found and (best is None or min(one.loss for one in found) < best.loss - ALIKE):
            best = min(found, key=lambda one: one.loss)
    if best is None:
        raise InputError(_too_little(question, family))
    return best


def _near(question: Question, sparsity: float, family: Family, granularity: int) -> Iterator[ModelConfig]:
    low, high = granularity / (1 - sparsity) / 3, 3 * granularity / (1 - sparsity)
    most = granularity / (1 - question.max_sparsity) * (1 + 1e-9) if question.sparse else granularity
    first, last = max(granularity, int(low)), max(granularity, int(min(high, most, MOST_EXPERTS)))
    if first > last:
        raise InputError(f"sparsity = {sparsity:.9g} needs more than {MOST_EXPERTS:,} experts; lower max-sparsity")
    experts = np.arange(first, last + 1)
    sparsities = 1 - granularity / experts
    sizes = question.best_size(sparsities, question.max_params)
    heads = width(sizes, sparsities, family.convention, family.vocab_size, family.aspect) / family.d_head
    for count, middle in zip(experts.tolist(), heads, strict=True):
        for number in sorted({max(1, int(middle) + step) for step in (-1, 0, 1, 2)}):
            yield family.model(number, count, granularity)


def _too_little(question: Question, family: Family) -> str:
    smallest = family.model(1, 1)
    size, cost = count_parameters(smallest).total, count_flops(smallest).total
    needed = cost * (smallest.context_length + question.serving_tokens * FORWARD)
    if size > question.max_params:
        return f"max-params = {question.max_params:g} is below {size:,}, the smallest model of the family {family.name}"
    if question.max_tokens < smallest.context_length:
        return f"max-tokens = {question.max_tokens:g} is less than one sequence of {smallest.context_length} tokens"
    return (
        f"flops = {question.flops:g} is below {needed:.3g}, the cost of one training sequence and the serving with the "
        f"smallest model of the family {family.name}"
    )
