"use strict";

// Pieces of a page that are asked for again: when the login is over, the whole page asks for it.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.responseURL.includes("/login/")) {
    event.detail.shouldSwap = false;
    window.location.reload();
  }
});

// What could not be refreshed does not look live.
document.addEventListener("htmx:afterRequest", ({ target, detail }) => {
  target.classList.toggle("tp-stale", !detail.successful);
});

// The list of batches that refreshes itself stays as it is while rows are chosen. A list that became
// empty is a new page.
let rows = "";
document.addEventListener("htmx:beforeSwap", ({ target, detail }) => {
  if (target.id !== "result_list" || !detail.shouldSwap) return;
  rows = rowsOf(target);
  detail.shouldSwap = !target.querySelector("input:checked");
  if (!detail.shouldSwap || detail.xhr.response.includes('id="result_list"')) return;
  detail.shouldSwap = false;
  window.location.reload();
});
// Django's script counts only the rows that it knows, so it learns of new ones.
document.addEventListener("htmx:afterSettle", () => {
  const list = document.getElementById("result_list");
  if (!list || !rows || rows === rowsOf(list)) return;
  rows = rowsOf(list);
  const parent = list.closest(".result-list-wrapper");
  window.Actions(list.querySelectorAll(".action-select"), { parent });
});
function rowsOf(list) {
  return [...list.querySelectorAll(".action-select")].map((one) => one.value).join();
}

// <form data-confirm="Sure?" data-dismiss="No">: ask first; the confirming button has the text of
// the button that was pressed, the other one says "Cancel" unless data-dismiss is set.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm) return;
  event.preventDefault();
  ask(form.dataset, event.submitter, () => form.submit());
});

function ask({ confirm, dismiss = "Cancel" }, button, proceed) {
  const dialog = document.createElement("dialog");
  dialog.className = "tp-dialog";
  dialog.setAttribute("aria-labelledby", "tp-question");
  dialog.innerHTML = `<form method="dialog"><p id="tp-question"></p>
    <div class="tp-buttons"><button class="tp-button" autofocus></button>
    <button value="yes"></button></div></form>`;
  const yes = dialog.querySelector("[value=yes]");
  dialog.querySelector("p").textContent = confirm;
  dialog.querySelector("[autofocus]").textContent = dismiss;
  yes.className = button.className;
  yes.textContent = button.textContent;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue === "yes") proceed();
  });
  document.body.append(dialog);
  dialog.showModal();
}

// A form that is sent once: its buttons rest until there is an answer, also after a second press.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  // Afterwards, since a button that is disabled is not sent.
  setTimeout(() => rest(form, true));
});
// Going back to a page may show it as it was left.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-once]")) {
    delete form.dataset.sent;
    rest(form, false);
  }
});
function rest(form, disabled) {
  for (const button of form.querySelectorAll("button")) button.disabled = disabled;
}

// More pasted than a form may hold goes as a file, in which there is room for it. In UTF-8 a
// character has at most three times the length that it has here: 30 MB of the 32 MiB of a form.
const MOST_PASTED = 10_000_000;
document.addEventListener("formdata", ({ target, formData }) => {
  const pasted = formData.get("prompts");
  if (target.id !== "new-batch" || pasted.length <= MOST_PASTED || formData.get("file").name) return;
  formData.set("prompts", "");
  formData.set("file", new File([pasted], "pasted.txt"));
});

// The form of a new batch: suggest the models of the chosen provider, and offer the columns of the
// table that is chosen or pasted; the server reads its beginning.
const BEGINNING = 65_536;
document.addEventListener("change", ({ target }) => {
  const form = target.closest("#new-batch");
  if (!form) return;
  if (target.name === "provider") form.model.setAttribute("list", `models-${target.value}`);
  if (["file", "format", "prompts"].includes(target.name)) offerColumns(form);
});
async function offerColumns(form) {
  const { column, file, format, prompts } = form.elements;
  const beginning = new FormData();
  for (const name of ["csrfmiddlewaretoken", "stored", "provider", "endpoint"])
    if (form.elements[name]) beginning.set(name, form.elements[name].value);
  beginning.set("format", format.value);
  beginning.set("column", column.value);
  beginning.set("prompts", prompts.value.slice(0, BEGINNING));
  const [chosen] = file.files;
  if (chosen) beginning.set("file", new File([chosen.slice(0, BEGINNING)], chosen.name));
  const answer = await fetch(form.dataset.columns, { method: "POST", body: beginning });
  // The page works without: the name of the column is typed then.
  if (answer.ok && !answer.redirected) form.elements.column.outerHTML = await answer.text();
}

// <button class="copy" data-copy="text">: copy the text, and say so for a moment.
document.addEventListener("click", async ({ target }) => {
  const button = target.closest(".copy");
  if (!button) return;
  button.textContent = (await copied(button)) ? "Copied" : "Press Ctrl+C";
  tell(button.textContent);
  setTimeout(() => (button.textContent = "Copy"), 2000);
});
// Browsers have no clipboard for pages of plain HTTP from another machine; they still copy what is
// selected. A text that even then is not copied stays selected.
async function copied(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = button.dataset.copy;
    field.setAttribute("aria-label", button.ariaLabel);
    button.after(field);
    field.select();
    const done = document.execCommand("copy");
    if (done) {
      field.remove();
      button.focus();
    } else {
      field.addEventListener("blur", () => field.remove());
    }
    return done;
  }
}
// Say something to users of a screen reader.
function tell(text) {
  const status = document.getElementById("tp-told") || document.createElement("p");
  status.id = "tp-told";
  status.className = "tp-unseen";
  status.setAttribute("role", "status");
  document.body.append(status);
  status.textContent = text;
}
