"""The policy in RoboTwin: what its task environment is asked and given, against a stand-in of branch stable_2.0."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import yaml
from dataset_files import RED, write_robotwin
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from small_models import plain_statistics
from two_pipers import write_folder

from mivla_bringup.cli import main
from mivla_drivers.contract import JointLimits, load_contract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import ContractError, DataError
from mivla_policy import robotwin
from mivla_policy.action_space import END_EFFECTORS, LEFT_END_EFFECTOR, RIGHT_END_EFFECTOR, to_unified
from mivla_policy.checkpoint import load_policy_folder, save_policy
from mivla_policy.data.robotwin import read_robotwin
from mivla_policy.model.config import mivla_small
from mivla_policy.model.mivla import Mivla
from mivla_policy.robotwin import conventions
from mivla_policy.robotwin.deploy_policy import RobotwinModel, encode_obs

settings.register_profile("busy machine", deadline=None)  # a limit's test is about its value, not its time
settings.load_profile("busy machine")

PIPER, ALOHA = load_contract("piper"), load_contract("aloha_agilex")
VIEWS = ("front", "left_wrist", "right_wrist")
FORWARD = Rotation.from_euler("y", 90, degrees=True).as_quat()  # of a tool that approaches along its z
QPOS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0, -0.1, -0.2, -0.3, -0.4, -0.5, -0.6, 0.5])
LEFT_TOOL, RIGHT_TOOL = (0.717, -0.1, 0.1225), (0.717, 0.107, 0.1225)  # of ENDPOSE, in each arm's base [m]
HALF = np.sqrt(0.5)
ENDPOSE = {  # 0.3 m forward, which is +y in RoboTwin's world, looking there
    "left_endpose": [-0.2, 0.3, 0.9, HALF, 0.0, 0.0, HALF],
    "left_gripper": 1.0,
    "right_endpose": [0.2, 0.3, 0.9, HALF, 0.0, 0.0, HALF],
    "right_gripper": 0.5,
}


class StandInTaskEnv:
    """RoboTwin's task as a policy meets it; checks every action and writes down every call."""

    def __init__(self, step_lim=400, succeeds_after=None):
        self.take_action_cnt, self.step_lim, self.eval_success = 0, step_lim, False
        self.calls, self.actions = [], []
        self._succeeds_after = succeeds_after

    def get_instruction(self):
        self.calls.append("get_instruction")
        return "hit the block with the hammer"

    def get_obs(self):
        self.calls.append("get_obs")
        names = ("head_camera", "left_camera", "right_camera")
        images = {name: {"rgb": np.full((240, 320, 3), 10 * i, np.uint8)} for i, name in enumerate(names)}
        return {"observation": images, "joint_action": {"vector": QPOS.copy()}, "endpose": ENDPOSE}

    def take_action(self, action, action_type="qpos"):
        self.calls.append("take_action")
        assert not self.eval_success, "a trial that is over takes no action"
        assert self.take_action_cnt < self.step_lim
        assert action.shape == {"qpos": (14,), "ee": (16,)}[action_type]
        assert np.isfinite(action).all()
        for gripper in {"qpos": (6, 13), "ee": (7, 15)}[action_type]:
            assert 0.0 <= action[gripper] <= 1.0
        if action_type == "ee":
            for start in (3, 11):
                assert np.linalg.norm(action[start : start + 4]) == pytest.approx(1.0)
        self.actions.append(action)
        self.take_action_cnt += 1
        self.eval_success = self.take_action_cnt == self._succeeds_after


class StandInPolicy:
    """Gives the same unified values always, and remembers what it was shown."""

    views, timing = VIEWS, {}

    def __init__(self, values, contract=ALOHA, poses=True):
        self.values, self.contract, self.poses = values, contract, poses
        self.seen, self.seeds = [], []

    def infer(self, observation, committed_prefix=None):
        self.seen.append(observation)
        times = np.arange(1, len(self.values) + 1) / self.contract.policy_rate_hz
        joints = self.values[:, self.contract.action_slots]
        poses = self.values[:, self.contract.end_effector_slots] if self.poses else None
        return ActionChunk(joints, times, observation.stamp, "policy", poses)

    def reset(self, seed):
        self.seeds.append(seed)


