# Each target sets up what it needs, once (scripts/setup.sh).
#   make demo     five trials of the trained PiPER policy in simulation
#   make test     all tests
#   make bench    latency, jitter, CPU and memory, to build/bench.json
#   make lint     ruff and mypy

.PHONY: help demo test bench lint setup
.DEFAULT_GOAL := help

BIN := .venv/bin
SOURCES := ros2_ws/src tests

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@scripts/setup.sh

demo: setup
	$(BIN)/mivla trials --robot piper --task move_bottle_onto_pad --trials 5 --seed 1000 --out build/demo
	@echo "Watch a trial: open build/demo/trial_000.webm in a browser."

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/policy tests/accelerator
	$(BIN)/python -m pytest --ignore tests/policy --ignore tests/accelerator  # in real time: one after another

bench: setup
	$(BIN)/mivla bench

lint: setup
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
