"""Frozen configurations of a run; invalid input raises a one-sentence `InputError`.

Symbols follow Appendix A of Abnar et al. (2025): E experts per layer (`n_experts`), K of them for each token
(`n_experts_active`), granularity G (a base MLP is G experts wide), sparsity S = (E - K) / E.

Never change a default once a ledger has rows: a run's key is the hash of the fields that differ from their
defaults. A field added later therefore leaves the older keys unchanged.
"""

import copy
import hashlib
import json
import re
import reprlib
from collections.abc import Iterable
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from moe_lib.errors import InputError
from moe_lib.reading import LARGEST_SETTINGS, read_text, repeated

# The bounds are generous; they keep all derived numbers within the range of float32 and of 64-bit integers.
Count = Annotated[int, Field(ge=1, lt=2**31)]
Fraction01 = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e3)]
Positive = Annotated[float, Field(gt=0, le=1e30)]
Base = Annotated[float, Field(ge=1, le=1e30)]
Rate = Annotated[float, Field(ge=1e-12, le=1e6)]
Precision = Literal["float32", "bfloat16"]
Device = Literal["cpu", "cuda"]
Epsilon = Annotated[float, Field(ge=1e-30, le=1)]

MLP_RATIO = 4  # hidden width of a base GLU in units of d_model, Appendix C


class Config(BaseModel):
    """A frozen configuration; an unknown field or an invalid value raises a one-sentence `InputError`.

    Strings and booleans are rejected where a number is expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ignored_types=(cached_property,))

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise InputError(_first_sentence(error)) from None
        except TypeError:
            raise InputError(f"{', '.join(fields)}: every field name has to be a string") from None

    @classmethod
    def from_yaml(cls, path: Path | str) -> Self:
        """Read a configuration; a missing file, broken YAML or a wrong field raises `InputError`."""
        return cls(**read_yaml(path))

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated again."""
        return type(self)(**(self.model_dump() | changes))


