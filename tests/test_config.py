"""Settings: where values come from, what is refused, and in which words."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from geostyle import config as config_module
from geostyle.config import MAX_YAML_BYTES, check, dump_yaml, resolve, setting, to_dict
from geostyle.errors import InputError


@dataclasses.dataclass(frozen=True)
class Paint:
    steps: int = setting(10, help="optimizer steps", min=1, max=1000)
    weight: float = setting(0.1, help="share, 50% say", min=0.0)
    layers: tuple[str, ...] = setting(("a", "b"), choices=("a", "b", "c"))
    color: bool = setting(True, help="keep the colors")

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True)
class Job:
    size_px: int = setting(512, help="long side", min=16, flag="--size")
    mode: str = setting("affine", choices=("affine", "tps", "none"))
    canvas: tuple[int, int] = setting((3, 4), min=1)
    limit: float | None = setting(None, min=0.0, max=1.0)
    output: Path = setting(Path("out"))
    paint: Paint = setting(Paint(steps=20))

    def __post_init__(self) -> None:
        check(self)


def parse(*argv: str, config: Path | None = None) -> Job:
    words = [*argv, *(["--config", str(config)] if config else [])]
    return config_module.parse(Job, words, prog="geostyle job", description="Test.")[0]


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_defaults_then_file_then_command_line(tmp_path: Path) -> None:
    config = write(tmp_path, "size_px: 64\nmode: tps\npaint:\n  weight: 1e-3\n")
    job = parse("--size", "128", "--layers", "c", "a", "--no-color", config=config)
    assert job == Job(
        size_px=128, mode="tps", paint=Paint(steps=20, weight=1e-3, layers=("c", "a"), color=False)
    )


def test_a_section_keeps_the_defaults_of_the_class_around_it(tmp_path: Path) -> None:
    assert parse().paint.steps == 20 != Paint().steps
    assert parse(config=write(tmp_path, "paint:\n  weight: 2\n")).paint.steps == 20
    assert parse(config=write(tmp_path, "paint:\n")) == Job()


def test_values_take_the_declared_type() -> None:
    job = parse("--canvas", "5", "6", "--limit", "1", "--output", "x/y", "--weight", "2")
    assert job.canvas == (5, 6) and job.output == Path("x/y")
    assert type(job.limit) is float and type(job.paint.weight) is float
    assert parse("--limit", "none").limit is None
    assert type(Paint(steps=np.int64(7)).steps) is int  # type: ignore[arg-type]
    assert Job(canvas=[7, 8]).canvas == (7, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz: 3", "unknown setting 'stepz'; did you mean 'paint.steps'?"),
        ("paint: {stps: 3}", "unknown setting 'paint.stps'; did you mean 'paint.steps'?"),
        ("paint: {siz_px: 3}", "unknown setting 'paint.siz_px'; did you mean 'size_px'?"),
        ("zzz: 3", "unknown setting 'zzz'"),
        ("3: 3", "unknown setting '3'"),
        ("paint: 3", "paint: expected a mapping of settings, got 3"),
        ("size_px: {}", "size_px: expected an integer, got {}"),
        ("paint: 0", "paint: expected a mapping of settings, got 0"),
        ("[1, 2]", "config: expected a mapping of settings, got [1, 2]"),
        ("size_px: 8", "size_px: expected at least 16, got 8"),
        ("size_px: 64.0", "size_px: expected an integer, got 64.0"),
        ("size_px: yes", "size_px: expected an integer, got True"),
        ("size_px: big", "size_px: expected an integer, got 'big'"),
        ("size_px:", "size_px: expected an integer, got None"),
        ("limit: 1.5", "limit: expected 0.0 to 1.0, got 1.5"),
        ("limit: .nan", "limit: expected a finite number or none, got nan"),
        ("limit: 1e999", "limit: expected a finite number or none, got inf"),
        ("canvas: [1]", "canvas: expected a list of 2 (an integer each), got [1]"),
        ("canvas: [1, 0]", "canvas: expected at least 1, got 0"),
        ("canvas: 3", "canvas: expected a list of 2 (an integer each), got 3"),
        ("mode: afine", "mode: expected one of 'affine', 'tps', 'none', got 'afine'; did you mean"),
        ("paint: {layers: [a, d]}", "layers: expected one of 'a', 'b', 'c', got 'd'"),
        ("paint: {color: 1}", "color: expected true or false, got 1"),
        ("output: ''", "output: expected a path, got ''"),
        ("size_px: 1\nsize_px: 2", "a key is given twice"),
        ("a: &x [1]\nb: *x", "aliases are not allowed"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: [1", "expected a readable YAML file"),
        (b"\xff\xfe\x00\x01\x02", "expected a readable YAML file"),
        ("[" * 3000, "expected a readable YAML file"),
        ("limit: 2001-99-99", "expected a readable YAML file"),
        ("size_px: 0x" + "f" * 9000, "size_px: expected an integer, got a huge number"),
        ("#" * (MAX_YAML_BYTES + 1), "bytes)"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(config=write(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got '.*none.yaml' .No such file"):
        resolve(Job, tmp_path / "none.yaml")
    with pytest.raises(InputError, match="Is a directory|Permission denied"):
        resolve(Job, tmp_path)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_crash_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp(), data)
    try:
        assert isinstance(resolve(Job, path), Job)
    except InputError as error:
        assert "\n" not in str(error)


def test_overrides_are_strict() -> None:
    with pytest.raises(InputError, match="unknown setting 'step'; did you mean 'steps'"):
        resolve(Job, None, {"step": 3})


def test_direct_construction_does_not_read_numbers_from_text() -> None:
    with pytest.raises(InputError, match="steps: expected an integer, got '3'"):
        Paint(steps="3")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="steps: expected 1 to 1000, got 1001"):
        Paint(steps=1001)


def test_a_setting_without_default_is_required() -> None:
    @dataclasses.dataclass(frozen=True)
    class Needs:
        seed: int = setting(help="no default")

    globals()["Needs"] = Needs
    assert resolve(Needs, None, {"seed": "4"}).seed == 4
    with pytest.raises(InputError, match="seed: expected a value, got none"):
        resolve(Needs)


finite = st.floats(0, 1, allow_nan=False)
paints = st.builds(
    Paint,
    steps=st.integers(1, 1000),
    weight=st.floats(0, 1e300),
    layers=st.lists(st.sampled_from("abc"), max_size=4).map(tuple),
    color=st.booleans(),
)
jobs = st.builds(
    Job,
    size_px=st.integers(16, 10**12),
    mode=st.sampled_from(["affine", "tps", "none"]),
    canvas=st.tuples(st.integers(1, 99), st.integers(1, 99)),
    limit=st.none() | finite,
    output=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(Path),
    paint=paints,
)


@given(jobs)
def test_a_dump_reads_back_to_the_same_settings(
    tmp_path_factory: pytest.TempPathFactory, job: Job
) -> None:
    path = tmp_path_factory.getbasetemp() / "dump.yaml"
    path.write_text(dump_yaml(job), encoding="utf-8")
    assert resolve(Job, path) == job
    assert yaml.safe_load(dump_yaml(job)) == json.loads(json.dumps(to_dict(job)))


def failure(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stop:
        parse(*argv)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err.strip()


def test_the_parser_fails_in_one_line_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    expected = "geostyle job: error: unknown argument '--stpes'; did you mean '--steps'?"
    assert failure(capsys, "--stpes", "3") == expected
    assert failure(capsys, "--stpes=3") == expected
    assert "'--size_px'; did you mean '--size'?" in failure(capsys, "--size_px", "3")
    assert failure(capsys, "stray") == "geostyle job: error: unknown argument 'stray'"
    assert "expected one argument" in failure(capsys, "--size")
    assert "'--ste'" in failure(capsys, "--ste", "3")  # no guessing of abbreviations


def test_help_states_ranges_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--size INTEGER long side (at least 16; default 512)" in text
    assert "--steps INTEGER optimizer steps (1 to 1000; default 20)" in text
    assert "share, 50% say (at least 0.0; default 0.1)" in text
    assert "--mode {affine,tps,none}" in text and "(default a b)" in text
    assert "keep the colors (default on)" in text


def test_extremes_are_held() -> None:
    for bad in (-math.inf, math.nan, 10**400):
        with pytest.raises(InputError, match="weight: expected a finite number"):
            Paint(weight=bad)


def test_settings_stay_cheap_to_import() -> None:
    code = "import sys, geostyle.config; print('torch' in sys.modules)"
    done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_the_environment_may_name_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GEOSTYLE_CONFIG", str(write(tmp_path, "size_px: 64\nmode: tps")))
    assert parse("--size", "32") == Job(size_px=32, mode="tps")
    assert "which GEOSTYLE_CONFIG names" in caplog.text
    other = tmp_path / "other.yaml"
    other.write_text("size_px: 99")
    assert parse(config=other) == Job(size_px=99)
    monkeypatch.setenv("GEOSTYLE_CONFIG", "")
    assert parse() == Job()


def test_settings_may_be_given_without_their_flag() -> None:
    found, args = config_module.parse(
        Job,
        ["picture", "--dry-run"],
        prog="geostyle job",
        description=None,
        positional={"output": "?"},
    )
    assert found == Job(output=Path("picture")) and args.dry_run


def test_a_run_to_go_on_with_replaces_the_settings() -> None:
    def resumed(args: argparse.Namespace, given: dict[str, Any]) -> Job | None:
        return Job(size_px=77, **given) if args.resume else None

    def parsed(*argv: str) -> Job:
        return config_module.parse(
            Job,
            argv,
            prog="geostyle job",
            description=None,
            add_flags=lambda parser: parser.add_argument("--resume"),
            resumed=resumed,
        )[0]

    assert parsed() == Job() and parsed("--resume", "run", "--mode", "tps") == Job(77, "tps")


@dataclasses.dataclass(frozen=True)
class Renamed:
    """Settings some of which had other names once."""

    tex_weights: tuple[float, ...] | None = setting(None)
    network: Path | None = setting(None)
    optimizer: str = setting("adam", choices=("adam", "lbfgs"))
    stylize: str = setting("stylize", choices=("stylize", "no"))

    def __post_init__(self) -> None:
        check(self)


def test_names_of_earlier_versions_are_read(tmp_path: Path) -> None:
    file = write(tmp_path, "net: a\noptimiser: lbfgs\nstylise: stylise\nmixture: [1, 2]")
    expected = Renamed((1.0, 2.0), Path("a"), "lbfgs")
    assert resolve(Renamed, file) == expected
    words = ["--model", "a", "--optimiser=lbfgs", "--mixture", "1", "2"]
    assert config_module.parse(Renamed, words, prog="x", description=None)[0] == expected
    assert resolve(Renamed, None, {"model": "a"}) == Renamed(network=Path("a"))


@dataclasses.dataclass(frozen=True)
class Former:
    """Settings of a name that another class has given up."""

    net: int = setting(3)

    def __post_init__(self) -> None:
        check(self)


def test_a_name_in_use_is_no_former_name(tmp_path: Path) -> None:
    assert resolve(Former, write(tmp_path, "net: 4")) == Former(4)
    assert config_module.parse(Former, ["--net", "5"], prog="x", description=None)[0] == Former(5)


@dataclasses.dataclass(frozen=True)
class Mix:
    pictures: tuple[Path, ...] = setting((), repeat=True)
    weights: tuple[float, ...] | None = setting(None, repeat=True)

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize("argv", [["--pictures", "a", "b"], ["--pictures", "a", "--pictures", "b"]])
def test_a_flag_may_be_repeated(argv: list[str]) -> None:
    words = [*argv, "--weights", "2", "--weights", "1"]
    found, _ = config_module.parse(Mix, words, prog="geostyle mix", description=None)
    assert found == Mix((Path("a"), Path("b")), (2.0, 1.0))


def test_a_single_value_stands_for_a_list_of_one(tmp_path: Path) -> None:
    (tmp_path / "mix.yaml").write_text("pictures: a.png\nweights: 3\n")
    assert resolve(Mix, tmp_path / "mix.yaml") == Mix((Path("a.png"),), (3.0,))
