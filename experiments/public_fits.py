"""Fits to data that nobody here produced, beside the numbers that others published; writes results/public_fits.json.

    python tools/public_data.py && python experiments/public_fits.py      # under a minute on two cores

The data are in experiments/public, whose README says where each file comes from.
"""

import json
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.files import whole_file
from moe_lib.laws.basis import Posynomial
from moe_lib.laws.interval import interval
from moe_lib.laws.parametric import CHINCHILLA, CLARK, Law
from moe_lib.laws.solver import Fit, fit
from moe_lib.laws.uncertainty import bootstrap
from moe_lib.repository import EXPERIMENTS, RESULTS

PUBLIC = EXPERIMENTS / "public"
RESULT = RESULTS / "public_fits.json"
RESAMPLES = 4_000  # as many as Besiroglu et al.

EPOCH = {
    "source": "Besiroglu et al. (2024); points read off a figure of Hoffmann et al. (2022)",
    "repository": "github.com/epoch-research/analyzing-chinchilla, commit 9225883, no licence",
    "selection": "loss below the 5th largest: 240 of 245 points; D = C / (6 N)",
}
# Besiroglu et al.'s notebook: summed Huber with standard errors over 4,000 case resamples, and their headline numbers,
# which come from a likelihood that is in effect least absolute deviations (e excepted).
EPOCH_PUBLISHED: dict[str, dict[str, float]] = {
    "huber:1e-3": {
        "objective": 0.0010182740346154362,
        "a": 477.84171252965143,
        "b": 2143.8637880335505,
        "e": 1.817235504463726,
        "alpha": 0.34731265761033453,
        "beta": 0.3671826173946711,
    },
    "lad": {"a": 482.00572, "b": 2085.43420, "e": 1.81686, "alpha": 0.34781, "beta": 0.36585},
}
EPOCH_ERRORS = {"a": 124.52232, "b": 1293.28410, "e": 0.02566, "alpha": 0.01540, "beta": 0.02060}

GEMSTONES = {
    "source": "McLeish et al. (2025), Gemstones",
    "repository": "github.com/mcleish7/gemstone-scaling-laws, commit 5f42047, MIT",
    "selection": "as each published fit's name says: 120b+ keeps tokens > 120e9, 512x keeps width 512, no_embeds takes "
    "50,304 width off N; the fits to sampled_like_chinchilla are left out, since its sample is not stored",
}
SIZES = {
    "parameters": ("N", "D"),
    "width_depth": ("width", "depth", "D"),
    "width_depth_parameters": ("width", "depth", "N", "D"),
}

CLARK_SOURCE = {
    "source": "Clark et al. (2022), routed language models at about 130e9 tokens",
    "repository": "github.com/google-deepmind/scaling_laws_for_routing, commit 42da0c3, data CC-BY-4.0",
    "selection": "last step of each run with routing_frequency .5, k 1 and seed 42; dense runs join each router; "
    "mean square of log loss, as in the repository's example",
}
CLARK_PUBLISHED = {  # Table 3 of Clark et al. (2022), read second-hand
    "S-Base": {"a": -0.082, "b": -0.108, "c": 0.009, "d": 1.104, "E_start": 1.847, "E_max": 314.478},
    "RL-R": {"a": -0.083, "b": -0.126, "c": 0.012, "d": 1.111, "E_start": 1.880, "E_max": 469.982},
    "Hash": {"a": -0.087, "b": -0.136, "c": 0.012, "d": 1.157, "E_start": 4.175, "E_max": 477.741},
}

LLAMA = {
    "source": "Open-Athena (2026); points read off a figure of Grattafiori et al. (2024)",
    "repository": "github.com/Open-Athena/scaling-law-analysis, commit 3e0656e, no licence",
    "selection": "all 133 points of Llama 3 as read off, in the unit of the figure; squares of the loss itself",
}
LLAMA_PUBLISHED = {"a": 59.1, "b": 155.1, "e": 0.6047, "alpha": 0.3100, "beta": 0.3136}  # their exp11, rounded there
LLAMA_PARABOLAS = 0.4632  # exponent of N* in C that they read off parabolas through the same points

