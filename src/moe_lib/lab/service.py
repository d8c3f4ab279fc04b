"""The scaling lab, an exercise for classes: buy training runs with a budget of FLOPs, fit a law, bet on a larger model.

Every student gets a different law: Eq. 6 as printed, with each exponent and the size of each term changed by up to a
tenth; the student's name seeds the changes. A query names N (or a shape), S, D and the learning rate as a multiple of
a rule that is wrong by an unknown factor. The answer is the law's loss, plus the regret of the rate, plus the noise of
a seed. A query costs 6 N_a D FLOPs; a repeated query costs again and has another seed. The bet is on N, S and loss at
ten times the largest query, with N bounded. The score is the regret of (N, S) under the true law plus the error of the
predicted loss.

    lab = Lab("ada", file="lab.json")
    lab.query(n_params=2e8, sparsity=0.9, n_tokens=1e9)
    lab.bet(n_params=..., sparsity=..., loss=...)

Students can also buy real runs of the book's ledger, which have the ledger's losses and cost their own FLOPs.
"""

import hashlib
import json
import os
import reprlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.accounting import Convention, count_parameters
from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.files import locked, whole_file
from moe_lib.laws.parametric import Law
from moe_lib.laws.published import ABNAR2025
from moe_lib.ledger import Ledger, Row
from moe_lib.planner.demand import Demand
from moe_lib.reading import read_json

BUDGET = 1e20  # FLOPs per student
CONVENTION: Convention = "two-embeddings"  # of N_a
HORIZON = 10.0  # the bet's budget over that of the largest query
NOISE = 0.003  # standard deviation of a seed, as a share of the loss
MOVED = 0.1  # share by which a student's law may differ from the printed one
REFERENCE = {"N": 1e9, "D": 2e10, "S": 0.9}  # the point at which the size of a term is measured
RATE_COST = 0.05  # nats for a rate an e-fold away from the best
RATE_UNKNOWN = 2.0  # the best rate is within this factor of the rule
DIVERGES = 8.0  # a run at this many times the best rate diverges
ALLOWED = {"n_params": (1e7, 1e12), "n_tokens": (1e6, 1e14), "sparsity": (0.0, 0.98), "rate": (1e-3, 1e3)}


@dataclass(frozen=True)
class Query:
    """One paid run: its settings, FLOPs, and loss (nats per token; NaN for a run that diverged)."""

    n_params: float
    sparsity: float
    n_tokens: float
    rate: float
    flops: float
    loss: float


@dataclass(frozen=True)
class BetScore:
    """The score of a bet, in nats: the regret of the model and the error of the predicted loss."""

    flops: float
    max_params: float
    regret: float
    error: float
    best_n_params: float
    best_sparsity: float
    best_loss: float

    @property
    def total(self) -> float:
        """Regret plus error; lower is better."""
        return self.regret + self.error


