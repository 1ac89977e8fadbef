"""Trajectories of one command source, as the driver hears them: bounded, and from one publisher."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from rclpy.subscription import MessageInfo
from trajectory_msgs.msg import JointTrajectory

from mivla_drivers.contract import RobotContract
from mivla_drivers.control.driver import Driver
from mivla_drivers.control.driver_report import Mode
from mivla_drivers.control.driver_thread import DriverThread
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import CommandRefused
from mivla_drivers.ros.bounds import BoundedSubscription, publisher_of, require_trajectory, trajectory_bytes
from mivla_drivers.ros.conversions import action_chunk
from mivla_drivers.ros.speakers import SecondSpeaker, SpeakerReport, SpeakerWatch
from mivla_drivers.ros.system_clock import system_offset
from mivla_drivers.text import shortened

DEPTH = 2


class ChunkListener:
    """Hands the chunks of `source` to the driver.

    The robot is given to one publisher: the first that speaks after its source was selected. Where another one speaks
    as well, the driver holds and both are named; and one that was started again must be given the robot again.
    """

    def __init__(
        self,
        node: Node,
        source: str,
        contract: RobotContract,
        driver: DriverThread,
        notice: Callable[[str], None],
    ) -> None:
        """Listen on `SOURCE/joint_trajectory`; `notice` is told what was refused."""
        self._node, self._source, self._contract, self._driver = node, source, contract, driver
        self._notice = notice
        self._speakers, self._report = SpeakerWatch(silence_s=None), SpeakerReport(node)
        self._topic = f"{source}/joint_trajectory"
        self._paused, self._paused_at = False, float("-inf")
        self._subscription = BoundedSubscription(
            node,
            JointTrajectory,
            self._topic,
            self._receive,
            DEPTH,
            trajectory_bytes(contract),
            lambda error: self._refuse(f"{source} {error}"),
            partial(require_trajectory, contract=contract),
            most_hz=contract.control_rate_hz,  # no step of the driver can follow more than one
        )

    def close(self) -> None:
        """Listen no more."""
        self._subscription.close()

    def pause(self, paused: bool) -> None:
        """Pass over chunks from now on, or only those of observations before this moment."""
        self._paused, self._paused_at = paused, time.monotonic() if paused else self._paused_at

    def reset(self) -> None:
        """The robot was given to a source: whoever speaks next on this one is listened to. Call it as `Driver`'s."""
        self._speakers.reset()

    def _receive(self, message: JointTrajectory, info: MessageInfo) -> None:
        now = time.monotonic()
        try:
            chunk = action_chunk(message, self._contract, self._source).shifted(-system_offset())
            self._driver.call(lambda driver: self._take(driver, chunk, publisher_of(info), now))
        except SecondSpeaker as error:
            self._refuse_speaker(error)
        except CommandRefused as error:
            self._refuse(str(error))

    def _take(self, driver: Driver, chunk: ActionChunk, publisher: bytes, now: float) -> None:
        if driver.source == self._source:
            if self._paused or chunk.stamp < self._paused_at:
                return
            self._speakers.hear(publisher, now)
        driver.receive(chunk, now)

    def _refuse_speaker(self, error: SecondSpeaker) -> None:
        who = self._report.text(self._topic, error.both, time.monotonic())
        if len(error.both) == 1:
            self._refuse(
                f"{self._source} chunk: expected the publisher that had the robot, got one of {who}: "
                f"select command_source {self._source} again to follow it"
            )
            return
        text = f"{len(error.both)} publishers on {self._topic}: {who}; end all but one"

        def hold(driver: Driver) -> None:
            if driver.mode is Mode.ACTIVE and driver.source == self._source:
                driver.fail(text)

        self._driver.call(hold)
        self._refuse(text)

    def _refuse(self, text: str) -> None:
        text = shortened(text)
        self._driver.note_refusal(CommandRefused(text))
        self._notice(text)
        self._node.get_logger().warning(text, throttle_duration_sec=1.0)
