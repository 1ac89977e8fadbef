#!/usr/bin/env bash
# What leader arms are to show, with emulated ones and a scripted operator, in real time: the PiPER's moves 10 bottles,
# the ARX-5's tidies one umbrella rack, and a policy is taken over 200 times. Needs a machine with nothing beside it.
# The exit code is 0 where every demonstration succeeded at the first try and no hand-over was refused or lost.
# TAKEOVERS=20 scripts/leader.sh takes it over less often.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
trap 'exit 130' INT

out=build/leader/$(date +%Y%m%d-%H%M%S)
takeovers=${TAKEOVERS:-200}
mkdir -p "$out"

.venv/bin/mivla demos --leader --robot piper --task move_bottle_onto_pad --episodes 10 --out "$out/bottle"
.venv/bin/mivla demos --leader --robot arx5 --task tidy_umbrella_rack --episodes 1 --out "$out/umbrella"
.venv/bin/mivla bench --only takeover --takeovers "$takeovers" --out "$out/takeover.json"

.venv/bin/python - "$out" "$takeovers" <<'PYTHON'
import json
import sys
from pathlib import Path

out, takeovers = Path(sys.argv[1]), int(sys.argv[2])
good = True
for task, asked in (("bottle", 10), ("umbrella", 1)):
    file = out / task / "demos.json"
    attempts = json.loads(file.read_text())["attempts"] if file.is_file() else []
    done = sum(attempt["success"] for attempt in attempts)
    busy = sum(bool(attempt["overload"]) for attempt in attempts)
    good &= done == len(attempts) == asked
    print(f"{task}: {done} of {len(attempts)} attempts, asked for {asked} of {asked}; machine too busy in {busy}")
file = out / "takeover.json"
rows = json.loads(file.read_text())["rows"] if file.is_file() else []
found = {row["name"]: row["value"] for row in rows if row["section"] == "takeover"}
wanted = {
    "taken over and given back": takeovers,
    "hand-overs refused": 0,
    "commands beyond the limits of speed": 0,
    "taken, as the recording says": takeovers,
}
for name, value in wanted.items():
    good &= found.get(name) == value
    print(f"take-overs: {name}: {found.get(name)}, asked for {value}")
print(f"{'all as asked for' if good else 'NOT all as asked for'}: {out}")
sys.exit(not good)
PYTHON
