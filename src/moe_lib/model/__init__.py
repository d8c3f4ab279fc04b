"""The mixture-of-experts Transformer.

Names of tensors carry their shape, one letter per dimension:
B sequences · T positions · N = B T tokens of a batch, flattened · D model width · H heads · W head width ·
E experts · K experts per token · A = N K assignments of tokens to experts · F hidden width of an expert · V vocabulary.
"""

from moe_lib.model.backends import BACKENDS
from moe_lib.model.experts import MixtureOfExperts
from moe_lib.model.router import Router
from moe_lib.model.routing import Routing
from moe_lib.model.transformer import Output, Transformer, build_model

__all__ = ["BACKENDS", "MixtureOfExperts", "Output", "Router", "Routing", "Transformer", "build_model"]
