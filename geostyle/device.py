"""Devices and their memory, precisions, random seeds, and the caller's settings of torch."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import numbers
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from geostyle.errors import InputError, brief

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16")
AUTOCAST_DEVICES = ("cpu", "cuda", "mps")
_PROCESS = os.getpid()  # that imported this

P = ParamSpec("P")
R = TypeVar("R")


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch (every device): for commands only.

    Library functions draw from generators of their own, never from the caller's.

    Args: seed, 0 to 2**32 - 1.
    """
    import numpy
    import torch

    check_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def check_seed(seed: Any) -> int:
    """Return `seed` if it is a whole number from 0 to 2**32 - 1.

    Raises: InputError otherwise.
    """
    if not isinstance(seed, numbers.Integral) or not 0 <= int(seed) < 2**32:
        raise InputError(f"seed: expected 0 to {2**32 - 1}, got {brief(seed)}")
    return int(seed)


def own_world(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function so that it computes alike whatever the caller has set.

    Within it gradients are recorded, inference mode and autocast are off, the default type is
    float32 and the default device the CPU; afterwards everything is as it was. Tensors made in
    inference mode, which no gradient may pass, are copied, in lists and dataclasses too.

    The default type is the one setting that torch keeps per process, not per thread: where it is
    not float32, other threads see float32 until the function returns.
    """

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with settled():
            given: Any = _ordinary(args)
            named: Any = _ordinary(kwargs)
            return function(*given, **named)

    return inner


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """Set what `own_world` sets, and restore it."""
    import numpy
    import torch

    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(True))
        for kind in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_float32_by_default())
        stack.enter_context(_one_thread_after_fork())
        stack.enter_context(numpy.errstate(all="warn", under="ignore"))
        yield


@contextlib.contextmanager
def _one_thread_after_fork() -> Iterator[None]:
    """Compute in one thread in a forked child: it has none of the parent's, but waits for them."""
    import torch

    threads = torch.get_num_threads()
    if os.getpid() == _PROCESS or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def own_precision(forward: Callable[P, R]) -> Callable[P, R]:
    """Decorate the `forward` of a network: in use, it computes in its own precision.

    While it is trained, the training's autocast decides. Gradients stay as the caller wants them.
    """

    @functools.wraps(forward)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        import torch

        network: Any = args[0]
        with contextlib.ExitStack() as stack:
            for kind in AUTOCAST_DEVICES if not network.training else ():
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            return forward(*args, **kwargs)

    return inner


@contextlib.contextmanager
def own_draws(seed: int = 0) -> Iterator[None]:
    """Draw first weights of networks from a generator of their own, in this thread.

    Networks that are loaded need no first weights; drawn from the global generator, they would
    move the caller's.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    generator = torch.Generator().manual_seed(seed)

    class OwnDraws(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            if getattr(func, "__name__", "") in DRAWS and kwargs.get("generator") is None:
                kwargs["generator"] = generator
            return func(*args, **kwargs)

    with OwnDraws():
        yield


# Functions by which `torch.nn` draws weights.
DRAWS = ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_", "trunc_normal_")


class _DefaultType:
    """The caller's default type while any thread is in its own world."""

    lock = threading.Lock()
    inside = 0
    before: torch.dtype


@contextlib.contextmanager
def _float32_by_default() -> Iterator[None]:
    import torch

    state = _DefaultType
    with state.lock:
        if state.inside == 0:
            state.before = torch.get_default_dtype()
        state.inside += 1
        if torch.get_default_dtype() != torch.float32:
            torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with state.lock:
            state.inside -= 1
            if state.inside == 0 and torch.get_default_dtype() != state.before:
                torch.set_default_dtype(state.before)


def _ordinary(value: Any) -> Any:
    """`value` with copies of its inference tensors; the very same object where it has none."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.clone() if value.is_inference() else value
    if type(value) in (list, tuple):
        items = [_ordinary(item) for item in value]
        same = all(a is b for a, b in zip(items, value, strict=True))
        return value if same else type(value)(items)
    if type(value) is dict:
        return {key: _ordinary(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        changed = {name: new for name, old in own.items() if (new := _ordinary(old)) is not old}
        changed = {name: new for name, new in changed.items() if not isinstance(new, dict)}
        return dataclasses.replace(value, **changed) if changed else value
    return value


def resolve_device(device: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda", "cuda:N" or "mps".

    "auto" takes CUDA, then MPS, then the CPU, whichever is present.

    Raises: InputError when the device is unknown or absent.
    """
    import torch

    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    present = (["cuda"] if gpus else []) + mps + ["cpu"]
    if device == "auto":
        return torch.device(present[0])
    if device not in present + gpus:
        expected = ", ".join(["auto", *present])
        raise InputError(f"device: expected one of {expected} on this machine, got {device!r}")
    return torch.device(device)


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the type that convolutions run in, for "auto", "float32" or "bfloat16".

    "auto" takes bfloat16 where the hardware computes in it: there it is about twice as fast and
    costs a texture transfer about 1 % of its score. Elsewhere, and on MPS, it takes float32.

    Raises: InputError when the precision is unknown.
    """
    import torch

    if precision not in PRECISIONS:
        raise InputError(f"precision: expected auto, float32 or bfloat16, got {precision!r}")
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = device.type == "cpu" and any(getattr(torch.cpu, a, bool)() for a in asked)
    return torch.bfloat16 if native else torch.float32


def resident_bytes() -> float:
    """Memory that this process holds."""
    import psutil

    return float(psutil.Process().memory_info().rss)


def available_bytes(device: torch.device) -> float:
    """Free memory: of the GPU, or of the machine within this process's limits."""
    import psutil
    import torch

    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(float(psutil.virtual_memory().available), group_bytes())


def group_bytes(root: Path = Path("/")) -> float:
    """Free memory within the limits of this process's control groups; infinite without any.

    The process's own group and all above it are asked, of version 1 and 2. In a container its
    path may name groups outside, which are not there: the mount's own files count then.

    Args: root, folder that holds ``proc`` and ``sys``.
    """
    lines: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    own = {"": "/", "memory": "/"}  # path by controller; version 2 has one for all
    for _, names, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        own |= dict.fromkeys(names.split(","), path)
    mount, found = root / "sys/fs/cgroup", [math.inf]
    for top, path, limit, usage in (
        (mount, own[""], "memory.max", "memory.current"),
        (mount / "unified", own[""], "memory.max", "memory.current"),
        (mount / "memory", own["memory"], "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            group = top.joinpath(*parts[:depth])
            with contextlib.suppress(OSError, ValueError):
                most = float((group / limit).read_text(encoding="ascii"))
                used = float((group / usage).read_text(encoding="ascii"))
                found.append(max(0.0, most - used))
    return min(found)
