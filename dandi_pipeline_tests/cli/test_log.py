"""Warnings are lines among the others: the project's always, those of libraries when they are asked for."""

import logging

import pytest

from dandi_pipeline.cli.progress import Lines, Wording, warnings_beside

WORDING = Wording(platform="DANDI", partition_noun="dandiset", record_noun="asset", spelling="DANDI:{key}")


@pytest.mark.parametrize("of_libraries", [False, True])
def test_a_warning_is_one_plain_line_without_a_stack_trace(
    capsys: pytest.CaptureFixture[str], of_libraries: bool
) -> None:
    with warnings_beside(Lines(WORDING), of_libraries=of_libraries):
        logging.getLogger("dandi_pipeline.http.client").warning("%s: 503;\n attempt 2 follows", "https://host/\x1b[2J")
        logging.getLogger("dandi_pipeline.http.client").info("not worth a line")
        try:
            raise OSError("closed")
        except OSError:
            logging.getLogger("sqlalchemy.pool").exception("Exception closing connection")
    said = [r"https://host/\x1b[2J: 503; attempt 2 follows", "Exception closing connection"]
    assert capsys.readouterr().err.splitlines() == (said if of_libraries else said[:1])