class Lab:
    """A training service with a budget of `flops` for a student; its state is kept in a JSON file if one is named.

    The file stores the queries but not the true law. Answers are recomputed from the student's name, so a reopened lab
    continues where it stopped. `InputError` for a file of another student or budget.
    """

    def __init__(self, student: str, flops: float = BUDGET, file: Path | str | None = None) -> None:
        if not student.strip() or not student.isprintable():
            raise InputError(f"student = {reprlib.repr(student)} has to be a name of characters that can be printed")
        if not (np.isfinite(flops) and flops > 0):
            raise InputError(f"flops = {flops:g} has to be positive and finite")
        self.student, self.flops = student, float(flops)
        self.file = None if file is None else Path(os.path.realpath(file))
        self._state: dict[str, Any] = {"student": student, "flops": self.flops, "queries": [], "real": [], "bet": None}
        self._read()

    def __repr__(self) -> str:
        return f"Lab({self.student!r}: {len(self.queries)} queries, {self.spent:.3g} of {self.flops:.3g} FLOPs spent)"

    @classmethod
    def opened(cls, file: Path | str) -> "Lab":
        """The lab of a state file; `InputError` if there is none."""
        state = _read_state(Path(file))
        return cls(state["student"], state["flops"], file)

    @property
    def queries(self) -> list[Query]:
        """All queries in order, with their answers."""
        answers, asked = [], Counter[tuple[float, ...]]()
        for one in map(tuple, self._state["queries"]):
            answers.append(self._answer(one, asked[one]))
            asked[one] += 1
        return answers

    @property
    def table(self) -> pd.DataFrame:
        """The queries as columns N, Na, D, S, C, L and rate, without those that diverged: ready for a fit."""
        found = self.queries
        names = {"N": "n_params", "S": "sparsity", "D": "n_tokens", "C": "flops", "L": "loss", "rate": "rate"}
        table = pd.DataFrame({column: [getattr(one, name) for one in found] for column, name in names.items()})
        return table.assign(Na=table["C"] / (6 * table["D"])).dropna(subset="L")

    @property
    def spent(self) -> float:
        """FLOPs spent so far."""
        asked = sum(self.cost(n, d, s) for n, s, d, _ in self._state["queries"])
        return float(asked + sum(flops for _, flops in self._state["real"]))

    @property
    def target(self) -> tuple[float, float]:
        """The target of the bet: C, ten times that of the largest query, and the largest N allowed there."""
        if not self._state["queries"]:
            raise InputError("queries: the bet is at ten times the largest query, and there is none yet")
        flops = HORIZON * max(self.cost(n, d, s) for n, s, d, _ in self._state["queries"])
        return flops, max(ALLOWED["n_params"][0], float(f"{0.4 * np.sqrt(flops / 6):.2g}"))

    @staticmethod
    def cost(n_params: float, n_tokens: float, sparsity: float = 0.0) -> float:
        """FLOPs of a query, 6 N_a D, with N_a as in the paper's shapes."""
        return float(6 * Demand(1.0).of(ABNAR2025, convention=CONVENTION).active(n_params, sparsity) * n_tokens)

    def query(
        self,
        n_tokens: float,
        n_params: float | None = None,
        sparsity: float | None = None,
        rate: float = 1.0,
        model: ModelConfig | None = None,
    ) -> Query:
        """Train a model and get its loss; `model` gives N and S in place of `n_params` and `sparsity` (0 if left out).

        `InputError` if the query is not allowed or costs more than is left; then nothing is spent.
        """
        if (model is None) == (n_params is None) or (model is not None and sparsity is not None):
            raise InputError("n-params, with or without sparsity, or a model has to be given, and not both")
        if model is not None:
            n_params, sparsity = float(count_parameters(model).total), model.sparsity
        assert n_params is not None
        given = (n_params, sparsity or 0.0, n_tokens, rate)
        one = tuple(float(f"{value:.9g}") for value in given)  # the last bits, which differ by machine, seed no noise
        for name, value in zip(("n_params", "sparsity", "n_tokens", "rate"), one, strict=True):
            low, high = ALLOWED[name]
            if not low <= value <= high:
                raise InputError(f"{name.replace('_', '-')} = {value:g} has to be between {low:g} and {high:g}")
        with self._changing():
            self._pay(self.cost(one[0], one[2], one[1]))
            before = self._state["queries"].count(list(one))
            self._state["queries"].append(list(one))
        return self._answer(one, before)

    def cells(self, ledger: Ledger) -> pd.DataFrame:
        """Real runs that can be bought, by `key`: shape, S, N, D and FLOPs, without their losses."""
        return pd.DataFrame([_cell(row) for row in ledger.rows() if row["status"] == "done"])

    def real(self, key: str, ledger: Ledger) -> float:
        """Held-out loss of a real run, nats per token; it costs the run's FLOPs, once."""
        rows = ledger.select([key])
        if not rows or rows[0]["status"] != "done":
            raise InputError(f"key = {key!r} has to be that of a finished run of {ledger.path}")
        with self._changing():
            if key not in [own for own, _ in self._state["real"]]:
                self._pay(float(rows[0]["flops"]))
                self._state["real"].append([key, float(rows[0]["flops"])])
        return float(rows[0]["loss"])

    def bet(self, n_params: float, sparsity: float, loss: float) -> BetScore:
        """Bet once on the best N and S at `target`, and on the loss of that model."""
        with self._changing():
            if self._state["bet"] is not None:
                raise InputError("the bet is made; a student bets once")
            flops, largest = self.target
            if not ALLOWED["n_params"][0] <= n_params <= largest:
                raise InputError(f"n-params = {n_params:g} has to be between 1e7 and {largest:g} at C = {flops:.3g}")
            if not 0 <= sparsity <= ALLOWED["sparsity"][1]:
                raise InputError(f"sparsity = {sparsity:g} has to be between 0 and {ALLOWED['sparsity'][1]:g}")
            if not (np.isfinite(loss) and loss > 0):
                raise InputError(f"loss = {loss:g} has to be positive and finite")
            self._state["bet"] = [float(n_params), float(sparsity), float(loss)]
        return self.score

    @property
    def score(self) -> BetScore:
        """The score of the bet under the true law; `InputError` before the bet."""
        if self._state["bet"] is None:
            raise InputError("bet: there is none yet")
        n, s, loss = self._state["bet"]
        flops, largest = self.target
        question = Demand(flops, max_params=largest).of(_truth(self.student), convention=CONVENTION)
        best_n, best_s = question.solve()
        best, own = float(question.loss(best_n, best_s)), float(question.loss(n, s))
        return BetScore(flops, largest, own - best, abs(loss - own), best_n, best_s, best)

    def _answer(self, asked: tuple[float, ...], times: int) -> Query:
        """The answer to a query that was asked `times` before."""
        n, s, d, rate = asked
        law, best = _truth(self.student), _best_rate(self.student)
        away = np.log(rate / best)
        noise = NOISE * _random(self.student, "noise", *asked, times).standard_normal()
        loss = float((law.loss(n, d, s) + RATE_COST * away**2) * np.exp(noise))
        return Query(n, s, d, rate, self.cost(n, d, s), loss if rate < DIVERGES * best else float("nan"))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the file, read it, and write what was changed in the state, while no other process changes it."""
        if self.file is None:
            yield
            return
        if not self.file.exists():
            with suppress(InputError):  # another process has just made it, and whose it is is read below
                self.start()
        with locked(self.file):
            self._read()
            yield
            self._write(self.file)

    def _pay(self, flops: float) -> None:
        if self._state["bet"] is not None:
            raise InputError("the bet is made; nothing can be asked after it")
        left = self.flops - self.spent
        if flops > left:
            raise InputError(f"the query costs {flops:.3g} FLOPs, and {left:.3g} of {self.flops:.3g} are left")

    def _read(self) -> None:
        if self.file is None or not self.file.exists():
            return
        state = _read_state(self.file)
        for name in ("student", "flops"):
            if state[name] != getattr(self, name):
                raise InputError(f"{self.file}: is the lab of {name} = {state[name]}, not {getattr(self, name)}")
        self._state = state
        if self.spent > self.flops * (1 + 1e-9):
            raise InputError(f"{self.file}: is not the state of a lab, which never spends more than its budget")

    def start(self) -> None:
        """Write the file of a lab without queries; `InputError` if a file of this name exists."""
        if self.file is not None:
            self._write(self.file, new=True)

    def _write(self, file: Path, new: bool = False) -> None:
        with whole_file(file, new) as temporary:
            temporary.write_text(json.dumps(self._state, indent=1) + "\n", encoding="utf-8")


def _read_state(file: Path) -> dict[str, Any]:
    try:
        state = read_json(file)
        Lab(state["student"], state["flops"])
        asked, bet = ("n_params", "sparsity", "n_tokens", "rate"), state["bet"]
        complete = (
            isinstance(state["flops"], float)
            and all(_are_allowed(asked, one) for one in state["queries"])
            and all(isinstance(key, str) and isinstance(flops, float) and flops > 0 for key, flops in state["real"])
            and (bet is None or (len(bet) == 3 and _are_allowed(asked[:2], bet[:2]) and bet[2] > 0))
        )
    except FileNotFoundError:
        raise InputError(f"{file}: does not exist; start a lab first") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        complete = False
    if not complete:
        raise InputError(f"{file}: is not the state of a lab")
    return dict(state)


def _are_allowed(names: tuple[str, ...], values: list[Any]) -> bool:
    return all(
        isinstance(value, float) and ALLOWED[name][0] <= value <= ALLOWED[name][1]
        for name, value in zip(names, values, strict=True)
    )


def _random(*parts: object) -> np.random.Generator:
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


@lru_cache
def _truth(student: str) -> Law:
    """The student's law: its exponents, and the size of each term at the reference point, are changed."""
    form, random = ABNAR2025.form, _random(student, "law")
    before = ABNAR2025.terms(**REFERENCE)
    moved = {
        name: value * (random.uniform(1 - MOVED, 1 + MOVED) if name in form.exponents else 1.0)
        for name, value in ABNAR2025.values.items()
    }
    after = Law(form, moved).terms(**REFERENCE)
    sizes = {x: moved[x] * float(before[x] / after[x]) * random.uniform(1 - MOVED, 1 + MOVED) for x in before}
    return Law(form, moved | sizes, limits={"S": ALLOWED["sparsity"][1]})


def _best_rate(student: str) -> float:
    return float(RATE_UNKNOWN ** _random(student, "rate").uniform(-1, 1))


def _cell(row: Row) -> dict[str, Any]:
    model = row["config"]["model"]
    shape = f"{model['d_model']} x {model['n_layers']}"
    counts = {"N": row["n_params"], "Na": row["n_params_active"], "D": row["n_tokens"], "C": row["flops"]}
    return {"key": row["key"], "shape": shape, "S": row["sparsity"], **counts}
