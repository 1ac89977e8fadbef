"""Weights of a base policy in a model with other cameras."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mivla_drivers.errors import DataError
from mivla_policy.benchmarks.random_weights import randomised
from mivla_policy.model.config import mivla_small, with_decoder
from mivla_policy.model.mivla import Mivla
from mivla_policy.model.transfer import PER_VIEW, carry_over

TOKENS = 49


def model(*views, **decoder):
    config = with_decoder(mivla_small(views), **{"width": 32, "blocks": 2, **decoder})
    return randomised(Mivla(config), spread=0.2)


def test_all_that_does_not_look_through_cameras_is_the_bases():
    base, tuned = model("front", "left_wrist"), model("front", "left_wrist", "right_wrist")
    carry_over(base, tuned)
    for name, weight in base.state_dict().items():
        if name not in PER_VIEW:
            assert torch.equal(weight, tuned.state_dict()[name]), name


def test_views_go_by_name_and_a_new_one_keeps_its_own():
    base, tuned = model("front", "left_wrist"), model("right_wrist", "left_wrist", "front")
    embedding, position = tuned.view_embedding.clone(), tuned.decoder.image_position.clone()
    carry_over(base, tuned)
    assert torch.equal(tuned.view_embedding[0], embedding[0])
    assert torch.equal(tuned.view_embedding[1:], base.view_embedding.flip(0))
    parts, theirs = (m.decoder.image_position.split(TOKENS, dim=1) for m in (tuned, base))
    assert torch.equal(parts[0], position[:, :TOKENS])
    assert torch.equal(parts[1], theirs[1])
    assert torch.equal(parts[2], theirs[0])


def test_the_base_is_left_as_it_was():
    base, tuned = model("front"), model("front")
    carry_over(base, tuned)
    with torch.no_grad():
        tuned.view_embedding.add_(1.0)
    assert not np.allclose(base.view_embedding.detach(), tuned.view_embedding.detach())


@pytest.mark.parametrize("changes", [{"width": 64}, {"blocks": 3}])
def test_a_base_of_another_size_is_refused(changes):
    with pytest.raises(DataError, match=r"base mivla_small: .*: expected shape .*, found"):
        carry_over(model("front"), model("front", **changes))