def two_arms(order=None):
    """RoboTwin's contract with small images, joints in any order."""
    order = np.arange(14) if order is None else np.asarray(order)
    names, limits = tuple(ALOHA.joints[i] for i in order), ALOHA.limits
    sides = (limits.lower, limits.upper, limits.velocity, limits.acceleration)
    return replace(
        ALOHA,
        joints=names,
        units=tuple(ALOHA.units[i] for i in order),
        limits=JointLimits(names, *(side[order] for side in sides)),
        home=ALOHA.home[order],
        action_slots=ALOHA.action_slots[order],
        zero_offset=ALOHA.zero_offset[order],
        cameras=tuple(replace(camera, width=160, height=120) for camera in ALOHA.cameras),
    )


def unified_chunk(steps=16):
    """Joints move on by 0.01 a step; grippers are wide open and half open."""
    chunk = np.zeros((steps, 76))
    chunk[:, 48:62] = QPOS + 0.01 * np.arange(steps)[:, None]
    chunk[:, 54], chunk[:, 61] = 0.07, 0.035
    chunk[:, LEFT_END_EFFECTOR] = [*LEFT_TOOL, *2 * FORWARD]  # a quaternion a model gave: not unit
    chunk[:, RIGHT_END_EFFECTOR] = [*RIGHT_TOOL, *FORWARD]
    return chunk


def run(model, env):
    robotwin.eval(env, model, env.get_obs())
    return env


class TestEval:
    def test_calls_come_in_robotwins_order(self):
        env = run(RobotwinModel(StandInPolicy(unified_chunk()), two_arms(), steps=3), StandInTaskEnv())
        assert env.calls == ["get_obs", "get_instruction"] + 3 * ["take_action", "get_obs"]

    def test_qpos_is_left_arm_left_gripper_right_arm_right_gripper(self):
        env = run(RobotwinModel(StandInPolicy(unified_chunk()), two_arms(), steps=2), StandInTaskEnv())
        assert env.actions[0] == pytest.approx(QPOS)
        assert env.actions[1][:6] == pytest.approx(QPOS[:6] + 0.01)

    @given(st.permutations(range(14)))
    def test_joints_go_by_slot_whatever_their_order_in_the_contract(self, order):
        policy = StandInPolicy(unified_chunk(), two_arms(order))
        env = run(RobotwinModel(policy, two_arms(order), steps=1), StandInTaskEnv())
        assert policy.seen[0].joints == pytest.approx(unified_chunk()[0, 48:62][list(order)])
        assert env.actions[0] == pytest.approx(QPOS)

    def test_the_policy_sees_images_of_its_contract_joints_in_metres_and_the_instruction(self):
        policy = StandInPolicy(unified_chunk())
        run(RobotwinModel(policy, two_arms()), StandInTaskEnv())
        seen = policy.seen[0]
        assert {view: image.shape for view, image in seen.images.items()} == {
            view: (120, 160, 3) for view in VIEWS
        }
        assert [seen.images[view][0, 0, 0] for view in VIEWS] == [0, 10, 20]
        assert seen.joints[[6, 13]] == pytest.approx([0.07, 0.035])
        assert seen.end_effectors == pytest.approx([*LEFT_TOOL, *FORWARD, *RIGHT_TOOL, *FORWARD])
        assert seen.instruction == "hit the block with the hammer"

    def test_a_camera_of_another_shape_is_not_stretched(self):
        observation = StandInTaskEnv().get_obs()
        wide = np.zeros((120, 320, 3), np.uint8)
        wide[40:80, 140:180] = 255
        observation["observation"]["head_camera"]["rgb"] = wide
        front = encode_obs(observation, "hit", two_arms(), VIEWS, 0.0).images["front"]
        assert front.shape == (120, 160, 3)
        assert (front[60, :, 0] == 255).sum() == (front[:, 80, 0] == 255).sum() == 40

    def test_cameras_that_the_policy_does_not_look_through_may_be_off(self):
        policy, env = StandInPolicy(unified_chunk()), StandInTaskEnv()
        policy.views = ("front",)
        observation = env.get_obs()
        del observation["observation"]["left_camera"]
        robotwin.eval(env, RobotwinModel(policy, two_arms()), observation)
        assert policy.seen[0].images.keys() == {"front"}

    def test_ee_is_pose_with_wxyz_then_gripper_in_robotwins_world(self):
        model = RobotwinModel(StandInPolicy(unified_chunk()), two_arms(), "ee", steps=1)
        action = run(model, StandInTaskEnv()).actions[0]
        assert action[:8] == pytest.approx([*ENDPOSE["left_endpose"], 1.0])
        assert action[8:] == pytest.approx([*ENDPOSE["right_endpose"], 0.5])

    @pytest.mark.parametrize(("action_type", "grippers"), [("qpos", [6, 13]), ("ee", [7, 15])])
    def test_a_gripper_beyond_its_range_is_clipped(self, action_type, grippers):
        chunk = unified_chunk()
        chunk[:, 54], chunk[:, 61] = -0.02, 0.2
        env = run(RobotwinModel(StandInPolicy(chunk), two_arms(), action_type, steps=1), StandInTaskEnv())
        assert env.actions[0][grippers] == pytest.approx([0.0, 1.0])

    def test_a_trial_that_succeeds_or_ends_within_a_chunk_takes_no_further_action(self):
        model = RobotwinModel(StandInPolicy(unified_chunk()), two_arms(), steps=8)
        assert run(model, StandInTaskEnv(succeeds_after=3)).take_action_cnt == 3
        assert run(model, StandInTaskEnv(step_lim=5)).take_action_cnt == 5

    def test_a_whole_trial_as_the_evaluation_script_runs_it(self):
        policy = StandInPolicy(unified_chunk())
        model, env = RobotwinModel(policy, two_arms(), steps=8), StandInTaskEnv(step_lim=20)
        robotwin.reset_model(model)
        while env.take_action_cnt < env.step_lim and not env.eval_success:
            robotwin.eval(env, model, env.get_obs())
        assert len(policy.seen) == 3
        assert [seen.stamp for seen in policy.seen] == pytest.approx([0.0, 1.44, 2.88], rel=1e-4)

    def test_every_trial_has_noise_of_its_own_and_a_run_repeats(self):
        policy = StandInPolicy(unified_chunk())
        model = RobotwinModel(policy, two_arms(), seed=7)
        robotwin.reset_model(model)
        robotwin.reset_model(model)
        assert policy.seeds == [7, 8]


