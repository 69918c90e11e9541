"""The training loop for all objectives: steps, validation, checkpoints, resume."""

import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed.nn.functional  # imported later, its defaults would keep the process group alive
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object, set_seed

from training.loop.batches import EpochDataset, epoch_batches, loaded
from training.loop.checkpointing import Checkpoints, Progress, RunState, locked
from training.loop.monitoring import Monitor
from training.loop.objective import Batch, Objective
from training.loop.optimisation import average_gradients, build_optimiser, moving_average, rate_scale
from training.loop.processes import Averages, Interruption, announce, isolated, random_state, set_random_state
from training.loop.trainer_config import RunConfig, TrainerConfig
from training.run_config import changes, write_config
from vocoder.checkpoint import CheckpointError
from vocoder.command_line import CommandError
from vocoder.config import ConfigError, to_dict
from vocoder.mel.config_file import read_settings
from vocoder.memory import keep_freed_memory


def fit(
    config: RunConfig, objective: Objective, training_set: EpochDataset, validation_set: EpochDataset, **more: Any
) -> Path:
    """Train as configured, with the options of `Trainer`, and return the directory of the last model."""
    keep_freed_memory()
    output, file = Path(config.output), Path(config.output) / "config.yaml"
    with locked(output):
        trainer = Trainer(objective, training_set, validation_set, config.trainer, output, **more)
        step = trainer.state.progress.step
        if step and file.is_file() and (changed := changes(read_settings(file), to_dict(config))):
            announce(f"changed since step {step}: {', '.join(changed)}")
        write_config(config, file)
        trainer.fit()
        trainer.accelerator.end_training()  # otherwise a process of a group can abort at the interpreter's exit
    if trainer.interruption.number is not None:
        signal.raise_signal(trainer.interruption.number)  # everything is saved: end as the signal normally would
        raise KeyboardInterrupt  # where signals are ignored, as by background jobs of scripts: the run is not finished
    return output / "last" / "model"


