"""Every page of the admin, in the theme and on the site that the other project has."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.staticfiles import finders
from django.test import Client

from batches.admin.base import PAGE_MEDIA, admin_url, our_site
from batches.models import Batch
from tests.admin.hostile import pages_of_app
from tests.host.members.models import Member
from tests.host.sites import backoffice

pytestmark = pytest.mark.django_db


def test_every_page_is_shown_with_its_scripts_and_its_way_back(boss: Client) -> None:
    owner: Any = Member.objects.get()
    for address in pages_of_app(owner):
        assert address.startswith(admin_url("index")), address
        shown = boss.get(address).content.decode()
        assert address.startswith("/staff/") or "/staff/batches" not in shown, address
        if "<html" not in shown or address.endswith("/history/"):
            # A piece of a page, or Django's own.
            continue
        assert "batches/admin.js" in shown, address
        assert ("unfold/css" in shown) is apps.is_installed("unfold"), address
        assert ("batches/plain.css" in shown) is not apps.is_installed("unfold"), address
        if not apps.is_installed("unfold"):
            assert 'class="breadcrumbs"' in shown, address


def test_all_scripts_and_styles_are_there() -> None:
    paths = re.findall(r'(?:src|href)="/static/([^"]*)"', str(PAGE_MEDIA))
    assert len(paths) >= 3
    for path in paths:
        assert finders.find(path), path


def test_the_front_page_of_the_admin_is_the_one_of_the_project(boss: Client) -> None:
    shown = boss.get("/staff/").content.decode()
    assert str(admin.site.index_title) in shown
    assert "Throughput now" not in shown


def test_the_pages_are_on_the_site_of_the_settings_alone() -> None:
    sites = [site for site in (admin.site, backoffice) if site.is_registered(Batch)]
    assert sites == [our_site()]
