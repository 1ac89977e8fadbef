#!/usr/bin/env bash
# Runs all tests in two halves: plain code on two cores, then what is marked `realtime` (robots and processes), one after
# another.
# Both always run; the exit code is 0 where both passed. Words are passed on to pytest: scripts/test.sh -k gate
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
trap 'exit 130' INT

no_tests=5  # pytest's exit code where a -k or a path selects none
codes=()
lines=()

half() {
    local name=$1 start=$SECONDS code=0 how
    shift
    .venv/bin/python -m pytest "$@" || code=$?
    case $code in
        0) how=passed ;;
        "$no_tests") how="no test selected" ;;
        *) how="FAILED (pytest's exit code $code)" ;;
    esac
    codes+=("$code")
    lines+=("$(printf '%-45s %4d s  %s' "$name" $((SECONDS - start)) "$how")")
}

half "plain code" -n 2 --dist loadfile -m "not realtime" "$@" tests
half "robots and processes, in real time" -m realtime "$@" tests/drivers tests/bringup

printf '\n'
printf '%s\n' "${lines[@]}"
case ${codes[*]} in
    "0 0" | "0 $no_tests" | "$no_tests 0") exit 0 ;;
    *) exit 1 ;;
esac
