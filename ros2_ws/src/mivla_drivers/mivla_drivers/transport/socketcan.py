"""SocketCAN interfaces as an operator sees them: is it there, is it up, what to type."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from mivla_drivers.errors import HardwareError

BITRATE = 1_000_000
NETWORK_DEVICES = Path("/sys/class/net")
CAN_DEVICE_TYPE = 280  # ARPHRD_CAN, linux/if_arp.h
INTERFACE_UP = 0x1  # IFF_UP, linux/if.h


def commands(interface: str) -> str:
    """What to type to start an interface again, also after bus-off."""
    return f"sudo ip link set {interface} down; sudo ip link set {interface} up type can bitrate {BITRATE}"


def require_up(interface: str, devices: Path = NETWORK_DEVICES) -> None:
    """Refuse an interface that is missing, no CAN interface, or down.

    Raises:
        HardwareError: the message says which, and what to type.
    """
    device = devices / interface
    if not device.is_dir():
        found = sorted(d.name for d in devices.glob("*") if _read(d / "type") == str(CAN_DEVICE_TYPE))
        raise HardwareError(
            f"expected CAN interface {interface}, found {found or 'no CAN interface'}; plug in the USB-CAN "
            f"adapter (lsusb shows it), then: {commands(interface)}"
        )
    kind = _read(device / "type")
    if kind != str(CAN_DEVICE_TYPE):
        raise HardwareError(
            f"expected {interface} to be a CAN interface, found a network device of type {kind}"
        )
    if not int(_read(device / "flags"), 16) & INTERFACE_UP:
        raise HardwareError(f"expected {interface} to be up, found it down; type: {commands(interface)}")


def state(interface: str) -> str:
    """State of the controller as `ip` tells it, such as "error-active" or "bus-off"; else "unknown"."""
    command = ["ip", "-details", "-json", "link", "show", interface]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=1.0, check=True).stdout
        return str(json.loads(answer)[0]["linkinfo"]["info_data"]["state"]).lower()
    except (OSError, subprocess.SubprocessError, ValueError, LookupError):
        return "unknown"


def _read(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""
