"""Slurm played by four scripts on this machine: what is submitted runs at once, task after task."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SCRIPTS = {
    "sbatch": """#!/bin/bash
while [[ $1 == --* ]]; do [[ $1 == --export=ALL,* ]] && export "${1#--export=ALL,}"; shift; done
last=$(grep -oP '(?<=--array=0-)[0-9]+' "$1")
for task in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$task SLURM_NODELIST=here bash "$1" >&2; done
echo Submitted batch job 7
""",
    "srun": """#!/bin/bash
while [[ $1 == -* ]]; do [[ $1 == -n ]] && shift; shift; done
exec "$@"
""",
    "scontrol": "#!/bin/bash\necho here\n",
    "squeue": "#!/bin/bash\n",
}


def play_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
