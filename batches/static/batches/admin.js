// Pieces of a page that are asked for again: when the login is over, the whole page asks for it.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.responseURL.includes("/login/")) {
    event.detail.shouldSwap = false;
    window.location.reload();
  }
});
