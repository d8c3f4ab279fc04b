"""A problem set that grades itself: the right answers are computed, and common mistakes are recognised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from moe_lib.laws.implications import best_loss
from moe_lib.laws.optimum import Budget
from moe_lib.laws.published import ABNAR2025
from moe_lib.planner.hardware import memory_bytes

TOLERANCE = 0.02  # relative


@dataclass(frozen=True)
class Problem:
    """One question, how its answer is computed, and wrong answers that say what went wrong."""

    name: str
    question: str
    answer: Callable[[], float]
    slips: Mapping[str, Callable[[], float]]


@dataclass(frozen=True)
class Mark:
    """One graded answer: the problem's name, whether it is right, and a comment for the student."""

    name: str
    right: bool
    comment: str


PROBLEMS = (
    Problem(
        "bits",
        "A loss of 2.3 nats per token: how many bits per token is that?",
        lambda: 2.3 / log(2),
        {"a nat is more than a bit, so the number has to grow": lambda: 2.3 * log(2)},
    ),
    Problem(
        "sparsity",
        "A layer has 40 experts and sends each token to 2. What is S?",
        lambda: 1 - 2 / 40,
        {"this is the share of experts that are used": lambda: 2 / 40},
    ),
    Problem(
        "flops",
        "A dense model of 1e9 parameters reads 2e10 tokens. How many FLOPs does its training cost?",
        lambda: 6 * 1e9 * 2e10,
        {"this is the forward pass only": lambda: 2 * 1e9 * 2e10},
    ),
    Problem(
        "tokens",
        "N = 5e9, S = 0.9, N_a = (1 - S) N, C = 1e21 FLOPs. How many tokens D does the budget buy?",
        lambda: 1e21 / (6 * 0.5e9),
        {"a token is paid for by active parameters, not by all": lambda: 1e21 / (6 * 5e9)},
    ),
    Problem(
        "size",
        "The paper's law, C = 1e20, dense: what is the best N?",
        lambda: float(Budget(ABNAR2025, 1e20).best_size(0.0)),
        {"this is the best number of tokens": lambda: 1e20 / 6 / float(Budget(ABNAR2025, 1e20).best_size(0.0))},
    ),
    Problem(
        "best-sparsity",
        "The paper's law, N = 3e9, C = 1e20, N_a = (1 - S) N: what is the best S?",
        lambda: float(Budget(ABNAR2025, 1e20).best_sparsity(3e9)),
        {"this is -log(1 - S)": lambda: -float(np.log1p(-Budget(ABNAR2025, 1e20).best_sparsity(3e9)))},
    ),
    Problem(
        "gain",
        "The paper's law, C = 1e20, N_a = (1 - S) N, best sizes: how many nats does S = 0.9 gain over dense?",
        lambda: _gain(),
        {"a gain is the loss of the dense model minus the other": lambda: -_gain()},
    ),
    Problem(
        "memory",
        "How many bytes do weights, gradients and Adam's state of 5e9 parameters take in mixed precision?",
        lambda: memory_bytes(5e9)["training"],
        {"these are the weights alone": lambda: memory_bytes(5e9)["weights"]},
    ),
)


def grade(answers: Mapping[str, Any]) -> list[Mark]:
    """A mark for each of `PROBLEMS`, from answers by the problem's name; within 2 % is right, None is not answered."""
    return [_mark(problem, answers.get(problem.name)) for problem in PROBLEMS]


def _mark(problem: Problem, answer: Any) -> Mark:
    if answer is None:
        return Mark(problem.name, False, "not answered")
    try:
        value = float(answer)
    except (TypeError, ValueError):
        return Mark(problem.name, False, "has to be a number")
    if _close(value, problem.answer()):
        return Mark(problem.name, True, "right")
    hints = [hint for hint, wrong in problem.slips.items() if _close(value, wrong())]
    return Mark(problem.name, False, hints[0] if hints else "not yet")


def _close(value: float, right: float) -> bool:
    return bool(np.isclose(value, right, rtol=TOLERANCE, atol=0))


def _gain() -> float:
    return best_loss(ABNAR2025, 1e20, 0.0) - best_loss(ABNAR2025, 1e20, 0.9)
