"""Text, tokens and batches: what models read."""

from moe_lib.data.batches import BatchStream
from moe_lib.data.corpus import TokenCorpus
from moe_lib.data.prepare import open_corpus, prepare

__all__ = ["BatchStream", "TokenCorpus", "open_corpus", "prepare"]
