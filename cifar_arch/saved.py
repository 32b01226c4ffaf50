"""A finished run folder -> its network, its data set and its record again."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_arch.data import DataConfig, Dataset, load_once, usual_root
from cifar_arch.identity import weights_are_those_of
from cifar_arch.outputs import typed_path
from cifar_arch.record import Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError, UnknownKind, checked, first_line
from cifar_arch.spec import Architecture

if TYPE_CHECKING:
    from torch import nn


class SavedRun:
    """A run folder whose run is completed. Raises ConfigError for any other folder."""

    def __init__(self, path: str | Path):
        self.folder = RunFolder(typed_path(path))
        if not self.folder.path.is_dir():
            raise ConfigError(
                f"run: {str(path)!r} is no folder; name the folder of a run, such as one under outputs/runs"
            )
        needed = (self.folder.architecture, self.folder.summary, self.folder.weights)
        missing = [str(file.relative_to(self.folder.path)) for file in needed if not file.is_file()]
        summary = self.folder.read_summary()
        if summary is None or missing or summary.status != Status.COMPLETED:
            ended = summary and summary.status != Status.COMPLETED and summary.status
            why = f"its summary.json says {ended}" if ended else f"{missing[0]} is missing"
            raise ConfigError(
                f"run: {str(path)!r} holds no finished run ({why}); "
                "name a folder under outputs/runs whose summary.json says completed"
            )
        self.summary: Summary = summary

    def data_config(self, root: str | None = None) -> DataConfig:
        """The data set of the run, below `root` where one is given."""
        config = self.summary.config.items()
        fields: dict[str, Any] = {k.removeprefix("data."): v for k, v in config if k.startswith("data.")}
        fields.setdefault("root", usual_root())
        name = self.summary.data
        if name is None or fields.setdefault("name", name) != name:
            raise ConfigError(
                f"run: {str(self.folder.summary)!r} does not say which data set the run had "
                f"(data is {name}, data.name is {fields.get('name')}); put it back, or run again"
            )
        return checked(DataConfig, {**fields, **({"root": root} if root else {})}, "data")

    def dataset(self, root: str | None = None) -> Dataset:
        """The images that the run was trained and tested on.

        Raises ConfigError where they are missing or damaged, or generated and a `root` is named.
        """
        config = self.data_config(root)
        if root and config.synthetic:
            raise ConfigError(
                f"--data: has no effect on a run on {config.name}, whose images are generated, got {root!r}; "
                "leave it out"
            )
        return load_once(config, "--data")

    def network(self) -> "nn.Module":
        """The trained network in eval mode: (N, 3, 32, 32) pixels from 0 to 255 -> (N, 10) logits.

        Reads the architecture as data and the weights from safetensors: no pickle. Raises ConfigError
        where they are damaged, of another network, or not those that the run wrote.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from cifar_arch.network import Normalised, build

        network = Normalised(build(self._architecture().plan()), (0, 0, 0), (1, 1, 1))
        if not weights_are_those_of(self.folder, self.summary):
            raise self._damaged("they are not those that the run wrote")
        try:
            network.load_state_dict(load_file(self.folder.weights))
        except (SafetensorError, RuntimeError, ValueError) as error:
            raise self._damaged(first_line(error)) from error
        # As in training: another layout in memory rounds differently, and the accuracy would be another.
        return network.eval().to(memory_format=torch.channels_last)

    def _architecture(self) -> Architecture:
        """The network of the run, from architecture.json."""
        file = self.folder.architecture
        spec: Any = self.folder.read_json(file).get("spec")
        try:
            architecture = Architecture.from_dict(spec)
        except UnknownKind:
            raise  # of an own block, whose file was not named
        except ConfigError as error:
            raise ConfigError(
                f"run: {str(file)!r} makes no network ({error}); put it back, or train the network again"
            ) from error
        if self.summary.architecture not in (None, architecture.key()):
            raise ConfigError(
                f"run: {str(file)!r} is of another network than the run's summary.json; put it back, "
                "or train the network again"
            )
        return architecture

    def _damaged(self, reason: str) -> ConfigError:
        advice = "put them back"
        if self.folder.config.is_file():
            path = shlex.quote(str(self.folder.path))
            advice = f"type python -m cifar_arch.run training.resume={path} to have them written again"
        return ConfigError(
            f"run: the weights {str(self.folder.weights)!r} are damaged or of another architecture "
            f"({reason}); {advice}, or train the network again"
        )
