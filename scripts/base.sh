#!/bin/sh
# Make a base policy from nothing: several arms and people do tasks that no policy is tried on, in simulation, and
# mivla_small learns from them by mutual imitation. Every step goes on where it was stopped or killed.
#   scripts/base.sh [DATA [OUT]]      data/base, models/base
#   ROUNDS: each has every arm and people do every task (13)    STEPS: of the optimiser, twice (5000)    WORKERS: processes
set -eu
data=${1:-data/base}
out=${2:-models/base}
mivla="${MIVLA:-.venv/bin/mivla}"
workers=${WORKERS:-$(nproc)}
arms="piper:3 arx5 arx5_l5"

# shellcheck disable=SC2086  # several words
"$mivla" synthesize base --arms $arms --rounds "${ROUNDS:-13}" --workers "$workers" --out "$data"
sets="$data/annotated/people"
"$mivla" annotate egodex "$data/people" --out "$sets" --workers "$workers"
for arm in $arms; do
    robot=${arm%%:*}
    "$mivla" annotate simulated "$data/arms/$robot" --robot "$robot" --out "$data/annotated/$robot" --workers "$workers"
    sets="$sets $data/annotated/$robot"
done
# Every second frame of an arm's demonstration has an image of its own. The second training goes on from the first one's
# averaged weights with the learning rate high again.
learn() {
    # shellcheck disable=SC2086
    "$mivla" pretrain --data $sets "$@" --every 2 --cache-tokens 3 --augment 0.5 \
        --steps "${STEPS:-5000}" --batch-size 64 --learning-rate 5e-4 --cooldown-share 0.4 --average-decay 0.998
}
learn --out "$out-first"
learn --base "$out-first" --out "$out"
