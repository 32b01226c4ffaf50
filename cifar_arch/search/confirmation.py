"""The best trials of a study, trained once more on all images: a sweep over (network, seed)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from cifar_arch.config import Experiment
from cifar_arch.outputs import experiment_name
from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.saved_config import experiment_text
from cifar_arch.schema import ConfigError, SearchStopped, first_line
from cifar_arch.search.ask import Job
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.confirm_choice import OWN, Choice, Wanted, full_schedule
from cifar_arch.search.confirm_trials import ConfirmAsker, ConfirmTeller, Seeds
from cifar_arch.search.processes import WorkerCommand
from cifar_arch.search.space import Point
from cifar_arch.search.study import SearchConfig, SharedStudy
from cifar_arch.search.supervisor import Supervisor
from cifar_arch.search.trial import TrialRecord
from cifar_arch.search.worker import Worker, train_here
from cifar_arch.shown_commands import data_override, run_command


class Confirmation:
    """The training of chosen networks with `seeds` seeds each, in a study of its own, `<study>-confirm`.

    Raises ConfigError for a network outside its limits.
    """

    def __init__(self, choices: Sequence[Choice], wanted: Wanted, seeds: int):
        self.choices = {choice.number: choice for choice in choices}
        self.epochs, self.plugins = wanted.epochs, wanted.plugins
        self.assessed: dict[tuple[int, int], Candidate] = {}
        for choice in choices:
            if broken := Candidate.from_dict(choice.config(self.epochs, 0)).violations:
                raise ConfigError(
                    f"study: trial {choice.number} no longer meets the limits ({broken[0].message}); "
                    "name others with --trial"
                )
        self.search = SearchConfig(
            name=wanted.study + OWN,
            storage=wanted.storage,
            folder=wanted.outputs.confirmation(wanted.study),
            space=Seeds(list(self.choices), seeds),
            objectives=("test_accuracy",),
            n_trials=None,
            exhaustive=True,
            fingerprint={"confirms": wanted.study},
            max_failure_rate=1.0,  # a failure of an earlier time, whose cause is fixed, ends nothing
        )

    def work(self, mark: str | None = None) -> SharedStudy:
        """The study once everything is trained, by this process or by others that do the same.

        Raises SearchStopped when a training fails; the same again tries it once more.
        """
        # The sampler is never asked, for the study goes point by point.
        with Worker(
            self.search,
            RandomSampler,
            self._assess,
            mark=mark,
            make_teller=ConfirmTeller,
            make_asker=ConfirmAsker,
        ) as worker:
            worker.work(lambda job: self._train(job, worker.shared))
        return worker.shared

    def supervise(self, workers: int) -> SharedStudy:
        """The same as `work`, by workers in processes of their own."""
        shared = SharedStudy(self.search)
        command = WorkerCommand.of_this_process(self.search.folder.logs, "--mark=")
        start = WorkerCommand.run_here
        supervisor = Supervisor(shared, command, start, workers, make_teller=ConfirmTeller)
        supervisor.supervise(self.search.space.size())
        return shared

    def results(self, shared: SharedStudy) -> Iterator[tuple[Choice, list[TrialRecord]]]:
        """Each network with its trials by seed."""
        complete = {t.key: t for t in shared.trials(TrialState.COMPLETE) if t.trained}
        points = list(self.search.space.points())
        for number, choice in self.choices.items():
            yield choice, [complete[self._assess(p).key] for p in points if p["network"] == number]

    def folder_of(self, trial: TrialRecord) -> str:
        """As it is typed here: the one on record may be relative to where another command was typed."""
        here = self.search.folder.trial(trial.number)
        return str(here if here.is_dir() else trial.folder)

    def _config(self, point: Point) -> dict[str, Any]:
        return self.choices[point["network"]].config(self.epochs, point["seed"])

    def _assess(self, point: Point) -> Candidate:
        """The candidate of a point, computed once: a worker that waits asks about all points every second."""
        at = point["network"], point["seed"]
        if at not in self.assessed:
            self.assessed[at] = Candidate.from_dict(self._config(point))
        return self.assessed[at]

    def _train(self, job: Job, shared: SharedStudy) -> None:
        folder, config = RunFolder(job.folder), self._config(job.point)
        with atomic(folder.config) as temporary:  # what `training.resume` and `evaluate` read
            OmegaConf.save(OmegaConf.create(config), temporary)
        with atomic(folder.hydra) as temporary:  # and `card`
            chosen_groups = self.choices[job.point["network"]].composed.hydra
            OmegaConf.save(OmegaConf.create({"hydra": chosen_groups}), temporary)
        try:
            train_here(config, folder, shared, command=self._command(job.point, config))
        except Exception as error:
            raise SearchStopped(
                f"a training failed ({first_line(error)}); the same command goes on"
            ) from error

    def _command(self, point: Point, config: dict[str, Any]) -> str:
        """What trains one of these once more, from the file that the sweep left for its trial."""
        choice, epochs = self.choices[point["network"]], config["training"]["epochs"]
        changed = ["data.validation=0", f"training.epochs={epochs}", f"seed={config['seed']}"]
        data = data_override(Experiment.from_dict(config).data)
        return run_command(choice.sweep.path, experiment_name(choice.number), [*changed, *data], self.plugins)


def write_winner(choice: Choice, epochs: int | None) -> Path:
    """Writes the config `winner` beside `best`, and returns the folder to give as --config-dir."""
    folder, whole = choice.sweep, full_schedule(choice.composed, epochs)
    with atomic(folder.experiment("winner")) as temporary:
        text = experiment_text(whole, whole.hydra, folder.path, "winner", pin_seed=not choice.seeded)
        temporary.write_text(text, encoding="utf-8")
    return folder.path