class _Loader(yaml.SafeLoader):
    """Safe YAML in which nothing contains itself and numbers are those of YAML 1.2: 1e12 is one, which PyYAML lacks,
    and 010, 1:30 and 0b11 are not, which it would take for 8, 90 and 3."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; `YAMLError` if it gives a name twice."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if (name := repeated(names)) is not None:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {name!r} is given twice in one mapping")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=True)
        return mapping

    def construct_whole_sequence(self, node: yaml.SequenceNode) -> list[Any]:
        """The list of a node with all its items."""
        return list(self.construct_sequence(node, deep=True))


# Built at once instead of filled later, so that a list that contains itself is a YAML error.
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.construct_whole_sequence)
_NUMBERS = {
    "int": r"[-+]?(0|[1-9][0-9]*)",
    "float": r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+|\.[0-9]+[eE][-+]?[0-9]+|\.inf)|\.nan",
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] not in _NUMBERS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list("-+.0123456789"))


def read_yaml(path: Path | str) -> dict[str, Any]:
    """A YAML file's mapping; `InputError` if the file cannot be read or holds no mapping."""
    try:
        content = yaml.load(read_text(path, LARGEST_SETTINGS), _Loader)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # PyYAML's constructors raise errors of many kinds, such as KeyError for `!!bool x`.
        raise InputError(f"{path}: is not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise InputError(f"{path}: has to be a mapping of fields to values, such as 'model: ...'")
    return content


def with_settings(fields: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Fields with some of them replaced, each by a text such as `training.learning_rate=3e-3`, its value in YAML.

    `InputError` if a text is not of that form, sets a field twice, or its path leads through something that has no
    fields.
    """
    fields, given = copy.deepcopy(fields), set()
    for text in settings:
        path, sign, value = (part.strip() for part in text.partition("="))
        names = path.split(".")
        if not (sign and value and all(names)) or path in given:
            raise InputError(f"set = {text!r} has to be FIELD=VALUE, once per field, as training.learning_rate=3e-3")
        given.add(path)
        inner = fields
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise InputError(f"set = {text!r}: {name} has no fields")
        try:
            inner[names[-1]] = yaml.load(value, _Loader)
        except (yaml.YAMLError, ValueError) as error:
            raise InputError(f"set = {text!r}: the value is not YAML ({' '.join(str(error).split())})") from None
    return fields


def _first_sentence(error: ValidationError) -> str:
    problem = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # a misspelling explains the rest
    field = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{field} is not a field here; check its spelling"
    if problem["type"] == "missing":
        return f"{field} is missing"
    if problem["type"] == "value_error":
        return f"{field}.{message}" if field else message
    return f"{field} = {reprlib.repr(problem['input'])} is not allowed: {message[0].lower()}{message[1:]}"


class ModelConfig(Config):
    """A decoder-only mixture-of-experts Transformer (Appendices A to C).

    Widths are in units, expert counts are per layer. Each expert is a GLU of hidden width 4 d_model / G. A model with
    one expert is dense (S = 0). `scaled_gates` multiplies the gates by a constant, so that a token's gates sum to
    about one at the start, as they do in the dense model; the paper's gates start at about K / E. With `layer_repeats`
    above 1 a token passes the stack of layers that many times with the same weights, and sparsity falls below zero
    (Section 8). `embedding_multiplier` scales the embeddings that enter the residual stream. It does not scale the
    tied unembedding. At 1 embeddings enter with a standard deviation of 0.02, far below what a layer adds to them.
    `qk_bias` adds learned biases to queries and keys, so that a head can attend by distance alone.
    """

    d_model: Count
    n_layers: Count
    n_heads: Count
    n_experts: Count = 1
    n_experts_active: Count = 1
    granularity: Count = 1
    vocab_size: Annotated[int, Field(ge=2, lt=2**31)] = 1024
    context_length: Annotated[int, Field(ge=2, lt=2**31)] = 256
    tied_embeddings: bool = True
    qk_norm: bool = True
    rope_base: Base = 10_000.0
    scaled_gates: bool = False
    layer_repeats: Count = 1
    embedding_multiplier: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    qk_bias: bool = False

    @model_validator(mode="before")
    @classmethod
    def _experts_from_sparsity(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and "sparsity" in fields:
            fields = dict(fields)
            experts = experts_for_sparsity(fields.pop("sparsity"))
            clash = experts.keys() & fields.keys()
            if clash:
                raise ValueError(f"sparsity and {', '.join(sorted(clash))} cannot both be given; leave one out")
            fields |= experts
        return fields

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.n_experts_active > self.n_experts:
            raise ValueError(
                f"n_experts_active = {self.n_experts_active} has to be at most n_experts = {self.n_experts}"
            )
        if self.d_model % self.n_heads:
            raise ValueError(f"n_heads = {self.n_heads} has to divide d_model = {self.d_model}")
        if self.d_head % 2:
            raise ValueError(f"d_model / n_heads = {self.d_head} has to be even for rotary positions")
        if (MLP_RATIO * self.d_model) % self.granularity:
            raise ValueError(f"granularity = {self.granularity} has to divide 4 d_model = {4 * self.d_model}")
        return self

    @property
    def sparsity(self) -> float:
        """S = (E - K) / E, the share of experts that a token does not use (Eq. 7).

        With shared layers an expert counts once per repeat, so S can fall below zero.
        """
        return (self.n_experts - self.layer_repeats * self.n_experts_active) / self.n_experts

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def d_expert(self) -> int:
        """Hidden width of one expert's GLU, 4 d_model / G."""
        return MLP_RATIO * self.d_model // self.granularity


def experts_for_sparsity(sparsity: float) -> dict[str, int]:
    """Experts that give sparsity S while a token still sees one base MLP (K = G, the fewest experts).

    Raises `InputError` unless 0 <= S < 1 and S is a ratio of whole numbers up to 1,000 experts.
    """
    given: Any = sparsity
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InputError(f"sparsity = {reprlib.repr(given)} has to be a number in [0, 1)")
    if not 0 <= given < 1:
        raise InputError(f"sparsity = {given} has to be in [0, 1)")
    value = float(given)
    active = Fraction(1 - value).limit_denominator(1000)
    if abs(float(active) - (1 - value)) > 1e-9:
        raise InputError(f"sparsity = {sparsity} is not a ratio (E - K) / E with at most 1,000 experts")
    return {
        "n_experts": active.denominator,
        "n_experts_active": active.numerator,
        "granularity": active.numerator,
    }


class TrainingConfig(Config):
    """How a model is trained (Appendix B and Table 1).

    The budget is `flops` (forward and backward, router included); the number of tokens follows from it.
    `batch_size` counts sequences of the model's context length. `fact_share` of the sequences are injected facts, and
    the rest come from the corpus. A run that would read its corpus more than `max_epochs` times is rejected.
    `learning_rate` is the peak learning rate; the router's is `router_rate` times it. `expert_spread` sets how much
    a layer's experts differ at the start: at 1 they are independent, at 0 they would be equal. `precision` bfloat16
    rounds the inputs of the large products (projections, experts, unembedding; forward and backward) in training.
    All else stays float32: sums, weights, optimiser, router, norms, attention, loss, and the evaluation.
    `output_init` scales the initial weights of the maps back into the residual stream; at 0 every layer starts by
    adding nothing. With a `muon_rate` Muon trains the attention matrices at that peak learning rate, and Adam all
    else; without one Adam trains everything, as in the paper. `device` cuda trains on a GPU, where bfloat16 also
    rounds the results of the experts' products; a GPU's sums differ in their last digits, so its runs have keys of
    their own.
    """

    flops: Positive
    batch_size: Count = 4
    learning_rate: Rate = 2e-3
    warmup_fraction: Fraction01 = 0.05
    final_learning_rate_fraction: Fraction01 = 0.0
    weight_decay: Fraction01 = 1e-5
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    epsilon: Epsilon = 1e-8
    gradient_clip: Positive = 1.0
    load_balance_weight: Weight = 0.02
    router_z_weight: Weight = 1e-3
    max_epochs: Positive = 1.0
    fact_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    router_rate: Positive = 1.0
    expert_spread: Annotated[float, Field(gt=0, le=1)] = 1.0
    precision: Precision = "float32"
    device: Device = "cpu"
    output_init: Fraction01 = 1.0
    muon_rate: Rate | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class RunConfig(Config):
    """One run: what is trained, how, and on which corpus."""

    model: ModelConfig
    training: TrainingConfig
    corpus: Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f]*$")] = "embedded"

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that identify this run; equal runs have equal keys."""
        text = json.dumps(self.model_dump(exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
