"""What a bringup's recorder says of itself while an episode is recorded."""

from __future__ import annotations

from mivla_drivers.ros.robot_client import RobotClient

SILENT_S = 3.0


class RecorderWatch:
    """The newest diagnostics of the recorder beside a robot."""

    def __init__(self, client: RobotClient) -> None:
        """`client` follows the diagnostics."""
        self._watch = client.watch
        self._name = f"{client.namespace}/recorder".lstrip("/")

    def values(self, now: float) -> dict[str, str] | None:
        """What it said last; None where it has been silent for `SILENT_S` at `now` [s, steady clock]."""
        status, when = self._watch.diagnostics.get(self._name, (None, 0.0))
        if status is None or now - when > SILENT_S:
            return None
        return {item.key: item.value for item in status.values}

    @property
    def message(self) -> str:
        """Its last words; empty where it has said nothing."""
        status, _ = self._watch.diagnostics.get(self._name, (None, 0.0))
        return "" if status is None else str(status.message)
