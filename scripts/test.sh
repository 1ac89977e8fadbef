#!/usr/bin/env bash
# Runs all tests in three parts: plain code, three files at a time, since some of them wait; robots and processes whose
# deadlines leave room (`paced`), two files at a time; and those that need the machine for themselves (`realtime`), one
# after another. Files start in the order of their names, not of how many tests they have: the longest, in
# tests/bringup, have few, and would be left for the end, when nothing runs beside them.
# All always run; the exit code is 0 where all passed. Words are passed on to pytest: scripts/test.sh -k gate
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
trap 'exit 130' INT
# A shell may forbid it; then each of some 300 processes that tests start would compile all modules again.
export PYTHONDONTWRITEBYTECODE=

no_tests=5  # pytest's exit code where a -k or a path selects none
codes=()
lines=()

part() {
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

files=(--dist loadfile --no-loadscope-reorder)
part "plain code" -n 3 "${files[@]}" -m "not realtime and not paced" "$@" tests
part "robots and processes, two at a time" -n 2 "${files[@]}" -m "paced and not realtime" "$@" tests/bringup tests/drivers
part "robots and processes, in real time" -m realtime "$@" tests/drivers tests/bringup

printf '\n'
printf '%s\n' "${lines[@]}"
passed=1
for code in "${codes[@]}"; do
    case $code in
        0) passed=0 ;;
        "$no_tests") ;;
        *) exit 1 ;;
    esac
done
exit $passed
