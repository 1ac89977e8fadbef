"""The device that a model runs on."""

from __future__ import annotations

from mivla_drivers.errors import DataError


def require_device(device: str) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        DataError: it is none of PyTorch's names, or there is no such card.
    """
    if device == "cpu":
        return
    import torch  # here, since a policy such as a replay runs without it

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DataError(f"expected cpu, cuda or cuda:N of this machine, got {device!r}: {error}") from None
