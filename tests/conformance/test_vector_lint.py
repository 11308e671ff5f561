"""The vector files: schema, ids, flags, form, and that they say what the reference says."""

import json
import re
from collections import Counter

import pytest

from kvring.testing.vectors import FOLDER, TOPICS, load, vectors
from kvring.testing.vectors.__main__ import main
from kvring.testing.vectors.regenerate import file_text

# Every bug of the obvious implementation, and every one that famous caches have had.
KNOWN_BUGS = {
    "OneGlobalLength",
    "HeadsAxisConcatenated",
    "AppendBehindZeros",
    "ChunkTakenForTotal",
    "HistoryTakenForNewRows",
    "LengthClampedToWindow",
    "ShiftsByCopying",
    "KeysStoredBeforeValuesChecked",
    "PhantomRow",
    "ShortValuesBroadcast",
    "TruncateMovesCounterOnly",
    "ModuloOnEveryAxis",
    "EarlyQueriesRobbed",
    "WindowOffByOne",
    "SlotOrderTakenForTime",
    "NegativeTruncateAddsRows",
}


def text_of(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def plain_values(data):
    if isinstance(data, dict):
        data = data.values()
    if isinstance(data, (str, int, float, bool, type(None))):
        return [data]
    return [value for entry in data for value in plain_values(entry)]


def test_every_file_has_a_topic_and_every_topic_a_file():
    assert {path.stem for path in FOLDER.glob("*.json")} == {*TOPICS, "schema"}
    assert [(file.contract, file.topic) for file in load()] == [(1, topic) for topic in TOPICS]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_file_is_of_the_schema_and_holds_no_fractions(topic):
    jsonschema = pytest.importorskip("jsonschema")
    data = json.loads(text_of(f"{topic}.json"))
    schema = json.loads(text_of("schema.json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(data)
    assert [(list(error.absolute_path), error.message) for error in errors] == []
    assert not [value for value in plain_values(data) if isinstance(value, float)]


def test_the_schema_knows_the_topics_and_has_the_usual_form():
    schema = json.loads(text_of("schema.json"))
    assert schema["properties"]["topic"]["enum"] == list(TOPICS)
    assert schema["properties"]["contract"]["const"] == load()[0].contract
    assert file_text(schema) == text_of("schema.json")


def test_ids_are_unique_and_rise_within_the_thousand_of_their_topic():
    for number, topic in enumerate(TOPICS, 1):
        ids = [vector.id for vector in vectors(topic)]
        assert ids == sorted(set(ids))
        assert 1000 * number <= ids[0]
        assert ids[-1] < 1000 * number + 1000


def test_every_flag_is_used_and_means_the_same_in_every_file():
    notes = {}
    for file in load():
        used = {flag for vector in file.vectors for flag in vector.flags}
        assert used == set(file.flags), file.topic
        for name, flag in file.flags.items():
            assert notes.setdefault(name, flag) == flag, name


def test_every_test_has_a_flag_and_every_known_bug_a_test():
    assert all(vector.flags for vector in vectors())
    assert {flag for vector in vectors() for flag in vector.flags} >= KNOWN_BUGS


def test_comments_of_a_group_tell_its_tests_apart_and_no_test_is_there_twice():
    for topic in TOPICS:
        data = json.loads(text_of(f"{topic}.json"))
        for group in data["groups"]:
            comments = Counter(test["comment"] for test in group["tests"])
            assert not [comment for comment, count in comments.items() if count > 1]
    assert not [trace for trace, count in Counter(v.trace for v in vectors()).items() if count > 1]


def test_the_files_say_what_the_reference_says_in_the_usual_form(capsys):
    assert main([]) == 0, capsys.readouterr().out


def test_some_case_has_more_batch_rows_and_more_heads_than_slots():
    setups = [vector.trace.setup for vector in vectors("axes")]
    assert any(min(setup.batch, setup.kv_heads) > setup.capacity for setup in setups)


def test_the_readme_names_every_operation_and_field_of_a_step():
    readme = text_of("README.md")
    schema = json.loads(text_of("schema.json"))
    for kind in schema["$defs"]["step"]["oneOf"]:
        assert f"| `{kind['properties']['op']['const']}` |" in readme
        for name in kind["properties"]:
            assert re.search(rf"`{name}`", readme) or name == "op", name


@pytest.fixture
def folder(tmp_path):
    for topic in TOPICS:
        (tmp_path / f"{topic}.json").write_text(text_of(f"{topic}.json"), encoding="utf-8")
    return tmp_path


def test_a_changed_expectation_is_shown_and_can_be_written_anew(folder, capsys):
    path = folder / "circular.json"
    data = json.loads(path.read_text())
    step = data["groups"][0]["tests"][0]["steps"][1]
    step["expect"]["seq_lens"] = [[3]]
    path.write_text(file_text(data))
    assert main([], folder) == 1
    said = capsys.readouterr().out
    assert "vector 2001, step 2 (update), expect:" in said
    assert '"seq_lens": [[3]]' in said
    assert '"seq_lens": [[2]]' in said
    assert "1 of 15 files differ" in said
    assert main(["--write"], folder) == 0
    assert path.read_text() == text_of("circular.json")


def test_steps_alone_are_enough_to_add_a_vector(folder, capsys):
    path = folder / "append.json"
    data = json.loads(path.read_text())
    for step in data["groups"][0]["tests"][0]["steps"]:
        step.pop("given", None)
        del step["expect"]
    path.write_text(json.dumps(data))
    assert main(["--write"], folder) == 0
    assert path.read_text() == text_of("append.json")


def test_a_file_in_another_form_is_a_difference(folder, capsys):
    path = folder / "append.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    assert main([], folder) == 1
    assert "not the usual form" in capsys.readouterr().out


def test_a_step_that_is_refused_halfway_cannot_be_written(folder):
    path = folder / "layers.json"
    data = json.loads(path.read_text())
    group = data["groups"][0]
    group["tests"][0]["steps"] = [
        {"op": "update", "tokens": 6, "layer": 1},
        {"op": "update", "tokens": 1},
    ]
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="layer 1 refuses what others took: write a step per"):
        main([], folder)
