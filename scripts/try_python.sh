#!/usr/bin/env bash
# Tries a Python in a copy of its own, whose path holds a blank: set-up, the tests of gate, launcher and decoder, one trial.
#   scripts/try_python.sh python3.10
# Without the policy first (MIVLA_SETUP=drivers), then with it, unless its PyTorch would bring 3 GB of CUDA that nobody
# asked for: MIVLA_TORCH_INDEX=default scripts/try_python.sh python3.10 asks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${1:?expected a Python, such as python3.10}

say() { echo "try $python: $*"; }

if ! "$python" -c '' 2>/dev/null; then
    pyenv=$(compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/${python#python}.*/bin/python" | sort -V | tail -n 1) || true
    if [[ -z "$pyenv" ]]; then say "SKIPPED: not on this machine"; exit 0; fi
    python=$pyenv
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
copy="$folder/a copy"
mkdir "$copy"
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory "$copy"
cd "$copy"
export PYTHON=$python

took() { say "$* ($((SECONDS - start)) s, .venv $(du -sm .venv | cut -f 1) MB)"; }

start=$SECONDS
MIVLA_SETUP=drivers scripts/setup.sh
took "set up without the policy"
.venv/bin/mivla --version
.venv/bin/python -m pytest tests/drivers/test_gate.py tests/bringup/test_launcher.py
start=$SECONDS
.venv/bin/mivla expert --trials 1 --out build/expert
took "one simulated demonstration"

torch=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' requirements/policy.txt)
index=$("$python" scripts/torch_index.py "$torch")
would_install=$(.venv/bin/python -m pip --quiet --disable-pip-version-check install --dry-run --no-deps --report - \
    "torch==$torch" ${index:+--index-url "$index"} | grep -o "\"version\": \"$torch[^\"]*\"" | head -n 1) || true
if [[ -z "${MIVLA_TORCH_INDEX:-}" && $would_install != *+cpu* ]]; then
    say "SKIPPED: decoder and trial, since PyTorch without CUDA cannot be had for this Python from here"
    exit 0
fi
start=$SECONDS
scripts/setup.sh
took "set up with the policy"
.venv/bin/python -m pytest tests/policy/test_decoder.py
start=$SECONDS
.venv/bin/mivla trials --trials 1 --out build/trial
took "one trial"
