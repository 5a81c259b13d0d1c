"""The page /v1/docs in a browser that follows the page's policy."""

from tests.processes.browser import Visitor


def test_the_page_shows_an_operation_with_its_example(visitor: Visitor) -> None:
    visitor.open("/v1/docs")
    operation = visitor.page.locator(".opblock", has_text="Create a batch").first
    operation.click()
    operation.locator("pre", has_text="Why is the sky blue?").first.wait_for()
