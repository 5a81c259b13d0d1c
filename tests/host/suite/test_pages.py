"""Every page of the admin, in the theme that the other project has."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.staticfiles import finders
from django.test import Client

from batches.admin.base import PAGE_MEDIA
from tests.admin.hostile import pages_of_app
from tests.host.members.models import Member

pytestmark = pytest.mark.django_db


def test_every_page_is_shown_with_its_scripts_and_its_way_back(boss: Client) -> None:
    owner: Any = Member.objects.get()
    for address in pages_of_app(owner):
        shown = boss.get(address).content.decode()
        if "<html" not in shown:
            # A piece of a page.
            continue
        assert "batches/admin.js" in shown, address
        assert ("unfold/css" in shown) is apps.is_installed("unfold"), address
        assert ("batches/plain.css" in shown) is not apps.is_installed("unfold"), address
        if not apps.is_installed("unfold"):
            assert 'class="breadcrumbs"' in shown, address


def test_all_scripts_and_styles_are_there() -> None:
    for path in [*PAGE_MEDIA._js, *PAGE_MEDIA._css["all"]]:
        assert finders.find(path), path


def test_the_front_page_of_the_admin_is_the_one_of_the_project(boss: Client) -> None:
    shown = boss.get("/staff/").content.decode()
    assert str(admin.site.index_title) in shown
    assert "Throughput now" not in shown
