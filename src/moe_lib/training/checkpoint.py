"""Checkpoints that a kill cannot break: whole or not there, checked by digest, the last two kept.

A checkpoint is two files: `step-N.safetensors` (weights, Adam's moments, losses so far) and, written after it,
`step-N.json` (step, seconds of training so far, whose it is, digest of the tensors). Data position and learning rate
follow from the step, and nothing in training draws random numbers after the first weights, so that there is no other
state.
"""

import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from moe_lib.errors import Notice
from moe_lib.files import sha256_of, whole_file
from moe_lib.training.folder import save_tensors

KEPT = 2
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class State:
    """Where training stands: the next step, every tensor that it needs, and the `seconds` of all steps so far (NaN in
    checkpoints of before they were kept)."""

    step: int
    tensors: dict[str, Tensor]
    seconds: float


def save(folder: Path, owner: str, state: State) -> None:
    """Write a checkpoint, then remove all but the last two, and those beyond it: they are damaged or another's."""
    path = folder / f"step-{state.step:08d}.safetensors"
    save_tensors(path, state.tensors)
    with whole_file(path.with_suffix(".json")) as temporary:
        about = {"step": state.step, "seconds": state.seconds, "key": owner, "sha256": sha256_of(path)}
        temporary.write_text(json.dumps(about))
    markers = sorted(marker.stem for marker in folder.glob("step-*.json"))
    kept = [name for name in markers if name <= path.stem][-KEPT:]
    for old in sorted(folder.glob("step-*")):  # the marker before its tensors
        if old.stem not in kept:
            old.unlink()


def load_newest(folder: Path, owner: str) -> State | None:
    """The newest whole checkpoint of this owner, `key` of the run and what else has to be the same to go on.

    Damaged ones are passed over with a warning, and there is another where none is left.
    """
    damaged = False
    for marker in sorted(folder.glob("step-*.json"), reverse=True):
        path = marker.with_suffix(".safetensors")
        try:
            about = json.loads(marker.read_text(encoding="utf-8"))
            if about["key"] != owner:
                continue
            if sha256_of(path) != about["sha256"]:
                raise ValueError("its digest does not fit")
            return State(int(about["step"]), load_file(path), float(about.get("seconds", math.nan)))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            damaged = True
            reason = error.strerror if isinstance(error, OSError) else error
            warnings.warn(f"{path}: damaged checkpoint passed over ({reason})", Notice, stacklevel=2)
    if damaged:
        warnings.warn(f"{folder}: no checkpoint is whole; training starts anew", Notice, stacklevel=2)
    return None


def capture(
    step: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Tensor,
    looks: Tensor,
    seconds: float,
) -> State:
    """All that training needs to go on: weights (`weight.NAME`), moments (`exp_avg.NAME`, ...), losses and looks."""
    tensors = {"losses": losses, "looks": looks}
    for name, weight in model.named_parameters():
        tensors[f"weight.{name}"] = weight.detach()
        for moment in MOMENTS:
            if moment in optimizer.state.get(weight, ()):
                tensors[f"{moment}.{name}"] = optimizer.state[weight][moment]
    return State(step, tensors, seconds)


def restore(model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: State) -> None:
    """Put weights and moments back, as after `state.step` updates."""
    for name, weight in model.named_parameters():
        weight.data.copy_(state.tensors[f"weight.{name}"])
        moments = {
            moment: state.tensors[f"{moment}.{name}"].to(weight.device)
            for moment in MOMENTS
            if f"{moment}.{name}" in state.tensors
        }
        if moments:
            optimizer.state[weight] = {"step": torch.tensor(float(state.step), device=weight.device), **moments}
