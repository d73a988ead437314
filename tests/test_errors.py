"""The error that a user can mend is an ordinary ValueError with its message as it was written."""

import pytest

from landshift.pipeline.errors import InputError


def test_it_is_a_value_error_with_a_message_for_people() -> None:
    with pytest.raises(ValueError, match=r"^scene\.tif has no CRS; write one$"):
        raise InputError("scene.tif has no CRS; write one")
