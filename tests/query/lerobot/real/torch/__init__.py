"""Stand in for torch with numpy arrays, so that LeRobot's own dataset code runs without 3 GB of wheels.

Only what reading and editing a dataset touches; anything else is an attribute error that says so.
"""

# ruff: noqa: D101, D102, D103, RUF012 - a stand-in is documented where the real thing is
from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
from typing import Any

import numpy as np

__version__ = "2.7.0"


class Tensor(np.ndarray):
    """A numpy array with the methods of a tensor that LeRobot's dataset code calls."""

    def numpy(self) -> np.ndarray:
        return np.asarray(self)

    def unsqueeze(self, axis: int) -> Tensor:
        return np.expand_dims(self, axis).view(Tensor)

    def squeeze(self, axis: int | None = None) -> Tensor:  # type: ignore[override]
        if axis is not None and self.shape[axis] != 1:
            return self
        return np.squeeze(np.asarray(self), axis).view(Tensor)

    def permute(self, *axes: int) -> Tensor:
        return np.transpose(self, axes).view(Tensor)

    def contiguous(self) -> Tensor:
        return np.ascontiguousarray(self).view(Tensor)

    def type(self, dtype: Any) -> Tensor:
        return self.astype(dtype).view(Tensor)

    def to(self, dtype: Any = None, **_: Any) -> Tensor:
        return self.astype(dtype).view(Tensor) if dtype is not None else self

    def cpu(self) -> Tensor:
        return self

    def float(self) -> Tensor:
        return self.astype(np.float32).view(Tensor)

    def size(self, axis: int | None = None) -> Any:  # type: ignore[override]
        return self.shape if axis is None else self.shape[axis]

    def numel(self) -> int:
        return int(np.asarray(self).size)

    def min(self, *args: Any, **more: Any) -> Any:  # type: ignore[override]
        if args and isinstance(args[0], int):
            values = np.asarray(self)
            return values.min(args[0]).view(Tensor), values.argmin(args[0]).view(Tensor)
        return np.asarray(self).min(*args, **more)


def tensor(value: Any, dtype: Any = None, **_: Any) -> Tensor:
    """Return a tensor; floats are float32, as torch has it."""
    found = np.array(value, dtype=dtype)
    if dtype is None and found.dtype == np.float64 and not isinstance(value, np.ndarray):
        found = found.astype(np.float32)
    return found.view(Tensor)


def from_numpy(value: Any) -> Tensor:
    return np.asarray(value).view(Tensor)


def stack(values: Any, dim: int = 0) -> Tensor:
    return np.stack([np.asarray(value) for value in values], dim).view(Tensor)


def cat(values: Any, dim: int = 0) -> Tensor:
    return np.concatenate([np.asarray(value) for value in values], dim).view(Tensor)


def cdist(one: Any, other: Any, p: int = 2) -> Tensor:
    assert p == 1
    return np.abs(np.asarray(one)[:, None, :] - np.asarray(other)[None, :, :]).sum(-1).view(Tensor)


def min(value: Any, axis: int) -> tuple[Tensor, Tensor]:
    found = np.asarray(value)
    return found.min(axis).view(Tensor), found.argmin(axis).view(Tensor)


def is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def no_grad() -> Any:
    import contextlib

    return contextlib.nullcontext()


BoolTensor = LongTensor = FloatTensor = tensor
float32, float64, float16, bfloat16 = np.float32, np.float64, np.float16, np.float16
int64, int32, uint8, bool, long = np.int64, np.int32, np.uint8, np.bool_, np.int64
dtype = type


class device:
    def __init__(self, name: Any = "cpu") -> None:
        self.type = str(name)


class Generator: ...


class _Anything(types.ModuleType):
    """Answer any name with a class: enough for what is only imported."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = type(name, (), {"__class_getitem__": classmethod(lambda cls, item: cls)})
        setattr(self, name, found)
        return found


class _Finder:
    """Find any submodule of torch and torchvision."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.startswith(("torch.", "torchvision", "safetensors.torch")):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Anything(spec.name)

    def exec_module(self, module: types.ModuleType) -> None: ...


sys.meta_path.insert(0, _Finder())


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in ("utils", "nn", "cuda", "backends", "distributed", "multiprocessing", "random", "optim", "version"):
        return importlib.import_module(f"torch.{name}")
    raise AttributeError(f"the stand-in for torch has no {name}")


utils = importlib.import_module("torch.utils")
utils.data = importlib.import_module("torch.utils.data")  # type: ignore[attr-defined]
