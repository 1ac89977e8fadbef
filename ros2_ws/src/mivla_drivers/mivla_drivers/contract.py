"""One contract a robot: the only place that says which joints, cameras, rates and bus it has."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from mivla_drivers.contract_fields import mapping_of, number_at, positive_at, text_at, whole_at
from mivla_drivers.errors import ContractError

JOINT_UNITS = {"rad": ("revolute", "continuous"), "m": ("prismatic",)}
ACTION_DIMENSIONS = 76  # 48 human, 14 robot joints, 14 end-effector: paper section 3.2
POSE_SIZE = 7  # xyz [m] and quaternion xyzw
SIDES = ("left", "right")


@dataclass(frozen=True)
class JointLimits:
    """What n joints may do, in contract order.

    Attributes:
        names: joint names, length n.
        lower, upper: positions [rad or m], shape (n,).
        velocity: largest speed [rad/s or m/s], shape (n,).
        acceleration: largest change of speed [rad/s^2 or m/s^2], shape (n,).
    """

    names: tuple[str, ...]
    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    def __post_init__(self) -> None:
        for joint, lower, upper in zip(self.names, self.lower, self.upper, strict=True):
            if not lower < upper:
                raise ContractError(f"joint {joint}: expected lower < upper, got {lower:.3f} and {upper:.3f}")
        for array in (self.lower, self.upper, self.velocity, self.acceleration):
            array.setflags(write=False)


@dataclass(frozen=True)
class Camera:
    """One camera: `topic` is relative to the robot's namespace, `view` is the model's name for it."""

    name: str
    topic: str
    width: int
    height: int
    rate_hz: float
    view: str


@dataclass(frozen=True)
class Hardware:
    """Which driver backend speaks to the robot, on which bus, with which options of its own."""

    backend: str
    bus: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RobotContract:
    """Everything that must agree between driver, recorder, trainer and policy.

    Attributes:
        robot: short name, also the ROS namespace.
        joints: joint names in contract order, length n.
        units: "rad" or "m" for each joint.
        limits: see `JointLimits`.
        home: home position [rad or m], shape (n,).
        action_slots: slot of the unified 76-d action space each joint fills, shape (n,) int.
        mimics: for a joint that moves several URDF joints, {joint: {urdf joint: factor}}.
        zero_offset: added to a joint's position before the URDF is asked [rad], shape (n,).
        base_link, end_effector_link: names in the URDF; empty where end effectors are observed.
        end_effector_slots: of the one end effector's xyz and quaternion xyzw, shape (7,) int; of two, the
            left one's and then the right one's, shape (14,).
        text: the YAML it was read from; travels inside recordings and checkpoints.
        urdf: the URDF's text; empty where end effectors are observed.
    """

    robot: str
    joints: tuple[str, ...]
    units: tuple[str, ...]
    limits: JointLimits
    home: np.ndarray
    action_slots: np.ndarray
    mimics: dict[str, dict[str, float]]
    zero_offset: np.ndarray
    base_link: str
    end_effector_link: str
    end_effector_slots: np.ndarray
    cameras: tuple[Camera, ...]
    control_rate_hz: float
    policy_rate_hz: float
    hardware: Hardware
    text: str
    urdf: str

    @property
    def size(self) -> int:
        """Number of joints n."""
        return len(self.joints)

    @property
    def observes_end_effectors(self) -> bool:
        """Whether the robot itself says where its end effectors are, so that no URDF is asked."""
        return not self.end_effector_link

    def joint_vector(self, names: list[str] | tuple[str, ...], values: Any, what: str) -> np.ndarray:
        """`values` given in the order of `names`, in contract order, shape (n,).

        Raises:
            ContractError: a joint is missing, or the two lengths differ.
        """
        if len(names) != len(values):
            raise ContractError(
                f"{what}: expected one value a name, got {len(names)} names, {len(values)} values"
            )
        by_name = dict(zip(names, values, strict=True))
        missing = [joint for joint in self.joints if joint not in by_name]
        if missing:
            raise ContractError(f"{what}: expected joints {list(self.joints)}, missing {missing}")
        return np.array([by_name[joint] for joint in self.joints], dtype=float)


def load_contract(robot: str | Path, bus: str | None = None) -> RobotContract:
    """The contract of a robot by name ("piper"), or of a `robot.yaml` file.

    `bus` replaces the contract's bus where given and not empty.

    Raises:
        ContractError: the file is not there or not valid; the message names file, field, expected and found.
    """
    path = Path(str(robot))
    if path.suffix != ".yaml":
        path = Path(str(files("mivla_drivers") / "robots" / str(robot) / "robot.yaml"))
    if not path.is_file():
        known = sorted(p.name for p in Path(str(files("mivla_drivers") / "robots")).iterdir() if p.is_dir())
        raise ContractError(f"{robot}: expected a robot of {known} or a robot.yaml file, found no {path}")
    text = path.read_text()
    document = _document(text, str(path))
    urdf = "" if "end_effectors" in document else _urdf_beside(path, document)
    return parse_contract(text, urdf, where=str(path), bus=bus)


def parse_contract(text: str, urdf: str, where: str, bus: str | None = None) -> RobotContract:
    """The contract held in two texts, as they travel inside a recording or a checkpoint.

    Raises:
        ContractError: a field is missing or wrong; the message names `where`, field, expected and found.
    """
    document = _document(text, where)
    rows = document.get("joints")
    if not isinstance(rows, list) or not rows:
        raise ContractError(f"{where}: joints: expected a list of joints, found {rows!r}")
    joints = tuple(text_at(row, "name", f"{where}: joints[{i}]") for i, row in enumerate(rows))
    if len(set(joints)) != len(joints):
        raise ContractError(f"{where}: joints: expected distinct names, found {list(joints)}")
    body = None if "end_effectors" in document else _urdf(urdf, f"{where}: urdf")
    for name, row in zip(joints, rows, strict=True):
        _check_joint(row, name, body, where)

    def column(key: str, default: float | None = None) -> np.ndarray:
        named = zip(joints, rows, strict=True)
        return np.array([number_at(row, key, f"{where}: joints.{name}", default) for name, row in named])

    try:
        limits = JointLimits(
            joints, column("lower"), column("upper"), column("velocity"), column("acceleration")
        )
    except ContractError as error:
        raise ContractError(f"{where}: {error}") from None
    home = column("home")
    for name, value, lower, upper in zip(joints, home, limits.lower, limits.upper, strict=True):
        if not lower <= value <= upper:
            raise ContractError(
                f"{where}: joints.{name}: home: expected within [{lower}, {upper}], found {value}"
            )
    slots = _slots(column("action_slot"), f"{where}: joints: action_slot")
    base_link, end_effector_link, end_effector_slots = _end_effectors(document, body, where)
    hardware = mapping_of(document.get("hardware"), f"{where}: hardware")
    return RobotContract(
        robot=text_at(document, "robot", where),
        joints=joints,
        units=tuple(row["unit"] for row in rows),
        limits=limits,
        home=home,
        action_slots=slots,
        mimics={
            name: _moves(row, name, where) for name, row in zip(joints, rows, strict=True) if "moves" in row
        },
        zero_offset=column("zero_offset", default=0.0),
        base_link=base_link,
        end_effector_link=end_effector_link,
        end_effector_slots=end_effector_slots,
        cameras=_cameras(document, where),
        control_rate_hz=positive_at(document, "control_rate_hz", where),
        policy_rate_hz=positive_at(document, "policy_rate_hz", where),
        hardware=Hardware(
            backend=text_at(hardware, "backend", f"{where}: hardware"),
            bus=bus or text_at(hardware, "bus", f"{where}: hardware"),
            options={key: value for key, value in hardware.items() if key not in ("backend", "bus")},
        ),
        text=text,
        urdf=urdf,
    )


def require_same_contract(
    expected: RobotContract, found: RobotContract, where: str, views: Collection[str] | None = None
) -> None:
    """Refuse `found` where it differs from `expected` in what a policy's numbers mean.

    The bus, the rates of the hardware and the topics may differ; the meaning of numbers may not.

    Args:
        where: what `found` is of, for the message.
        views: the cameras that matter; others may differ or be there on one side only. None: all matter.

    Raises:
        ContractError: names `where`, the first differing field, what was expected and what was found.
    """
    fields = ("robot", "joints", "units", "policy_rate_hz", "action_slots")
    for name in (*fields, "end_effector_link", "end_effector_slots"):
        want, have = getattr(expected, name), getattr(found, name)
        if not np.array_equal(want, have):
            raise ContractError(f"{where}: {name}: expected {_plain(want)}, found {_plain(have)}")
    for side in ("lower", "upper"):
        want, have = getattr(expected.limits, side), getattr(found.limits, side)
        if not np.allclose(want, have):
            raise ContractError(f"{where}: {side} limits: expected {_plain(want)}, found {_plain(have)}")
    _require_same_cameras(expected, found, f"{where}: cameras (view, width, height)", views)


def _require_same_cameras(
    expected: RobotContract, found: RobotContract, where: str, views: Collection[str] | None
) -> None:
    want, have = ([(c.view, c.width, c.height) for c in one.cameras] for one in (expected, found))
    if views is None and want != have:
        raise ContractError(f"{where}: expected {want}, found {have}")
    for view in views or ():
        wanted, had = ([row for row in rows if row[0] == view] for rows in (want, have))
        if not wanted or wanted != had:
            raise ContractError(f"{where}: expected {wanted or want} for view {view}, found {had or have}")


def _document(text: str, where: str) -> dict[str, Any]:
    try:
        return mapping_of(yaml.safe_load(text), where)
    except yaml.YAMLError as error:
        raise ContractError(f"{where}: expected YAML, found: {error}") from None


class _Body(NamedTuple):
    """Types of a URDF's joints by name, and the names of its links."""

    types: dict[str, str]
    links: set[str]


