"""Scores of a training for people at a terminal."""

from pathlib import Path
from typing import Any

from landshift.flows.runtime.reply import table_lines
from landshift.pipeline.formatting import figure
from landshift.pipeline.records import read_json

_HEADER = ("Method", "F1 (95 % interval)", "kappa (95 % interval)", "precision", "recall")


def score_lines(report: Path) -> list[str]:
    """Describe the scores of a training: a sentence, a table of all that was compared, and what they rest on.

    Args:
        report: The `training.json`.
    """
    content = read_json(report)
    many = "images" if "chips" in content else "blocks"
    kept = next(
        s for s in content["seeds"] if s["seed"] == content["kept_seed"] and s.get("strategy") == content["strategy"]
    )  # fmt: skip
    evidence = kept.get("evidence", {})
    rows = [_row(_title(seed, kept, content["choice"]), seed["test"], seed.get("evidence", {})) for seed in content["seeds"]]
    rows += [_row(name, row, row.get("evidence", {})) for name, row in content["classical"].items()]
    size = f"{kept['test']['n']:,} test pixels" + (f" in {evidence['blocks']:,} {many}" if evidence else "")
    return [
        _sentence(kept["test"], size),
        "",
        *table_lines(_HEADER, rows),
        "",
        f"Measured on the test {many} alone, which had no part in training or choosing. "
        + ("" if "chips" in content else "All lie in one territory: the intervals hold for no other."),
        *content["choice"],
    ]


def _sentence(test: Any, size: str) -> str:  # noqa: ANN401 (scores, as JSON has them)
    if test["precision"] is None or test["recall"] is None:
        return f"The model was tested on {size}; too few of them had changed, or were mapped as changed, for a score."
    return (
        f"Of 100 pixels that the model maps as changed about {100 * test['precision']:.0f} had changed, and of 100 that had "
        f"changed it finds about {100 * test['recall']:.0f} ({size})."
    )


def _title(seed: Any, kept: Any, choice: Any) -> str:  # noqa: ANN401 (as above)
    name = str(seed["strategy"]).capitalize() if choice else "Network"
    return f"{name}, seed {seed['seed']}{' (kept)' if seed is kept else ''}"


def _row(title: str, scores: Any, evidence: Any) -> list[str]:  # noqa: ANN401 (as above)
    def bounds(name: str) -> str:
        found = evidence.get(name)
        return f"{figure(scores[name])} ({figure(found[0])} to {figure(found[1])})" if found else figure(scores[name])

    return [title, bounds("f1"), bounds("kappa"), figure(scores["precision"]), figure(scores["recall"])]
