"""Kinematics of one arm: `chain` reads it from the URDF, `ik_solver` brings it to poses, `arm` is what others use."""

from __future__ import annotations

from mivla_drivers.kinematics.arm import IkResult, Kinematics

__all__ = ["IkResult", "Kinematics"]
