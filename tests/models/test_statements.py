"""A statement is compiled once, and runs with other values each time."""

from django.db.models import F, IntegerField

from batches.models import Chunk, Provider
from batches.models.statements import Statement, hole, query_of, update_of
from tests.makers import batch_of


def test_values_fill_the_holes_in_their_order(provider: Provider) -> None:
    batch = batch_of(provider, 6, batch_size=2)
    move = Statement(
        lambda: update_of(
            Chunk.objects.filter(lo__gte=hole("lo"), batch_id=hole("batch")),
            crashes=F("crashes") + hole("more", IntegerField()),
        )
    )
    assert move.run(batch=batch.pk, lo=2, more=5) == 2
    assert move.run(batch=batch.pk, lo=4, more=1) == 1
    assert move.run(batch=batch.pk + 1, lo=0, more=1) == 0
    assert list(batch.chunks.order_by("lo").values_list("crashes", flat=True)) == [0, 5, 6]


def test_text_in_a_hole_stays_a_value(provider: Provider) -> None:
    text = "o'clock %s \" -- ;"
    provider.name = text
    provider.save()
    names = Provider.objects.filter(name=hole("name")).values_list("name")
    statement = Statement(lambda: query_of(names))
    assert statement.rows(name=text) == [(text,)]
    assert statement.rows(name="x' OR 1=1 --") == []