OLMO = {
    "source": "Bhagia et al. (2024), model ladders; the loss is that of C4 in Paloma",
    "repository": "github.com/allenai/OLMo-ladder, commit 67a3f44, Apache-2.0",
    "selection": "as their fit of C4 losses: four sizes, each trained for 1, 2, 5 and 10 times 20 tokens per parameter",
}
OLMO_TARGETS = {"7B-4T": None, "13B-5T": 2.3443873053175697}  # what their law predicts, where they print it

FLAME = {
    "source": "Kang et al. (2025), FLAME-MoE; the runs behind it are not published as a table",
    "repository": "github.com/cmu-flame/FLAME-MoE, commit e9b2fe2, no licence",
    "selection": "coefficients that analysis/find_scaling_law.ipynb prints; exp(5) and exp(15) are among its starts",
    "published": {"a": 148.413257, "b": 3269017.372472, "e": 2.241716, "alpha": 0.279702, "beta": 0.715500},
}


def epoch_runs() -> pd.DataFrame:
    """The 240 points that Besiroglu et al. fitted."""
    table = pd.read_csv(PUBLIC / "epoch.csv")
    table = table[table["loss"] < table["loss"].nlargest(5).iloc[-1]]
    n, flops = table["Model Size"], table["Training FLOP"]
    return pd.DataFrame({"N": n, "D": flops / (6 * n), "L": table["loss"]})


def epoch(resamples: int = RESAMPLES, workers: int = 2) -> dict[str, Any]:
    """Eq. 5 under both objectives, and bootstrap standard errors under the first."""
    runs = epoch_runs()
    fits = {objective: fit(CHINCHILLA, runs, objective) for objective in EPOCH_PUBLISHED}
    drawn = bootstrap(fits["huber:1e-3"], resamples, workers=workers)
    return EPOCH | {
        "n": len(runs),
        "resamples": resamples,
        "fits": [_beside(objective, fits[objective], published) for objective, published in EPOCH_PUBLISHED.items()],
        "standard_errors": {"published": EPOCH_ERRORS, "ours": drawn.table.std().to_dict()},
    }


def gemstones_published() -> list[dict[str, Any]]:
    """Every published fit whose runs are stored: its runs, kind of law, Huber's delta, objective and coefficients."""
    fits: list[dict[str, Any]] = json.loads((PUBLIC / "gemstones-fits.json").read_text())
    return fits


def gemstones_runs(name: str) -> pd.DataFrame:
    """The runs that a published fit's name describes."""
    table = pd.read_csv(PUBLIC / "gemstones.csv")
    file = "cool_begin" if name.startswith("cool") else "hot_100b+" if "b+" in name else "hot"
    table = table[table["runs"] == file]
    if "120b+" in name:
        table = table[table["tokens"] > 120e9]
    if "512x" in name:
        table = table[table["width"] == 512]
    embedding = 50_304 * table["width"] if "no_embeds" in name else 0
    return table.assign(N=table["params_active_precise"] - embedding, D=table["tokens"], L=table["final_loss"])


def gemstones_form(kind: str) -> Posynomial:
    """A sum of powers of size and data, with an exponent each."""
    return Posynomial(
        kind,
        {f"c_{name}": {f"x_{name}": f"-{name}"} for name in SIZES[kind]} | {"e": {}},
        {f"x_{name}": tuple(np.linspace(0, 2, 5 if len(SIZES[kind]) == 4 else 9).tolist()) for name in SIZES[kind]},
    )


def gemstones() -> dict[str, Any]:
    """Every published fit beside ours: objectives, exponents and the irreducible loss."""
    rows = []
    for published in gemstones_published():
        kind, delta = published["law"], published["delta"]
        fitted = fit(gemstones_form(kind), gemstones_runs(published["runs"]), f"huber:{delta}")
        rows.append(
            {
                "runs": published["runs"],
                "law": kind,
                "delta": delta,
                "n": fitted.n,
                "published": {
                    "objective": published["loss"],
                    "exponents": published["exponents"],
                    "e": float(np.exp(published["irreducible_error"])),
                },
                "ours": {
                    "objective": fitted.minimum,
                    "exponents": [fitted.coefficients[f"x_{size}"] for size in SIZES[kind]],
                    "e": fitted.coefficients["e"],
                },
                "starts": fitted.starts,
                "agreeing_starts": fitted.agreeing_starts,
            }
        )
    return GEMSTONES | {"fits": rows}


