"""What a trained run leaves in its folder: `run.json`, `model.safetensors` and `tokenizer.json`, each whole."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.files import whole_file
from moe_lib.model import Transformer


def save_run(folder: Path, run: RunConfig, model: Transformer, corpus: TokenCorpus) -> None:
    """Write a run's configuration, weights and tokenizer; a tied matrix is stored once."""
    with whole_file(folder / "run.json") as temporary:
        temporary.write_text(run.model_dump_json(indent=2), encoding="utf-8")
    with whole_file(folder / "model.safetensors") as temporary:
        save_file({name: weight.detach() for name, weight in model.named_parameters()}, temporary)
    with whole_file(folder / "tokenizer.json") as temporary:
        temporary.write_text(corpus.tokenizer.to_str(), encoding="utf-8")


def load_run(folder: Path) -> tuple[RunConfig, Transformer]:
    """A trained run; `InputError` where the folder holds none, or its files do not fit."""
    try:
        run = RunConfig(**json.loads((folder / "run.json").read_text(encoding="utf-8")))
        tensors = load_file(folder / "model.safetensors")
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no trained run; run: moe-lib train RUN.yaml --out {folder}") from None
    except (ValueError, TypeError, SafetensorError) as error:
        raise InputError(f"{folder}: holds a damaged run ({error}); train it again") from None
    model = Transformer(run.model)
    weights = dict(model.named_parameters())
    if {name: w.shape for name, w in tensors.items()} != {name: w.shape for name, w in weights.items()}:
        raise InputError(f"{folder}: model.safetensors does not fit run.json; train the run again")
    model.load_state_dict(tensors, strict=False)
    return run, model.eval()


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a trained run's corpus; `InputError` where it is missing."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise InputError(f"{path}: is missing; train the run again")
    return Tokenizer.from_file(str(path))
