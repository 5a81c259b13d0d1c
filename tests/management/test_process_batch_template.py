"""A table and a template go in, the table with the answers comes out."""

import csv
import io
import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batches.models import Batch, Prompt, Result, Template
from tests.command_line import Commands
from tests.inputs.workbooks import written
from tests.management.bulk import batch_id

MESSY = (
    "sep=;\r\n"
    "\ufeffid; Text ;stars;;note\r\n"
    '1;"Schön; ""sehr"" gut\r\n\r\nWirklich";5;x;=1+1\r\n'
    ";;;;\r\n"
    "2;  leading and trailing  ;-3;;@SUM(A1)\r\n"
    "3;;4;;'quoted\r\n"
).replace("\ufeff", "")
TEMPLATE = "{# system #}\nBe brief.\n{# user #}\nRate: {{ Text | default(note) }} ({{ stars }})\n"


def rows_of(name: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(Path(name).read_bytes().decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-16"])
def test_the_table_comes_back_in_every_cell(cli: Commands, encoding: str) -> None:
    cli.path("reviews.csv", MESSY.encode(encoding))
    template, out = cli.path("rate.j2", TEMPLATE), cli.path("out.csv")
    ended = cli.process_batch("--template", template, "--output", out, name="reviews.csv")
    assert ended.status == 0, ended.stderr
    assert "Reading" in ended.stderr
    assert "as CSV." in ended.stderr
    assert "Template: rate.j2 v1" in ended.stderr
    assert "Skipped 1 empty row." in ended.stderr
    assert "Warning: row 1: The column 'note' has a cell that begins like a" in ended.stderr
    assert "--strict" not in ended.stderr
    given = list(csv.reader(io.StringIO(MESSY.partition("\r\n")[2], newline=""), delimiter=";"))
    rows = rows_of(out)
    assert [row[:5] for row in rows] == [given[0], given[1], given[3], given[4]]
    assert ",".join(rows[0][5:]) == "answer,status,kind,input_tokens,output_tokens,cost,latency_s"
    assert all(row[5] and row[6] == "succeeded" for row in rows[1:])
    first = json.loads(Prompt.objects.get(index=0).body)["messages"]
    assert first[0] == {"role": "system", "content": "Be brief."}
    assert first[1]["content"] == 'Rate: Schön; "sehr" gut\r\n\r\nWirklich (5)'
    assert json.loads(Prompt.objects.get(index=2).body)["messages"][1]["content"] == (
        "Rate: 'quoted (4)"
    )


def test_parsed_answers_are_columns(cli: Commands) -> None:
    cli.path("in.csv", "status,text\nopen,a\nshut,b\n")
    schema = cli.path(
        "schema.json",
        json.dumps(
            {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "ok": {"type": "boolean"},
                },
                "required": ["text", "tags", "ok"],
                "additionalProperties": False,
            }
        ),
    )
    out = cli.path("out.csv")
    ended = cli.process_batch(
        *("--template", cli.path("t.j2", "{{ text }}"), "--response-schema", schema),
        *("--output", out),
        name="in.csv",
    )
    assert ended.status == 0, ended.stderr
    header, *rows = rows_of(out)
    assert header[:7] == ["status", "text", "text_2", "tags", "ok", "status_2", "kind"]
    assert [row[:2] for row in rows] == [["open", "a"], ["shut", "b"]]
    assert all(isinstance(json.loads(row[3]), list) for row in rows)
    assert all(row[4] in ("true", "false") and row[5] == "succeeded" for row in rows)


def test_failed_rows_have_their_table_too(cli: Commands) -> None:
    cli.path("in.csv", "text\nfine\n[simulate: status=400]\n")
    out, errors = cli.path("out.csv"), cli.path("errors.csv")
    template = cli.path("t.j2", "{{ text }}")
    arguments = ("--template", template, "--output", out, "--errors", errors)
    assert cli.process_batch(*arguments, name="in.csv").status == 1
    assert [row[0] for row in rows_of(out)] == ["text", "fine"]
    assert [row[0] for row in rows_of(errors)] == ["text", "[simulate: status=400]"]
    assert rows_of(errors)[1][2:4] == ["failed", "request"]


def test_the_version_of_a_template_grows_with_its_changes(cli: Commands) -> None:
    cli.path("in.csv", "text\na\n")
    for number, text in enumerate(["{{ text }}", "Say {{ text }}", "{{ text }}"]):
        template = cli.path("t.j2", text)
        out = cli.path(f"out{number}.csv")
        ended = cli.process_batch("--template", template, "--output", out, name="in.csv")
        assert ended.status == 0, ended.stderr
    versions = Batch.objects.order_by("pk").values_list("template__name", "template__version")
    assert list(versions) == [("t.j2", 1), ("t.j2", 2), ("t.j2", 1)]
    assert Template.objects.count() == 2


@pytest.mark.parametrize(
    ("template", "table", "words"),
    [
        ("a\n{# user #}\n\n{{ txt }}\n{{ text | uper }}", "text\na\n",
         ["t.j2, line 5: There is no filter 'uper'. Did you mean 'upper'?"]),
        ("{{ txt }}", "text;n\na;1\n",
         ["in.csv: line 1: There is no column 'txt'. Did you mean 'text'?", "names 'text', 'n'."]),
        ("{{ 1 / (n | int) }}", "n\n1\n0\n", ["in.csv: row 2:", "It divides by zero."]),
        ("Rate: text", "text\na\n", ["t.j2: The template names no column, so all prompts"]),
        ("", "text\na\n", ["t.j2: The template is empty."]),
    ],
)  # fmt: skip
def test_a_mistake_names_its_place_and_leaves_nothing(
    cli: Commands, template: str, table: str, words: list[str]
) -> None:
    cli.path("in.csv", table)
    ended = cli.process_batch("--template", cli.path("t.j2", template), name="in.csv")
    assert ended.status == 2
    for word in words:
        assert word in ended.stderr.replace(str(Path(cli.path("x")).parent) + "/", "")
    assert "--column" not in ended.stderr
    assert not Batch.objects.exists()
    assert not Prompt.objects.exists()
    assert not Template.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--column", "text"], "--column and --template cannot be combined"),
        (["--format", "text"], "--template needs a table"),
        (["--endpoint", "/v1/embeddings"], "is one text: the template needs one user message"),
        (["--endpoint", "/v1/rerank"], "a text alone is not a request"),
        (["--system", "Be long."], "The system prompt is given twice"),
    ],
)
def test_options_that_contradict_a_template_are_refused(
    cli: Commands, arguments: list[str], words: str
) -> None:
    cli.path("in.csv", "Text,note,stars\na,b,c\n")
    template = cli.path("t.j2", TEMPLATE)
    ended = cli.process_batch("--template", template, *arguments, name="in.csv")
    assert ended.status == 2
    assert words in ended.stderr
    assert not Batch.objects.exists()


