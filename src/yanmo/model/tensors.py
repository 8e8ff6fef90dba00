"""Tensor files: safetensors that are whole or absent, and one clear line when one is broken."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from yanmo.core.files import fsync_directory


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a file of tensors, atomically. `metadata` goes into its header, by default transformers' own mark.

    One entry at most: safetensors writes several in any order, and the same tensors must be the same bytes.
    """
    metadata = metadata or {"format": "pt"}
    assert len(metadata) == 1
    # save_file writes by itself and wants a name, so atomic_open cannot serve here.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(whole, temporary, metadata=metadata)
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_directory(path.parent)


def load_tensors(
    path: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A file's tensors, cast to `dtype` unless that is None, and its metadata.

    Raises: ValueError: the file is broken or cut off.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name).to(dtype=dtype) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return tensors, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: broken or cut off ({error}); copy or save it again") from None
