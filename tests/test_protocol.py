"""The protocol file: what is written reads back, what is unknown is refused, comments do not count."""

from __future__ import annotations

import pickle
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from infarct_vol.errors import ProtocolError
from infarct_vol.protocol import Protocol, hashed_settings, load_protocol
from infarct_vol.settings import ANALYSED_VISITS, Section, VisitWindow


def _sections(section: Section, prefix: str = "") -> dict[str, Section]:
    found = {prefix: section}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            found |= _sections(value, f"{prefix}.{name}".strip("."))
    return found


SECTIONS = _sections(Protocol())
FIELDS = [
    (key, name)
    for key, section in SECTIONS.items()
    for name in type(section).model_fields
    if not isinstance(getattr(section, name), Section)
]


@pytest.fixture
def protocol_file(tmp_path):
    def write(text: str):
        path = tmp_path / "protocol.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_default_reads_back_as_itself_with_the_same_hash(protocol_file):
    default = Protocol()
    again = load_protocol(protocol_file(default.to_toml()))
    assert again == default
    assert again.sha256 == default.sha256
    assert again.to_toml() == default.to_toml()


def test_no_file_means_the_default():
    assert load_protocol(None) == Protocol()


def test_an_empty_file_means_the_default(protocol_file):
    assert load_protocol(protocol_file("")) == Protocol()


@given(
    study_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    bvalue=st.none() | st.floats(1, 5000),
    region_mm=st.floats(1, 50),
    labels=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4),
)
def test_any_protocol_reads_back_as_itself(tmp_path, study_id, bvalue, region_mm, labels):
    default = Protocol()
    visits = default.visits.model_copy(
        update={"month3": default.visits.month3.model_copy(update={"labels": tuple(labels)})}
    )
    protocol = default.model_copy(
        update={
            "study_id": study_id,
            "bvalue": bvalue,
            "visits": visits,
            "followup": default.followup.model_copy(update={"region_mm": region_mm}),
        }
    )
    path = tmp_path / "any.toml"
    path.write_bytes(protocol.to_toml().encode())
    again = load_protocol(path)
    assert again == protocol
    assert again.sha256 == protocol.sha256


def test_comments_order_and_byte_order_mark_do_not_change_the_hash(protocol_file):
    first = load_protocol(protocol_file('study_id = "X"\nbvalue = 800\n[change]\nrepeatability_ml = 3\n'))
    second = load_protocol(
        protocol_file(
            '\ufeff# reviewed\nbvalue = 800.0 # s/mm2\nstudy_id = "X"\n[change]\nrepeatability_ml = 3.0\n'
        )
    )
    assert first.sha256 == second.sha256
    assert first.sha256 != Protocol().sha256


@pytest.mark.parametrize(("key", "name"), FIELDS, ids=lambda value: value or "top")
def test_every_setting_counts_in_the_hash_and_explains_itself(key, name):
    section = SECTIONS[key]
    description = type(section).model_fields[name].description
    assert description, f"[{key}] {name} has no description"
    assert "\n" not in description
    assert f"# {description}" in Protocol().to_toml()
    values = tomllib.loads(Protocol().to_toml())
    for part in key.split("."):
        values = values.get(part, {}) if part else values
    assert name in values or getattr(section, name) is None


@pytest.mark.parametrize(
    ("key", "name"), [f for f in FIELDS if isinstance(getattr(SECTIONS[f[0]], f[1]), float)]
)
def test_changing_any_number_changes_the_hash(key, name):
    dumped = Protocol().model_dump()
    section = dumped
    for part in key.split("."):
        section = section[part]
    section[name] = section[name] * 1.01 if section[name] else 0.01
    try:
        changed = Protocol.model_validate(dumped)
    except ValidationError:
        section[name] *= 0.97
        changed = Protocol.model_validate(dumped)
    assert changed.sha256 != Protocol().sha256


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("colour = 1", "colour: Extra inputs are not permitted"),
        ("[acute]\nthreshhold = 1", "acute.threshhold: Extra inputs"),
        ("[geometry]\ntrust = 'luck'", "geometry.trust: Input should be 'agreement', 'sform' or 'qform'"),
        ("[acute]\nconnectivity = 4", "acute.connectivity: Input should be 6, 18 or 26"),
        ("[followup]\nregion_mm = -1", "followup.region_mm: Input should be greater than 0"),
        ("[followup]\nregion_mm = inf", "followup.region_mm: Input should be a finite number"),
        ("bvalue = nan", "bvalue: Input should be a finite number"),
        ("[visits.month1]\nfirst_day = 50", "visits.month1"),
        ("bvalue = ", "is not a TOML file"),
        ("bvalue = 1\nbvalue = 2", "is not a TOML file"),
    ],
)
def test_wrong_protocols_are_refused_with_the_key(protocol_file, text, match):
    with pytest.raises(ProtocolError, match=match) as refused:
        load_protocol(protocol_file(text))
    assert refused.value.exit_code == 2


def test_missing_folder_and_binary_files_are_refused(tmp_path):
    with pytest.raises(ProtocolError, match="no protocol file at .*protocol init"):
        load_protocol(tmp_path / "absent.toml")
    with pytest.raises(ProtocolError, match="cannot be read"):
        load_protocol(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"study_id = '\xe9'")
    with pytest.raises(ProtocolError, match="is not a TOML file"):
        load_protocol(tmp_path / "latin.toml")


def test_windows_follow_each_other_without_overlap():
    windows = list(Protocol().visits.windows().values())
    assert tuple(Protocol().visits.windows()) == ANALYSED_VISITS
    for earlier, later in zip(windows, windows[1:], strict=False):
        assert earlier.last_day < later.first_day


def test_a_window_out_of_order_is_refused():
    with pytest.raises(ValidationError, match="first_day <= target_day <= last_day does not hold"):
        VisitWindow(labels=("X",), target_day=5, first_day=6, last_day=9, flag_beyond_days=1)


def test_protocols_are_frozen_and_cross_process_borders():
    protocol = Protocol()
    with pytest.raises(ValidationError, match="frozen"):
        protocol.study_id = "other"
    assert pickle.loads(pickle.dumps(protocol)).sha256 == protocol.sha256


def test_a_setting_added_later_enters_the_hash_only_where_it_is_used() -> None:
    class Added(Section):
        old: int = 1
        new: int = Field(5, json_schema_extra={"later": True})

    class Whole(Section):
        part: Added = Added()

    assert hashed_settings(Whole()) == {"part": {"old": 1}}
    assert hashed_settings(Whole(part=Added(new=6))) == {"part": {"old": 1, "new": 6}}


def test_the_hash_of_the_default_protocol_is_what_it_was() -> None:
    """Results measured under the default protocol stay comparable; a changed default changes this line."""
    assert Protocol().sha256 == "f1563c2186c3822c6815f96ea860507742ec3685a4870c875cf066b2f7df05db"
