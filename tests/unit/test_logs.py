"""Logs of real machines, whole, cut and pasted: each event that they state, and nothing beyond."""

import os
from pathlib import Path

import pytest
from logs import NAMED, cases, folders, mistakes, scanned


def test_there_are_logs_to_read() -> None:
    if NAMED:
        assert len(cases(Path(NAMED))) >= 100
    elif os.environ.get("KERNELD_TESTS") == "all":
        pytest.fail("KERNELD_LOGS is not set: name the folder of real logs", pytrace=False)
    else:
        pytest.skip("KERNELD_LOGS is not set: name a folder of real logs with their cases.jsonl")


@pytest.mark.parametrize(
    ("folder", "case"),
    [
        pytest.param(folder, case, id=f"{folder.parent.name}-{case['id']}")
        for folder in folders()
        for case in cases(folder)
    ],
)
def test_each_log_is_read_right(folder: Path, case: dict[str, object]) -> None:
    assert mistakes(case, scanned(folder / str(case["file"]))) == []
