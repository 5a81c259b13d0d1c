"""A template makes the messages of a prompt from a row; its mistakes are named when it enters."""

import pytest

from batches.engine.errors import PromptRejected
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import (
    MAX_TEMPLATE_CHARS,
    TemplateMessage,
    TemplateRefused,
    file_messages,
)
from batches.inputs.tables import Cell

ROW: dict[str, Cell] = {
    "review": "Good, not great. ",
    "stars": "4",
    "any name": "x y",
    "count": 12,
    "price": 2.5,
    "is_new": True,
    "note": None,
    "self": "me",
}


def compiled(*sources: str) -> RowTemplate:
    messages = [TemplateMessage(role="user", content=source) for source in sources]
    return RowTemplate(messages, max_chars=1_000_000)


def rendered(source: str) -> str:
    [message] = compiled(source).messages_for(ROW)
    return message["content"]


def refused(source: str) -> TemplateRefused:
    with pytest.raises(TemplateRefused) as caught:
        compiled(source)
    return caught.value


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Rate: {{ review }}", "Rate: Good, not great. "),
        ("{{ row['any name'] }} {{ row.stars }} {{ row[\"self\"] }}", "x y 4 me"),
        ("{{ count }} {{ price }} {{ is_new }} {{ note }}", "12 2.5 true "),
        ("{{ review | trim | truncate(5) }}", "Good…"),
        ("{{ review | truncate(500) }}", "Good, not great. "),
        ("{{ review | truncate(0) }}", ""),
        ("{{ review | tokens(2) }}", "Good, n…"),
        ("{{ review | json }} {{ note | json }} {{ row['price'] | json }}",
         '"Good, not great. " null 2.5'),
        ("{{ [review, count] | json }}", '["Good, not great. ",12]'),
        ("{{ note | default('none') }} {{ '' | default('none', true) }}", "none none"),
        ("{{ stars | int + count }} {{ stars | float / 3 | round(2) }}", "16 1.3333333333333333"),
        ("{{ (stars | float / 3) | round(2) }} {{ '12345678901234567890' | int }}",
         "1.33 12345678901234567890"),
        ("{{ 'no' | int }} {{ '4.7' | int }} {{ 'x' | float(1) }} {{ 'nan' | int(3) }}", "0 4 1 3"),
        ("{{ 'high' if stars | int > 3 }}{{ 'low' if stars | int < 3 }}", "high"),
        ("{% if 'great' in review %}\nyes\n{% else %}\nno\n{% endif %}\nend", "yes\nend"),
        ("{{ stars ~ '/' ~ 5 }} {{ stars + '!' }}", "4/5 4!"),
        ("{{ review[:4] }} {{ stars[0] }} {{ ['a', 'b'] | last }}", "Good 4 b"),
        ("{% for label in ['a', 'b'] %}{{ loop.index }}{{ label }} {% endfor %}", "1a 2b "),
        ("{% for name, cell in row | items %}{{ name }}={{ cell }};{% endfor %}", "".join(
            f"{name}={cell};" for name, cell in {**ROW, "is_new": "true", "note": ""}.items())),
        ("{% set review = review | trim | upper %}{{ review }}", "GOOD, NOT GREAT."),
        ("{{ {'4': 'good'}[stars] }} {{ count is odd }} {{ note is none }}", "good false true"),
        ("{% raw %}{{ review }}{% endraw %}{# a remark #}", "{{ review }}"),
        ("{{ ['a', 'b'] | join(', ') }} {{ review | replace('great', 'bad') | title }}",
         "a, b Good, Not Bad. "),
        ("{{ count is number and not note }}", "true"),
        ("{{ stars == '4' }} {{ count != 12 }} {{ note == 4 }} {{ note != 'a' }}",
         "true false false true"),
    ],
)  # fmt: skip
def test_a_template_is_applied_to_a_row(source: str, text: str) -> None:
    assert rendered(source) == text


def test_a_cell_is_never_read_as_a_template() -> None:
    [message] = compiled("{{ review }}").messages_for({"review": "{{ 7 * 7 }}{% if %}<b>"})
    assert message["content"] == "{{ 7 * 7 }}{% if %}<b>"


def test_nothing_is_kept_from_one_row_to_the_next() -> None:
    template = compiled("{% if a %}{% set b = a %}{% endif %}{{ b }}")
    assert template.columns == ("a", "b")
    assert template.messages_for({"a": "1", "b": "2"})[0]["content"] == "1"
    assert template.messages_for({"a": "", "b": "2"})[0]["content"] == "2"


