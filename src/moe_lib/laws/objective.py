"""What a fit minimises: a sum over runs of a loss of residuals, with its analytic gradient.

Coefficients enter as logarithms: a law's parameters are x = (log coefficients [k], exponents [m]), all on one scale.
`huber:DELTA` is Huber's loss r^2/2 up to delta and delta (|r| - delta/2) beyond, `lad` is |r|, `mse` is r^2: each
summed over runs, never averaged, with weights if runs are resampled.

`huber:DELTA:ABOVE` multiplies the penalty of runs whose loss is above the law by ABOVE. With a small one, runs that
were stopped early or badly tuned, whose loss can only be too high, hardly pull the law up.
"""

from dataclasses import dataclass

import numpy as np

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, Basis

SMALLEST, LARGEST = 1e-30, 1e30  # of the numbers of an objective
EXPONENT_RANGE = (-300.0, 300.0)  # of the logarithm of a term: keeps an extreme step of a line search finite


@dataclass(frozen=True)
class Objective:
    """The `penalty` of a residual (huber, lad or mse) and its delta; residuals are of log loss unless `raw`.

    `above` multiplies the penalty of runs above the law.
    """

    penalty: str
    delta: float = 1.0
    raw: bool = False
    above: float = 1.0

    @classmethod
    def parse(cls, text: str, raw: bool = False) -> "Objective":
        """From `huber:DELTA`, `huber:DELTA:ABOVE`, `lad` or `mse`; `InputError` for anything else."""
        penalty, *numbers = text.split(":")
        if penalty in ("lad", "mse") and not numbers:
            return cls(penalty, raw=raw)
        try:
            delta, above = (*map(float, numbers), 1.0)[:2] if 1 <= len(numbers) <= 2 else (0.0, 0.0)
        except ValueError:
            delta = above = 0.0
        if penalty == "huber" and SMALLEST <= delta <= LARGEST and SMALLEST <= above <= LARGEST:
            return cls(penalty, delta, raw, above)
        raise InputError(
            f"objective = {text!r} has to be huber:DELTA or huber:DELTA:ABOVE with numbers from {SMALLEST:g} to "
            f"{LARGEST:g}, lad or mse"
        )

    @property
    def text(self) -> str:
        """The objective as written on the command line."""
        if self.penalty != "huber":
            return self.penalty
        return f"huber:{self.delta:g}" + (f":{self.above:g}" if self.above != 1 else "")

    def rho(self, residuals: Array) -> Array:
        """Penalty of every residual."""
        size = np.abs(residuals)
        if self.penalty == "mse":
            return np.asarray(residuals**2)
        if self.penalty == "lad":
            return np.asarray(size)
        return self.side(residuals) * np.where(
            size <= self.delta, residuals**2 / 2, self.delta * (size - self.delta / 2)
        )

    def psi(self, residuals: Array) -> Array:
        """Derivative of `rho`."""
        if self.penalty == "mse":
            return np.asarray(2 * residuals)
        if self.penalty == "lad":
            return np.sign(residuals)
        return self.side(residuals) * np.clip(residuals, -self.delta, self.delta)

    def curvature(self, residuals: Array) -> Array:
        """psi over residual: the weights of the least squares problem that has the same gradient."""
        if self.penalty == "mse":
            return np.full_like(residuals, 2.0)
        return self.side(residuals) * np.minimum(1, self.delta / np.maximum(np.abs(residuals), 1e-300))

    def side(self, residuals: Array) -> Array:
        """Weight of each residual by its sign: `above` if the run is above the law."""
        return np.where(residuals < 0, self.above, 1.0)


@dataclass(frozen=True)
class Problem:
    """Runs to fit: a basis bound to their inputs, its number of terms k, the observed target and a weight per run.

    `bounds` are the lowest and highest x of a search, `[2, k + m]`; without them a search is unbounded. `outer` is the
    index in x of an exponent to which the sum of the terms is raised.
    """

    basis: Basis
    n_terms: int
    observed: Array
    weights: Array
    objective: Objective
    bounds: Array | None = None
    outer: int | None = None

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.observed)

    @property
    def ends(self) -> Array:
        """The bounds, or infinite ones that broadcast, `[2, k + m]` or `[2, 1]`."""
        return np.array([[-np.inf], [np.inf]]) if self.bounds is None else self.bounds

    def residuals(self, x: Array) -> Array:
        """Predicted minus observed, `[n]`, of log loss or of loss."""
        return self.residuals_of(self.predicted(x))

    def value(self, x: Array) -> float:
        """The objective."""
        return float(self.weights @ self.objective.rho(self.residuals(x)))

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """The objective and its gradient in x, `[k + m]`."""
        terms = self.terms(x)
        predicted = self._raised(terms.sum(axis=0), x)
        residuals = self.residuals_of(predicted)
        pull = self.weights * self.objective.psi(residuals)
        by_term = self._shares(terms, x) * (pull * predicted if self.objective.raw else pull)
        slopes = self.basis.jacobian(x[self.n_terms :])
        gradient = np.concatenate([by_term.sum(axis=1), slopes.reshape(len(slopes), -1) @ by_term.ravel()])
        if self.outer is not None:
            in_power = np.log(terms.sum(axis=0))
            gradient[self.outer] += in_power @ (pull * predicted if self.objective.raw else pull)
        return float(self.weights @ self.objective.rho(residuals)), gradient

    def jacobian(self, x: Array) -> Array:
        """Derivative of the residuals in x, `[n, k + m]`."""
        terms = self.terms(x)
        shares = self._shares(terms, x)
        in_exponents = np.einsum("mkn,kn->mn", self.basis.jacobian(x[self.n_terms :]), shares)
        out = np.concatenate([shares, in_exponents])
        if self.outer is not None:
            out[self.outer] += np.log(terms.sum(axis=0))
        return (out * self._raised(terms.sum(axis=0), x) if self.objective.raw else out).T

    def terms(self, x: Array) -> Array:
        """What every term adds to the sum, `[k, n]`."""
        log_terms = self.basis.log_terms(x[self.n_terms :]) + x[: self.n_terms, None]
        return np.exp(np.clip(log_terms, *EXPONENT_RANGE))

    def predicted(self, x: Array) -> Array:
        """The law's target at every run, `[n]`."""
        return self._raised(self.terms(x).sum(axis=0), x)

    def residuals_of(self, predicted: Array) -> Array:
        """Residuals of predicted targets, `[n]`."""
        if self.objective.raw:
            return np.asarray(predicted - self.observed)
        return np.log(predicted) - np.log(self.observed)

    def _raised(self, total: Array, x: Array) -> Array:
        return total if self.outer is None else np.asarray(total ** x[self.outer])

    def _shares(self, terms: Array, x: Array) -> Array:
        """Derivative of the log of the target in the log of every term, `[k, n]`."""
        shares = terms / terms.sum(axis=0)
        return np.asarray(shares if self.outer is None else shares * x[self.outer])