def clark_runs(router: str) -> pd.DataFrame:
    """Final losses of one kind of routed models and the dense ones, with N of the dense model and S = 1 - 1/E."""
    table = pd.read_csv(PUBLIC / "clark.csv")
    table = table[table["router_type"].isin([router, "Dense"])]
    return pd.DataFrame(
        {"N": table["dense_parameter_count"], "S": 1 - 1 / table["num_experts"], "L": table["loss_validation"]}
    )


def clark() -> dict[str, Any]:
    """The log-bilinear law for each router."""
    fits = [
        _beside(router, fit(CLARK, clark_runs(router), "mse"), published)
        for router, published in CLARK_PUBLISHED.items()
    ]
    return CLARK_SOURCE | {"fits": fits}


def llama_runs() -> pd.DataFrame:
    """The points of Llama 3 as they were read off."""
    table = pd.read_csv(PUBLIC / "isoflops.csv")
    table = table[(table["source"] == "llama_3") & (table["condition"] == "raw_loss")]
    return pd.DataFrame({"N": table["params"], "D": table["tokens"], "L": table["loss"]})


def llama() -> dict[str, Any]:
    """Eq. 5 by squares, and the exponent of N* in C that it implies, with its bootstrap interval."""
    runs = llama_runs()
    fitted = fit(CHINCHILLA, runs, "mse", raw=True)
    draws = [_share(law) for law in bootstrap(fitted, 400).laws]
    low, high = interval(draws)
    share = {"parabolas": LLAMA_PARABOLAS, "ours": _share(fitted.law), "low": float(low), "high": float(high)}
    return LLAMA | {"fits": [_beside("squares of loss", fitted, LLAMA_PUBLISHED)], "exponent": share}


def _share(law: Law) -> float:
    """Exponent of N* in C: beta / (alpha + beta)."""
    return law.values["beta"] / (law.values["alpha"] + law.values["beta"])


def olmo_runs() -> pd.DataFrame:
    """The ladder's small models, and the two large ones that it predicts."""
    return pd.read_csv(PUBLIC / "olmo.csv")


def olmo() -> dict[str, Any]:
    """Eq. 5 on the small models, and what it predicts for the large ones."""
    runs = olmo_runs()
    large = runs["run"].isin(OLMO_TARGETS)
    fitted = fit(CHINCHILLA, runs[~large])
    low, high = bootstrap(fitted, 400).predict(N=runs.loc[large, "N"], D=runs.loc[large, "D"])
    predicted = fitted.law.loss(runs.loc[large, "N"], runs.loc[large, "D"])
    targets = [
        {"run": run.run, "measured": run.L, "published": OLMO_TARGETS[run.run], "ours": one, "low": left, "high": right}
        for run, one, left, right in zip(runs[large].itertuples(), predicted, low, high, strict=True)
    ]
    return OLMO | {"fits": [_beside("huber:1e-3", fitted, {})], "targets": targets}


def _beside(name: str, fitted: Fit, published: dict[str, float]) -> dict[str, Any]:
    ours = {"objective": fitted.minimum, **fitted.coefficients}
    counts = {"n": fitted.n, "starts": fitted.starts, "agreeing_starts": fitted.agreeing_starts}
    return {"fit": name, **counts, "published": published, "ours": ours}


def main() -> None:
    """Redo all fits and write the results."""
    made = {"made_by": "experiments/public_fits.py", "epoch": epoch(), "gemstones": gemstones(), "clark": clark()}
    made |= {"llama": llama(), "olmo": olmo(), "flame": FLAME}
    with whole_file(RESULT) as temporary:
        temporary.write_text(json.dumps(made, indent=1) + "\n")
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
