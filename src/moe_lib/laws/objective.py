"""What a fit minimises: a sum over runs of a loss of residuals, with its analytic gradient.

Coefficients enter as logarithms, so that a law's parameters are x = (log coefficients [k], exponents [m]) and all of
them move on the same footing. `huber:DELTA` is Huber's loss r^2/2 up to delta and delta (|r| - delta/2) beyond, `lad`
is |r|, `mse` is r^2: each summed over runs, never averaged, with weights where runs are resampled.
"""

from dataclasses import dataclass

import numpy as np

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, Basis

EXPONENT_RANGE = (-300.0, 300.0)  # of the logarithm of a term: keeps a wild step of a line search finite


@dataclass(frozen=True)
class Objective:
    """`kind` and delta of a loss; residuals are of log loss unless `raw`."""

    kind: str
    delta: float = 1.0
    raw: bool = False

    @classmethod
    def parse(cls, text: str, raw: bool = False) -> "Objective":
        """From `huber:DELTA`, `lad` or `mse`; `InputError` for anything else."""
        kind, _, delta = text.partition(":")
        if kind in ("lad", "mse") and not delta:
            return cls(kind, raw=raw)
        try:
            value = float(delta)
        except ValueError:
            value = 0.0
        if kind == "huber" and 0 < value < np.inf:
            return cls(kind, value, raw)
        raise InputError(f"objective = {text!r} has to be huber:DELTA with DELTA > 0, lad or mse")

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        return f"huber:{self.delta:g}" if self.kind == "huber" else self.kind

    def rho(self, residuals: Array) -> Array:
        """Loss of every residual."""
        size = np.abs(residuals)
        if self.kind == "mse":
            return np.asarray(residuals**2)
        if self.kind == "lad":
            return np.asarray(size)
        return np.where(size <= self.delta, residuals**2 / 2, self.delta * (size - self.delta / 2))

    def psi(self, residuals: Array) -> Array:
        """Derivative of `rho`."""
        if self.kind == "mse":
            return np.asarray(2 * residuals)
        if self.kind == "lad":
            return np.sign(residuals)
        return np.clip(residuals, -self.delta, self.delta)


@dataclass(frozen=True)
class Problem:
    """Runs to fit: a basis bound to their inputs, its number of terms k, the observed target and a weight a run."""

    basis: Basis
    n_terms: int
    observed: Array
    weights: Array
    objective: Objective

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.observed)

    def residuals(self, x: Array) -> Array:
        """Predicted minus observed, `[n]`, of log loss or of loss."""
        return self._residuals(self.terms(x).sum(axis=0))

    def value(self, x: Array) -> float:
        """The objective."""
        return float(self.weights @ self.objective.rho(self.residuals(x)))

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """The objective and its gradient in x, `[k + m]`."""
        terms = self.terms(x)
        predicted = terms.sum(axis=0)
        residuals = self._residuals(predicted)
        pull = self.weights * self.objective.psi(residuals)
        by_term = terms * (pull if self.objective.raw else pull / predicted)
        slopes = self.basis.jacobian(x[self.n_terms :])
        in_exponents = slopes.reshape(len(slopes), -1) @ by_term.ravel()
        return float(self.weights @ self.objective.rho(residuals)), np.concatenate([by_term.sum(axis=1), in_exponents])

    def jacobian(self, x: Array) -> Array:
        """Derivative of the residuals in x, `[n, k + m]`."""
        terms = self.terms(x)
        share = terms if self.objective.raw else terms / terms.sum(axis=0)
        in_exponents = np.einsum("mkn,kn->mn", self.basis.jacobian(x[self.n_terms :]), share)
        return np.concatenate([share, in_exponents]).T

    def terms(self, x: Array) -> Array:
        """What every term adds to the prediction, `[k, n]`."""
        log_terms = self.basis.log_terms(x[self.n_terms :]) + x[: self.n_terms, None]
        return np.exp(np.clip(log_terms, *EXPONENT_RANGE))

    def _residuals(self, predicted: Array) -> Array:
        if self.objective.raw:
            return np.asarray(predicted - self.observed)
        return np.log(predicted) - np.log(self.observed)