def test_the_columns_that_a_template_names_are_known_before_any_row() -> None:
    source = (
        "{% for x in [1] %}{{ x }}{{ a }}{% endfor %}{{ row['b c'] }}{{ row.d }}{% set e = f %}"
    )
    assert compiled(source).columns == ("a", "b c", "d", "f")


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("a\n{{ review | uper }}", 2, "no filter 'uper'. Did you mean 'upper'?"),
        ("a\n\n{% if %}", 3, "expected an expression"),
        ("{{ review", 1, "unexpected end of template"),
        ("{{ review.strip() }}", 1, "cannot call functions. Use the filter: {{ … | trim }}."),
        ("{{ range(9) }}", 1, "cannot call functions"),
        ("{{ note (customer) }}", 1, 'brackets is written row["note (…)"]'),
        ("{{ review.length }}", 1, 'is written row["review.length"]'),
        ("{{ self }}", 1, 'row["self"]'),
        ("{% set row = 1 %}", 1, "'row' cannot be set"),
        ("{% if review is defined %}{% endif %}", 1, "{% if review %}"),
        ("{% if review is nice %}{% endif %}", 1, "no test 'nice'"),
        ("{{ review | truncate }}", 1, "takes 1 arguments, but has 0"),
        ("{{ review | truncate(n=3) }}", 1, "no named arguments"),
        ("{% for x in [1] %}{{ loop.depth }}{% endfor %}", 1, "'loop' has no 'depth'"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_remedy(
    source: str, line: int, words: str
) -> None:
    fault = refused(source)
    assert (fault.line, fault.number) == (line, 0)
    assert words in fault.message


def test_the_name_of_a_function_of_jinja_is_not_taken_for_a_column() -> None:
    assert refused("{{ range(9) }}").message == "A template cannot call functions."


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a\n{{ 1 / (count - 12) }}", "in line 2 of the user message: It divides by zero."),
        (
            "{{ stars * 2 }}",
            "needs two numbers, but has the string '4' and the number 2.",
        ),
        ("{% if stars == 4 %}{% endif %}", "The text '4' is compared with the number 4"),
        (
            "{% if stars < 4 %}{% endif %}",
            "different kinds are compared. The filter 'int'",
        ),
        ("{% if 5 != stars %}{% endif %}", "The filter 'int' or 'float' gives the number"),
        ("{{ row['a' ~ 'b'] }}", "There is no 'ab' in the row"),
        ("{{ {'5': 'x'}[stars] }}", "There is no '4'"),
        ("{% for c in review %}{% endfor %}", "needs a list"),
        ("{{ review | truncate('9') }}", "needs a whole number"),
        ("{{ revew }}", "There is no column 'revew'. Did you mean 'review'? The row has 'review'"),
        ("{{ count | length }}", "in line 1 of the user message"),
    ],
)
def test_a_row_that_a_template_cannot_take_is_an_error_with_its_line(
    source: str, words: str
) -> None:
    with pytest.raises(PromptRejected) as caught:
        rendered(source)
    assert words in caught.value.message
    assert caught.value.param == "template"


def test_a_file_is_the_user_message_or_has_marks() -> None:
    [message] = file_messages("Rate: {{ review }}\n").messages
    assert (message.role, message.content) == ("user", "Rate: {{ review }}")
    file = file_messages(
        "{# system #}\r\nBe brief.\r\n\n{# user #}\nA\n{# assistant #}\nB\n"
        "  {#user#}  \n\nC {# user #}\n"
    )
    assert [(m.role, m.content) for m in file.messages] == [
        ("system", "Be brief."),
        ("user", "A"),
        ("assistant", "B"),
        ("user", "C {# user #}"),
    ]
    assert file.lines == (2, 5, 7, 10)
    fault = TemplateRefused("", number=3, line=1)
    assert file.line_of(fault) == 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n{# user #}\n", "is empty"),
        ("{# system #}\nBe brief.\n", "no user message"),
        ("{# user #}\na\n{# system #}\nb", "must be the first one"),
        ("a" * (MAX_TEMPLATE_CHARS + 1), "The most is 100,000"),
        ("a\0", "NUL"),
    ],
)
def test_a_file_that_is_no_conversation_is_refused(text: str, words: str) -> None:
    with pytest.raises(TemplateRefused) as caught:
        file_messages(text)
    assert words in caught.value.message
