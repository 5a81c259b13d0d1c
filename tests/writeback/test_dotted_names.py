"""Templates with dots read items, and nothing else in them changes."""

import pytest

from batches.writeback.dotted_names import paths_in, with_items


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("{{ row.body }}", '{{ row["body"] }}'),
        ("{{ row.author.name | upper }}", '{{ row["author"]["name"] | upper }}'),
        ("{{ row . author\n.name }}", '{{ row  ["author"]\n["name"] }}'),
        (
            "{% for t in row.tags %}{{ loop.index }}{% endfor %}",
            '{% for t in row["tags"] %}{{ loop.index }}{% endfor %}',
        ),
        ("{{ row.loop.index }}", '{{ row["loop"]["index"] }}'),
        ("{{ 1.5 }} row.body {# row.body #} {% raw %}{{ row.body }}{% endraw %}",) * 2,
        ("{{ row.body }} {{ 'x", "{{ row.body }} {{ 'x"),
        ("A last line\n", "A last line\n"),
        ("{{ 'row.body' }}{{ row[\"a.b\"] }}",) * 2,
    ],
)
def test_names_after_a_dot_become_items(source: str, changed: str) -> None:
    assert with_items(source) == changed


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("{{ row.author.name }}", {("author", "name")}),
        ("{{ row['author'].name }}", {("author", "name")}),
        ("{{ author.name }}", {("author", "name")}),
        (
            "{% for b in row.author.books %}{{ b.shop.name }}{% endfor %}",
            {("author", "books"), ("author", "books", "shop", "name")},
        ),
        ("{{ row.tags[0].name }}", {("tags", "name")}),
        ("{{ row.tags | first }}", {("tags",)}),
        ("{{ (row.tags | first).name }}", {("tags", "name")}),
        ("{{ [1][0] }}", set()),
    ],
)
def test_paths_lead_from_the_row(source: str, paths: set[tuple[str, ...]]) -> None:
    assert paths <= set(paths_in(with_items(source)))
