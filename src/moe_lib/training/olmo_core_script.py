"""Train an exported run with OLMo-core, on one device or with FSDP2 on many.

    torchrun --nproc-per-node 8 train.py

`settings.json` beside this file says what to train; `initial.safetensors` are the weights to start from, and without it
OLMo-core draws its own. Checkpoints go to `checkpoints/`, and the same command resumes from them. `losses.jsonl` gets
the loss of each step in nats per token, and `final.safetensors` the weights after the last one:
`moe-lib export FOLDER --to run OUT` makes a run of them, which `moe-lib eval` evaluates.

Where OLMo-core's training differs from moe-lib's:
- Loads are balanced over what all devices compute at once. That is the whole batch, as in moe-lib, unless a device
  accumulates gradients over several micro-batches; `microbatch` in `settings.json` is their largest size in sequences.
- A sequence of T tokens has T - 1 targets, not T, and the order of the sequences is OLMo-core's.
- The cosine of the learning rate is one step ahead.
- Precision bfloat16 computes everything but the sums of gradients in bfloat16.

Without a GPU Triton interprets OLMo-core's kernels: good for a rehearsal of a few steps.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

import torch.distributed as dist
import triton
from olmo_core.config import DType
from olmo_core.data import NumpyDataLoaderConfig, NumpyFSLDatasetConfig, TokenizerConfig
from olmo_core.distributed.checkpoint import unshard_checkpoint
from olmo_core.distributed.parallel import DataParallelType
from olmo_core.distributed.utils import get_rank, get_world_size
from olmo_core.kernels import moe
from olmo_core.nn.moe import router
from olmo_core.nn.transformer import TransformerConfig
from olmo_core.optim import AdamWConfig, CosWithWarmup, OptimGroupOverride
from olmo_core.train import Duration, TrainerConfig, prepare_training_environment, teardown_training_environment
from olmo_core.train.callbacks import Callback, CheckpointerCallback
from olmo_core.train.train_module import TransformerDataParallelConfig, TransformerTrainModuleConfig
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

HERE = Path(__file__).resolve().parent


class Losses(Callback):  # type: ignore[misc]
    """Appends the loss of each step to a file."""

    def log_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Called by the trainer."""
        if get_rank() == 0 and "train/CE loss" in metrics:
            with open(HERE / "losses.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "loss": metrics["train/CE loss"]}) + "\n")


def balance_over_all_devices() -> None:
    """Make the load-balancing loss use the loads of all devices, not only of its own; the mean over devices is then
    the loss over all their tokens."""
    own = router.load_balancing_loss

    def over_all(*, batch_size_per_expert: torch.Tensor, **others: Any) -> torch.Tensor:
        load_E = batch_size_per_expert.float()
        dist.all_reduce(load_E)
        loss: torch.Tensor = own(batch_size_per_expert=load_E / get_world_size(), **others)
        return loss

    router.load_balancing_loss = over_all


def main() -> None:
    """Train to the end, from the newest checkpoint if there is one."""
    settings = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
    optimizer, context, batch = settings["optimizer"], settings["context_length"], settings["batch_size"]
    many = int(os.environ.get("WORLD_SIZE", "1")) > 1
    narrow = DType.bfloat16 if settings["precision"] == "bfloat16" else DType.float32
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    prepare_training_environment(seed=settings["seed"], backend=backend if many else None)
    if not torch.cuda.is_available():  # tuning would time the kernels, which an interpreter cannot
        for kernel in vars(moe).values():
            if isinstance(kernel, triton.runtime.Autotuner):
                kernel.configs = kernel.configs[:1]

    model = TransformerConfig.llama_like_moe(**settings["model"]).build(init_device="meta" if many else "cpu")
    if many:
        balance_over_all_devices()
    model.embed_scale = settings["embed_scale"]  # the builder of OLMo-core 3.0.0 drops it
    train_module = TransformerTrainModuleConfig(
        rank_microbatch_size=math.gcd(settings["microbatch"], batch // get_world_size()) * context,
        max_sequence_length=context,
        optim=AdamWConfig(
            lr=optimizer["learning_rate"],
            betas=tuple(optimizer["betas"]),
            eps=optimizer["epsilon"],
            weight_decay=optimizer["weight_decay"],
            group_overrides=[
                OptimGroupOverride(params=["*.router.weight"], opts={"lr": optimizer["router_learning_rate"]})
            ],
        ),
        max_grad_norm=optimizer["gradient_clip"],
        scheduler=CosWithWarmup(warmup=settings["warmup_steps"], alpha_f=optimizer["final_fraction"]),
        dp_config=TransformerDataParallelConfig(
            name=DataParallelType.fsdp, param_dtype=narrow, reduce_dtype=DType.float32
        )
        if many
        else None,
        autocast_precision=None if many or narrow == DType.float32 else narrow,
    ).build(model)
    if (HERE / "initial.safetensors").exists():
        weights: dict[str, Any] = {}
        if get_rank() == 0:
            weights.update(load_file(HERE / "initial.safetensors"))
        set_model_state_dict(
            train_module.model,
            weights,
            options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=many, strict=True),
        )

    tokens = settings["tokens"]
    dataset = NumpyFSLDatasetConfig(
        paths=tokens["files"],
        sequence_length=context,
        tokenizer=TokenizerConfig(
            vocab_size=settings["model"]["vocab_size"],
            eos_token_id=tokens["end_of_text"],
            pad_token_id=tokens["end_of_text"],
        ),
        dtype=tokens["dtype"],
        work_dir=str(HERE / "work"),
    ).build()
    loader = NumpyDataLoaderConfig(
        global_batch_size=batch * context, seed=settings["seed"], work_dir=str(HERE / "work")
    ).build(dataset, dp_process_group=train_module.dp_process_group)
    trainer = TrainerConfig(
        save_folder=str(HERE / "checkpoints"),
        work_dir=str(HERE / "work"),
        max_duration=Duration.steps(settings["n_steps"]),
        metrics_collect_interval=min(10, settings["n_steps"]),
        callbacks={
            "losses": Losses(),
            "checkpointer": CheckpointerCallback(save_interval=settings["checkpoint_steps"], save_async=False),
        },
    ).build(train_module, loader)
    trainer.fit()
    first = get_rank() == 0
    teardown_training_environment()
    if first:
        state = HERE / "checkpoints" / f"step{settings['n_steps']}" / "model_and_optim"
        whole, _ = unshard_checkpoint(state, HERE / "unsharded", use_safetensors=True, save_overwrite=True, quiet=True)
        os.replace(whole, HERE / "final.safetensors")


if __name__ == "__main__":
    main()
