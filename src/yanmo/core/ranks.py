"""Work shared by rank on more than one machine: datatrove's executors run our functions, unchanged.

datatrove starts `work(rank, world_size)` for every rank in processes of this machine, as tasks of a Ray cluster or
as a Slurm job array, and leaves a file for each rank that is done. It is an extra: `pip install "yanmo[dist]"`.
All machines must see the output directory and the inputs under the same paths.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from yanmo.core.processes import core_count
from yanmo.core.signals import Failure

Engine = Literal["datatrove", "ray", "slurm"]
Work = Callable[[int, int], None]
"""(rank, world size): does the rank's share, and nothing twice."""
POLL_SECONDS = 2.0


@dataclass(kw_only=True)
class Cluster:
    """Where ranks run."""

    ranks: int = 64
    """Into how many tasks each stage is split, at most; each takes one core."""
    at_once: int = 0
    """How many of them run at the same time; 0 leaves that to the cluster (on one machine: all cores)."""
    memory_gb: int = 2
    """Memory to reserve for each task."""
    ray_address: str | None = None
    """Address of the Ray cluster, auto for the one that this machine belongs to; none starts one here."""
    partition: str = "cpu"
    """Slurm partition."""
    time: str = "24:00:00"
    """Slurm time limit of a task."""

    def check(self) -> None:
        """Raises: ValueError: a setting has an impossible value."""
        for name, least in (("ranks", 1), ("at_once", 0), ("memory_gb", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"--cluster.{name.replace('_', '-')} {getattr(self, name)}: must be at least {least}")


def check_installed(engine: Engine) -> None:
    """Raises: ValueError: what the engine needs is not installed."""
    try:
        import datatrove.executor  # noqa: F401

        if engine == "ray":
            import ray  # noqa: F401
    except ImportError as error:
        raise ValueError(f'--engine {engine}: {error}; pip install "yanmo[dist]"') from None
    if engine == "slurm" and shutil.which("sbatch") is None:
        raise ValueError("--engine slurm: no sbatch here; give the command where Slurm jobs are submitted")


def run_ranks(work: Work, world_size: int, state: Path, engine: Engine, cluster: Cluster) -> None:
    """Run all ranks that are not done yet, and wait for them. `state` gets datatrove's completions and logs.

    Raises: Failure: some ranks did not finish. What a rank raises on this machine passes through.
    """
    executor = _executor(partial(_step, work, Path.cwd()), world_size, state.resolve(), engine, cluster)
    executor.run()
    if engine == "slurm":
        _wait(executor)
    missing = executor.get_incomplete_ranks(skip_completed=True)
    if missing:
        raise Failure(
            f"{len(missing)} of {world_size} tasks did not finish, the first of them number {missing[0]}; "
            f"{state}/logs tells why; --resume does what is left"
        )


def _step(work: Work, folder: Path, data: Any, rank: int, world_size: int) -> None:
    """A pipeline step of datatrove."""
    os.chdir(folder)  # paths relative to where the command was given mean the same on every machine
    work(rank, world_size)


def _executor(step: Callable[..., None], world_size: int, state: Path, engine: Engine, cluster: Cluster) -> Any:
    common = {"pipeline": [step], "tasks": world_size, "logging_dir": str(state)}
    if engine == "datatrove":
        from datatrove.executor import LocalPipelineExecutor

        return LocalPipelineExecutor(**common, workers=min(cluster.at_once or core_count(), world_size))
    workers = cluster.at_once or -1
    if engine == "ray":
        import ray
        from datatrove.executor.ray import RayPipelineExecutor

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody asked to report to Ray's makers
        if not ray.is_initialized():
            ray.init(cluster.ray_address, log_to_driver=False)
        return RayPipelineExecutor(**common, workers=workers, mem_per_cpu_gb=cluster.memory_gb)
    from datatrove.executor import SlurmPipelineExecutor

    return SlurmPipelineExecutor(
        **common,
        workers=workers,
        time=cluster.time,
        partition=cluster.partition,
        mem_per_cpu_gb=cluster.memory_gb,
        job_name=f"yanmo-{state.name}",
        qos=None,
        # The interpreter that runs this has datatrove's launcher beside it, whatever environment it is in.
        env_command=f'export PATH="{Path(sys.executable).parent}:$PATH"',
    )


def _wait(executor: Any) -> None:
    """Until every rank of a Slurm job array is done, or the array is gone."""
    while executor.get_incomplete_ranks(skip_completed=True):
        queue = ["squeue", "--noheader", "--jobs", str(executor.job_id)]
        if not subprocess.run(queue, capture_output=True, text=True).stdout.strip():
            return
        time.sleep(POLL_SECONDS)
