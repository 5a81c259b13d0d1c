// The preview of prompts follows the form: soon after a change, the page is asked for it again.
(() => {
  const WAIT_MS = 400;
  const form = document.querySelector("form[data-enrich]");
  let timer;
  let asked;

  async function refresh() {
    asked?.abort();
    asked = new AbortController();
    const data = new FormData(form);
    data.set("enrich_step", "preview");
    try {
      const reply = await fetch(location.href, { method: "POST", body: data, signal: asked.signal });
      if (!reply.ok) return;
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      const shown = page.getElementById("enrich-preview");
      if (shown) document.getElementById("enrich-preview").replaceWith(shown);
    } catch (error) {
      // A newer change has ended this one, or the server is away: the button still works.
    }
  }

  form?.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, WAIT_MS);
  });
})();