def test_a_template_that_is_missing_or_not_a_text_is_named(cli: Commands) -> None:
    cli.path("in.csv", "text\na\n")
    assert (
        "nope.j2: No such file" in cli.process_batch("--template", "nope.j2", name="in.csv").stderr
    )
    template = cli.path("t.j2", b"caf\xc3\xa9\ncaf\xe9")
    ended = cli.process_batch("--template", template, name="in.csv")
    assert "t.j2, line 2: the template is not UTF-8" in ended.stderr


def test_standard_input_and_a_text_file_are_tables_with_a_template(cli: Commands) -> None:
    template = cli.path("t.j2", "{{ review }}")
    ended = cli.process_batch("--template", template, name="-", stdin="review;n\na;1\n")
    assert ended.status == 0, ended.stderr
    cli.path("in.txt", "n\treview\n1\tb\n")
    out = cli.path("out2.csv")
    ended = cli.process_batch("--template", template, "--output", out, name="in.txt")
    assert ended.status == 0, ended.stderr
    assert "as TSV." in ended.stderr
    assert rows_of(out)[1][:2] == ["1", "b"]


PARQUET = pa.table({"review": ["good", "bad", None], "stars": [5, None, 1], "at": [0, 1, 2]})


def test_parquet_goes_in_and_comes_out_with_its_types(cli: Commands) -> None:
    pq.write_table(PARQUET, cli.path("in.parquet"))
    template, out = cli.path("t.j2", "{{ review }} {{ stars }}"), cli.path("out.parquet")
    ended = cli.process_batch("--template", template, "--output", out, name="in.parquet")
    assert ended.status == 0, ended.stderr
    assert "as Parquet." in ended.stderr
    table = pq.read_table(out)
    assert table.select(PARQUET.column_names).equals(PARQUET)
    assert table.schema.names[3:] == [
        *("answer", "status", "kind", "input_tokens", "output_tokens", "cost", "latency_s")
    ]
    ended = cli.run("batches", "results", batch_id(), "--output", out, "--overwrite")
    assert ended.status == 0, ended.stderr
    assert pq.read_table(out).equals(table)