def _urdf_beside(path: Path, document: dict[str, Any]) -> str:
    urdf = path.parent / text_at(document, "urdf", str(path))
    if not urdf.is_file():
        raise ContractError(f"{path}: urdf: expected a file beside it, found no {urdf.name}")
    return urdf.read_text()


def _urdf(urdf: str, where: str) -> _Body:
    try:
        root = ElementTree.fromstring(urdf)
    except ElementTree.ParseError as error:
        raise ContractError(f"{where}: expected XML, found: {error}") from None
    types = {joint.get("name", ""): joint.get("type", "") for joint in root.iter("joint")}
    return _Body(types, {link.get("name", "") for link in root.iter("link")})


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _end_effectors(document: dict[str, Any], body: _Body | None, where: str) -> tuple[str, str, np.ndarray]:
    """Base link, end effector link and slots; without a body both links are empty."""
    if body is None:
        return "", "", _observed_slots(document, where)
    row = mapping_of(document.get("end_effector"), f"{where}: end_effector")
    return (
        _link(document, "base_link", where, body.links),
        _link(row, "link", f"{where}: end_effector", body.links),
        _slots(row.get("action_slots", []), f"{where}: end_effector: action_slots"),
    )


def _observed_slots(document: dict[str, Any], where: str) -> np.ndarray:
    """Slots of the sides that `end_effectors` names, left first, shape (7,) or (14,) int."""
    computed = [key for key in ("end_effector", "base_link", "urdf") if key in document]
    if computed:
        raise ContractError(
            f"{where}: end_effectors: expected observed ones, which need no URDF, found {computed} beside them"
        )
    arms = mapping_of(document["end_effectors"], f"{where}: end_effectors")
    if not arms or not arms.keys() <= set(SIDES):
        raise ContractError(f"{where}: end_effectors: expected one or both of {SIDES}, found {list(arms)}")
    slots: list[Any] = []
    for side in (side for side in SIDES if side in arms):
        found = mapping_of(arms[side], f"{where}: end_effectors.{side}").get("action_slots")
        if not isinstance(found, list) or len(found) != POSE_SIZE:
            raise ContractError(
                f"{where}: end_effectors.{side}: action_slots: expected a list of {POSE_SIZE}, found {found!r}"
            )
        slots += found
    return _slots(slots, f"{where}: end_effectors: action_slots")


