"""Limits on a network's size, checked before it is trained."""

from dataclasses import dataclass

from searchcnn.errors import InfeasibleError
from searchcnn.study import LimitsConfig


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        params: Number of weights, trainable or not.
        macs: Multiply-accumulates of one image's forward pass.
    """

    params: int
    macs: int


def check_limits(cost: Cost, limits: LimitsConfig) -> None:
    """Checks a network against a study's limits.

    Raises:
        InfeasibleError: If it exceeds one; its ``excess`` tells the sampler by how much.
    """
    for name, value, limit in (
        ("max_params", cost.params, limits.max_params),
        ("max_macs", cost.macs, limits.max_macs),
    ):
        if limit is not None and value > limit:
            raise InfeasibleError(name, f"{value:,} > {limit:,}", excess=value / limit - 1)
