"""Our fitter beside others on one table: the objective each reaches, and its processor time.

The runs are 240 of the law of Besiroglu et al. (2024) with 0.3 % of noise. Two objectives, since fitters differ in what
they can minimise: the summed Huber loss (delta 1e-3) of log losses, and squares of raw losses.

- `scipy multi-start`: L-BFGS-B from the 4,500 starts of Hoffmann et al. (2022), with its own numeric gradient. A random
  sample of the starts is timed and scaled up.
- `chinchilla`: the package of that name, if it is installed (pip install chinchilla), from a grid of 243 starts.
- `variable projection`: Nelder-Mead over the exponents from 25 starts, the linear part by SciPy's non-negative least
  squares, after the idea of Open-Athena (2026); a few lines here, since they publish no package.

Exits with 1 if any of them reaches a lower objective than ours.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
from scipy.optimize import minimize, nnls
from threadpoolctl import threadpool_limits

from moe_lib.laws.objective import Objective
from moe_lib.laws.parametric import CHINCHILLA, Law
from moe_lib.laws.published import BESIROGLU2024
from moe_lib.laws.solver import fit

HUBER, SQUARES = Objective("huber", 1e-3), Objective("mse", raw=True)
SAMPLE = 60
STARTS = list(product(np.arange(0, 30, 5), np.arange(0, 30, 5), np.arange(-1, 1.5, 0.5), *[np.arange(0, 2.5, 0.5)] * 2))
Fitter = Callable[[pd.DataFrame], tuple[float, float, str]]  # objective, seconds, remark


def runs() -> pd.DataFrame:
    """240 runs over sizes and tokens, with noise."""
    rows = [(n, d) for n in np.geomspace(5e7, 1.5e10, 16) for d in np.geomspace(1e9, 3e11, 15)]
    table = pd.DataFrame(rows, columns=["N", "D"])
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(len(table)))
    return table.assign(L=BESIROGLU2024.loss(table["N"], table["D"]) * noise)


def value(objective: Objective, table: pd.DataFrame, values: dict[str, float]) -> float:
    """The objective of a law on the runs, whoever found it."""
    predicted = Law(CHINCHILLA, values).loss(table["N"], table["D"])
    residuals = predicted - table["L"] if objective.raw else np.log(predicted / table["L"])
    return float(objective.rho(np.asarray(residuals)).sum())


def ours(objective: Objective) -> Fitter:
    """`moe_lib.laws.solver.fit`."""

    def run(table: pd.DataFrame) -> tuple[float, float, str]:
        begin = time.process_time()
        found = fit(CHINCHILLA, table, objective.text, raw=objective.raw)
        seconds = time.process_time() - begin
        return value(objective, table, found.coefficients), seconds, f"{found.agreeing_starts} of {found.starts} agree"

    return run


def multi_start(table: pd.DataFrame) -> tuple[float, float, str]:
    """Plain SciPy from Hoffmann's starts."""
    n, d, y = (np.log(table[name].to_numpy()) for name in ("N", "D", "L"))

    def loss(x: np.ndarray) -> float:
        a, b, e, alpha, beta = x
        return float(HUBER.rho(np.logaddexp.reduce([a - alpha * n, b - beta * d, np.full_like(n, e)]) - y).sum())

    chosen = np.random.default_rng(0).choice(len(STARTS), SAMPLE, replace=False)
    begin = time.process_time()
    best = min((minimize(loss, STARTS[i], method="L-BFGS-B") for i in chosen), key=lambda one: one.fun)
    seconds = (time.process_time() - begin) * len(STARTS) / SAMPLE
    a, b, e, alpha, beta = best.x
    values = {"a": np.exp(a), "b": np.exp(b), "e": np.exp(e), "alpha": alpha, "beta": beta}
    return value(HUBER, table, values), seconds, f"{SAMPLE} of {len(STARTS):,} starts run"


def chinchilla(table: pd.DataFrame) -> tuple[float, float, str]:
    """The package `chinchilla`, given the same objective."""
    from chinchilla import Chinchilla

    grid = {
        "E": [1.0, 1.5, 2.0],
        "a": [1.0, 5.0, 10.0],
        "b": [1.0, 5.0, 10.0],
        "alpha": [0.2, 0.4, 0.6],
        "beta": [0.2, 0.4, 0.6],
    }
    with tempfile.TemporaryDirectory() as folder:
        fitter = Chinchilla(
            folder, grid, loss_fn=lambda y, p: HUBER.rho(np.log(np.maximum(p, 1e-9)) - np.log(y)), log_level=40
        )
        for n, d, y in table.itertuples(index=False):
            fitter.append(N=n, D=d, loss=y)
        begin = time.process_time()
        fitter.fit(parallel=False)
        seconds = time.process_time() - begin
    found = fitter.get_params()
    values = {"a": found["A"], "b": found["B"], "e": found["E"], "alpha": found["alpha"], "beta": found["beta"]}
    return value(HUBER, table, values), seconds, "243 starts"


def variable_projection(table: pd.DataFrame) -> tuple[float, float, str]:
    """Exponents by Nelder-Mead, the linear part exactly."""
    n, d, y = table["N"].to_numpy() / 1e9, table["D"].to_numpy() / 1e9, table["L"].to_numpy()

    def columns(x: np.ndarray) -> np.ndarray:
        return np.stack([n ** -x[0], d ** -x[1], np.ones_like(n)], axis=1)

    def loss(x: np.ndarray) -> float:
        return float(nnls(columns(x), y)[1])

    starts = product(np.linspace(0.1, 0.9, 5), repeat=2)
    begin = time.process_time()
    options = {"xatol": 1e-10, "fatol": 1e-14, "maxiter": 2000}
    best = min((minimize(loss, x, method="Nelder-Mead", options=options) for x in starts), key=lambda one: one.fun)
    seconds = time.process_time() - begin
    a, b, e = nnls(columns(best.x), y)[0]
    values = {"a": a * 1e9 ** best.x[0], "b": b * 1e9 ** best.x[1], "e": e, "alpha": best.x[0], "beta": best.x[1]}
    return value(SQUARES, table, values), seconds, "25 starts"


def main() -> int:
    """Print the table of fitters."""
    table, worse = runs(), 0
    problems: dict[str, dict[str, Fitter]] = {
        "Huber 1e-3 of log loss": {"ours": ours(HUBER), "scipy multi-start": multi_start, "chinchilla": chinchilla},
        "squares of loss": {"ours": ours(SQUARES), "variable projection": variable_projection},
    }
    for problem, fitters in problems.items():
        print(f"{problem:24}{'objective':>16}{'above ours':>12}{'seconds':>10}")
        least = None
        for name, fitter in fitters.items():
            try:
                with threadpool_limits(limits=1):
                    reached, seconds, remark = fitter(table)
            except ImportError:
                print(f"  {name:22}not installed")
                continue
            least = reached if least is None else least
            worse += reached < least * (1 - 1e-9)
            print(f"  {name:22}{reached:16.10g}{reached / least - 1:12.1e}{seconds:10.2f}  {remark}")
    return int(worse > 0)


if __name__ == "__main__":
    sys.exit(main())
