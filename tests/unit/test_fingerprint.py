"""The fingerprint of what a model is made from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib import fingerprint
from decloud_lib.errors import ConfigError
from decloud_lib.fingerprint import PARTS, TAGS, Fingerprint, Part

_ITEMS = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=4), max_size=6)


def made_of(**parts: dict[str, str]) -> Fingerprint:
    return Fingerprint(**{name: Part(items=parts.get(name, {})) for name in PARTS})


BEFORE = made_of(
    data={"A": "1", "B": "2", "C": "3"},
    layouts={"AL-TEST": "x"},
    code={"models/crga.py": "y"},
    configuration={"learning_rate": "0.001", "model": '"crga"'},
)


@given(before=_ITEMS, now=_ITEMS)
def test_digests_differ_exactly_when_there_is_a_change(
    before: dict[str, str], now: dict[str, str]
) -> None:
    one, other = made_of(data=before), made_of(data=now)
    changes = other.since(one)
    assert bool(changes) == (one.digest != other.digest)
    assert other.changed_parts(one.tags()) == (("data",) if changes else ())
    # The changes lead from one state to the other.
    state = dict(before)
    for change in changes:
        if change.now is None:
            del state[change.name]
        else:
            state[change.name] = change.now
    assert state == now


def test_the_order_of_items_has_no_influence() -> None:
    assert Part(items={"a": "1", "b": "2"}).digest == Part(items={"b": "2", "a": "1"}).digest


def test_what_changed_is_said_with_names() -> None:
    now = made_of(
        data={"B": "2", "C": "changed", "D": "4"},
        layouts={"AL-TEST": "x"},
        code={"models/crga.py": "y"},
        configuration={"learning_rate": "0.0002", "model": '"crga"'},
    )
    changes = now.since(BEFORE)
    assert [(item.part, item.kind, item.name) for item in changes] == [
        ("data", "removed", "A"),
        ("data", "changed", "C"),
        ("data", "added", "D"),
        ("configuration", "changed", "learning_rate"),
    ]
    assert fingerprint.describe(changes) == (
        "data: 1 added (D), 1 removed (A), 1 changed (C); "
        "configuration: 1 changed (learning_rate 0.001 -> 0.0002)"
    )
    assert now.changed_parts(BEFORE.tags()) == ("data", "configuration")


def test_long_lists_are_counted() -> None:
    now = made_of(data={f"P{n}": "1" for n in range(5)})
    assert fingerprint.describe(now.since(made_of())) == "data: 5 added (P0, P1, P2 and 2 more)"
    assert fingerprint.describe(()) == "nothing changed"


def test_tags_of_a_version_hold_one_digest_per_part_and_the_listing() -> None:
    tags = BEFORE.tags("s3://bucket/listing.json")
    assert tags.keys() == {*TAGS.values(), fingerprint.LISTING_TAG}
    assert BEFORE.changed_parts(tags) == ()
    assert BEFORE.changed_parts({}) == PARTS


def test_a_written_fingerprint_is_read_again(tmp_path: Path) -> None:
    uri = fingerprint.write(BEFORE, str(tmp_path))
    assert fingerprint.read(uri) == BEFORE
    assert Path(uri).name == f"{BEFORE.digest}.json"


def test_another_file_is_refused_with_its_fault(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"data": 3}')
    with pytest.raises(ConfigError, match=r"other.json: is no fingerprint \(data: .*retrain"):
        fingerprint.read(str(path))
