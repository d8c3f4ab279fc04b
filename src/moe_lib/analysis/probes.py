"""The probes of our runs: what each records, whether it measures anything here, and what sparsity does at equal loss.

Every probe is a number that falls as the model gets better, most of them in nats. An effect is put on the scale of the
upstream loss: x means that going from S = 0 to 1 at equal loss changes the probe as x nats of upstream loss do. A probe
that does not follow the loss has no such scale and measures nothing here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from moe_lib.analysis.transfer import transfer
from moe_lib.errors import InputError
from moe_lib.extras import how_to_install, missing_from
from moe_lib.ledger import Row

MARGIN = 0.1  # nats of upstream loss within which an effect counts as none
FOLLOWS = 0.5  # least correlation of a probe with the upstream loss
ABOVE = 2.0  # standard errors above chance
CHANCES = {"open book": "open_book"}  # probes whose answers are choices and count only above chance
Probe = Callable[[Mapping[str, Any]], float]


def _mean(group: Mapping[str, Any], name: str) -> float:
    return float(np.mean([one[name] for one in group.values() if one.get(name) is not None]))


PROBES: dict[str, Probe] = {
    "last word": lambda probes: _mean(probes["last_word"], "nll"),
    "minimal pairs": lambda probes: -_mean(probes["minimal_pairs"], "margin"),
    "injected facts": lambda probes: _mean(probes["closed_book"], "nll"),
    "open book": lambda probes: _mean(probes["open_book"], "nll"),
    "two hops": lambda probes: _mean(probes["two_hop"], "nll"),
    "passages read twice": lambda probes: float(probes["repeated_passages"]["second"]),
    "repeated trigrams": lambda probes: float(probes["associative_recall"]["repeated"]),
}
CATEGORIES = {
    "language understanding": ("last word", "minimal pairs"),
    "world knowledge": ("injected facts",),
    "reading comprehension": ("open book",),
    "reasoning": ("two hops",),
    "copying": ("passages read twice",),
    "part of the loss": ("repeated trigrams",),
}


def probe_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Finished runs that record probes: the columns of `transfer`, C (the requested budget), and one per probe.

    A probe that a run does not record is NaN. Configurations are a shape, a budget and a sparsity.
    """
    table = []
    for row in rows:
        if row["status"] != "done" or not row.get("probes"):
            continue
        model, flops = row["config"]["model"], row["config"]["training"]["flops"]
        same = {name: row[name] for name in ("loss", "sparsity", "n_params", "n_params_active", "n_tokens")}
        shape = f"{model['d_model']} x {model['n_layers']}, {row['sparsity']:g}, {flops:g}"
        table.append(same | {"C": flops, "configuration": shape} | {name: _value(row, name) for name in PROBES})
    return pd.DataFrame(table)


def effect_of_sparsity(rows: Sequence[Row], probe: str, tests: int = 1) -> "pd.Series[Any] | str":
    """The row of `transfer` for one probe on the scale of the upstream loss, or why it cannot be judged.

    Holm's correction counts `tests` probes.
    """
    if missing := missing_from("train"):
        return f"needs {missing[0]} ({how_to_install('train')})"
    table = probe_table(rows)
    if table.empty or table[probe].isna().all():
        return "no run records it"
    if probe in CHANCES and (why := at_chance(rows, CHANCES[probe])):
        return f"{why}, so reading is not measured"
    r = follows(table, probe)
    if r < FOLLOWS:
        return f"its correlation with the loss is {r:.3g}, so it measures nothing here"
    slope = float(np.polyfit(table["loss"], table[probe], 1)[0])
    try:
        found = transfer(table.assign(**{probe: table[probe] / slope}), [probe], MARGIN).iloc[0]
    except InputError as error:
        return str(error)
    found["p_holm"] = min(1.0, found["p_value"] * tests)
    return found


