"""The paper's corpus (Appendix B): RedPajama V1, streamed over the network by Hugging Face `datasets`.

We use its published sample of about one billion tokens. With the paper's vocabulary of 50,432 the tokenizer is
GPT-NeoX's (50,277 tokens, padded); with any other, merges are learned as for every corpus.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moe_lib.data.slices import TextSlice
from moe_lib.errors import InputError
from moe_lib.extras import require_extra

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SAMPLE = "hf://datasets/togethercomputer/RedPajama-Data-1T-Sample@98f93b765c118b999b1af570c3e399c207d08da7/*.jsonl"
DOCUMENTS = 100_000  # about a tenth of the sample; texts are held in memory while they are encoded
GPT_NEOX = "EleutherAI/gpt-neox-20b"
GPT_NEOX_REVISION = "c292233c833e336628618a88a648727eb3dff0a7"
GPT_NEOX_VOCAB_SIZE = 50_432
LICENCE = "by source: Common Crawl's terms, Apache-2.0, CC BY-SA and others; see the data set's card"


def redpajama_slices(files: str = SAMPLE, n_documents: int = DOCUMENTS) -> list[TextSlice]:
    """The first documents of JSONL files in RedPajama's schema (`text`, `meta`, `red_pajama_subset`)."""
    sources = {files: f"first {n_documents:,} documents"}
    return [TextSlice("redpajama", True, LICENCE, sources, lambda: stream_texts(files, n_documents))]


def stream_texts(files: str, n_documents: int) -> Iterator[str]:
    """Streamed texts; `InputError` without the extra `redpajama`, or if a row has no text."""
    require_extra("redpajama", "corpus = 'redpajama'")
    from datasets import load_dataset

    with fetched(files):
        rows = load_dataset("json", data_files=files, split="train", streaming=True)
        for number, row in enumerate(rows.take(n_documents), start=1):
            if not isinstance(row.get("text"), str):
                raise InputError(f"{files}: row {number} has no field text that is a string")
            yield row["text"]


def gpt_neox_tokenizer() -> "Tokenizer":
    """The tokenizer of GPT-NeoX-20B, downloaded; `InputError` if that fails."""
    from tokenizers import Tokenizer

    with fetched(GPT_NEOX):
        return Tokenizer.from_pretrained(GPT_NEOX, revision=GPT_NEOX_REVISION)


@contextmanager
def fetched(what: str) -> Iterator[None]:
    """Turn each library's own network errors into a one-sentence `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        raise InputError(f"{what} cannot be downloaded ({reason})") from error
