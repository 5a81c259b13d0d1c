"""Templates that would loop, grow or look around end with an error, in little memory."""

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.errors import PromptRejected
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import TemplateMessage, TemplateRefused

MIB = 1024 * 1024
ROW = {"a": "text", "n": "7"}

NESTED = "{% for x in [1,2,3,4,5,6,7,8,9,0] %}"
TEN_LOOPS = NESTED * 5 + "x" + "{% endfor %}" * 5

HOSTILE = {
    "a whole number of many digits": "{{ a }}{{ " + "9" * 10_000 + " }}",
    "a number that is not finite": "{{ a }}{{ -1e999 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "repeated text": "{{ 'a' * 1000000000 }}",
    "repeated list": "{{ [1] * 1000000000 }}",
    "large number": "{% set x = 99 %}" + "{% set x = x * x %}" * 100 + "{{ x }}",
    "padded text": "{{ '%1000000000d' % 1 }}",
    "doubled text": "{% set x = 'abc' %}" + "{% set x = x ~ x %}" * 60 + "{{ x }}",
    "added text": "{% set x = 'abc' %}" + "{% set x = x + x %}" * 60 + "{{ x }}",
    "shared lists": "{% set x = ['a'] %}" + "{% set x = [x, x] %}" * 60 + "{{ x | json }}",
    "shared lists compared": "{% set x = ['a'] %}{% set y = ['a'] %}"
    + "{% set x = [x, x] %}{% set y = [y, y] %}" * 60
    + "{{ x == y }}",
    "shared mappings": "{% set x = {'a': 1} %}" + "{% set x = {'a': x, 'b': x} %}" * 60 + "{{ x }}",
    "replaced text": "{% set x = a %}" + "{% set x = x | replace('', x) %}" * 30 + "{{ x }}",
    "joined text": "{% set x = a %}" + "{% set x = ['', '', ''] | join(x) %}" * 200 + "{{ x }}",
    "escaped text": "{% set x = a %}" + "{% set x = x | json %}" * 100 + "{{ x }}",
    "nested loops": TEN_LOOPS,
    "six nested loops": NESTED * 6 + "x" + "{% endfor %}" * 6,
    "slices in a loop": "{% set x = a ~ a %}" + NESTED * 4 + "{{ x[:2] }}" + "{% endfor %}" * 4,
    "range": "{% for i in range(1000000000) %}{% endfor %}",
    "cycler": "{{ cycler('a', 'b') }}",
    "lipsum": "{{ lipsum(1000000) }}",
    "wide text": "{{ a | center(1000000000) }}",
    "many names": "{{ " + "a," * 40_000 + "1 }}",
    "many outputs": "{{ a }}" * 14_000,
    "long chain": "{{ " + "a ~ " * 20_000 + "a }}",
    "deep parentheses": "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
    "deep sums": "{{ " + "1 + " * 4_000 + "1 }}",
    "deep filters": "{{ a" + " | upper" * 4_000 + " }}",
    "deep conditions": "{% if a %}" * 2_000 + "x" + "{% endif %}" * 2_000,
    "class": "{{ a.__class__ }}",
    "class by name": "{{ a['__class__'] }}",
    "class of the row": "{{ row.__class__ }}",
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "method as a value": "{{ a['upper'] }}",
    "format": "{{ '{0.__class__}'.format(a) }}",
    "format filter": "{{ '%s' | format(a) }}",
    "attribute filter": "{{ a | attr('__class__') }}",
    "map filter": "{{ [a] | map(attribute='__class__') | list }}",
    "own template": "{{ self }}",
    "loop object": "{% for x in [1] %}{{ loop.__init__ }}{% endfor %}",
    "loop call": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "from": "{% from 'os' import path %}",
    "extends": "{% extends 'base' %}",
    "block": "{% block a %}{% endblock %}",
    "macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "call": "{% call f() %}{% endcall %}",
    "filter block": "{% filter upper %}a{% endfilter %}",
    "set block": "{% set x %}a{% endset %}",
    "autoescape": "{% autoescape true %}{{ a }}{% endautoescape %}",
    "namespace": "{% set x = namespace(a=1) %}{% set x.a = 2 %}",
    "do": "{% do row.update(a=1) %}",
    "change of the row": "{% set row.a = 1 %}",
    "random": "{{ [1, 2] | random }}",
    "hidden filter": "{{ a | _searched }}",
}  # fmt: skip


def peak_of(work: Callable[[], None]) -> int:
    """The most bytes that were held."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_or_fails_its_row(name: str) -> None:
    def tried() -> None:
        messages = [TemplateMessage(role="user", content=HOSTILE[name])]
        with pytest.raises((TemplateRefused, PromptRejected)) as caught:
            RowTemplate(messages, max_chars=20 * MIB).messages_for(ROW)
        assert len(str(caught.value)) < 1000

    # Parsing the longest expression that is accepted takes some megabytes.
    assert peak_of(tried) < 32 * MIB


def test_the_work_for_a_long_row_is_bounded_too() -> None:
    row = {"a": "x" * MIB}
    source = "{% set y = a %}" + "{% set y = y ~ a %}" * 200 + "{{ y }}"
    template = RowTemplate([TemplateMessage(role="user", content=source)], max_chars=4 * MIB)

    def tried() -> None:
        with pytest.raises(PromptRejected):
            template.messages_for(row)

    assert peak_of(tried) < 20 * MIB


def test_a_prompt_is_bounded_while_it_is_made() -> None:
    source = "{{ a }}" * 100
    template = RowTemplate([TemplateMessage(role="user", content=source)], max_chars=1000)
    with pytest.raises(PromptRejected, match="longer than MAX_LINE_BYTES"):
        template.messages_for({"a": "x" * 100})


PARTS = st.sampled_from(
    [
        *("{{ ", " }}", "{% if ", "{% for x in ", "{% set x = ", " %}", "{% endif %}"),
        *("{% else %}",),
        *("{% endfor %}", "a", "n", "x", "row", "loop", "loop.index", "row.a", "row['a']", "'t'"),
        *("1", "0", "-1", "none", "true", "[", "]", "(", ")", "{", "}", ",", ":", "[:2]", "[0]"),
        *(" | json", " | int", " | truncate(2)", " | join", " | items", " | length", " | round"),
        *(" + ", " * ", " / ", " % ", " ~ ", " == ", " in ", " not in ", " is none", " and "),
        *("not ",),
        *(" if ", " else ", "{# ", " #}", "\n", "é"),
    ]
)  # fmt: skip


@given(st.lists(PARTS, max_size=14).map("".join).filter(bool))
def test_any_template_gives_texts_or_an_error_of_its_own(source: str) -> None:
    try:
        template = RowTemplate([TemplateMessage(role="user", content=source)], max_chars=1000)
        [message] = template.messages_for({"a": "text", "n": None, "x": 3})
    except (TemplateRefused, PromptRejected):
        return
    assert isinstance(message["content"], str)
