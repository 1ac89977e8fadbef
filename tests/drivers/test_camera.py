"""Cameras: names that survive a replug, the sensor's time, frames in the contract's size, and reconnection."""

import logging
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mivla_drivers.cameras import CameraReader, FilePlayer, GrantedFormat, check_device, open_capture
from mivla_drivers.contract import load_contract
from mivla_drivers.errors import ContractError, HardwareError
from mivla_drivers.ros.camera_stream import CameraStream
from mivla_drivers.ros.conversions import compressed_image_array, image_array, stamp_seconds

pytestmark = pytest.mark.paced

CONTRACT = load_contract("piper")
CAMERA = CONTRACT.cameras[0]
BY_ID = "/dev/v4l/by-id/usb-Maker_Model_0001-video-index0"
LOG = logging.getLogger("camera test")


@pytest.mark.parametrize("device", ["/dev/video0", "/dev/video12", "", "/dev/shm/camera"])
def test_a_name_that_a_replug_can_swap_is_refused(device):
    with pytest.raises(ContractError, match=r"front_camera: device: expected a path in /dev/v4l/by-id, got"):
        check_device(device, "front_camera")


@pytest.mark.parametrize("device", [BY_ID, "/dev/v4l/by-path/pci-0-usb-0:1:1.0-video-index0", "film.avi"])
def test_a_stable_name_or_a_file_is_taken(device):
    assert check_device(device, "front_camera") == device


def test_a_camera_that_is_not_plugged_in_says_so():
    with pytest.raises(HardwareError, match=r"expected to open /dev/v4l/by-id/.*, but it is not plugged in"):
        open_capture(BY_ID, CAMERA)


