"""Weights of one policy's model in another's, which may look through other cameras."""

from __future__ import annotations

import torch
from torch import Tensor

from mivla_drivers.errors import DataError
from mivla_policy.model.mivla import Mivla

PER_VIEW = {"view_embedding": 0, "decoder.image_position": 1}
"""Parameters with one part per view, and the axis along which the parts are concatenated."""


def carry_over(base: Mivla, model: Mivla) -> None:
    """Give `model` the weights of `base`; views go by name, and one that `base` has not keeps its own weights.

    Raises:
        DataError: the two differ in more than their views; names the first tensor and both shapes.
    """
    weights = base.state_dict()
    carried = {
        name: _by_view(name, own, weights[name], base, model) if name in PER_VIEW else weights.get(name)
        for name, own in model.state_dict().items()
    }
    for name, own in model.state_dict().items():
        found = carried[name]
        if found is None or found.shape != own.shape:
            raise DataError(
                f"base {base.config.name}: {name}: expected shape {tuple(own.shape)}, as {model.config.name} has, "
                f"found {None if found is None else tuple(found.shape)}"
            )
    model.load_state_dict(carried)


def _by_view(name: str, own: Tensor, found: Tensor, base: Mivla, model: Mivla) -> Tensor:
    """`own` with the parts of those views that `base` has too."""
    axis, theirs = PER_VIEW[name], base.config.views
    parts = list(own.chunk(len(model.config.views), dim=axis))
    known = dict(zip(theirs, found.chunk(len(theirs), dim=axis), strict=True))
    return torch.cat(
        [known.get(view, part) for view, part in zip(model.config.views, parts, strict=True)], dim=axis
    )