def test_a_workbook_goes_in_and_a_csv_comes_out(cli: Commands) -> None:
    rows = [("review", "stars", "when", None), ("good\nand so", 4.0, date(2024, 1, 5), None)]
    cli.path("in.xlsx", written(rows, Notes="visible"))
    template, out = cli.path("t.j2", "{{ review }} {{ stars + 1 }}"), cli.path("out.csv")
    ended = cli.process_batch("--template", template, "--output", out, name="in.xlsx")
    assert ended.status == 0, ended.stderr
    assert "as XLSX." in ended.stderr
    assert "Warning: The workbook has 2 sheets. The first of them, 'Sheet', was" in ended.stderr
    assert json.loads(Prompt.objects.get().body)["messages"][0]["content"] == "good\nand so 5"
    header, row = rows_of(out)
    assert (header[:3], row[:3]) == (
        ["review", "stars", "when"],
        ["good\nand so", "4", "2024-01-05"],
    )


def test_a_table_of_any_name_is_known_by_its_beginning(cli: Commands) -> None:
    pq.write_table(PARQUET.slice(0, 2), cli.path("in"))
    assert cli.process_batch("--column", "review", name="in").status == 0
    cli.path("sheet", written([("review",), ("a",)]))
    assert cli.process_batch("--column", "review", name="sheet").status == 0
    cli.path("wrong.csv", written([("review",), ("a",)]))
    ended = cli.process_batch("--column", "review", name="wrong.csv")
    assert ended.status == 2
    assert "read it in the format xlsx, or give it the ending .xlsx." in ended.stderr
    ended = cli.process_batch("--column", "review", "--format", "xlsx", name="wrong.csv")
    assert ended.status == 0, ended.stderr


def test_errors_of_tables_name_their_rows_and_make_no_batch(cli: Commands) -> None:
    cli.path("in.xlsx", written([("prompt", "b"), ("a", 1), ("b", "=1+1")]))
    ended = cli.process_batch(name="in.xlsx")
    assert ended.status == 2
    assert "in.xlsx: row 2: The cell B3 has a formula without its value: open" in ended.stderr
    cli.path("in.parquet", b"PAR1 and no more")
    ended = cli.process_batch(name="in.parquet")
    assert ended.status == 2
    assert "in.parquet: The Parquet file is damaged or truncated (it does not end" in ended.stderr
    assert not Batch.objects.exists()


def test_a_parquet_output_appears_whole_or_not_at_all(cli: Commands) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    cli.path("in.csv", "prompt\na\nb\n")
    out = cli.path("out.parquet")
    ended = cli.process_batch(
        *("--template", cli.path("t.j2", "{{ prompt }}"), "--output", out),
        *("--response-schema", cli.path("s.json", json.dumps(schema))),
        name="in.csv",
    )
    assert ended.status == 0, ended.stderr
    before = Path(out).read_bytes()
    assert pq.read_table(out).schema.field("n").type == pa.int64()
    Result.objects.filter(index=1).update(parsed=json.dumps({"n": 2**70}))
    ended = cli.run("batches", "results", batch_id(), "--output", out, "--overwrite")
    assert ended.status == 2
    assert "The column 'n' has a value that does not fit its type int64: write" in ended.stderr
    assert Path(out).read_bytes() == before
    assert not list(Path(out).parent.glob(".out*"))


def test_images_of_files_beside_the_table_are_sent(cli: Commands) -> None:
    image = b"\x89PNG\r\n\x1a\n image"
    Path(cli.path("in.csv", "photo\none.png\n")).with_name("one.png").write_bytes(image)
    template = cli.path("t.j2", "What is it? {{ photo | image }}")
    ended = cli.process_batch("--template", template, "--output", cli.path("o.csv"), name="in.csv")
    assert ended.status == 0, ended.stderr
    [message] = json.loads(Prompt.objects.get().body)["messages"]
    assert message["content"][1]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    cli.path("in.csv", "photo\ntwo.png\n")
    ended = cli.process_batch("--template", template, "--output", cli.path("p.csv"), name="in.csv")
    assert ended.status == 2
    assert "row 1: The image 'two.png' cannot be read: No such file" in ended.stderr
