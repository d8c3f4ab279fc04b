"""The back end `megablocks`: MegaBlocks' dropless mixture of experts; needs a CUDA device and MegaBlocks.

Two builds will do: megablocks 0.10.0 from PyPI, which pins an older torch than ours but builds against the installed
one, or the one of the Hugging Face hub, which the package `kernels` fetches and runs the first time the back end is
asked for. Neither is a dependency. The weights have our names and layout, so every back end reads what another trained.
"""

import importlib
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.model.router import gate_scale
from moe_lib.model.routing import Routing

INSTALL = (
    "pip install kernels, or: "
    "pip install --no-build-isolation --no-deps megablocks==0.10.0 stanford-stk==0.7.1 grouped_gemm==0.3.0"
)
HUB, HUB_VERSION = "kernels-community/megablocks", 1


@cache
def why_not() -> str | None:
    """None if MegaBlocks can run here, else the reason in words."""
    if not torch.cuda.is_available():
        return "backend = 'megablocks' needs a CUDA device, and torch finds none"
    try:
        layers()
    except Exception as error:  # its imports fail in many ways: no package, no CUDA extension, another triton
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"backend = 'megablocks' cannot be imported ({reason}); install it with: {INSTALL}"
    return None


@cache
def layers() -> str:
    """The package with MegaBlocks' layers: that of PyPI, else that of the hub; raises what the import of it raises."""
    try:
        for name in ("grouped_gemm", "megablocks.layers.dmoe"):
            importlib.import_module(name)
    except Exception:  # it fails in many ways, and `why_not` words them
        if find_spec("kernels") is None:
            raise
        hub = importlib.import_module("kernels").get_kernel(HUB, version=HUB_VERSION)
        return f"{hub.__name__}._layers"
    return "megablocks.layers"


def arguments(model: ModelConfig) -> dict[str, Any]:
    """The fields of `megablocks.layers.arguments.Arguments` that make a dMoE the layer of Appendix A.

    One layer and loss weights of 1 make its losses equal to ours: unscaled, one layer at a time. The weights are
    float32 for the optimiser, and autocast computes the products in bfloat16.
    """
    return {
        "hidden_size": model.d_model,
        "ffn_hidden_size": model.d_expert,
        "num_layers": 1,
        "bias": False,
        "return_bias": False,
        "activation_fn": F.silu,
        "moe_num_experts": model.n_experts,
        "moe_top_k": model.n_experts_active,
        "moe_normalize_expert_weights": None,
        "moe_jitter_eps": None,  # as 0, without drawing random numbers
        "moe_loss_weight": 1.0,
        "moe_lbl_in_fp32": True,
        "moe_zloss_weight": 1.0,
        "moe_zloss_in_fp32": True,
        "mlp_type": "glu",
        "mlp_impl": "grouped",
        "memory_optimized_mlp": True,
        "fp16": False,
        "bf16": False,
        "device": torch.device("cpu"),  # initialised there from a seed; the whole model moves afterwards
        "init_method": nn.init.zeros_,
        "output_layer_init_method": nn.init.zeros_,
    }


class MegablocksExperts(nn.Module):
    """Router and experts of a layer by MegaBlocks; weights have the same names as in `MixtureOfExperts`."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        if problem := why_not():
            raise InputError(problem)
        layer = _module("dmoe").dMoE(_module("arguments").Arguments(**arguments(model)))
        self.router, self.experts, self.arguments = layer.router, layer.experts, layer.experts.args
        self.scale = gate_scale(model)

    def forward(self, x_ND: Tensor) -> tuple[Tensor, Routing]:
        """The layer's output [N, D] and how its tokens were routed; products in bfloat16.

        MegaBlocks collects the inputs of its losses in global lists. We read and always empty them, so that nothing
        of an evaluation or of a failed step leaks into the next step.
        """
        _clear()
        try:
            with torch.autocast(x_ND.device.type, torch.bfloat16):
                narrow_ND = x_ND.to(torch.bfloat16)
                scores_NE, gate_NK, expert_NK = self.router(narrow_ND)
                y_ND = self.experts(narrow_ND, scores_NE, gate_NK, expert_NK)
            routing = self._routing(scores_NE.float(), gate_NK, expert_NK)
        finally:
            _clear()
        return self.scale * y_ND.to(x_ND.dtype), routing

    def _routing(self, scores_NE: Tensor, gate_NK: Tensor, expert_NK: Tensor) -> Routing:
        load_E = torch.bincount(expert_NK.flatten(), minlength=scores_NE.shape[1])
        if self.training:
            load_balance = _module("moe").batched_load_balancing_loss(self.arguments)
        else:  # MegaBlocks keeps the scores in training only
            load_balance = len(load_E) * (load_E / expert_NK.numel() * scores_NE.mean(dim=0)).sum()
        with torch.no_grad():
            entropy = -torch.special.xlogy(scores_NE, scores_NE).sum(dim=1).mean()
        return Routing(
            expert_NK=expert_NK,
            gate_NK=gate_NK,
            load_E=load_E,
            load_balance=load_balance,
            router_z=_module("router").batched_router_zloss(self.arguments).sum(),  # a vector of one layer
            entropy=entropy,
        )


def _clear() -> None:
    _module("moe").clear_load_balancing_loss()
    _module("router").clear_router_zloss()


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{layers()}.{name}")