class Trainer:
    """Trains an objective on a dataset, in one or several processes.

    With `resume` it continues from `directory/last`, bit for bit as if it had never stopped (given the same
    configuration, number of processes and machine). Without it, `directory` must not contain a run. Raises ConfigError
    if the batch size does not suit the data or the processes, and CheckpointError if there is nothing to resume, the
    checkpoint does not fit, or a run would be overwritten.
    """

    def __init__(
        self,
        objective: Objective,
        training_set: EpochDataset,
        validation_set: EpochDataset,
        config: TrainerConfig,
        directory: Path,
        *,
        sample_rate: int | None = None,
        provenance: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        on_cpu, half = config.device == "cpu" or not torch.cuda.is_available(), config.precision == "bfloat16"
        self.accelerator = Accelerator(cpu=on_cpu, mixed_precision="bf16" if half else "no")  # joins other processes
        self.training_set = training_set
        self.validation_set = validation_set
        self.sample_rate = sample_rate
        self.provenance = dict(provenance or {})
        self.checkpoints = Checkpoints(directory)
        self.interruption = Interruption()
        _check_batches(config, len(training_set), self.accelerator.num_processes)
        self.objective = objective.to(self.accelerator.device)
        self.phases = self.objective.phases()
        self.config = config if self.phases else replace(config, steps=1)  # without phases, initialisation is all
        set_seed(config.seed, device_specific=True)
        if self.accelerator.is_main_process:
            self.checkpoints.prune()
        if not resume:
            self._begin()
        optimisers = {phase: build_optimiser(parameters, config) for phase, parameters in self.phases.items()}
        average = moving_average(self.objective.model, config.ema_decay)
        self.state = RunState(self.objective, optimisers, average, Progress(), self.provenance.get("manifest_sha256"))
        if resume:
            states = self.state.load(self.checkpoints.last)
            if self.accelerator.process_index < len(states):
                set_random_state(states[self.accelerator.process_index])

    def fit(self) -> Progress:
        """Train until `steps`, a signal or `max_minutes`, and write a checkpoint in any case; return the progress.

        Raises CommandError if too many steps in a row were not finite.
        """
        progress = self.state.progress
        enabled = self.accelerator.is_main_process
        monitor = Monitor(self.checkpoints.directory, progress, self.config.steps, self.sample_rate, enabled)
        with closing(monitor), self.interruption.watched():
            self._train(monitor)
        return progress

    def _begin(self) -> None:
        if self.checkpoints.last.exists():
            raise CheckpointError(
                f"{self.checkpoints.directory} already has a run: --resume continues it, output=DIR starts another"
            )
        if self.accelerator.is_main_process:
            whole = epoch_batches(self.config, len(self.training_set), 0)
            batches = loaded(self.training_set, whole, 0, self.accelerator.device)
            count = self.config.initialisation_batches
            announce(f"initialising from {count} {'batch' if count == 1 else 'batches'} of data")
            with isolated(self.config.seed), torch.no_grad():
                self.objective.initialise(islice(batches, count))
        (state,) = broadcast_object_list([{name: value.cpu() for name, value in self.objective.state_dict().items()}])
        self.objective.load_state_dict(state)  # so that all processes start alike

    def _train(self, monitor: Monitor) -> None:
        progress, config = self.state.progress, self.config
        if progress.step >= config.steps:
            announce(f"the run is finished: to train beyond step {progress.step}, raise trainer.steps={config.steps}")
        started = saved = time.monotonic()
        minutes_before, averages, main = progress.minutes, Averages(), self.accelerator.is_main_process
        if progress.step == 0 and self._validate(monitor):  # the start, for comparison
            self._save(["last", "best"])
        first, seconds, since = progress.step, 0.0, time.perf_counter()
        for batch in self.batches():
            self.step(batch, averages)
            monitor.bar.update()
            now, done = time.monotonic(), progress.step >= config.steps
            late = main and config.max_minutes is not None and now - started >= 60.0 * config.max_minutes
            due = main and now - saved >= 60.0 * config.checkpoint_minutes
            mine = torch.tensor([self.interruption.requested or late or done, due], device=self.accelerator.device)
            stop, save = (self.accelerator.reduce(mine.float(), reduction="sum") > 0).tolist()  # in any process
            seconds += time.perf_counter() - since  # without validation and checkpoints
            early = progress.step - first in (1, 2, 5, 10, 20)  # the first regular report may take minutes
            if early or progress.step % config.log_steps == 0 or stop:
                monitor.interval(progress, averages.close(), seconds)
                seconds = 0.0
            is_best = (progress.step % config.validation_steps == 0 or done) and self._validate(monitor)
            if save or stop or is_best:
                progress.minutes = minutes_before + (time.monotonic() - started) / 60.0
                self._save(["last", "best"] if is_best else ["last"])
                saved = time.monotonic()
            since = time.perf_counter()
            if stop:
                break
        self._report_end()

    def batches(self) -> Iterator[Batch]:
        """Yield the remaining batches of the run, epoch by epoch."""
        progress, config, accelerator = self.state.progress, self.config, self.accelerator
        while progress.step < config.steps:
            place = progress.epoch, progress.items_in_epoch // config.batch_size
            share = accelerator.num_processes, accelerator.process_index
            batches = epoch_batches(config, len(self.training_set), *place, *share)
            yield from loaded(self.training_set, batches, config.num_workers, accelerator.device)
            progress.epoch, progress.items_in_epoch = progress.epoch + 1, 0

    def step(self, batch: Batch, averages: Averages) -> None:
        """Update every phase once, then the average, and count the step."""
        progress, config = self.state.progress, self.config
        self.objective.train()
        all_finite, rate = True, config.learning_rate * rate_scale(config, progress.step)
        for phase in self.phases:
            all_finite &= self._update(phase, batch, rate, averages)
        self.state.average.update_parameters(self.objective.model)
        seconds = self.objective.samples(batch) / self.sample_rate if self.sample_rate else 0.0
        progress.note_step(all_finite, config.batch_size, seconds * self.accelerator.num_processes)
        if progress.nonfinite_in_a_row >= config.max_nonfinite_steps:
            raise CommandError(
                f"{progress.nonfinite_in_a_row} consecutive steps, up to step {progress.step}, had a loss or gradient "
                f"that is not finite; {self.checkpoints.last} is from before that: try a lower learning_rate"
            )

    def _update(self, phase: str, batch: Batch, rate: float, averages: Averages) -> bool:
        """Take one optimiser step for `phase`, unless the objective skips it; return whether everything was finite.

        All other parameters are frozen until the update of their own phase. If the loss or the gradient's norm is not
        finite, parameters, optimiser and averages of scalars stay unchanged. The loss is the mean over all processes;
        other scalars are those of this process.
        """
        config, optimiser, parameters, found = self.config, self.state.optimisers[phase], self.phases[phase], []
        own = set(parameters)
        for group in optimiser.param_groups:
            group["lr"] = rate
        for parameter in self.objective.parameters():
            parameter.requires_grad_(parameter in own)
        for values in zip(*(value.chunk(config.accumulation) for value in batch.values()), strict=True):
            with self.accelerator.autocast():
                part = dict(zip(batch, values, strict=True))
                outcome = self.objective.loss(phase, part, self.state.progress.step)
            if outcome is None:
                return True
            self.accelerator.backward(outcome[0] / config.accumulation)
            found.append({"loss": outcome[0].detach(), **outcome[1]})
        metrics = {name: torch.stack([part[name].detach() for part in found]).mean() for name in found[0]}
        metrics["loss"] = average_gradients(parameters, metrics["loss"], self.accelerator)
        metrics["gradient_norm"] = torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        metrics["learning_rate"] = torch.tensor(rate)
        finite = math.isfinite(float(metrics["loss"]) + float(metrics["gradient_norm"]))
        if finite:
            optimiser.step()
            averages.add({f"{phase}/{name}": value for name, value in metrics.items()})
        optimiser.zero_grad()
        return finite

    def _validate(self, monitor: Monitor) -> bool:
        """Score the averaged weights; return whether they are the best so far."""
        accelerator, progress, averages = self.accelerator, self.state.progress, Averages()
        processes, rank = accelerator.num_processes, accelerator.process_index
        size = self.config.batch_size // processes
        mine = [(0, index) for index in range(rank, len(self.validation_set), processes)]
        shares = [mine[start : start + size] for start in range(0, len(mine), size)]
        with self.state.averaged(), isolated(self.config.seed + rank), torch.no_grad(), accelerator.autocast():
            self.objective.eval()
            for batch in loaded(self.validation_set, shares, 0, accelerator.device):
                averages.add(self.objective.validate(batch), weight=len(next(iter(batch.values()))))
        means = averages.close()
        is_best = progress.note_score(means.get("score"))
        monitor.validation(progress.step, means, is_best)
        return is_best

    def _save(self, names: list[str]) -> None:
        states, progress = gather_object([random_state()]), self.state.progress
        origin = self.provenance | {"training": {**asdict(progress), "settings": to_dict(self.config)}}

        def fill(directory: Path) -> None:
            self.state.save(directory, states, self.config)
            with self.state.averaged(), torch.no_grad():
                self.objective.export(directory / "model", origin)

        if self.accelerator.is_main_process:
            self.checkpoints.write(progress.step, names, fill)
        self.accelerator.wait_for_everyone()

    def _report_end(self) -> None:
        step, last = self.state.progress.step, self.checkpoints.last
        result = last / "model" if (last / "model").is_dir() else last  # not every objective exports a model
        if step >= self.config.steps:
            announce(f"finished after step {step}: {result}")
        elif self.interruption.requested:
            announce(f"interrupted after step {step} of {self.config.steps}: {last} (to continue: --resume)")
        else:
            announce(f"stopped by the time limit after step {step} of {self.config.steps}: {result}")


def _check_batches(config: TrainerConfig, items: int, processes: int) -> None:
    """Raise ConfigError unless every step is a full batch in equal shares, and each share in equal parts."""
    if config.batch_size % (processes * config.accumulation):
        raise ConfigError(
            f"batch_size {config.batch_size} must be a multiple of processes times accumulation, "
            f"{processes} x {config.accumulation}"
        )
    if items < config.batch_size:
        fewer = f"the training set has {items} items, fewer than trainer.batch_size={config.batch_size}"
        raise ConfigError(f"{fewer}: lower it, add data, or take shorter segments")
