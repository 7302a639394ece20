"""Galleries of warps: which pairs, and what is written of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geostyle.cli import main
from geostyle.errors import InputError
from geostyle.io.images import load_picture
from geostyle.report.gallery import cross_pairs, read_pairs
from geostyle.warps import WarpParameters


def test_folders_are_crossed_and_thinned_the_same_way_each_time(pictures: Path) -> None:
    photos, paintings = pictures / "photos", pictures / "paintings"
    every = cross_pairs(photos, paintings, 0)
    assert len(every) == 8 * 4
    some = cross_pairs(photos, paintings, 10)
    assert some == cross_pairs(photos, paintings, 10) and len(set(some)) == 10
    assert set(some) < set(every) and some != cross_pairs(photos, paintings, 10, seed=1)
    one = cross_pairs(photos / "00.png", photos, 0)
    assert len(one) == 7, "a picture was paired with itself"


def test_a_list_is_read_from_its_own_folder(pictures: Path) -> None:
    path = pictures / "pairs.csv"
    path.write_text("geo_style,content\npaintings/00.png,photos/01.png\n")
    (pair,) = read_pairs(path)
    assert pair.content == pictures / "photos" / "01.png"
    for damaged in ("a,b\n1,2\n", "content,geo_style\n", "content,geo_style\na.png\n"):
        path.write_text(damaged)
        with pytest.raises(InputError, match="list: expected rows with the columns"):
            read_pairs(path)
    with pytest.raises(InputError, match="list: expected a CSV file"):
        read_pairs(pictures / "none.csv")


def test_pages_thetas_and_records(
    pictures: Path, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--content", str(pictures / "photos"), "--geo-style", str(pictures / "paintings")]
    args += ["--limit", "5", "--rows", "2", "--size", "64", "--output", str(tmp_path)]
    args += ["--weights", str(tiny_weights), "--match-sizes-px", "64", "--looks", "0"]
    assert main(["evaluate", "pairs", *args]) == 0
    assert "5 pairs" in capsys.readouterr().out
    (run,) = tmp_path.iterdir()
    pages = sorted(path.name for path in run.glob("gallery-*.png"))
    assert pages == [f"gallery-0{i}.png" for i in (1, 2, 3)]
    records = json.loads((run / "pairs.json").read_text())
    assert len(records) == 5 and all(0 <= r["confidence"] <= 1 for r in records)
    for number, record in enumerate(records, 1):
        parameters = WarpParameters.load(run / "theta" / f"{number:03d}.json")
        assert parameters.confidence == pytest.approx(record["confidence"])
    height = [load_picture(run / page).size[0] for page in pages]
    assert height[0] == height[1] > height[2]


def test_pairs_need_a_list_or_two_places(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "pairs", "--content", "x"]) == 2
    assert "list: expected either --list, or both" in capsys.readouterr().err
