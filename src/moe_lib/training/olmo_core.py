"""A run for OLMo-core, which trains on many devices, and back: what it trained as a run of ours."""

import json
import math
from pathlib import Path
from typing import Any

from moe_lib.accounting import count_parameters
from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.files import whole_file
from moe_lib.machine import memory_bytes
from moe_lib.model import build_model
from moe_lib.model.olmo_core import arguments, from_olmo_core, require_defaults, to_olmo_core
from moe_lib.reading import read_json
from moe_lib.training.folder import load_tensors, own_folder, save_run, save_tensors

CHECKPOINTS = 20  # of a run
MICROBATCH = 8  # sequences at most; a power of two
SCRIPT = Path(__file__).with_name("olmo_core_script.py")  # copied, never imported


def settings_of(run: RunConfig, corpus: TokenCorpus) -> dict[str, Any]:
    """What `train.py` reads; `InputError` for a run that OLMo-core cannot train."""
    training, schedule = run.training, plan(run)
    require_defaults(
        training,
        "training",
        muon_rate="the script trains everything with AdamW",
        fact_share="injected facts are drawn by our own batches",
    )
    schedule.require_epochs(schedule.epochs(len(corpus.train)))
    balanced = run.model.n_experts > 1
    return {
        "model": arguments(run.model)
        | {
            "lb_loss_weight": training.load_balance_weight * balanced,
            "z_loss_weight": training.router_z_weight * balanced,
        },
        "embed_scale": run.model.embedding_multiplier,
        "optimizer": {
            "learning_rate": training.learning_rate,
            "router_learning_rate": training.learning_rate * training.router_rate,
            "betas": [training.beta1, training.beta2],
            "epsilon": training.epsilon,
            # torch's AdamW multiplies it by the current rate; our decay does not grow with the peak rate.
            "weight_decay": training.weight_decay / training.learning_rate,
            "gradient_clip": training.gradient_clip,
            "final_fraction": training.final_learning_rate_fraction,
        },
        "context_length": run.model.context_length,
        "batch_size": training.batch_size,
        "microbatch": MICROBATCH,
        "n_steps": schedule.n_steps,
        "warmup_steps": round(training.warmup_fraction * schedule.n_steps),
        "checkpoint_steps": math.ceil(schedule.n_steps / CHECKPOINTS),
        "precision": training.precision,
        "seed": training.seed,
        "tokens": {
            "files": [str(corpus.root.resolve() / "train.bin")],
            "dtype": "uint16",
            "end_of_text": corpus.end_of_text,
        },
    }


def export_to_olmo_core(run: RunConfig, corpus: TokenCorpus, out: Path) -> None:
    """Write a folder whose `train.py` trains a run with OLMo-core from our initial weights.

    Raises `InputError` if OLMo-core cannot train the run, `out` is not empty, or this machine's memory cannot hold the
    weights.
    """
    settings = settings_of(run, corpus)
    n_bytes = 2 * 4 * count_parameters(run.model).total  # ours and theirs, float32
    if n_bytes > memory_bytes():
        raise InputError(
            f"model needs {n_bytes / 1e9:.3g} GB to draw its initial weights, and this machine has "
            f"{memory_bytes() / 1e9:.3g} GB; export on a larger one"
        )
    if out.exists() and any(out.iterdir()):
        raise InputError(f"out = '{out}' is not empty; choose another folder")
    training = run.training
    model = build_model(run.model, training.seed, "loop", training.expert_spread, output_init=training.output_init)
    save_tensors(out / "initial.safetensors", to_olmo_core(model))
    texts = {
        "run.json": run.model_dump_json(indent=2),
        "settings.json": json.dumps(settings, indent=2),
        "train.py": SCRIPT.read_text(encoding="utf-8"),
    }
    for name, text in texts.items():
        with whole_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def import_from_olmo_core(folder: Path, corpus: TokenCorpus, out: Path) -> RunConfig:
    """Write the run that `train.py` trained in `folder` as a run of ours, which `moe-lib eval` evaluates."""
    run = exported_run(folder)
    try:
        tensors = load_tensors(folder / "final.safetensors")
    except FileNotFoundError:
        raise InputError(f"{folder}: has no final.safetensors; run its train.py to the end") from None
    except ValueError as error:
        raise InputError(f"{folder}: has damaged weights ({error}); run its train.py again") from None
    model = from_olmo_core(run.model, tensors)
    with own_folder(out, run):
        save_run(out, run, model, corpus)
    return run


def exported_run(folder: Path) -> RunConfig:
    """The run of an exported folder; `InputError` if it is not one."""
    try:
        return RunConfig(**read_json(folder / "run.json"))
    except FileNotFoundError:
        raise InputError(f"{folder}: is not a folder that moe-lib export --to olmo-core wrote") from None
