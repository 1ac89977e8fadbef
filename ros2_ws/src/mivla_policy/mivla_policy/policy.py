"""The policy: one observation in, one chunk of joint targets out. Knows no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from mivla_drivers.contract import RobotContract
from mivla_drivers.errors import ContractError, DataError, MivlaError
from mivla_drivers.kinematics import Kinematics
from mivla_policy.action_space import from_unified, to_unified
from mivla_policy.checkpoint import load_policy_folder
from mivla_policy.model.config import ModelConfig
from mivla_policy.model.mivla import Batch, Mivla
from mivla_policy.model.packing import WIDE, pack
from mivla_policy.model.recorded import Recorded
from mivla_policy.model.tokenisers import (
    ImageTokeniser,
    LanguageTokeniser,
    image_tokeniser,
    language_tokeniser,
)
from mivla_policy.normalisation import Statistics
from mivla_policy.observation import Observation


class PolicyError(MivlaError):
    """The policy gave something that must not reach the robot."""


class Policy:
    """A model, its tokenisers and its robot's contract.

    It takes the model over: a wide decoder's weights are laid out for inference and no longer train.
    The noise comes from a generator of its own, so a seed and the observations decide every chunk.
    """

    def __init__(
        self,
        model: Mivla,
        contract: RobotContract,
        statistics: Statistics,
        images: ImageTokeniser,
        language: LanguageTokeniser,
        seed: int = 0,
    ) -> None:
        views = tuple(camera.view for camera in contract.cameras)
        if views != model.config.views:
            raise ContractError(
                f"{contract.robot}: cameras: expected views {list(model.config.views)}, as "
                f"{model.config.name} was trained on, found {list(views)}"
            )
        self.contract, self.statistics = contract, statistics
        self._model = model.eval().requires_grad_(False)
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        pack(self._model.decoder)
        self._cameras = {camera.view: camera for camera in contract.cameras}
        self._tokenise_images, self._tokenise_language = images, language
        self._instruction: tuple[str, Tensor] | None = None
        self._recorded_sample = Recorded(self._sample)
        self._kinematics = None if contract.observes_end_effectors else Kinematics(contract)
        _, self._known = self._unified(contract.home, np.zeros(len(contract.end_effector_slots)))
        self._mask = torch.from_numpy(self._known).to(self._device)
        self.reset(seed)

    @property
    def horizon(self) -> int:
        """How many policy periods a chunk covers."""
        return self._model.config.decoder.horizon

    def reset(self, seed: int) -> None:
        """Start the noise again from `seed`."""
        self._generator = torch.Generator().manual_seed(seed)

    def infer(self, observation: Observation) -> tuple[np.ndarray, dict[str, float]]:
        """The joint targets that follow an observation.

        Returns:
            positions (H, n) float64 in contract order [rad or m], row i due i+1 policy periods after the
            observation; and how long it took: `encode_ms` for tokens, `denoise_ms` for the flow steps.

        Raises:
            DataError: a view is missing or unknown, an image has another size or type, joints or observed
                end effectors are not as many finite numbers as the contract has, or the instruction is empty
                or too long.
            PolicyError: the model gave a number that is not finite.
        """
        actions, timing = self._actions(observation)
        positions = from_unified(self.contract, actions)
        self._require_finite(positions, self.contract.joints)
        return positions, timing

    def infer_unified(self, observation: Observation) -> tuple[np.ndarray, dict[str, float]]:
        """The same chunk in the unified space, end effectors with it: (H, 76), zero outside the robot's slots.

        Quaternions are as the model gave them, not of length 1. Raises what `infer` raises.
        """
        actions, timing = self._actions(observation)
        values = np.where(self._known, actions, 0.0)
        self._require_finite(values, [f"slot {i}" for i in range(values.shape[-1])])
        return values, timing

    @torch.no_grad()
    def _actions(self, observation: Observation) -> tuple[np.ndarray, dict[str, float]]:
        """The model's chunk (H, 76) in radians and metres, unchecked, and how long it took."""
        self._check(observation)
        start = perf_counter()
        inputs = self._encode(observation)
        encoded = perf_counter()
        config = self._model.config.decoder
        noise = torch.randn(1, config.horizon, config.action_width, generator=self._generator)
        chunk = self._recorded_sample(*inputs, noise.to(self._device, self._dtype))[0]
        actions = self.statistics.denormalise_action(chunk.double().cpu().numpy())
        return actions, {
            "encode_ms": 1e3 * (encoded - start),
            "denoise_ms": 1e3 * (perf_counter() - encoded),
        }

    def _check(self, observation: Observation) -> None:
        if set(observation.images) != set(self._cameras):
            raise DataError(
                f"observation: expected views {sorted(self._cameras)}, got {sorted(observation.images)}"
            )
        for view, camera in self._cameras.items():
            image, expected = observation.images[view], (camera.height, camera.width, 3)
            if image.shape != expected or image.dtype != np.uint8:
                raise DataError(
                    f"observation: image {view}: expected {expected} uint8 (height, width, rgb), "
                    f"got {image.shape} {image.dtype}"
                )
        joints = np.asarray(observation.joints, dtype=float)
        if joints.shape != (self.contract.size,) or not np.isfinite(joints).all():
            raise DataError(
                f"observation: joints: expected {self.contract.size} finite numbers for "
                f"{list(self.contract.joints)}, got {joints.tolist()}"
            )
        if self._kinematics is None:
            self._check_end_effectors(observation.end_effectors)

    def _check_end_effectors(self, found: np.ndarray | None) -> None:
        size = len(self.contract.end_effector_slots)
        if found is None or found.shape != (size,) or not np.isfinite(found).all():
            raise DataError(
                f"observation: end_effectors: expected {size} finite numbers, which {self.contract.robot} "
                f"observes, got {None if found is None else found.tolist()}"
            )

    def _sample(self, images: Tensor, language: Tensor, state: Tensor, noise: Tensor) -> Tensor:
        batch = Batch(
            image_tokens=images,
            language_tokens=language,
            language_mask=None,  # one instruction has no padding
            state=state,
            state_mask=self._mask,
            action_mask=self._mask,
        )
        return self._model.sample(batch, noise)

    def _encode(self, observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
        """Image tokens (1, N, C), language tokens (1, L, C) and normalised state (1, 76)."""
        tokens = [observation.images[view] for view in self._model.config.views]
        if len({image.shape for image in tokens}) == 1:
            images = self._tokenise_images(np.stack(tokens)).reshape(1, -1, self._model.config.image_width)
        else:
            images = np.concatenate([self._tokenise_images(image[None]) for image in tokens], axis=1)
        state, _ = self._unified(observation.joints, observation.end_effectors)
        normalised = self.statistics.normalise_state(state)[None]
        return self._tensor(images), self._language(observation.instruction), self._tensor(normalised)

    def _unified(self, joints: np.ndarray, observed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The robot's state as in training: joints and the end effectors' poses, (76,), and their mask."""
        if self._kinematics is None:
            return to_unified(self.contract, joints, end_effectors=observed)
        return to_unified(self.contract, joints, self._kinematics.forward(joints))

    def _language(self, instruction: str) -> Tensor:
        """Tokens of an instruction, (1, L, C), computed when it changes."""
        if self._instruction is None or self._instruction[0] != instruction:
            tokens, _ = self._tokenise_language([instruction])
            self._instruction = (instruction, self._tensor(tokens))
        return self._instruction[1]

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._device, self._dtype)

    def _require_finite(self, chunk: np.ndarray, names: Sequence[str]) -> None:
        wrong = np.argwhere(~np.isfinite(chunk))
        if len(wrong):
            step, column = wrong[0]
            raise PolicyError(
                f"policy: {names[column]} at step {step}: expected a finite number, "
                f"got {chunk[step, column]}; the chunk is not sent. Check the checkpoint."
            )


def load_policy(
    folder: str | Path,
    contract: RobotContract | None = None,
    device: torch.device | str = "cpu",
    threads: int = 1,
    backend: str = "onnx",
    seed: int = 0,
    dtype: torch.dtype | None = None,
) -> Policy:
    """The policy held in `folder`, for the robot of `contract` (None: the folder's own).

    Args:
        device: where the decoder runs, and DINOv2, SigLIP and T5 where the policy has them.
        threads: of ONNX Runtime.
        backend: of the image tokeniser, "onnx" or "torch".
        seed: of the noise.
        dtype: of all that runs on `device`; None is bfloat16 for a wide decoder on CUDA, else float32.

    Raises:
        DataError, ContractError: as `load_policy_folder`; also where the action layers were never trained.
    """
    folder = Path(folder)
    checkpoint = load_policy_folder(folder, contract)
    if checkpoint.untrained:
        raise DataError(
            f"{folder}: expected a trained policy, found imported weights without trained state and action layers; "
            f"train from them first: mivla finetune --base {folder}"
        )
    config = checkpoint.model.config
    dtype = dtype or precision(config, device)
    return Policy(
        checkpoint.model.to(device, dtype),
        contract or checkpoint.contract,
        checkpoint.statistics,
        image_tokeniser(config, folder, backend, threads, device, dtype),
        language_tokeniser(config, folder, device, dtype),
        seed,
    )


def precision(config: ModelConfig, device: torch.device | str) -> torch.dtype:
    """What a policy and its encoders run in: bfloat16 for a wide decoder on CUDA, else float32."""
    # Reading the weights is what a flow step of one chunk spends its time on: half the bytes, half the time.
    halved = torch.device(device).type == "cuda" and config.decoder.width >= WIDE
    return torch.bfloat16 if halved else torch.float32
