"""Why a try or a run of trials ends early."""

from __future__ import annotations

from mivla_drivers.errors import MivlaError


class TrialError(MivlaError):
    """Trials cannot go on; nothing is measured from a half-run one."""


class TryLeftOut(MivlaError):
    """A try comes to no result, for the reason given; the same trial is tried again."""


class RunQuit(MivlaError):
    """The operator ends the run; what was measured until then is kept.

    Attributes:
        tried: a try was under way, which is left out.
    """

    def __init__(self, tried: bool) -> None:
        super().__init__("the operator ended the run")
        self.tried = tried
