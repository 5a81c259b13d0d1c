"""A person in the admin without a browser: pages, and forms filled in as a browser sends them."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Self

import httpx

from tests.waiting import PATIENCE_S, wait_until

NOT_SENT = {"submit", "button", "file", "image", "reset"}
CHOICES = {"checkbox", "radio"}


class _Forms(HTMLParser):
    """Collects the fields of each form with the values that they have on the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = [{}]
        self._select = self._area = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, fields = given.get("name", ""), self.forms[-1]
        if tag == "form":
            self.forms.append({})
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select:
            if "selected" in given or self._select not in fields:
                fields[self._select] = given.get("value", "")
        elif tag == "textarea":
            self._area = name
            fields[name] = ""
        elif tag == "input" and name and _is_sent(given):
            fields[name] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._area:
            self.forms[-1][self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # HTML drops a line break right after the tag.
            fields = self.forms[-1]
            fields[self._area] = fields[self._area].removeprefix("\n")
            self._area = ""
        elif tag == "select":
            self._select = ""


def _is_sent(given: dict[str, str]) -> bool:
    kind = given.get("type", "text")
    return kind not in NOT_SENT and (kind not in CHOICES or "checked" in given)


class AdminSession:
    """A user who has logged in to the admin at an address."""

    def __init__(self, address: str, name: str, password: str) -> None:
        self._address = httpx.URL(address)
        self._client = httpx.Client(follow_redirects=True, timeout=PATIENCE_S, trust_env=False)
        self.submits("", "password", username=name, password=password)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def page(self, path: str) -> httpx.Response:
        """Return a page or file, which must be there."""
        answer = self._client.get(self._address.join(path))
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer

    def submits(self, path: str, field: str, **values: str) -> httpx.Response:
        """Send the form of a page that has this field; return the page that follows."""
        page = self.page(path)
        [form] = [form for form in _Forms(page.text).forms if field in form]
        answer = self._client.post(page.url, data={**form, **values})
        assert answer.status_code == 200, answer.text
        assert answer.history, f"the form was refused: {answer.text}"
        return answer

    def check_files_of(self, path: str) -> set[str]:
        """Return the addresses of the styles and scripts of a page, which must all be served."""
        page = self.page(path).text
        links = re.findall(r'<link [^>]*href="([^"]+\.css[^"]*)"', page)
        links += re.findall(r'<script [^>]*src="([^"]+)"', page)
        for link in links:
            self.page(unescape(link))
        return set(links)

    def runs_a_batch(self, *prompts: str, model: str) -> dict[str, str]:
        """Start a batch, wait for its end, and return the files that its page offers, by ending."""
        add = "batches/batch/add/"
        started = self.submits(add, "prompts", prompts="\n".join(prompts), model=model, _start="1")
        path = started.url.path
        wait_until(
            lambda: 'data-status="completed"' in self.page(path).text, "the end of the batch"
        )
        offered = re.findall(r'href="([^"]+\.(\w+))" download', self.page(path).text)
        return {ending: self.page(link).text for link, ending in offered}