class TestRefusals:
    def test_a_chunk_without_end_effectors_moves_none(self):
        env = StandInTaskEnv()
        with pytest.raises(DataError, match="policy: expected a chunk with both end effectors"):
            run(RobotwinModel(StandInPolicy(unified_chunk(), poses=False), two_arms(), "ee"), env)
        assert env.actions == []

    def test_a_chunk_of_other_joints_moves_nothing(self):
        env = StandInTaskEnv()
        with pytest.raises(ContractError, match="expected 14 joints"):
            run(RobotwinModel(StandInPolicy(unified_chunk(), PIPER, poses=False), two_arms()), env)
        assert env.actions == []

    @pytest.mark.parametrize(
        ("group", "name", "switch"),
        [
            ("endpose", "left_endpose", "endpose"),
            ("endpose", "right_endpose", "endpose"),
            ("joint_action", "vector", "qpos"),
        ],
    )
    def test_what_the_task_config_leaves_out_is_named_with_its_switch(self, group, name, switch):
        env, model = StandInTaskEnv(), RobotwinModel(StandInPolicy(unified_chunk()), two_arms())
        observation = env.get_obs()
        observation[group] = {key: value for key, value in observation[group].items() if key != name}
        with pytest.raises(DataError, match=rf"{group}\.{name}: expected .* got nan; .* {switch}: true"):
            robotwin.eval(env, model, observation)

    def test_an_observation_without_a_camera_is_named(self):
        env, model = StandInTaskEnv(), RobotwinModel(StandInPolicy(unified_chunk()), two_arms())
        observation = env.get_obs()
        del observation["observation"]["left_camera"]
        with pytest.raises(DataError, match="left_camera"):
            robotwin.eval(env, model, observation)

    def test_a_policy_of_one_arm_is_refused(self):
        with pytest.raises(ContractError, match="two arms"):
            RobotwinModel(StandInPolicy(unified_chunk()), PIPER)

    def test_a_policy_of_one_end_effector_is_refused(self):
        one = replace(ALOHA, arms=ALOHA.arms[:1])
        with pytest.raises(
            ContractError, match=r"aloha_agilex: end_effectors: expected both arms' slots 62\.\.75"
        ):
            RobotwinModel(StandInPolicy(unified_chunk()), one)

    def test_end_effector_actions_of_a_robot_whose_place_in_the_world_is_not_known_are_refused(
        self, tmp_path
    ):
        two = load_contract(write_folder(tmp_path))
        assert RobotwinModel(StandInPolicy(unified_chunk(), two), two).action_type == "qpos"
        with pytest.raises(ContractError, match=r"action_type: expected qpos, .* found ee"):
            RobotwinModel(StandInPolicy(unified_chunk(), two), two, "ee")

    def test_a_policy_trained_with_poses_in_robotwins_world_is_refused(self):
        policy = StandInPolicy(unified_chunk())
        policy.pose_version = 1
        with pytest.raises(ContractError, match="expected poses of version 2, found version 1"):
            RobotwinModel(policy, two_arms())

    def test_a_policy_of_other_views_is_refused(self):
        policy = StandInPolicy(unified_chunk())
        policy.views = ("front", "ceiling")
        with pytest.raises(ContractError, match=r"policy: expected views of .* found \['ceiling'\]"):
            RobotwinModel(policy, two_arms())

    def test_an_unknown_action_type_is_refused(self):
        with pytest.raises(DataError, match="delta_ee"):
            RobotwinModel(StandInPolicy(unified_chunk()), two_arms(), "delta_ee")

    def test_get_model_says_where_the_checkpoint_is_to_be_named(self):
        with pytest.raises(DataError, match=r"deploy_policy\.yml"):
            robotwin.get_model({"checkpoint": None, "seed": 0})

    def test_get_model_asks_for_the_robot_of_a_policy_that_is_no_folder(self):
        with pytest.raises(
            DataError, match=r"robot: expected a name or robot\.yaml, since replay:x holds no"
        ):
            robotwin.get_model({"checkpoint": "replay:x", "robot": None})

    def test_get_model_names_what_a_checkpoint_lacks(self, tmp_path):
        with pytest.raises(DataError, match=r"model\.safetensors"):
            robotwin.get_model({"checkpoint": str(tmp_path), "device": "cpu"})


