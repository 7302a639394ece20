"""Checkpoints: what comes back is what was saved, or one line says why not."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from geostyle.errors import InputError
from geostyle.io.checkpoint import FORMAT, load_checkpoint, save_checkpoint, tensor_hash

CONFIG = {"channels": [3, 8], "name": "lité", "scale": 0.5}


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, generator=generator)
    return {
        "weight": weight,
        "tied": weight,
        "turned": weight.T,
        "half": weight.to(torch.bfloat16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "mask": weight > 0,
        "learned": torch.nn.Parameter(weight.clone()),
    }


def saved(folder: Path) -> Path:
    path = folder / "a.safetensors"
    save_checkpoint(path, tensors(), CONFIG, "geonet")
    return path


def rewrite(path: Path, change: Any) -> None:
    """Rewrite the header of a safetensors file."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def failure(path: Path, kind: str = "geonet") -> str:
    with pytest.raises(InputError) as caught:
        load_checkpoint(path, kind, name="weights")
    message = str(caught.value)
    start = f"weights: expected a geostyle checkpoint of kind {kind!r}, got {str(path)!r} ("
    assert message.startswith(start) and "\n" not in message
    return message.removeprefix(start)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    found, config = load_checkpoint(saved(tmp_path), "geonet")
    assert config == CONFIG and found.keys() == tensors().keys()
    for key, value in tensors().items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value), key
        assert not found[key].requires_grad and found[key].is_contiguous()
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_same_tensors_make_the_same_bytes(tmp_path: Path) -> None:
    first = saved(tmp_path).read_bytes()
    backwards = dict(reversed(tensors().items()))
    save_checkpoint(tmp_path / "b", backwards, dict(reversed(CONFIG.items())), "geonet")
    assert (tmp_path / "b").read_bytes() == first


def test_what_is_read_does_not_follow_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    found, _ = load_checkpoint(path, "geonet")
    with path.open("r+b") as file:
        file.seek(-300, 2)
        file.write(bytes(300))
    assert torch.equal(found["weight"], tensors()["weight"])


def test_other_tools_read_it(tmp_path: Path) -> None:
    assert torch.equal(safetensors.torch.load_file(saved(tmp_path))["turned"], tensors()["turned"])


def test_the_hash_covers_names_shapes_dtypes_and_values() -> None:
    base = torch.arange(6.0)
    variants = [
        {"a": base},
        {"b": base},
        {"a": base.reshape(2, 3)},
        {"a": base.view(torch.int32)},
        {"a": base + 1},
        {"a": base, "b": base},
    ]
    assert len({tensor_hash(variant) for variant in variants}) == len(variants)
    assert tensor_hash({"a": base.reshape(2, 3).T}) == tensor_hash(
        {"a": base.reshape(2, 3).T.clone()}
    )


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert failure(tmp_path / "none") == "no such file)"
    assert failure(tmp_path) == "not a file)"


def test_another_kind_is_refused(tmp_path: Path) -> None:
    assert failure(saved(tmp_path), "features") == "kind 'geonet')"


def test_foreign_files_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "a"
    path.write_bytes(pickle.dumps(Trap()))
    assert failure(path).startswith("damaged: ")
    torch.save({"a": torch.zeros(2)}, path)
    assert failure(path).startswith("damaged: ")
    assert not (tmp_path / "ran").exists()
    safetensors.torch.save_file({"a": torch.zeros(2)}, path)
    assert failure(path) == f"format 'None', not {FORMAT!r})"


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    for size in (0, 4, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        assert failure(path).startswith("damaged: ")


def test_one_changed_bit_of_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert failure(path) == "damaged: its contents do not match their hash)"


@pytest.mark.parametrize(
    ("key", "value"),
    [("sha256", "0" * 64), ("sha256", None), ("config", "{"), ("config", "[1]"), ("config", None),
     ("config", "[" * 100_000)],
)  # fmt: skip
def test_wrong_metadata_is_noticed(tmp_path: Path, key: str, value: str | None) -> None:
    path = saved(tmp_path)
    rewrite(path, lambda data: data.pop(key) if value is None else data.update({key: value}))
    assert failure(path).startswith("damaged: ")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return saved(tmp_path_factory.mktemp("checkpoint")).read_bytes()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 0.999), piece=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_mutations_are_noticed_or_harmless(
    tmp_path: Path, original: bytes, where: float, piece: bytes, cut: bool
) -> None:
    path = tmp_path / "a.safetensors"
    data = bytearray(original)
    at = int(where * len(data))
    data[at : at + len(piece)] = b"" if cut else piece
    path.write_bytes(data)
    try:
        found, _ = load_checkpoint(path, "geonet")
    except InputError as error:
        assert "\n" not in str(error)
    else:  # the config's own text may change; the tensors may not
        assert all(torch.equal(found[key], value) for key, value in tensors().items())


def test_an_unwritable_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="^checkpoint: expected a writable path"):
        save_checkpoint(tmp_path / "file" / "a", tensors(), CONFIG, "geonet")
