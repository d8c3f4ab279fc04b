"""Checkpoints that a kill cannot break: written whole, checked by digest, the last two kept.

A checkpoint is two files: `step-N.safetensors` (weights, Adam's moments, losses so far) and, written after it,
`step-N.json` (step, seconds of training so far, its owner, digest of the tensors, and a digest of this record). The
step determines data position and learning rate, and training draws no random numbers after the initial weights, so
there is no other state.
"""

import hashlib
import json
import math
import re
import warnings
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moe_lib.errors import InputError, Notice
from moe_lib.files import sha256_of, whole_file
from moe_lib.reading import LARGEST_SETTINGS, json_value, read_text
from moe_lib.training.folder import CHECKPOINT, load_tensors, save_tensors

KEPT = 2
RECORD = ("step", "seconds", "key", "sha256")
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class State:
    """The state of training: the next step, every tensor that it needs, and the `seconds` of all steps so far (NaN in
    checkpoints that predate them)."""

    step: int
    tensors: dict[str, Tensor]
    seconds: float


def save(folder: Path, owner: str, state: State) -> None:
    """Write a checkpoint, then remove all but the last two, and those of later steps, which are damaged."""
    path = folder / f"step-{state.step:08d}.safetensors"
    save_tensors(path, state.tensors)
    with whole_file(path.with_suffix(".json")) as temporary:
        known = {} if math.isnan(state.seconds) else {"seconds": state.seconds}
        about = {"step": state.step, **known, "key": owner, "sha256": sha256_of(path)}
        temporary.write_text(_signed(about), encoding="utf-8")
    names = _names(folder)
    steps = {step_of(name) for name in names if name.endswith(".json")}
    kept = sorted(step for step in steps if step <= state.step)[-KEPT:]
    for name in sorted(names):  # the marker before its tensors
        if step_of(name) not in kept:
            (folder / name).unlink(missing_ok=True)


def load_newest(folder: Path, owner: str) -> State | None:
    """The newest whole checkpoint of this owner: the `key` of the run, its corpus, its back end and its device.

    Damaged ones are skipped with a warning; if none is left, another warning says so. Raises `InputError` for a whole
    one of another owner, which a new start would overwrite.
    """
    damaged = False
    markers = [name for name in _names(folder) if name.endswith(".json")]
    for name in sorted(markers, key=step_of, reverse=True):
        file = marker = folder / name
        try:
            about = _checked(marker)
            file = path = marker.with_suffix(".safetensors")
            if sha256_of(path) != about["sha256"]:
                raise ValueError("its digest does not match")
            if about["key"] == owner:
                return _state(path, about)
        except (OSError, ValueError) as error:
            damaged = True
            reason = error.strerror if isinstance(error, OSError) else str(error).removeprefix(f"{file}: ")
            warnings.warn(f"{file}: damaged checkpoint skipped ({reason})", Notice, stacklevel=2)
        else:
            raise InputError(_of_another(folder, about["key"], owner))
    if damaged:
        warnings.warn(f"{folder}: no checkpoint is whole; training starts anew", Notice, stacklevel=2)
    return None


def _names(folder: Path) -> list[str]:
    """The files of checkpoints in a folder; a folder of such a name is somebody else's."""
    return [path.name for path in folder.glob("step-*") if re.fullmatch(CHECKPOINT, path.name) and not path.is_dir()]


def _state(path: Path, about: dict[str, Any]) -> State:
    """The state of a checkpoint; `ValueError` if its step is not that of its losses, one of which each step leaves.

    Nothing protects the seconds of a record without a digest, as earlier versions wrote it: they are not used.
    """
    tensors = load_tensors(path)
    if "losses" not in tensors or int(tensors["losses"].isfinite().sum()) != about["step"]:
        raise ValueError("its step does not match its losses")
    if "digest" not in about:
        warnings.warn(f"{path}: is of an earlier version; the run's speed will not be known", Notice, stacklevel=3)
        return State(about["step"], tensors, math.nan)
    return State(about["step"], tensors, about.get("seconds", math.nan))


def step_of(name: str) -> int:
    """The step in the name of a checkpoint's file."""
    return int(name.removeprefix("step-").split(".")[0])


def _signed(about: dict[str, Any]) -> str:
    """A marker's text: the record and, last, the digest of all before it."""
    return json.dumps(about | {"digest": hashlib.sha256(json.dumps(about).encode()).hexdigest()})


def _checked(marker: Path) -> dict[str, Any]:
    """The record of a marker; `ValueError` if anything in it was changed, or its name has another step.

    Markers of earlier versions have no digest; everything in them but the seconds is checked by other means: the step
    by the losses, the owner by the run that resumes, the tensors by their own digest.
    """
    text = read_text(marker, LARGEST_SETTINGS)
    about = json_value(text)
    if not isinstance(about, dict) or about.get("step") != step_of(marker.name):
        raise ValueError("its name does not match its step")
    record = {name: about[name] for name in RECORD if name in about}
    if not (isinstance(record.get("key"), str) and isinstance(record.get("sha256"), str)):
        raise ValueError("its record is not complete")
    if text != (_signed(record) if "digest" in about else json.dumps(record)):
        raise ValueError("its digest does not match")
    return about


def _of_another(folder: Path, found: str, owner: str) -> str:
    """The message about checkpoints of another owner."""
    names = ("run", "corpus", "back end", "device", "version")
    pairs = zip_longest(names, found.split(), owner.split(), fillvalue="cpu")  # whose owners name no device
    name, was, now = next(((name, was, now) for name, was, now in pairs if was != now), ("owner", found, owner))
    return (
        f"{folder}: its checkpoints are of {name} {was:.16}, and this is {now:.16}, which would give other losses; "
        f"choose another folder, or remove this one to start anew"
    )


def capture(
    step: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Tensor,
    looks: Tensor,
    seconds: float,
) -> State:
    """All that training needs to resume: weights (`weight.NAME`), moments (`exp_avg.NAME`, ...), losses and looks."""
    tensors = {"losses": losses, "looks": looks}
    for name, weight in model.named_parameters():
        tensors[f"weight.{name}"] = weight.detach()
        for moment in MOMENTS:
            if moment in optimizer.state.get(weight, ()):
                tensors[f"{moment}.{name}"] = optimizer.state[weight][moment]
    return State(step, tensors, seconds)


def restore(model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: State) -> None:
    """Restore weights and moments as they were after `state.step` updates."""
    for name, weight in model.named_parameters():
        weight.data.copy_(state.tensors[f"weight.{name}"])
        moments = {
            moment: state.tensors[f"{moment}.{name}"].to(weight.device)
            for moment in MOMENTS
            if f"{moment}.{name}" in state.tensors
        }
        if moments:
            optimizer.state[weight] = {"step": torch.tensor(float(state.step), device=weight.device), **moments}
