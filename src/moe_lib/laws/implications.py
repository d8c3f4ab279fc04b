"""What a law implies beyond its text: consequences of the printed coefficients, computed instead of read off a figure.

Under the ideal convention and a budget C, Eq. 6 is a sum of exponentials of linear functions of n = log N,
s = -log(1-S) and log C, hence convex in (n, s): every optimum below is the only one.
"""

from collections.abc import Iterable
from itertools import product

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from moe_lib.accounting import Convention
from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, Linear, Posynomial
from moe_lib.laws.objective import Objective
from moe_lib.laws.optimum import LARGEST, SMALLEST, Budget
from moe_lib.laws.parametric import Law
from moe_lib.laws.polish import polish
from moe_lib.laws.solver import law_at, make_problem
from moe_lib.paper import BUDGETS, HUBER_DELTA, SPARSITIES

STEP = 1e-6


def slopes(law: Law, n_params: float, n_tokens: float, sparsity: float) -> dict[str, float]:
    """Partial derivatives of the loss in log N, log D and -log(1-S), the other two held; keys N, D and S.

    Each has the sign of the derivative in N, D and S themselves. Only for posynomials in N, D, S such as Eq. 6.
    """
    form = _posynomial(law)
    out = form.slopes(law.values, {"N": n_params, "D": n_tokens, "S": sparsity})
    return {name: float(values[0]) for name, values in out.items()}


def size_where_inactivity_helps(law: Law, sparsity: float) -> float:
    """N above which dL/dS < 0 at fixed N and D: taking active parameters away, all else equal, lowers the loss.

    From lambda c e^(lambda s) + delta d e^(delta s) N^(-gamma) = 0; infinite if lambda is not negative, or if there is
    no c-term.
    """
    v = law.values
    if v["lambda"] >= 0 or v["c"] == 0:
        return float("inf")
    ratio = v["delta"] * v["d"] / (-v["lambda"] * v["c"])
    return float((ratio * (1 - sparsity) ** (v["lambda"] - v["delta"])) ** (1 / v["gamma"]))


def comparative_statics(law: Law, n_params: float, sparsity: float, flops: float) -> dict[str, float]:
    """How optima move, from second derivatives at one point; ideal convention.

    `s_in_flops` and `s_in_size` are d s* / d log C at fixed N and d s* / d log N at fixed C; `size_in_flops` is
    d log N* / d log C at fixed S. At an optimum they are exact. The first is -b beta^2 D^-beta / (d^2 L / ds^2), thus
    negative for any coefficients: at fixed N, more compute always means less sparsity.
    """
    hessian = _hessian(law, n_params, sparsity, flops)
    n, s, c = 0, 1, 2
    return {
        "s_in_flops": float(-hessian[s, c] / hessian[s, s]),
        "s_in_size": float(-hessian[s, n] / hessian[s, s]),
        "size_in_flops": float(-hessian[n, c] / hessian[n, n]),
    }


def sparsity_balance(law: Law, n_params: float, flops: float, sparsities: Iterable[float]) -> pd.DataFrame:
    """What more sparsity gains in tokens and costs in active parameters, at fixed N and C; ideal convention.

    Columns S, gain and cost, nats per unit of s = -log(1-S): the gain is -dL/dlogD, since D is proportional to 1/(1-S),
    the cost dL/ds at fixed N and D. They are equal at the best sparsity. The budget enters the gain alone.
    """
    form, s = _posynomial(law), np.asarray(list(sparsities), dtype=np.float64)
    tokens = Budget(law, flops).tokens(n_params, s)
    out = form.slopes(law.values, {"N": np.full(s.shape, float(n_params)), "D": tokens, "S": s})
    return pd.DataFrame({"S": s, "gain": -out["D"], "cost": out["S"]})


def _hessian(law: Law, n_params: float, sparsity: float, flops: float) -> Array:
    """Second derivatives of the loss in (log N, s, log C) with D = C / (6 (1-S) N), `[3, 3]`."""
    form, budget = _posynomial(law), Budget(law, flops)
    columns = {"N": n_params, "S": sparsity, "D": budget.tokens(n_params, sparsity)}
    terms = np.array(list(law.terms(**columns).values()))
    _, exponents = form.internal(law.values)
    features = {name: np.zeros(1) for name in form.inputs}
    in_n, in_d, in_s = (
        Linear(form.monomials(features, slope_in=name)).log_terms(exponents)[:, 0] for name in ("N", "D", "S")
    )
    directions = np.stack([in_n - in_d, in_s + in_d, in_d])  # log D = log C - log 6 - log N + s
    return np.asarray((directions * terms) @ directions.T)


def size_for_sparsity(budget: Budget, sparsity: float) -> float:
    """N at which S*(N, C) is `sparsity`: the threshold below which the best sparsity is smaller.

    At S = 0 it is the size below which dense is best; at .98 the size above which the law leaves its data. NaN if no
    size between 1e5 and 1e18 is the threshold.
    """
    s = -np.log1p(-sparsity)
    low, high = max(s - STEP, 0.0), s + STEP

    def slope(log_n: float) -> float:
        n = np.exp(log_n)
        return float(budget.loss(n, -np.expm1(-high)) - budget.loss(n, -np.expm1(-low)))

    ends = np.log(SMALLEST), np.log(LARGEST)
    if slope(ends[0]) * slope(ends[1]) > 0:
        return float("nan")
    return float(np.exp(brentq(slope, *ends, xtol=1e-10)))