class TestConventions:
    def test_the_configuration_names_what_get_model_reads(self):
        path = robotwin.__file__.replace("__init__.py", "deploy_policy.yml")
        with open(path) as file:
            config = yaml.safe_load(file)
        assert config["policy_name"] == robotwin.__name__
        for key in ("task_name", "task_config", "ckpt_setting", "seed", "instruction_type", "checkpoint"):
            assert key in config

    @given(st.integers(0, 2**32 - 1))
    def test_world_and_robot_poses_are_each_others_inverse(self, seed):
        rng = np.random.default_rng(seed)
        quaternions = Rotation.random(4, rng=rng).as_quat(canonical=True)
        poses = np.concatenate([rng.uniform(-1, 1, (4, 3)), quaternions], axis=1)
        base = conventions.ALOHA_FRAMES.right
        back = conventions.unified_pose(conventions.world_pose(poses, base), base)
        assert back[:, :3] == pytest.approx(poses[:, :3])
        assert np.abs((back[:, 3:] * poses[:, 3:]).sum(axis=1)) == pytest.approx(np.ones(4))

    @given(st.lists(st.floats(-3, 3), min_size=14, max_size=14))
    def test_joint_vectors_come_back_with_grippers_within_0_and_1(self, values):
        qpos = np.array(values)
        back = conventions.qpos_from_unified(conventions.unified_from_qpos(qpos))
        qpos[[6, 13]] = np.clip(qpos[[6, 13]], 0.0, 1.0)
        assert back == pytest.approx(qpos)

    def test_a_quaternion_of_length_zero_is_refused(self):
        with pytest.raises(DataError, match="length zero"):
            conventions.ee_from_unified(np.zeros((1, 76)))


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory):
    """Two episodes of a task in RoboTwin's layout; returns the folder and the first one's file."""
    folder = tmp_path_factory.mktemp("robotwin")
    path, _ = write_robotwin(folder, steps=9, number=0)
    write_robotwin(folder, steps=9, number=1, seed=5)
    return folder, path


@pytest.fixture(scope="module")
def checkpoint(demonstrations, tmp_path_factory):
    """A policy's folder made as docs/robotwin.md says: annotate, then fine-tune a base policy of one arm."""
    root = tmp_path_factory.mktemp("route")
    save_policy(root / "base", Mivla(mivla_small()), PIPER, plain_statistics())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        words = ["annotate", "robotwin", demonstrations[0], "--own-actions", "--out", root / "set"]
        assert mivla([*words, "--robot", "aloha_agilex", "--workers", 1]) == 0
        words = ["finetune", "--data", root / "set", "--base", root / "base", "--out", root / "policy"]
        words += ["--transfer", "--views", *VIEWS, "--steps", 3, "--batch-size", 4]
        assert mivla(words) == 0
    return root / "policy"


