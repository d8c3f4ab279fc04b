"""A trained run as a folder that `transformers` loads, and such a folder as a model of ours."""

import json
from pathlib import Path

from safetensors.torch import load_file

from moe_lib.errors import InputError
from moe_lib.files import whole_file
from moe_lib.model import Transformer
from moe_lib.model.huggingface import from_huggingface, to_huggingface
from moe_lib.training.folder import load_run, save_tensors


def export_run(run: Path, out: Path) -> None:
    """Write config, weights and tokenizer of a run so that `AutoModelForCausalLM.from_pretrained(out)` loads them.

    Raises `InputError` where `out` is the run's own folder, whose weights it would write over.
    """
    if out.resolve() == run.resolve():
        raise InputError(f"out = '{out}' is the run's own folder, whose weights would be lost; choose another folder")
    config, tensors = to_huggingface(load_run(run)[1])
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_tensors(out / "model.safetensors", contiguous, {"format": "pt"})
    with whole_file(out / "config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=2))
    tokenizer = run / "tokenizer.json"
    if tokenizer.exists():
        with whole_file(out / "tokenizer.json") as temporary:
            temporary.write_bytes(tokenizer.read_bytes())
        with whole_file(out / "tokenizer_config.json") as temporary:
            about = {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": config["max_position_embeddings"],
            }
            temporary.write_text(json.dumps(about, indent=2))


def import_model(folder: Path) -> Transformer:
    """A model of ours from a folder in the same format (one safetensors file)."""
    try:
        config = json.loads((folder / "config.json").read_text())
        return from_huggingface(config, load_file(folder / "model.safetensors"))
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: is not there") from None
    except KeyError as error:
        raise InputError(f"{folder / 'config.json'}: {error.args[0]} is missing") from None
