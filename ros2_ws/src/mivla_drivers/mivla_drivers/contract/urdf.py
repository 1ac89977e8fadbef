"""What a contract asks of a URDF: its links, its joints, and which joints lie between two links."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from mivla_drivers.errors import ContractError

LARGEST_BYTES = 2_000_000


@dataclass(frozen=True)
class UrdfJoint:
    """One joint: its type, and the links it joins."""

    type: str
    parent: str
    child: str


@dataclass(frozen=True)
class Urdf:
    """Joints by name, and the names of all links."""

    joints: dict[str, UrdfJoint]
    links: frozenset[str]

    def chain(self, base: str, tip: str) -> list[str]:
        """Joints from `base` to `tip`, in the order in which they act; empty where one is not above the other."""
        above = {joint.child: name for name, joint in self.joints.items()}
        chain: list[str] = []
        link = tip
        while link != base and link in above and len(chain) <= len(self.joints):
            chain.append(above[link])
            link = self.joints[above[link]].parent
        return chain[::-1] if link == base else []


def read_urdf(text: str, where: str) -> Urdf:
    """Read a URDF's structure.

    Raises:
        ContractError: it is no XML, larger than a robot can be, or declares entities.
    """
    if len(text) > LARGEST_BYTES:
        raise ContractError(f"{where}: expected at most {LARGEST_BYTES} characters, found {len(text)}")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ContractError(f"{where}: expected a URDF without DOCTYPE and entities, found one with them")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ContractError(f"{where}: expected XML, found: {error}") from None
    joints = {
        joint.get("name", ""): UrdfJoint(joint.get("type", ""), _link(joint, "parent"), _link(joint, "child"))
        for joint in root.iter("joint")
        if joint.find("child") is not None
    }
    return Urdf(joints, frozenset(link.get("name", "") for link in root.iter("link")))


def _link(joint: ElementTree.Element, end: str) -> str:
    found = joint.find(end)
    return "" if found is None else found.get("link", "")
