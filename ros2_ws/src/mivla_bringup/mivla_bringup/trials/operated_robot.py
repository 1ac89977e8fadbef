"""A robot before and after a policy has it: there, held by nobody, at home."""

from __future__ import annotations

import time
from functools import partial

import numpy as np

from mivla_bringup.trials.errors import TrialError
from mivla_drivers.contract import RobotContract
from mivla_drivers.ros.robot_client import CallRefused, RobotClient

HOME_S = 30.0  # longest way home, enabling included
HOME_TOLERANCE = {"rad": 0.03, "m": 0.005}
ASK_AGAIN_S = 0.5
SILENCE_S = 3.0  # longer means that the driver is gone


class OperatedRobot:
    """What trials and demonstrations do with a robot, on an operator's client."""

    def __init__(self, contract: RobotContract, client: RobotClient) -> None:
        self.contract, self.client, self.watch = contract, client, client.watch
        self.watch.follow_joints(contract)
        self.watch.follow_diagnostics()

    @property
    def joints(self) -> np.ndarray:
        """Measured positions in contract order, shape (n,); `wait_until_ready` comes first."""
        assert self.watch.joints is not None
        return self.watch.joints

    def wait_until_ready(self, deadline_s: float) -> None:
        """Wait for the driver.

        Raises:
            RobotClientError: its services, joints or diagnostics are missing after `deadline_s`.
        """
        client = self.client
        client.wait_for_services(("home", "driver/set_parameters"), deadline_s)
        client.wait_until(lambda: self.watch.joints is not None, deadline_s, "driver: joint_states")
        client.wait_until(lambda: bool(client.driver_report().values), deadline_s, "driver: /diagnostics")

    def wait_for_listener(self, deadline_s: float) -> None:
        """Wait until the driver has discovered a policy or a recorder that hears what is said.

        Raises:
            RobotClientError: there is none within `deadline_s`.
        """
        self.client.wait_until(
            lambda: bool(self.client.driver_report().values.get("instruction_listeners")),
            deadline_s,
            "a policy or a recorder that listens on instruction",
        )

    def rest(self) -> None:
        """Nobody holds the robot, and the policy plans nothing."""
        self.client.select_source("none")
        self.client.say("")

    def go_home(self) -> None:
        """Ask until the driver agrees (its motors may be coming up), then wait for the arm.

        Raises:
            TrialError: the driver refuses for `HOME_S`.
            RobotClientError: the arm does not arrive within `HOME_S`.
        """
        deadline = time.monotonic() + HOME_S
        while True:
            try:
                self.client.home()
                break
            except CallRefused as error:
                if time.monotonic() > deadline:
                    raise TrialError(f"driver/home: refused for {HOME_S:.0f} s: {error}") from None
                self.client.spin_for(ASK_AGAIN_S)
        tolerance = np.array([HOME_TOLERANCE[unit] for unit in self.contract.units])
        home = self.contract.home
        self.client.wait_until(
            lambda: bool((np.abs(self.joints - home) < tolerance).all()),
            HOME_S,
            f"the arm at home {home.tolist()}",
        )

    def counts(self) -> dict[str, int]:
        """How often the driver starved and refused, as it said last."""
        values = self.client.driver_report().values
        return {name: int(values[name]) for name in ("starved", "chunks_refused")}

    def fresh_counts(self) -> dict[str, int]:
        """The same, as it says from now on."""
        for _ in range(2):  # one message may have been on its way
            old = self.client.driver_report().when
            self.client.wait_until(partial(self._reported_since, old), SILENCE_S, "driver: /diagnostics")
        return self.counts()

    def check_alive(self) -> None:
        """Refuse to go on without joint states.

        Raises:
            TrialError: the driver fell silent.
        """
        silence = self.watch.arrivals["joints"].silence()
        if silence > SILENCE_S:
            raise TrialError(f"driver: silent for {silence:.1f} s in the middle of a trial")

    def _reported_since(self, when: float) -> bool:
        return self.client.driver_report().when > when
