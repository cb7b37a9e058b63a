// What pages do beside their links and forms: live regions, times, copies. Without it every page
// and every action works; regions are then as old as the page.
"use strict";

const exact = { dateStyle: "full", timeStyle: "long" };
const short = { dateStyle: "medium", timeStyle: "medium" };
const clock = { timeStyle: "medium" };

/** Shows each time in the reader's zone; the title has the exact one. */
function showTimes(root) {
  const today = new Date().toDateString();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const time = new Date(element.dateTime);
    if (Number.isNaN(time.getTime())) continue;
    const form = time.toDateString() === today ? clock : short;
    element.textContent = new Intl.DateTimeFormat(undefined, form).format(time);
    const here = new Intl.DateTimeFormat(undefined, exact).format(time);
    element.title = `${here} (${element.dateTime})`;
  }
}

function showCopyButtons(root) {
  if (!navigator.clipboard) return; // only over https and on loopback
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

const regions = () => [...document.querySelectorAll("[data-live]")].filter((one) => one.id);
let paused = false;
let failures = 0;

/** How to find an element again after its region was swapped. */
function pathTo(element, region) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const steps = [];
  for (let one = element; one !== region; one = one.parentElement) {
    steps.unshift(`:nth-child(${[...one.parentElement.children].indexOf(one) + 1})`);
  }
  return `:scope > ${steps.join(" > ")}`;
}

/** Keeps what is typed or selected, opened, scrolled and focused. */
function swap(region, fresh) {
  if (region.contains(document.activeElement) && isEdited(document.activeElement)) return;
  const selected = document.getSelection();
  if (selected && !selected.isCollapsed && region.contains(selected.anchorNode)) return;
  const focus = region.contains(document.activeElement) && document.activeElement !== region
    ? pathTo(document.activeElement, region) : null;
  const open = [...region.querySelectorAll("details[id]")].map((one) => [one.id, one.open]);
  const scrolled = [...region.querySelectorAll(".wide")].map((one) => one.scrollLeft);
  region.replaceChildren(...fresh.childNodes);
  for (const [id, isOpen] of open) {
    const details = document.getElementById(id);
    if (details) details.open = isOpen;
  }
  [...region.querySelectorAll(".wide")].forEach((one, at) => { one.scrollLeft = scrolled[at] ?? 0; });
  if (focus) region.querySelector(focus)?.focus({ preventScroll: true });
  showTimes(region);
  showCopyButtons(region);
}

const isEdited = (element) => element.matches("input, select, textarea");

async function refresh() {
  const answer = await fetch(location.href, { headers: { "X-Live": "1" }, cache: "no-store" });
  if (answer.status === 401) location.reload(); // the login has ended
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of regions()) {
    const fresh = page.getElementById(region.id);
    if (fresh) swap(region, fresh);
  }
}

/** The shortest interval of the page's regions, in milliseconds; longer after a failure. */
function interval() {
  const seconds = Math.min(...regions().map((one) => Number(one.dataset.live) || 2));
  return 1000 * Math.min(60, seconds * 2 ** failures);
}

async function follow() {
  if (!paused && document.visibilityState === "visible") {
    try {
      await refresh();
      failures = 0;
    } catch {
      failures += 1;
    }
    document.body.classList.toggle("stale", failures > 0);
  }
  setTimeout(follow, interval());
}

function start() {
  showTimes(document);
  showCopyButtons(document);
  if (!regions().length) return;
  const button = document.getElementById("pause");
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
  });
  setTimeout(follow, interval());
}

start();