def effects_by_budget(rows: Sequence[Row]) -> pd.DataFrame:
    """`effect_of_sparsity` of every probe at every budget of the rows, Holm's correction over the probes of a budget.

    Columns name, probe, category, C, r (correlation with the loss), those of `transfer`, and `why` where it cannot be
    judged. A probe that can be judged at no budget has one row, that of the largest budget.
    """
    category = {probe: name for name, own in CATEGORIES.items() for probe in own}
    by_budget: dict[float, list[Row]] = {}
    for row in rows:
        by_budget.setdefault(row["config"]["training"]["flops"], []).append(row)
    found = []
    for probe in PROBES:
        for flops, own in sorted(by_budget.items()):
            effect = effect_of_sparsity(own, probe, len(PROBES))
            judged = {"effect": np.nan, "why": effect} if isinstance(effect, str) else dict(effect, why="")
            name = probe if len(by_budget) == 1 else f"{probe}, {flops:.0e}".replace("e+", "e")
            same = {"name": name, "probe": probe, "category": category[probe], "C": flops}
            found.append(same | {"r": follows(probe_table(own), probe)} | judged)
    table = pd.DataFrame(found)
    nowhere = table.groupby("probe")["effect"].transform("count") == 0
    table = table[~nowhere | ~table.duplicated("probe", keep="last")]
    return table.assign(name=table["name"].where(~nowhere, table["probe"])).reset_index(drop=True)


def open_and_closed(rows: Iterable[Row]) -> pd.DataFrame:
    """Answers about injected facts, a row per run with probes: nats of the answer after the right name (`closed`, facts
    injected most often), after a `stranger`'s and with the fact in the context (`open`), shares of right answers
    (`closed_right`, `open_right`), and what the name saves (`knowledge`, with its error over questions)."""
    table = []
    for row in rows:
        probes = row.get("probes") or {}
        if row["status"] != "done" or "closed_book" not in probes:
            continue
        most = max(probes["closed_book"], key=lambda name: int(name.split("_")[1]))
        pairs = probes["knowledge"][most]
        table.append({
            "loss": row["loss"], "sparsity": row["sparsity"], "C": row["config"]["training"]["flops"],
            "exposure": int(most.split("_")[1]),
            "closed": probes["closed_book"][most]["nll"], "stranger": probes["closed_book_stranger"][most]["nll"],
            "open": _mean(probes["open_book"], "nll"), "closed_right": probes["closed_book"][most]["accuracy"],
            "open_right": _mean(probes["open_book"], "accuracy"), "chance": _mean(probes["open_book"], "chance"),
            "knowledge": pairs["mean"], "knowledge_error": pairs["standard_error"], "n": pairs["n"],
        })  # fmt: skip
    return pd.DataFrame(table)


def follows(table: pd.DataFrame, probe: str) -> float:
    """The correlation of a probe with the upstream loss over the runs of a `probe_table`."""
    known = table.dropna(subset=[probe])
    return float(np.corrcoef(known["loss"], known[probe])[0, 1])


def at_chance(rows: Iterable[Row], group: str) -> str:
    """Why the answers to a group of questions measure nothing: over all runs they are not above chance; else empty."""
    found = [row["probes"].get(group, {}).values() for row in rows if row.get("probes")]
    asked = [one for groups in found for one in groups if one.get("accuracy") is not None]
    if not asked:
        return "no run records it"
    n = max(sum(one["n"] for one in groups) for groups in found)
    accuracy, chance = (float(np.mean([one[name] for one in asked])) for name in ("accuracy", "chance"))
    error = (chance * (1 - chance) / n) ** 0.5  # runs answer the same n questions, which count once
    return (
        ""
        if accuracy > chance + ABOVE * error
        else f"{accuracy:.0%} of the answers are right and chance is {chance:.0%}"
    )


def power(effect: Any, error: float, freedom: int, level: float = 0.05) -> Any:
    """The probability that a two-sided t test sees an effect (an array, in the unit of its standard error)."""
    student = stats.t(freedom)
    edge, away = float(student.ppf(1 - level / 2)), np.abs(effect) / error
    return student.sf(edge - away) + student.cdf(-edge - away)


def least_visible(error: float, freedom: int, wanted: float = 0.8, level: float = 0.05) -> float:
    """The smallest effect that a two-sided t test at a level sees with the wanted probability, about 2.8 errors."""
    student = stats.t(freedom)
    return float((student.ppf(1 - level / 2) + student.ppf(wanted)) * error)


def equivalence_power(error: float, freedom: int, margin: float = MARGIN, level: float = 0.05) -> float:
    """The probability that two one-sided tests find equivalence if the true effect is zero."""
    student = stats.t(freedom)
    room = margin / error - float(student.ppf(1 - level))
    return max(0.0, float(2 * student.cdf(room) - 1))


def _value(row: Row, probe: str) -> float:
    try:
        return PROBES[probe](row["probes"])
    except (KeyError, TypeError):
        return float("nan")
