"""A trained run as a folder that `transformers` loads, and such a folder as a model of ours."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from moe_lib.errors import InputError
from moe_lib.files import is_temporary_of, remove_temporaries, sha256_of, sync_folder, whole_file
from moe_lib.ledger import Ledger
from moe_lib.model import Transformer
from moe_lib.model.huggingface import from_huggingface, to_huggingface
from moe_lib.reading import read_json
from moe_lib.training.folder import load_run, load_tensors, load_tokenizer, save_tensors
from moe_lib.training.model_card import model_card

ABOUT = "moe-lib-export.json"  # whose export a folder is, and the digest of each file
TEMPORARY = r"export|moe-lib-export\.json"
CARD = "README.md"
FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", CARD)


def export_run(run: Path, out: Path, ledger: Ledger | None = None) -> None:
    """Write config, weights and tokenizer of a run so that `AutoModelForCausalLM.from_pretrained(out)` loads them, and
    a model card with the results that a ledger has of it.

    Raises `InputError` unless `out` is new, empty, or an earlier export of the same run that nobody changed.
    """
    if os.path.realpath(out) == os.path.realpath(run):
        raise InputError(f"out = '{out}' is the run's own folder, whose weights would be lost; choose another folder")
    configuration, model = load_run(run)
    config, tensors = to_huggingface(model)
    tokenizer = load_tokenizer(run)
    row = next(iter(ledger.select([configuration.key])), None) if ledger else None
    _require_own(out, configuration.key)
    new, staged = not out.exists(), out / f".export.{os.getpid()}.tmp"
    try:
        staged.mkdir(parents=True, exist_ok=True)
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_tensors(staged / "model.safetensors", contiguous, {"format": "pt"})
        about = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": config["max_position_embeddings"],
        }
        texts = {
            "config.json": json.dumps(config, indent=2),
            "tokenizer.json": tokenizer.to_str(),
            CARD: model_card(configuration, row),
        }
        for name, text in {**texts, "tokenizer_config.json": json.dumps(about, indent=2)}.items():
            with whole_file(staged / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        # An earlier export goes; the file that names its owner is removed last and written first.
        for name in (*FILES, ABOUT):
            (out / name).unlink(missing_ok=True)
        with whole_file(out / ABOUT) as temporary:
            digests = {name: sha256_of(staged / name) for name in FILES}
            temporary.write_text(json.dumps({"run": configuration.key, "files": digests}, indent=2), encoding="utf-8")
        for name in FILES:
            (staged / name).replace(out / name)
        sync_folder(out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        if new:
            with suppress(OSError):  # not empty: it is written
                out.rmdir()


def _require_own(out: Path, key: str) -> None:
    """`InputError` if a folder has anything that no export of this run wrote; a killed export's files are removed."""
    try:
        names = [name for name in os.listdir(out) if not is_temporary_of(name, TEMPORARY)]
    except FileNotFoundError:
        return
    if names:
        try:
            about = read_json(out / ABOUT)
            ours = about["run"] == key and all(
                name == ABOUT or sha256_of(out / name) == about["files"].get(name) for name in names
            )
        except (OSError, InputError, KeyError, TypeError, AttributeError):
            ours = False
        if not ours:
            raise InputError(
                f"out = '{out}' is not empty and not an unchanged export of this run (it has {min(names)}); "
                "choose another folder"
            )
    remove_temporaries(out, TEMPORARY)


def import_model(folder: Path) -> Transformer:
    """A model of ours from a folder in the same format (one safetensors file)."""
    path = folder / "config.json"
    try:
        return from_huggingface(read_json(path), load_tensors(folder / "model.safetensors"))
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: is missing") from None
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]} is missing") from None
