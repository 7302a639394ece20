"""Figures of the texture benchmark from its finished items: medians over pairs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

BASE = "yardstick"
# Of the fall of the yardstick's total, for contenders that do not get all the way down.
MOST_OF_FALL = 0.92
Curve = list[tuple[float, float]]


def level_times(bursts: Sequence[Sequence[dict[str, float]]]) -> list[dict[str, Any]]:
    """Of each level the medians over bursts, and the least and most that a step took."""
    found = []
    for level in zip(*bursts, strict=True):
        steps = [burst["step_s"] for burst in level]
        found.append(
            {
                "setup_s": statistics.median(burst["setup_s"] for burst in level),
                "step_s": statistics.median(steps),
                "spread_s": [min(steps), max(steps)],
            }
        )
    return found


def curve(run: dict[str, Any], levels: Sequence[dict[str, Any]] | None) -> Curve:
    """(seconds, total) of every scored point of a trajectory.

    Args:
        levels: as `level_times` tells them; None for the clock of the long run.
    """
    found = []
    for level, steps, total, clock in run["points"]:
        seconds = clock
        if levels is not None:
            seconds = levels[level]["setup_s"] + steps * levels[level]["step_s"]
            for told, timed in zip(run["levels"][:level], levels, strict=False):
                seconds += timed["setup_s"] + told["steps"] * timed["step_s"]
        found.append((seconds, total))
    return found


def time_to(found: Curve, goal: float) -> float | None:
    """Seconds until a curve first came down to `goal`, between two points on a straight line."""
    for i, (seconds, total) in enumerate(found):
        if total <= goal:
            if i == 0:
                return seconds
            earlier, above = found[i - 1]
            return earlier + (seconds - earlier) * (above - goal) / (above - total)
    return None


def lowest_by(found: Curve, seconds: float) -> float:
    """The lowest total of a curve's points up to then; of the first one where there are none."""
    return min((total for at, total in found if at <= seconds), default=found[0][1])


def summarize(
    items: dict[str, Any], sizes: Sequence[int], pairs: Sequence[str], names: Sequence[str],
    times: str,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """By size and contender, whatever the finished items can tell.

    Args:
        items: by key, as the benchmark keeps them.
        times: ``"steps"`` or ``"clock"``.
    """
    return {
        str(size_px): {name: _row(items, size_px, pairs, name, times) for name in names}
        for size_px in sizes
    }


def _row(
    items: dict[str, Any], size_px: int, pairs: Sequence[str], name: str, times: str
) -> dict[str, Any]:
    prefix = f"timing/{size_px}/"
    rounds = [item["data"] for key, item in items.items() if key.startswith(prefix)]
    rounds = [data for data in rounds if name in data]
    timed = {n: level_times([data[n] for data in rounds]) for n in {name, BASE} if rounds}
    row: dict[str, Any] = {"pairs": 0}
    if rounds:
        row |= {
            "step_s": timed[name][-1]["step_s"],
            "spread_s": timed[name][-1]["spread_s"],
            "step_ratio": timed[BASE][-1]["step_s"] / timed[name][-1]["step_s"],
        }
    if f"memory/{size_px}/{name}" in items:
        row["peak_gb"] = items[f"memory/{size_px}/{name}"]["data"]
    figures: dict[str, list[float]] = {}
    for pair in pairs:
        keys = [f"trajectory/{size_px}/{pair}/{n}" for n in (name, BASE)]
        if not all(key in items for key in keys):
            continue
        row["pairs"] += 1
        own, base = (items[key]["data"] for key in keys)
        found = {
            "total": own["points"][-1][2],
            "style": own["final"]["style"],
            "content": own["final"]["content"],
        }
        goal = base["points"][-1][2]
        found["total_ratio"] = found["total"] / goal
        if rounds or times == "clock":
            levels = timed if times == "steps" else {}
            a, b = curve(own, levels.get(name)), curve(base, levels.get(BASE))
            begun = b[0][1]
            found |= _times(a, b, goal, "goal")
            found |= _times(a, b, begun - MOST_OF_FALL * (begun - goal), "most")
            found["seconds"] = a[-1][0]
            found["equal_time_ratio"] = found["total"] / lowest_by(b, a[-1][0])
        for key, value in found.items():
            figures.setdefault(key, []).append(value)
    row["reached"] = sum(speed > 0 for speed in figures.get("goal_speedup", []))
    return row | {key: statistics.median(values) for key, values in figures.items()}


def _times(own: Curve, base: Curve, goal: float, name: str) -> dict[str, float]:
    """Seconds to `goal` (infinite where it is not reached), and how much sooner (then 0 ×)."""
    seconds, theirs = time_to(own, goal), time_to(base, goal)
    assert theirs is not None
    speedup = 0.0 if seconds is None else theirs / seconds
    return {f"{name}_s": float("inf") if seconds is None else seconds, f"{name}_speedup": speedup}


def table(about: dict[str, Any], summary: dict[str, dict[str, Any]]) -> str:
    """The summary as Markdown."""
    lines = [f"scored under {about['scorer']}; medians over pairs; times from {about['times']}, "
             f"{about['threads']} threads; precision: {about['precisions']}"]  # fmt: skip
    for size_px, rows in summary.items():
        lines += [
            "",
            f"| {size_px} px | total | / yardstick's | s to yardstick's total | sooner "
            f"| sooner to {MOST_OF_FALL:.0%} of its fall | / yardstick's at equal time "
            "| s in all | s a step (least–most) | step faster | peak GB |",
            "|---" * 11 + "|",
        ]
        for name, row in rows.items():
            cells = [
                name,
                _cell(row, "total", ".4f"),
                _cell(row, "total_ratio", ".3f"),
                _cell(row, "goal_s", ".1f"),
                _cell(row, "goal_speedup", ".1f") + f" × ({row['reached']} of {row['pairs']})",
                _cell(row, "most_speedup", ".1f") + " ×",
                _cell(row, "equal_time_ratio", ".3f"),
                _cell(row, "seconds", ".1f"),
                _cell(row, "step_s", ".3g")
                + (" ({:.3g}–{:.3g})".format(*row["spread_s"]) if "spread_s" in row else ""),
                _cell(row, "step_ratio", ".2f") + " ×",
                _cell(row, "peak_gb", ".2f"),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any], key: str, form: str) -> str:
    if key not in row:
        return "–"
    return format(row[key], form) if row[key] < float("inf") else "never"