def _link(row: dict[str, Any], key: str, where: str, links: set[str]) -> str:
    link = text_at(row, key, where)
    if link not in links:
        raise ContractError(f"{where}: {key}: expected a link of the URDF {sorted(links)}, found {link!r}")
    return link


def _moves(row: dict[str, Any], name: str, where: str) -> dict[str, float]:
    moves = mapping_of(row["moves"], f"{where}: joints.{name}.moves")
    return {joint: number_at(moves, joint, f"{where}: joints.{name}.moves") for joint in moves}


def _slots(values: Any, where: str) -> np.ndarray:
    """Places in the unified action space: whole, distinct and inside it; shape (k,) int."""
    found = list(values) if isinstance(values, (list, np.ndarray)) else [values]
    inside = all(value in range(ACTION_DIMENSIONS) for value in found)
    if not inside or len(set(found)) != len(found):
        raise ContractError(f"{where}: expected distinct values in 0..{ACTION_DIMENSIONS - 1}, found {found}")
    return np.array(found, dtype=int)


def _check_joint(row: dict[str, Any], name: str, body: _Body | None, where: str) -> None:
    """A joint's unit, speed limits and, where there is a body, its URDF joints fit together."""
    unit = row.get("unit")
    if unit not in JOINT_UNITS:
        raise ContractError(
            f"{where}: joints.{name}: unit: expected one of {sorted(JOINT_UNITS)}, found {unit!r}"
        )
    for key in ("velocity", "acceleration"):
        positive_at(row, key, f"{where}: joints.{name}")
    if body is None:
        return
    types = body.types
    for urdf_joint in _moves(row, name, where) if "moves" in row else (name,):
        if urdf_joint not in types:
            raise ContractError(
                f"{where}: joints.{name}: expected joint {urdf_joint!r} in the URDF, found {sorted(types)}"
            )
        if types[urdf_joint] not in JOINT_UNITS[unit]:
            raise ContractError(
                f"{where}: joints.{name}: unit: expected {unit!r} to move a joint of {JOINT_UNITS[unit]}, "
                f"found {urdf_joint!r} of type {types[urdf_joint]!r}"
            )


def _cameras(document: dict[str, Any], where: str) -> tuple[Camera, ...]:
    rows = document.get("cameras")
    if not isinstance(rows, list) or not rows:
        raise ContractError(f"{where}: cameras: expected a list of cameras, found {rows!r}")
    cameras = tuple(_camera(row, f"{where}: cameras[{i}]") for i, row in enumerate(rows))
    for key in ("name", "topic", "view"):
        values = [getattr(camera, key) for camera in cameras]
        if len(set(values)) != len(values):
            raise ContractError(f"{where}: cameras: {key}: expected distinct values, found {values}")
    return cameras


def _camera(row: Any, where: str) -> Camera:
    return Camera(
        name=text_at(row, "name", where),
        topic=text_at(row, "topic", where),
        width=whole_at(row, "width", where),
        height=whole_at(row, "height", where),
        rate_hz=positive_at(row, "rate_hz", where),
        view=text_at(row, "view", where),
    )
