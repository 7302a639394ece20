"""make samples of a texture, of any size, with a trained texture network

A network of ``--mode stylize`` repaints ``--content`` instead, once a seed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from geostyle.cli import _painting
from geostyle.config import check, dump_yaml, setting
from geostyle.device import resolve_device, resolve_precision
from geostyle.errors import InputError
from geostyle.feedforward.files import TEXTURE, find_network, load_texture_net
from geostyle.feedforward.texture_network import TextureNet, noise_pyramid
from geostyle.io.images import save_picture
from geostyle.io.originals import keep_originals
from geostyle.io.runs import RunFolder
from geostyle.report.sheet import Panel, save_sheet

SHOWN = 12


@dataclass(frozen=True)
class Job:
    """What one run is made of."""

    model: Path | None = setting(
        None, help="the network's file, or a bundled one's name; default: the first bundled one"
    )
    size: str = setting("256", help="WIDTHxHEIGHT of a sample, or one number")
    content: Path | None = setting(None, help="picture to repaint, for networks that do")
    content_px: int | None = setting(
        None,
        flag="--content-size",
        min=16,
        max=32768,
        help="long side it is read at; default: its own, at most 512",
    )
    count: int = setting(1, min=1, max=100_000, help="samples")
    seed: int = setting(0, min=0, max=2**32 - 1, help="of the first sample; the next have the next")
    output: Path = setting(Path("runs"), help="folder that gets the numbered run folder")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    precision: str = setting(
        "auto", choices=("auto", "float32", "bfloat16"), help="of the convolutions"
    )

    def __post_init__(self) -> None:
        check(self)
        _painting.parse_size(self.size)


def main(argv: Sequence[str]) -> int:
    """Make the samples; 0 when they are written."""
    job, dry_run = _painting.parse(
        "texnet-sample",
        "Make samples of a texture with a trained texture network.",
        Job,
        argv,
        model="?",
    )
    size = _painting.parse_size(job.size)
    assert size is not None
    path = find_network(job.model, TEXTURE)
    net, about = load_texture_net(path)
    content = None
    if net.settings.mode == "stylize":
        content = _painting.read(job.content, "content", job.content_px)
        size = content.shape[-2], content.shape[-1]
    elif job.content is not None:
        raise InputError(f"content: expected none for {path}, which makes textures from noise")
    print("settings:", *dump_yaml(job).splitlines(), sep="\n  ")
    print(f"network: {path} ({about.get('tex_style', {}).get('name', 'texture unknown')})")
    if dry_run:
        return 0
    device = resolve_device(job.device)
    net = net.to(device=device, dtype=resolve_precision(job.precision, device))
    run = RunFolder.create(job.output, "texnet-sample")
    with run.lock():
        keep_originals(run, job)
        run.save_environment(verb="texnet-sample", seed=job.seed)
        run.save_settings(job)
        shown: list[Panel] = []
        seconds = 0.0
        for seed in range(job.seed, job.seed + job.count):
            started = time.monotonic()
            image = sample(net, size, seed, content)
            seconds += time.monotonic() - started
            name = f"sample-{seed}.png"
            save_picture(image, run.file(name))
            if len(shown) < SHOWN:
                shown.append(_painting.panel(run.file(name), f"seed {seed}"))
        rows = [shown[i : i + 4] for i in range(0, len(shown), 4)]
        save_sheet(rows, run.file("contact_sheet.png"))
    run.close()
    print(f"samples: {job.count} in {seconds / job.count:.3f} s each, {run.path}")
    print(f"sheet: {run.file('contact_sheet.png')}")
    return 0


@torch.inference_mode()
def sample(net: TextureNet, size: tuple[int, int], seed: int, content: Tensor | None) -> Tensor:
    """One sample (1, 3, *size) in [0, 1] on the CPU; the same for a seed whatever was before."""
    device = net.out.weight.device
    noise = [z.to(device) for z in noise_pyramid(size, net.settings, [seed])]
    return net(noise, None if content is None else content.to(device)).clamp(0, 1).cpu()