def growth_exponents(
    law: Law, sparsities: Iterable[float], budgets: Iterable[float] = BUDGETS, convention: Convention = "ideal"
) -> pd.DataFrame:
    """Exponents of N*, N_a* and D* in C at fixed S, as slopes of log-log lines through optima at `budgets` (Eq. 1)."""
    budgets, rows = list(budgets), []
    for sparsity in sparsities:
        made = [Budget(law, flops, convention) for flops in budgets]
        n = np.array([float(b.best_size(sparsity)) for b in made])
        active = np.array([float(b.active(x, sparsity)) for b, x in zip(made, n, strict=True)])
        columns = {"N": n, "Na": active, "D": np.array(budgets) / (6 * active)}
        slope = {name: float(np.polyfit(np.log(budgets), np.log(x), 1)[0]) for name, x in columns.items()}
        rows.append({"S": sparsity, **slope})
    return pd.DataFrame(rows)


def best_loss(law: Law, flops: float, sparsity: float, convention: Convention = "ideal") -> float:
    """Loss of the best size at a budget and a sparsity."""
    budget = Budget(law, flops, convention)
    return float(budget.loss(budget.best_size(sparsity), sparsity))


def compute_multiple(law: Law, flops: float, sparsity: float, convention: Convention = "ideal") -> float:
    """How many times the compute the best dense model needs to reach the loss of the best one at `sparsity`.

    Below 1 if the dense one is better. Infinite if no dense budget below 1e40 FLOPs reaches that loss, and NaN if every
    one above 1 FLOP is below it.
    """
    target = best_loss(law, flops, sparsity, convention)

    def short(log_multiple: float) -> float:
        return best_loss(law, flops * float(np.exp(log_multiple)), 0.0, convention) - target

    more = short(0.0) > 0
    low, high = (0.0, np.log(1e40 / flops)) if more else (np.log(1 / flops), 0.0)
    if short(low) * short(high) > 0:
        return float("inf" if more else "nan")
    return float(np.exp(brentq(short, low, high, xtol=1e-8)))


def asymptote(law: Law, sparsity: float) -> float:
    """Loss for unlimited parameters and data at a sparsity: e + c (1-S)^(-lambda) for Eq. 6."""
    v = law.values
    return float(v["e"] + v.get("c", 0.0) * (1 - sparsity) ** -v.get("lambda", 0.0))


def fewest_points(mse: float, huber: float, delta: float = HUBER_DELTA) -> float:
    """Smallest number of residuals whose mean square is `mse` and whose summed Huber loss is `huber`.

    Huber's loss is at most delta |r|, and the mean of |r| at most the root of the mean square, so that a sum over n
    points is at most n delta sqrt(mse). Below one, a mean over points is possible too. Both numbers are assumed to be
    of the same residuals; if the Huber loss is of log loss, n is larger still by at least the smallest loss in nats.
    """
    return huber / (delta * float(np.sqrt(mse)))


def runs_of_law(
    law: Law, budgets: Iterable[float], sparsities: Iterable[float], sizes: Iterable[float]
) -> pd.DataFrame:
    """Noise-free runs of a law in N, D and S: one for every budget, sparsity and size.

    Columns N, D, S, C, Na and L; ideal convention, N_a = (1-S) N and D = C / (6 N_a).
    """
    rows = [(n, c / (6 * (1 - s) * n), s, c, (1 - s) * n) for c, s, n in product(budgets, sparsities, sizes)]
    runs = pd.DataFrame(rows, columns=["N", "D", "S", "C", "Na"])
    return runs.assign(L=law.loss(runs["N"], runs["D"], runs["S"]))


def held_out_errors_expected(
    law: Law, table: pd.DataFrame, noise: float, times: int = 100, beyond: float = SPARSITIES[-1], seed: int = 0
) -> pd.DataFrame:
    """Parametric bootstrap of Section 5's validation: fit without S = `beyond`, predict there, were the law true.

    `table` gives N, D and S of the runs, `noise` the standard deviation of a run's log loss. One row per repetition:
    rmse on the held-out runs (of their noisy losses), bias (mean of predicted minus true) and error (its root mean
    square), nats. Fits use the summed Huber loss of the paper and start at the truth.
    """
    truth = np.asarray(law.loss(table["N"], table["D"], table["S"]))
    out = np.isclose(table["S"], beyond)
    if not out.any() or out.all():
        raise InputError(f"S = {beyond:g} has to be the sparsity of some runs and not of all")
    kept = {name: table[name].to_numpy()[~out] for name in ("N", "D", "S")}
    coefficients, exponents = law.form.internal(law.values)
    start, rng, rows = np.concatenate([np.log(coefficients), exponents]), np.random.default_rng(seed), []
    for _ in range(times):
        observed = truth * np.exp(noise * rng.standard_normal(len(truth)))
        problem = make_problem(law.form, kept | {"L": observed[~out]}, Objective("huber", HUBER_DELTA))
        x = polish(problem, start).x
        predicted = law_at(law.form, x).loss(*(table[name].to_numpy()[out] for name in ("N", "D", "S")))
        rows.append(
            {
                "rmse": np.sqrt(np.mean((predicted - observed[out]) ** 2)),
                "bias": np.mean(predicted - truth[out]),
                "error": np.sqrt(np.mean((predicted - truth[out]) ** 2)),
            }
        )
    return pd.DataFrame(rows)


def _posynomial(law: Law) -> Posynomial:
    if not isinstance(law.form, Posynomial) or law.form.inputs != ("N", "D", "S"):
        raise InputError(f"law = {law.form.name} has to be a law in N, D and S such as Eq. 6")
    return law.form