class FakeUsb:
    """A USB port: captures are opened on it, and it can be unplugged, stalled, frozen and plugged in."""

    def __init__(self, shape=(160, 160, 3)):
        self.plugged, self.stalled, self.opened, self.count = True, threading.Event(), 0, 0
        self.stalled.set()
        self.shape = shape
        self.released = 0
        self.raised = None
        self.frozen = self.stamps_stopped = False
        self.stamp = self.image = None
        self.granted = GrantedFormat("MJPG", shape[1], shape[0], 50.0)

    def open(self, device, camera):
        if not self.plugged:
            raise HardwareError(f"camera {camera.name}: expected to open {device}, but it is not plugged in")
        self.opened += 1
        return self

    def read(self):
        time.sleep(0.02)
        self.stalled.wait()
        if not self.plugged:
            return False, None
        if self.raised is not None:
            raise self.raised
        self.count += 1
        if not self.frozen:
            self.image = self.picture()
        return True, self.image

    def picture(self):
        """A bluer half above a darker one, with a sensor's noise."""
        image = np.random.default_rng(self.count).integers(0, 5, self.shape).astype(np.uint8)
        image[: self.shape[0] // 2, ..., 0] += 200
        return image

    def get(self, _):
        if not self.stamps_stopped:
            self.stamp = time.monotonic() - 0.05
        return 1000 * self.stamp

    def release(self):
        self.released += 1


@pytest.fixture
def usb():
    return FakeUsb()


@pytest.fixture
def make_reader():
    made = []

    def make(usb, device=BY_ID):
        made.append(CameraReader(CAMERA, device, LOG, usb.open))
        made[-1].start()
        return made[-1]

    yield make
    for reader in made:
        reader.close()


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_frames_are_rgb_and_older_than_their_arrival(usb, make_reader):
    frame = make_reader(usb).wait(after=0, timeout_s=10)
    assert frame.number == 1
    assert frame.rgb.shape == (160, 160, 3)
    assert frame.rgb[0, 0].astype(int) == pytest.approx([0, 0, 200], abs=5)
    assert 0.04 < time.time() - frame.stamp < 5


def test_one_who_waits_gets_each_frame_once_and_nothing_after_the_last(usb, make_reader):
    reader = make_reader(usb)
    first = reader.wait(0, 10)
    second = reader.wait(first.number, 10)
    assert second.number > first.number
    usb.stalled.clear()
    time.sleep(0.1)
    last = reader.wait(0, 10)
    assert reader.wait(last.number, 0.05) is None


def test_comes_back_after_an_unplug_and_says_both(usb, make_reader, caplog):
    caplog.set_level(logging.INFO)
    reader = make_reader(usb)
    frame = reader.wait(0, 10)
    usb.plugged = False
    wait_until(lambda: "not plugged in" in reader.diagnostics(time.monotonic()).message)
    assert reader.diagnostics(time.monotonic()).level == "error"
    usb.plugged = True
    wait_until(lambda: reader.diagnostics(time.monotonic()).level == "ok")
    assert reader.diagnostics(time.monotonic()).values["reconnects"] == 1
    assert reader.wait(frame.number, 10).number > frame.number
    assert "gives no frame: unplugged?" in caplog.text
    assert caplog.text.count("but it is not plugged in") == 1
    assert caplog.text.count("grabbing from") == 2


def test_every_capture_is_released(usb, make_reader):
    reader = make_reader(usb)
    reader.wait(0, 10)
    usb.plugged = False
    wait_until(lambda: usb.released == usb.opened == 1)
    usb.plugged = True
    wait_until(lambda: usb.opened == 2)
    reader.close()
    assert usb.released == 2


def test_a_stalled_camera_stalls_nobody_and_its_age_is_told(usb, make_reader):
    reader = make_reader(usb)
    reader.wait(0, 10)
    usb.stalled.clear()
    began = time.monotonic()
    state = reader.diagnostics(time.monotonic() + 3.0)
    assert time.monotonic() - began < 1.0
    assert state.level == "error"
    assert "no frame for 3." in state.message
    assert float(state.values["age_s"]) > 2.9
    usb.stalled.set()


def test_another_size_is_said_once(make_reader, caplog):
    reader = make_reader(FakeUsb(shape=(480, 640, 3)))
    frame = reader.wait(reader.wait(0, 10).number, 10)
    assert frame.rgb.shape == (160, 160, 3)
    assert caplog.text.count("the sensor gives 640x480, the contract asks for 160x160") == 1


@pytest.mark.parametrize("shape", [(160, 160), (160, 160, 1), (160, 160, 4)])
def test_grey_images_and_ones_with_an_alpha_channel_become_rgb(make_reader, shape):
    frame = make_reader(FakeUsb(shape=shape)).wait(0, 10)
    assert frame.rgb.shape == (160, 160, 3)


def test_an_image_that_cannot_be_shown_is_named_and_the_thread_goes_on(make_reader):
    usb = FakeUsb(shape=(160, 160, 2))
    reader = make_reader(usb)
    wait_until(lambda: usb.opened >= 2)
    state = reader.diagnostics(time.monotonic())
    assert state.level == "error"
    assert "front_camera: expected 8-bit images of 1, 3 or 4 channels, got uint8 of shape (160, 160, 2)" in (
        state.message
    )
    usb.shape = (160, 160, 3)
    assert reader.wait(0, 10) is not None


def test_whatever_a_device_raises_is_said_and_the_camera_comes_back(usb, make_reader, caplog):
    reader = make_reader(usb)
    frame = reader.wait(0, 10)
    usb.raised = MemoryError("no buffer left")
    wait_until(lambda: "MemoryError: no buffer left" in reader.diagnostics(time.monotonic()).message)
    assert caplog.text.count("front_camera: MemoryError: no buffer left") == 1
    usb.raised = None
    assert reader.wait(frame.number, 10).number > frame.number


def test_a_sensor_that_repeats_a_picture_with_fresh_stamps_is_called_frozen(usb, make_reader):
    reader = make_reader(usb)
    reader.wait(0, 10)
    assert reader.diagnostics(time.monotonic()).level == "ok"
    usb.frozen = True
    wait_until(lambda: "frozen" in reader.diagnostics(time.monotonic()).message)
    state = reader.diagnostics(time.monotonic())
    assert (state.level, float(state.values["age_s"]) < 0.5) == ("error", True)
    assert float(state.values["last_useful_output_s"]) > 0.9
    usb.frozen = False
    wait_until(lambda: reader.diagnostics(time.monotonic()).level == "ok")


def test_a_camera_whose_stamps_stop_gives_no_more_frames_until_they_go_on(usb, make_reader, caplog):
    reader = make_reader(usb)
    reader.wait(0, 10)
    usb.stamps_stopped = True
    wait_until(lambda: "its stamps stopped" in reader.diagnostics(time.monotonic()).message)
    last = reader.wait(0, 10).number
    assert reader.wait(last, 1.0) is None
    usb.stamps_stopped = False
    assert reader.wait(last, 10).number > last
    assert "its stamps stopped while frames go on coming" in caplog.text


def write_sequence(folder, count=5, size=(240, 320)):
    """Grey images with a white edge, each brighter than the one before."""
    for i in range(count):
        image = np.full((*size, 3), 40 * i + 20, np.uint8)
        image[-40:] = 255
        cv2.imwrite(str(folder / f"frame_{i:03d}.png"), image)
    return str(folder / "frame_%03d.png")


def test_a_file_plays_at_the_rate_over_and_over(tmp_path):
    player = FilePlayer(write_sequence(tmp_path, count=3), rate_hz=50)
    began = time.monotonic()
    shades = [int(player.read()[1][0, 0, 0]) for _ in range(7)]
    assert shades == [20, 60, 100, 20, 60, 100, 20]
    assert time.monotonic() - began >= 6 / 50
    player.release()
    with pytest.raises(HardwareError, match="expected a video file or image sequence"):
        FilePlayer(str(tmp_path / "none.avi"), 10)


def start_node(log, **parameters):
    command = [sys.executable, "-m", "mivla_drivers.ros.nodes.camera", "--ros-args", "-r", "__ns:=/piper"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    with log.open("w") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


class Audience:
    """One who looks at everything that the camera node publishes."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("audience", namespace="piper", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.seen = {}
        for camera in CONTRACT.cameras:
            for kind, suffix in (
                (Image, "image_raw"),
                (CompressedImage, "image_raw/compressed"),
                (CameraInfo, "camera_info"),
            ):
                topic = f"{camera.topic}/{suffix}"
                self.seen[topic] = []
                self.node.create_subscription(kind, topic, self.seen[topic].append, qos_profile_sensor_data)
        self.states = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, message):
        self.states[message.status[0].name] = message.status[0]

    def wait(self, condition, log, seconds=60.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, log.read_text()
            self.executor.spin_once(timeout_sec=0.05)

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def audience(graph):
    made = Audience()
    yield made
    made.close()


def test_a_publisher_that_raises_is_said_and_publishing_goes_on(audience, tmp_path):
    stream = CameraStream(audience.node, CAMERA, write_sequence(tmp_path), open_capture)
    publish, failing = stream._publisher.publish, threading.Event()

    def publish_or_fail(rgb, stamp):
        if failing.is_set():
            raise RuntimeError("no memory left")
        publish(rgb, stamp)

    stream._publisher.publish = publish_or_fail
    stream.start()
    try:
        wait_until(lambda: stream.diagnostics(time.monotonic()).level == "ok")
        failing.set()
        wait_until(lambda: stream.diagnostics(time.monotonic()).level == "error")
        assert stream.diagnostics(time.monotonic()).message == (
            "camera front_camera: frames are grabbed, none is published: RuntimeError: no memory left"
        )
        failing.clear()
        wait_until(lambda: stream.diagnostics(time.monotonic()).level == "ok")
    finally:
        stream.close()


def test_the_node_publishes_the_contracts_cameras_and_ends_on_a_signal(audience, tmp_path):
    log = tmp_path / "camera.log"
    film = write_sequence(tmp_path)
    process = start_node(log, **{"front_camera.device": film, "wrist_camera.device": film})
    try:
        audience.wait(lambda: all(len(messages) >= 3 for messages in audience.seen.values()), log)
        audience.wait(lambda: len(audience.states) == 2, log)
        process.send_signal(signal.SIGTERM)
        audience.wait(lambda: process.poll() is not None, log)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert log.read_text().count("the sensor gives 320x240") == 2
    for camera in CONTRACT.cameras:
        raw = audience.seen[f"{camera.topic}/image_raw"][-1]
        compressed = audience.seen[f"{camera.topic}/image_raw/compressed"][-1]
        info = audience.seen[f"{camera.topic}/camera_info"][-1]
        assert image_array(raw, camera)[:100].std() < 1
        assert compressed_image_array(compressed, camera).shape == (camera.height, camera.width, 3)
        assert (info.width, info.height, info.k[0]) == (camera.width, camera.height, 0.0)
        assert raw.header.frame_id == f"{camera.name}_optical"
        assert abs(stamp_seconds(raw.header.stamp) - time.time()) < 60
        stamps = [
            stamp_seconds(message.header.stamp) for message in audience.seen[f"{camera.topic}/image_raw"]
        ]
        assert np.median(np.diff(stamps)) == pytest.approx(1 / camera.rate_hz, rel=0.5)
        state = audience.states[f"piper/camera/{camera.name}"]
        assert state.hardware_id == film
        values = {value.key: value.value for value in state.values}
        assert values["picture"] == "good"
        assert values["format"].startswith("320x240")
        assert float(values["published_age_s"]) < 1.0
        assert (state.level, values["sensor_stamped"]) == (DiagnosticStatus.OK, "0")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"camera": "front_camera", "device": "/dev/video0"}, "camera front_camera: device: expected a path"),
        ({"camera": "rear", "device": BY_ID}, "expected one of ['front_camera', 'wrist_camera']"),
        (
            {"camera": "front_camera", "device": BY_ID, "pixel_format": "H264"},
            "pixel_format: expected one of ['', 'MJPG', 'YUYV'], got 'H264'",
        ),
        (
            {"front_camera.device": BY_ID, "front_camera.size": "large"},
            "front_camera.size: expected WIDTHxHEIGHT, such as 640x480, got 'large'",
        ),
        (
            {"front_camera.device": BY_ID},
            "camera wrist_camera: device: expected a path in /dev/v4l/by-id, got none",
        ),
    ],
)
def test_the_node_refuses_what_cannot_be_right(graph, tmp_path, parameters, message):
    log = tmp_path / "camera.log"
    process = start_node(log, **parameters)
    assert process.wait(timeout=60) == 1
    assert f"mivla: {message}" in log.read_text() or message in log.read_text()
    assert "Traceback" not in log.read_text()
