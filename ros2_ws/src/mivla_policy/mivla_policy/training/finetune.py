"""Fine-tuning on one robot's own demonstrations: recordings as they are, or an annotated data set."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mivla_drivers.contract import RobotContract, require_same_contract
from mivla_drivers.errors import ContractError
from mivla_policy.checkpoint import Checkpoint, load_policy_folder
from mivla_policy.data.annotate import SET, Workers, annotate_all, read_set
from mivla_policy.data.dataset import Dataset
from mivla_policy.data.demonstrations import ITS_OWN, Demonstrations, contract_of_set
from mivla_policy.data.file_lock import file_lock
from mivla_policy.model.config import with_decoder, with_views
from mivla_policy.model.mivla import Mivla
from mivla_policy.model.transfer import carry_over
from mivla_policy.normalisation import Statistics, Uncovered, covering_ranges
from mivla_policy.recipe import require_another_folder
from mivla_policy.training.checkpoints import FOLDER
from mivla_policy.training.config import Run
from mivla_policy.training.digests import digest_of_policy
from mivla_policy.training.encoders import require_encoders
from mivla_policy.training.imported import keep_meaning
from mivla_policy.training.policy_writer import Summary, summarise, write_policy
from mivla_policy.training.processes import Processes
from mivla_policy.training.train import train

logger = logging.getLogger(__name__)

PREPARED = "prepared"  # folder below the recordings' own, with one per choice of views


def finetune(
    run: Run,
    folders: Sequence[Path],
    base: Path,
    processes: Processes | None = None,
    views: Sequence[str] | None = None,
    transfer: bool = False,
) -> Summary:
    """Fine-tune the policy of `base` on the demonstrations in `folders`. All processes call this.

    The base's statistics of this robot stay. Where its action layers were never trained, or never with this robot,
    the demonstrations' take their place, as in single slots that the base's do not cover, each of which is named.

    Args:
        folders: of recordings, or of an annotated data set.
        views: that the policy looks through, by default its base's; a view that the base has not is learned
            anew. The recordings may have more cameras, whose images are not used.
        transfer: the base may know nothing of this robot; both fill their own slots of the unified action space.

    Raises:
        DataError: there is no usable demonstration, `base` lacks an encoder, `run.out` is `base`, or holds what is
            left of another run.
        ContractError: the demonstrations are of a robot that the base was not trained with, and not `transfer`; or
            they lack a view.
    """
    processes = processes or Processes(0, 1, torch.device("cpu"))
    checkpoint = _load_base(run, base)
    model = _model(checkpoint, views, run)
    views = model.config.views

    data = _data(run, folders, views, processes)
    contract = contract_of_set(read_set(data.folders[0]))
    known = _known_statistics(checkpoint, contract, folders[0], views, transfer)
    data.require_robots({contract.robot}, only=True)
    data.require_slots(contract)
    run.out.mkdir(parents=True, exist_ok=True)
    statistics, uncovered = _statistics(data, checkpoint, known)
    keep_meaning(replace(checkpoint, model=model), statistics)
    _warn_of(uncovered if processes.is_main else (), folders[0])

    made_from = {"data": data.digest, "base": digest_of_policy(base), "views": " ".join(views)}
    by_robot = {contract.robot: statistics}
    result = train(run, data, model.requires_grad_(True), by_robot, processes, made_from, base)
    unused = tuple(sorted({camera.view for camera in contract.cameras} - set(views)))
    if processes.is_main:
        about = (model.config, contract, statistics, made_from, checkpoint, base, unused, uncovered)
        write_policy(run, data, result, *about)
        shutil.rmtree(run.out / FOLDER)  # a finished policy is not gone on with
    processes.barrier()
    return summarise(data, result, model.config, unused)


def _load_base(run: Run, base: Path) -> Checkpoint:
    """The policy of `base`, which has all its encoders and is not what the run writes."""
    require_another_folder(run.out, base)
    checkpoint = load_policy_folder(base)
    require_encoders(checkpoint.model.config, base)
    return checkpoint


def _data(run: Run, folders: Sequence[Path], views: Sequence[str], processes: Processes) -> Dataset:
    """The demonstrations in `folders`, annotated."""
    if processes.is_main:
        for folder in folders:
            _prepare(folder, views)
    processes.barrier()
    return Dataset([_prepared(folder, views) for folder in folders], run.recipe.every, run.recipe.use)


def _warn_of(uncovered: Sequence[Uncovered], where: Path) -> None:
    for slot in uncovered:
        logger.warning("%s: %s; this slot is normalised by the demonstrations' mean and spread", where, slot)


def _prepare(folder: Path, views: Sequence[str]) -> None:
    """Have the recordings below `folder` as a data set of their own actions; nothing where it is one already."""
    if (folder / SET).is_file():
        return
    own = Demonstrations("recordings", folder, ITS_OWN, imitate=False, views=tuple(views))
    _require_views(own.contract, views, folder)
    out = _prepared(folder, views)
    with file_lock(out / "lock"):
        for _ in annotate_all(own, out, Workers()):
            pass


def _prepared(folder: Path, views: Sequence[str]) -> Path:
    return folder if (folder / SET).is_file() else folder / PREPARED / "+".join(views)


def _model(checkpoint: Checkpoint, views: Sequence[str] | None, run: Run) -> Mivla:
    """The base's model, or where other views are asked for one that looks through them with the base's weights."""
    base = checkpoint.model
    config = base.config if views is None else with_views(base.config, views)
    if run.machine.gradient_checkpointing:
        config = with_decoder(config, gradient_checkpointing=True)
    if config == base.config:
        return base
    torch.manual_seed(run.recipe.seed)
    model = Mivla(config)
    carry_over(base, model)
    return model


def _known_statistics(
    checkpoint: Checkpoint, found: RobotContract, data: Path, views: Sequence[str], transfer: bool
) -> Statistics | None:
    """The base's statistics of the robot `found` in `data`; None where it has none, and `transfer` allows that."""
    known = checkpoint.statistics_of(found.robot)
    if found.robot == checkpoint.contract.robot or (known is None and not transfer):
        shared = [view for view in views if view in checkpoint.model.config.views]
        _require_robot_of_base(checkpoint.contract, found, data, shared)
    return known


def _statistics(
    data: Dataset, checkpoint: Checkpoint, known: Statistics | None
) -> tuple[Statistics, tuple[Uncovered, ...]]:
    """Those `known` to the base or, where its numbers mean nothing here, the data's; and slots they didn't cover."""
    version = checkpoint.model.config.pose_version
    own = data.statistics(version)
    if known is None or checkpoint.untrained:
        return own, ()
    states, targets = data.moments(version)
    return covering_ranges(known, own, states.range, targets.range)


def _require_robot_of_base(
    base: RobotContract, found: RobotContract, data: Path, views: Sequence[str]
) -> None:
    try:
        require_same_contract(base, found, where=str(data), views=views)
    except ContractError as error:
        another = base.robot != found.robot
        raise ContractError(f"{error}{'; to go on from another robot: --transfer' * another}") from None


def _require_views(contract: RobotContract, views: Sequence[str], data: Path) -> None:
    found = [camera.view for camera in contract.cameras]
    if not set(views) <= set(found):
        raise ContractError(f"{data}: cameras: expected views {list(views)}, found {found}")
