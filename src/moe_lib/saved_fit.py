"""A fit as a file: written by `moe-lib fit --out`, read by `moe-lib predict` and `moe-lib optimum --law`."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.errors import InputError
from moe_lib.files import whole_file
from moe_lib.fitting import Report, form_named
from moe_lib.laws.parametric import Law
from moe_lib.laws.solver import law_at
from moe_lib.laws.text_form import INPUTS, TextForm
from moe_lib.laws.uncertainty import Resamples
from moe_lib.reading import LARGEST, read_json
from moe_lib.tables import columns_for

FORMAT = 1


@dataclass(frozen=True)
class SavedFit:
    """A law, its resamples if there were any, the level of its intervals, and the columns that it was fitted to."""

    law: Law
    resamples: Resamples | None
    level: float
    columns: Mapping[str, str]


def save_fit(report: Report, ties: Mapping[str, str], path: Path) -> None:
    """Write a report, whole or not at all."""
    fitted, form = report.fit, report.fit.law.form
    seen = {name: values for name, values in fitted.columns.items() if name != form.target}
    content = report.contract | {
        "format": FORMAT,
        "form": form.text if isinstance(form, TextForm) else None,
        "tie": dict(ties),
        "columns": dict(report.request.names),
        "fitted_by": {"objective": fitted.objective.text, "raw": fitted.objective.raw, "where": report.request.where},
        "largest": {name: float(values.max()) for name, values in seen.items()},
        "smallest": {name: float(values.min()) for name, values in seen.items()},
        "freedom": fitted.freedom,
        "level": report.request.level,
        "internal": fitted.x.tolist(),
        "resamples": [] if report.resamples is None else report.resamples.x.tolist(),
    }
    with whole_file(Path(os.path.realpath(path))) as temporary:  # a link to an earlier fit stays a link
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def load_fit(path: Path) -> SavedFit:
    """A saved fit; `InputError` if the file is not one."""
    try:
        content: dict[str, Any] = read_json(path, LARGEST)
        text, columns = content["form"], dict(content["columns"])
        form = form_named(
            None if text else content["law"], text, content["tie"], [x for x in columns if x not in INPUTS]
        )
        size = len(form.coefficients) + len(form.exponents)
        internal = np.array(content["internal"], dtype=np.float64).reshape(size)
        at = law_at(form, internal)
        law = Law(form, at.values, f"fit to {content['n']} runs in {path}", content["largest"], content["smallest"])
        drawn = np.array(content["resamples"], dtype=np.float64).reshape(-1, size)
        resamples = Resamples(law, drawn, int(content["n"]), int(content["freedom"])) if len(drawn) else None
        return SavedFit(law, resamples, float(content["level"]), columns)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path}: is not a file of moe-lib fit --out ({type(error).__name__}: {error})") from None


def require_own(path: Path) -> None:
    """`InputError` if the file that a fit is to be written to exists and is not a fit."""
    if os.path.lexists(path):
        try:
            load_fit(path)
        except InputError:
            raise InputError(f"out = {path}: exists and is not a saved fit; choose another name") from None


def predictions(
    saved: SavedFit, table: pd.DataFrame, names: Mapping[str, str], level: float | None = None
) -> pd.DataFrame:
    """Inputs, prediction, its interval if the fit was resampled, and observed and residual if the table has targets."""
    form, level = saved.law.form, saved.level if level is None else level
    if not 0 < level < 1:
        raise InputError(f"level = {level:g} has to be between 0 and 1")
    known = names.get(form.target, form.target) in table.columns
    used = {symbol: name for symbol, name in names.items() if symbol in form.inputs or name in table.columns}
    found = pd.DataFrame(columns_for(table, form.inputs + (form.target,) * known, used)[0])
    inputs = {name: found[name].to_numpy() for name in form.inputs}
    out = found[list(form.inputs)].assign(predicted=saved.law.loss(**inputs))
    if saved.resamples is not None:
        low, high = saved.resamples.predict(level, **inputs)
        out = out.assign(low=low, high=high)
    if known:
        out = out.assign(observed=found[form.target], residual=np.log(out["predicted"] / found[form.target]))
    return out
