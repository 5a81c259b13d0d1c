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
// table that is chosen or pasted, with the first prompts that the template makes; the server reads
// the beginning of the table.
const BEGINNING = 65_536;
const FIRST_ROWS = 262_144;
// The beginning of a workbook or Parquet file says nothing: it is sent as a whole, up to this size.
const WHOLE = /\.(xlsx|xlsm|parquet)(\.gz)?$/i;
const MOST_WHOLE = 4_194_304;
const PARTS = ["system_part", "user_part", "template_label"];
// Typing asks for the prompts when it rests for this long.
const REST_MS = 400;
document.addEventListener("change", ({ target }) => {
  const form = target.closest("#new-batch");
  if (!form) return;
  if (target.name === "provider") form.model.setAttribute("list", `models-${target.value}`);
  if (["file", "format", "prompts"].includes(target.name)) offerColumns(form);
  if (target.name === "template" && target.value)
    for (const name of PARTS) form.elements[name].value = "";
  const changes = ["file", "format", "prompts", "template", "endpoint", "drop_stored"];
  if (changes.includes(target.name)) showRows(form);
});
async function offerColumns(form) {
  const answer = await asked(form, form.dataset.columns, BEGINNING, ["column"]);
  // The page works without: the name of the column is typed then.
  if (answer) form.elements.column.outerHTML = answer;
}
// Return the answer to the beginning of the table and these fields; empty without one.
async function asked(form, address, length, names) {
  const { file, prompts } = form.elements;
  const sent = new FormData();
  for (const name of ["csrfmiddlewaretoken", "stored", "provider", "endpoint", "format", ...names])
    if (form.elements[name]) sent.set(name, form.elements[name].value);
  if (form.elements.drop_stored?.checked) sent.set("drop_stored", "on");
  const [chosen] = file.files;
  if (WHOLE.test(chosen?.name ?? "") && chosen.size <= MOST_WHOLE) length = MOST_WHOLE;
  sent.set("prompts", prompts.value.slice(0, length));
  if (chosen) sent.set("file", new File([chosen.slice(0, length)], chosen.name));
  if ((chosen?.size ?? prompts.value.length) > length) sent.set("cut", "yes");
  try {
    const answer = await fetch(address, { method: "POST", body: sent });
    return answer.ok && !answer.redirected ? await answer.text() : "";
  } catch {
    return "";
  }
}

// The columns of the table and the first prompts, with errors at the fields of the template.
let resting, latest;
document.addEventListener("input", ({ target }) => {
  if (!target.closest("#new-batch") || !PARTS.includes(target.name)) return;
  clearTimeout(resting);
  resting = setTimeout(() => showRows(target.form), REST_MS);
});
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("new-batch");
  if (form?.elements.stored || form?.elements.prompts.value) showRows(form);
});
async function showRows(form) {
  const mine = (latest = {});
  clearTimeout(resting);
  const answer = await asked(form, form.dataset.rows, FIRST_ROWS, ["template", ...PARTS]);
  // The answer to an earlier question may come later.
  if (mine !== latest || !answer) return;
  const rows = document.getElementById("rows");
  rows.innerHTML = answer;
  for (const { dataset, value } of rows.querySelectorAll("[data-fill]"))
    form.elements[dataset.fill].value = value;
  for (const name of PARTS) showErrors(form.elements[name], rows);
  if (!rows.querySelector("[data-insert]")) return;
  rows.closest("details").open = true;
  const prompts = rows.querySelectorAll("#first-prompts article").length;
  tell(`${rows.querySelectorAll("[data-insert]").length} columns, ${prompts} prompts shown`);
}
function showErrors(field, rows) {
  const around = field.closest(".tp-field");
  const errors = rows.querySelector(`[data-errors="${field.name}"]`);
  around.querySelector(".tp-errors")?.remove();
  around.classList.toggle("errors", Boolean(errors));
  if (errors) {
    errors.id = `${field.id}_error`;
    around.append(errors);
  }
  field.setAttribute("aria-invalid", Boolean(errors));
  const described = [`${field.id}_helptext`, ...(errors ? [errors.id] : [])];
  field.setAttribute("aria-describedby", described.join(" "));
}
// <button data-insert="{{ column }}">: write the column where the cursor was in the template.
let part = "user_part";
document.addEventListener("focusin", ({ target }) => {
  if (["system_part", "user_part"].includes(target.name)) part = target.name;
});
document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-insert]");
  if (!button) return;
  const field = document.getElementById("new-batch").elements[part];
  field.setRangeText(button.dataset.insert, field.selectionStart, field.selectionEnd, "end");
  field.focus();
  showRows(field.form);
});

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
