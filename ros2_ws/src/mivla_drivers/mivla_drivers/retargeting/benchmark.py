"""How fast demonstrations are retargeted, and what the paper's 900 hours cost."""

from __future__ import annotations

from dataclasses import dataclass
from time import process_time

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.kinematics import Kinematics
from mivla_drivers.retargeting.frames import SIDES
from mivla_drivers.retargeting.human_to_robot import gripper_joint, human_to_robot
from mivla_drivers.retargeting.robot_to_human import robot_to_human

PAPER_HOURS = 900.0  # of demonstrations, section 4.1
RATE_HZ = 30.0


@dataclass(frozen=True)
class Throughput:
    """Frames of one hand that one core retargets in a second of processor time.

    Attributes:
        to_human, to_robot: from grippers to hands, and back.
        reached: share of the frames that the arm reached.
    """

    to_human: float
    to_robot: float
    reached: float

    def core_hours(self, hours: float = PAPER_HOURS, rate_hz: float = RATE_HZ, hands: int = 2) -> float:
        """Core hours that `hours` of human demonstrations cost from hand to arm, the dearer way."""
        return hours * rate_hz * hands / self.to_robot

    def __str__(self) -> str:
        return (
            f"retargeting, one core: {self.to_human:,.0f} frames/s to a hand, "
            f"{self.to_robot:,.0f} frames/s to an arm ({100 * self.reached:.1f} % reached); "
            f"{PAPER_HOURS:.0f} h of two hands at {RATE_HZ:.0f} Hz: "
            f"{self.core_hours():.1f} core hours"
        )


def measure(
    contract: RobotContract, frames: int = 3000, seed: int = 0, from_home: bool = False
) -> Throughput:
    """Throughput over two hands that do what `contract`'s arm did at random, smoothly, `frames` each.

    Processor time is counted, so a busy machine gives about the same number; run with OMP_NUM_THREADS=1.

    Args:
        from_home: the arm begins at home, as it imitates people, and cannot follow everywhere; else it begins where
            the motion began, and every frame is in its reach.
    """
    kinematics, gripper = Kinematics(contract), gripper_joint(contract, contract.arms[0])
    limits = (contract.limits.lower[gripper], contract.limits.upper[gripper])
    to_human, to_robot, reached = 0.0, 0.0, []
    for number, side in enumerate(SIDES):
        joints = smooth_motion(contract, frames, seed + number)
        end_effector = kinematics.forward_batch(joints)
        start = process_time()
        motion = robot_to_human(end_effector, joints[:, gripper], limits, side)
        middle = process_time()
        arm = human_to_robot(motion, contract, kinematics, start=None if from_home else joints[0])
        to_robot += process_time() - middle
        to_human += middle - start
        reached.append(arm.reached.mean())
    total = len(SIDES) * frames
    return Throughput(total / max(to_human, 1e-6), total / to_robot, float(np.mean(reached)))


def smooth_motion(contract: RobotContract, frames: int, seed: int) -> np.ndarray:
    """Random joints (T, n) within limits at 30 Hz: waves of up to a quarter of a hertz about home."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / RATE_HZ
    frequency = rng.uniform(0.05, 0.25, size=(1, 4, contract.size))
    phase = rng.uniform(0.0, 2.0 * np.pi, size=(1, 4, contract.size))
    wave = np.sin(2.0 * np.pi * frequency * time + phase).mean(axis=1)  # (T, n) within -1..1
    lower, upper = contract.limits.lower, contract.limits.upper
    room = np.where(wave > 0.0, upper - contract.home, contract.home - lower)
    return contract.home + 0.6 * wave * room