def mivla(words):
    return main([str(word) for word in words])


def trial(checkpoint, action_type, trials=1):
    """Actions of whole trials, run as script/eval_policy.py runs them."""
    settings = {"checkpoint": str(checkpoint), "device": "cpu", "seed": 0, "steps": 4}
    model = robotwin.get_model({**settings, "action_type": action_type, "left_arm_dim": 6})
    for _ in range(trials):
        env = StandInTaskEnv(step_lim=6)
        robotwin.reset_model(model)
        while env.take_action_cnt < env.step_lim:
            robotwin.eval(env, model, env.get_obs())
            if env.eval_success:
                break
    return env


class TestFromDemonstrationsToTrials:
    @pytest.mark.parametrize("action_type", ["qpos", "ee"])
    def test_a_fine_tuned_policy_runs_a_trial(self, checkpoint, action_type):
        """The environment checks each action's shape, ranges and unit quaternions."""
        env = trial(checkpoint, action_type)
        look, act = ["get_obs", "get_instruction"], ["take_action", "get_obs"]
        assert env.calls == [*look, *4 * act, *look, *act, "take_action"]

    @pytest.mark.parametrize("action_type", ["qpos", "ee"])
    def test_a_run_repeats_and_its_trials_differ(self, checkpoint, action_type):
        first, again = (np.array(trial(checkpoint, action_type).actions) for _ in range(2))
        second = np.array(trial(checkpoint, action_type, trials=2).actions)
        np.testing.assert_array_equal(first, again)
        assert not np.allclose(first, second)

    def test_the_state_of_an_observation_is_the_state_of_the_frame_it_was_recorded_as(self, demonstrations):
        with h5py.File(demonstrations[1]) as file:
            observation = {
                group: {k: v[4] for k, v in file[group].items()} for group in ("joint_action", "endpose")
            }
        image = np.full((240, 320, 3), RED, np.uint8)
        observation["observation"] = {camera: {"rgb": image} for camera in conventions.CAMERAS.values()}
        track = read_robotwin(demonstrations[1])
        seen = encode_obs(observation, track.instruction, ALOHA, VIEWS, stamp=0.0)
        state, mask = to_unified(ALOHA, seen.joints, end_effectors=seen.end_effectors)
        np.testing.assert_array_equal(state, track.states[4])
        np.testing.assert_array_equal(mask, track.state_mask[4])

    def test_the_contracts_gripper_is_the_demonstrations(self):
        for gripper in conventions.GRIPPERS:
            joint = ALOHA.action_slots.tolist().index(gripper)
            assert ALOHA.limits.upper[joint] == conventions.GRIPPER_OPENING_M

    def test_the_policy_knows_both_end_effectors(self, checkpoint):
        found = load_policy_folder(checkpoint)
        assert found.contract.end_effector_slots.tolist() == list(range(76))[END_EFFECTORS]
        assert found.contract.urdf == ""
        assert found.model.config.views == VIEWS

    def test_demonstrations_without_end_poses_are_refused_before_training(
        self, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        write_robotwin(tmp_path / "data", steps=4, endpose=False)
        words = ["annotate", "robotwin", tmp_path / "data", "--own-actions", "--out", tmp_path / "set"]
        assert mivla([*words, "--robot", "aloha_agilex", "--workers", 1]) == 1
        assert "endpose: expected both end effectors' poses" in capsys.readouterr().err
        save_policy(tmp_path / "base", Mivla(mivla_small()), PIPER, plain_statistics())
        words = ["finetune", "--data", tmp_path / "set", "--base", tmp_path / "base", "--transfer"]
        assert mivla([*words, "--out", tmp_path / "policy", "--views", *VIEWS]) == 2
        assert "expected samples to learn from" in capsys.readouterr().err

    def test_of_several_files_the_ones_without_end_poses_are_skipped_named_and_counted(
        self, tmp_path, capsys
    ):
        write_robotwin(tmp_path / "data", steps=4, number=0)
        lame = [write_robotwin(tmp_path / "data", steps=4, number=i, endpose=False)[0] for i in (1, 2)]
        words = ["annotate", "robotwin", tmp_path / "data", "--own-actions", "--out", tmp_path / "set"]
        assert mivla([*words, "--robot", "aloha_agilex", "--workers", 1]) == 1
        said = capsys.readouterr()
        assert "1 files annotated" in said.out
        assert "2 skipped" in said.out
        for path in lame:
            assert f"{path}: {path}: endpose: expected both end effectors' poses" in said.err
