from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from batches.actions import batches as batch_actions
from batches.errors import NotPossible
from batches.inputs.prompts import NO_PROMPTS, LineError, NewPrompt
from batches.intake import pages
from batches.intake.reading import remove_abandoned, to_read
from batches.intake.tally import InputRefused
from batches.models import Batch, Chunk, Prompt, Provider
from tests.configuring import configure
from tests.makers import batch_of, options


def prompts(count: int, *, start: int = 0) -> Iterator[NewPrompt]:
    for n in range(start, start + count):
        yield NewPrompt(line=n + 1, custom_id=f"id-{n}", body='{"messages":[]}')


def refused(
    provider: Provider, items: list[NewPrompt | LineError], *, besides: Sequence[Batch] = ()
) -> list[str]:
    with pytest.raises(InputRefused) as caught:
        batch_actions.create_batch(provider, items, options())
    assert not Batch.objects.exclude(pk__in=[batch.pk for batch in besides]).exists()
    assert not Prompt.objects.exclude(batch__in=besides).exists()
    assert not Chunk.objects.exclude(batch__in=besides).exists()
    return [str(error) for error in caught.value.errors]


def test_prompts_are_stored_in_order_and_cut_into_chunks(provider: Provider) -> None:
    batch = batch_actions.create_batch(provider, prompts(2503), options(batch_size=1000))
    assert (batch.status, batch.total) == ("in_progress", 2503)
    stored = Prompt.objects.filter(batch=batch).order_by("index").values_list("index", "custom_id")
    assert list(stored) == [(n, f"id-{n}") for n in range(2503)]
    chunks = batch.chunks.order_by("lo").values_list("lo", "hi")
    assert list(chunks) == [(0, 1000), (1000, 2000), (2000, 2503)]


def test_a_wrong_line_leaves_nothing_behind(provider: Provider) -> None:
    wrong = LineError(1501, "invalid_json_line", "no JSON")
    assert refused(provider, [*prompts(1500), wrong, *prompts(10, start=1501)]) == [
        "line 1501: no JSON"
    ]


def test_a_custom_id_used_twice_is_named_with_its_line(provider: Provider) -> None:
    twin = NewPrompt(line=900, custom_id="id-3", body="{}")
    assert refused(provider, [*prompts(20), twin]) == [
        "line 900: The 'custom_id' 'id-3' was used before in this batch. Give each prompt its own."
    ]


def test_a_custom_id_used_twice_is_found_across_pages(provider: Provider) -> None:
    twin = NewPrompt(line=2801, custom_id="id-3", body="{}")
    assert refused(provider, [*prompts(2800), twin]) == [
        "line 2801: The 'custom_id' 'id-3' was used before in this batch. Give each prompt its own."
    ]


def test_errors_come_in_the_order_of_the_lines(provider: Provider) -> None:
    twin = NewPrompt(line=4, custom_id="id-0", body="{}")
    wrong = LineError(9, "invalid_json_line", "no JSON")
    lines = refused(provider, [*prompts(3), twin, wrong])
    assert [line.partition(":")[0] for line in lines] == ["line 4", "line 9"]


def test_an_input_without_prompts_is_refused(provider: Provider) -> None:
    assert refused(provider, []) == [NO_PROMPTS]


def test_too_many_prompts_are_refused_with_the_setting_named(
    provider: Provider, settings: Settings
) -> None:
    configure(settings, MAX_PROMPTS_PER_BATCH=1200)
    assert refused(provider, list(prompts(1201))) == [
        "line 1201: A batch has at most 1200 prompts (MAX_PROMPTS_PER_BATCH). Split the input."
    ]
    assert batch_actions.create_batch(provider, prompts(1200), options()).total == 1200


def test_reading_stops_when_nobody_reads_more_errors(provider: Provider) -> None:
    def endless() -> Iterator[LineError]:
        line = 0
        while True:
            line += 1
            yield LineError(line, "invalid_json_line", "no JSON")

    with pytest.raises(InputRefused) as caught:
        batch_actions.create_batch(provider, endless(), options())
    assert len(caught.value.errors) == pages.MAX_REPORTED_ERRORS


def test_an_interrupted_input_leaves_nothing_behind(provider: Provider) -> None:
    def interrupted() -> Iterator[NewPrompt]:
        yield from prompts(1500)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch_actions.create_batch(provider, interrupted(), options())
    assert not Batch.objects.exists()
    assert not Prompt.objects.exists()


def test_a_batch_that_is_discarded_takes_no_other_with_it(provider: Provider) -> None:
    kept = batch_of(provider, 3)
    refused(provider, [*prompts(3), LineError(4, "invalid_json_line", "no JSON")], besides=[kept])
    assert list(Batch.objects.all()) == [kept]
    assert Prompt.objects.filter(batch=kept).count() == 3


def test_a_batch_that_is_cancelled_while_its_prompts_are_stored_is_not_created(
    provider: Provider,
) -> None:
    def cancelled() -> Iterator[NewPrompt]:
        yield from prompts(pages.PAGE_ROWS)
        batch_actions.cancel_batch(Batch.objects.get())
        yield from prompts(1, start=pages.PAGE_ROWS)

    with pytest.raises(NotPossible, match="was cancelled"):
        batch_actions.create_batch(provider, cancelled(), options())
    assert not Batch.objects.exists()
    assert not Prompt.objects.exists()


def test_no_worker_reads_a_batch_whose_creator_vanished(provider: Provider) -> None:
    def vanished() -> Iterator[NewPrompt]:
        yield from prompts(pages.PAGE_ROWS)
        Batch.objects.update(ingest_expires_at=timezone.now() - timedelta(seconds=100))
        assert remove_abandoned() == 0
        Batch.objects.update(ingest_expires_at=timezone.now() - timedelta(hours=1))
        assert not to_read().exists()
        assert remove_abandoned() == 1
        yield from prompts(1, start=pages.PAGE_ROWS)

    with pytest.raises(NotPossible, match="stood still"):
        batch_actions.create_batch(provider, vanished(), options())
    assert not Batch.objects.exists()
    assert not Prompt.objects.exists()


def test_a_lapsed_lease_that_nobody_took_is_renewed(provider: Provider) -> None:
    def slow() -> Iterator[NewPrompt]:
        yield from prompts(pages.PAGE_ROWS)
        Batch.objects.update(ingest_expires_at=timezone.now() - timedelta(hours=1))
        yield from prompts(1, start=pages.PAGE_ROWS)

    batch = batch_actions.create_batch(provider, slow(), options())
    assert (batch.status, batch.ingest_expires_at) == ("in_progress", None)
