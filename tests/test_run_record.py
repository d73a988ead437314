"""The record of a run is what its file holds, in the same order."""

import json
from pathlib import Path

import pytest

from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of, write_record
from landshift.pipeline.run.record import read_run
from tests.small_run import write_run


@pytest.mark.parametrize("how", [{}, {"classes": (), "names": ()}, {"quiet": True}])
def test_a_record_that_was_read_is_what_the_file_holds(tmp_path: Path, how: dict[str, object]) -> None:
    written = write_run(tmp_path, **how)
    text = (tmp_path / "record/run.json").read_text(encoding="utf-8")
    read = read_run(tmp_path)
    assert read == written
    assert json.dumps(content_of(read)) == json.dumps(json.loads(text))
    assert write_record(tmp_path / "again.json", read).read_text(encoding="utf-8") == text


def test_a_record_of_another_version_names_the_field(tmp_path: Path) -> None:
    content = content_of(write_run(tmp_path))
    del content["areas"]["observed_share"]
    (tmp_path / "record/run.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=r"areas\.observed_share: is missing"):
        read_run(tmp_path)
