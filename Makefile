# Each target sets up what it needs, once (scripts/setup.sh).
#   make setup    .venv with everything; says what is missing on this machine
#   make demo     five trials of the trained PiPER policy in simulation
#   make test     all tests; make test ARGS="-k gate" passes words on to pytest
#   make bench    latency, jitter, CPU and memory, to build/bench/
#   make leader   by emulated leader arms, in real time: 10 bottles, one umbrella rack, 200 take-overs
#   make lint     ruff and mypy
#   make help     this list

.PHONY: help demo test bench leader lint setup
.DEFAULT_GOAL := help

BIN := .venv/bin
SOURCES := ros2_ws/src tests scripts

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@scripts/setup.sh

demo: setup
	$(BIN)/mivla trials --robot piper --task move_bottle_onto_pad --trials 5 --seed 1000
	@echo "Watch a trial: open one of that folder's .webm files in a browser."

test: setup
	@scripts/test.sh $(ARGS)

bench: setup
	$(BIN)/mivla bench

leader: setup
	scripts/leader.sh

lint: setup
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
