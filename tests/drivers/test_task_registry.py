"""Tasks by name and by file: all of them are whole, and what is none is refused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import DataError
from mivla_drivers.simulation.expert import JointPlan
from mivla_drivers.simulation.lockstep import FollowPlan, Lockstep
from mivla_drivers.simulation.task import Task
from mivla_drivers.simulation.tasks import (
    ARM_PRETRAINING,
    DEFAULT_TASK,
    HUMAN_PRETRAINING,
    load_task,
    task_label,
    task_names,
    task_reference,
)
from mivla_drivers.simulation.world.base_scene import BaseScene

PIPER = load_contract("piper")
GOOD = """
from mivla_drivers.simulation.tabletop.objects import CAN
from mivla_drivers.simulation.tabletop.verbs import Touch
TASK = Touch("poke_can", CAN)
"""


class TestNames:
    @pytest.mark.parametrize("name", task_names())
    def test_every_task_is_whole(self, name):
        task = load_task(name)
        assert task.name == name
        for condition in task.conditions:
            with Lockstep(PIPER, task) as lockstep:
                scene = task.sample_scene(1, condition)
                lockstep.reset(scene)
                assert set(task.holds(lockstep.world)) == set(task.subtasks)
            assert task.instruction(scene)

    def test_defaults_and_pretraining_name_tasks_that_there_are(self):
        assert {DEFAULT_TASK, *ARM_PRETRAINING, *HUMAN_PRETRAINING} <= set(task_names())

    def test_arms_do_not_show_the_default_task_s_object_before_it_is_learned(self):
        assert not [name for name in ARM_PRETRAINING if "bottle" in name]
        assert DEFAULT_TASK not in HUMAN_PRETRAINING

    @pytest.mark.parametrize("name", ["fly_to_the_moon", "", "tasks", "../tasks/lift_can"])
    def test_an_unknown_name_is_refused_with_those_that_there_are(self, name):
        with pytest.raises(DataError) as refused:
            load_task(name)
        for known in task_names():
            assert known in str(refused.value)
        assert repr(name) in str(refused.value)
        assert "\n" not in str(refused.value)


class TestFiles:
    def test_a_file_is_a_task_and_its_scenes_can_be_told_apart(self, tmp_path):
        path = tmp_path / "poke_can.py"
        path.write_text(GOOD)
        task = load_task(path)
        assert task.name == "poke_can"
        assert task.sample_scene(1, "easy") == task.sample_scene(1, "easy")
        assert load_task(str(path)) is task

    def test_a_recording_is_labelled_with_the_name_and_another_process_gets_the_whole_path(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        assert task_label("some/where/poke_can.py") == task_label("poke_can") == "poke_can"
        assert task_reference("poke_can.py") == str(tmp_path / "poke_can.py")
        assert task_reference("lift_can") == "lift_can"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "expected a task's file, found none"),
            ("x =", "importing it failed: SyntaxError"),
            ("import nothing_of_this_name", "importing it failed: ModuleNotFoundError"),
            ("", "TASK: expected a Task, found None"),
            (GOOD.replace("poke_can", "lift_can"), "name: expected its file's 'poke_can', found 'lift_can'"),
            (GOOD + "TASK.subtasks = ()", "subtasks: expected a value, found none"),
        ],
    )
    def test_what_is_no_task_is_refused(self, tmp_path, text, message):
        path = tmp_path / "poke_can.py"
        if text is not None:
            path.write_text(text)
        with pytest.raises(DataError, match=message):
            load_task(path)


class Clockwork(Task[BaseScene]):
    """Sub-tasks that hold at given times, whatever the robot does."""

    name = "clockwork"
    instructions = ("Wait.",)
    subtasks = ("first", "second")
    debounce_s: Mapping[str, float] = {"second": 0.3}

    def __init__(self, **spans):
        self._spans = spans

    def sample_scene(self, seed, condition):
        return BaseScene()

    def spawn(self, world):
        pass

    def holds(self, world):
        return {
            name: any(start - 0.01 <= world.time_s <= end + 0.01 for start, end in self._spans[name])
            for name in self.subtasks
        }

    def expert(self, contract):
        raise NotImplementedError


def done_after_a_second(**spans):
    task = Clockwork(**spans)
    still = JointPlan(np.array([0.0, 1.0]), np.tile(PIPER.home, (2, 1)))
    with Lockstep(PIPER, task) as lockstep:
        lockstep.reset(task.sample_scene(0, "easy"))
        return lockstep.run(FollowPlan(still), 0.95).subtasks


class TestProgress:
    def test_a_sub_task_once_done_stays_done(self):
        assert done_after_a_second(first=[(0.2, 0.2)], second=[]) == {"first": True, "second": False}

    def test_it_counts_only_after_the_one_before_it(self):
        assert done_after_a_second(first=[], second=[(0.1, 0.9)]) == {"first": False, "second": False}

    @pytest.mark.parametrize(
        ("spans", "done"),
        [([(0.3, 0.6)], True), ([(0.3, 0.5)], False), ([(0.3, 0.5), (0.7, 0.9)], False)],
    )
    def test_with_a_debounce_it_must_hold_without_a_break(self, spans, done):
        assert done_after_a_second(first=[(0.1, 0.1)], second=spans)["second"] is done
