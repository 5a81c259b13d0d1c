"""What is made to hang or crash who judges it is refused or judged, each in about no time."""

import json
import subprocess
import sys

import pytest

# A hundred of them; one that hangs takes minutes, or for ever.
DEADLINE_S = 120


@pytest.fixture(scope="module")
def verdicts() -> dict[str, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.engine.hostile_structures"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    last = ended.stdout.splitlines()[-1:]
    assert ended.returncode == 0, f"after {last}: {ended.stderr[-2000:]}"
    return dict(json.loads(line) for line in ended.stdout.splitlines())


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("schema 100 levels deep", "refused"),
        ("schema 2000 levels deep", "refused"),
        ("schema 100000 levels deep", "refused"),
        ("10000 properties", "accepted"),
        ("50000 properties", "refused"),
        ("a long enum", "forbidden"),
        ("pattern ^(a+)+$", "forbidden"),
        ("patterns of names", "accepted"),
        ("many patterns of many letters", "refused"),
        ("many patterns", "refused"),
        ("a pattern of many states", "forbidden"),
        ("a large answer", "forbidden"),
        ("a long enum of objects", "forbidden"),
        ("a long enum, and many faults", "forbidden"),
        ("a circle of alternatives", "forbidden"),
        ("a circle of many alternatives", "forbidden"),
        ("alternatives to a large answer", "forbidden"),
        ("doubling by allOf", "refused"),
        ("doubling by anyOf", "refused"),
        ("doubling by oneOf", "refused"),
        ("doubling by anchors", "refused"),
        ("doubling by ids", "refused"),
        ("doubling by ids that data has too", "refused"),
        ("doubling by ids in capitals", "refused"),
        ("doubling by dynamic anchors", "refused"),
        ("doubling by escapes", "refused"),
        ("doubling by dependencies", "refused"),
        ("doubling by names", "refused"),
        ("doubling in a ring", "refused"),
        ("a circle that branches", "forbidden"),
        ("a chain of 50 references", "accepted"),
        ("a chain of 8000 references", "refused"),
        ("many faults", "forbidden"),
        ("unique items", "accepted"),
        ("$ref to http://127.0.0.1:9/x", "refused"),
        ("$ref to file:///etc/passwd", "refused"),
        ("answer 150 levels deep", "accepted"),
        ("answer 5000 levels deep", "not_json"),
        ("answer 50000 levels deep", "not_json"),
        ("broken answer 50000 levels deep", "truncated"),
        ("deep list of 150", "schema_violation"),
        ("deep list of 50000", "not_json"),
    ],
)
def test_it_ends_as_it_should(verdicts: dict[str, str], name: str, verdict: str) -> None:
    assert verdicts[name] == verdict


def test_no_answer_takes_the_process_down(verdicts: dict[str, str]) -> None:
    answers = [verdict for name, verdict in verdicts.items() if "characters of" in name]
    assert len(answers) == 38 + 20
    assert set(answers) <= {"not_json", "truncated", "empty", "schema_violation", "accepted"}
