"""The claims as they are listed in book/claims.yml: what the paper says, where, and how it is judged."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from moe_lib.config import Config, read_yaml
from moe_lib.errors import InputError
from moe_lib.repository import CLAIMS, require

Kind = Literal["definition", "analytic", "small scale", "paper's scale", "literature"]
Text = Annotated[str, Field(min_length=1)]


class About(Config):
    """A quantity of which the claim states the sign; two claims with opposite signs contradict each other."""

    quantity: Text
    sign: Literal[1, -1]


class Claim(Config):
    """One checkable statement of the paper, in our words.

    `judge` is the function of `moe_lib.claims` that judges it, `module.function`, and `options` are its arguments
    beside the evidence. `rule` is what that function does, in words. `rests_on` are the ids of claims without which it
    would be empty. `shown` is the place in the book that shows the evidence, `page#anchor`, or `claims#c01` if only the
    grounds on the page of claims do.
    """

    id: Annotated[str, Field(pattern=r"^C\d\d$")]
    section: Text
    says: Text
    kind: Kind
    judge: Annotated[str, Field(pattern=r"^\w+\.\w+$")]
    options: dict[str, Any] = Field(default_factory=dict)
    rule: Text
    about: list[About] = Field(default_factory=list)
    rests_on: list[str] = Field(default_factory=list)
    shown: str = ""


class Claims(Config):
    """The content of book/claims.yml."""

    claims: list[Claim]


def read_claims(path: Path | None = None) -> list[Claim]:
    """All claims, in the order of their ids; `InputError` if two have the same id, or one rests on an unknown id."""
    claims = Claims(**read_yaml(path or require(CLAIMS, "moe-lib claims"))).claims
    ids = [claim.id for claim in claims]
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise InputError(f"claims.yml: id = {twice[0]!r} is given to more than one claim")
    for claim in claims:
        if unknown := sorted(set(claim.rests_on) - set(ids)):
            raise InputError(f"claims.yml: {claim.id}: rests_on = {unknown[0]!r} has to be the id of a claim")
    return sorted(claims, key=lambda claim: claim.id)
