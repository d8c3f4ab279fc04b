"""The one test of a direction, for a law's optima and for those of our runs: in the mean, and step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_lib.claims.finding import HOLDS, UNTESTED, Verdict
from moe_lib.laws.basis import Array
from moe_lib.laws.interval import LEVEL, interval

LEAST = 1e-6  # a smaller change counts as zero: it is the accuracy of optima


@dataclass(frozen=True)
class Trend:
    """The mean slope of y over x with its interval, the share of draws whose every step has the claimed sign, and the
    verdict that follows."""

    value: float
    low: float
    high: float
    every_step: float
    verdict: Verdict

    @property
    def in_mean(self) -> bool:
        """Whether the claim holds in the mean."""
        return self.verdict in HOLDS


def trend(x: Sequence[float] | Array, estimate: Array, draws: Array, sign: int, level_steps: bool = False) -> Trend:
    """Test whether y moves with x as claimed; `estimate` is `[points]`, `draws` `[draws, points]`, x rises.

    A law without uncertainty has one draw. Reproduced: the whole interval of the mean slope has the claimed sign, and
    so has every step in 95 % of the draws. Partial: only the mean slope has. Contradicted: the whole interval of the
    slope is zero or of the other sign. Not testable: the interval includes both signs. With `level_steps`, a step may
    be level, as when the best sparsity stays at zero.
    """
    points = np.asarray(x, dtype=np.float64)
    slopes = np.polyfit(points, np.atleast_2d(draws).T, 1)[0]
    value = float(np.polyfit(points, estimate, 1)[0])
    low, high = (float(end) for end in interval(slopes))
    steps = sign * np.diff(np.atleast_2d(draws), axis=1)
    every = float(np.mean(np.all(steps > (-LEAST if level_steps else LEAST), axis=1)))
    least, most = sorted((sign * low, sign * high))
    verdict: Verdict = UNTESTED
    if least > LEAST:
        verdict = "reproduced" if every >= LEVEL else "partial"
    elif most <= LEAST:
        verdict = "contradicted"
    return Trend(value, low, high, every, verdict)


def share_verdict(share: float) -> Verdict:
    """Of the share of draws in which something holds: reproduced from 95 %, contradicted up to 5 %."""
    return "reproduced" if share >= LEVEL else "contradicted" if share <= 1 - LEVEL else UNTESTED


def part_verdict(share: float) -> Verdict:
    """Of the share of cases without noise in which something holds: all, some or none."""
    return "reproduced" if share == 1 else "contradicted" if share == 0 else "partial"


def sign_verdict(value: float, low: float, high: float, sign: int) -> Verdict:
    """The same for one number: reproduced if its whole interval has the claimed sign, contradicted if none of it."""
    least, most = sorted((sign * low, sign * high))
    return "reproduced" if least > LEAST else "contradicted" if most <= LEAST else UNTESTED
