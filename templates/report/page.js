document.documentElement.classList.add("scripted");
// The page as a whole: which groups are shown, and what of a group is made ready when.
const PASSED = new Set(["pass", "xfail", "skip"]);

function filterGroups() {
  const filters = [...document.querySelectorAll(".filters button")];
  const input = document.querySelector(".find input");
  const said = document.querySelector(".find .said");
  const folded = document.querySelector("details.passes");
  const groups = [...document.querySelectorAll("details.group")].map((element) => {
    const row = document.querySelector(`tr[data-group="${element.id}"]`);
    const texts = [...element.querySelectorAll(":scope > summary, .finding .where, .finding h3, .finding .follow, .about")];
    return {
      element, row, kinds: element.dataset.kinds.split(" "),
      text: [...texts, row].map((one) => (one ? one.textContent : "")).join("\n").toLowerCase(),
    };
  });

  function filter() {
    const wanted = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const kinds = filters.filter((one) => one.getAttribute("aria-pressed") === "true").map((one) => one.dataset.kind);
    let [shown, rows] = [0, 0];
    for (const { element, row, kinds: own, text } of groups) {
      const fits = (!kinds.length || kinds.some((kind) => own.includes(kind))) && wanted.every((word) => text.includes(word));
      element.hidden = !fits;
      if (row) { row.hidden = !fits; rows += fits; }
      shown += fits;
    }
    const active = kinds.length > 0 || wanted.length > 0;
    if (folded) {
      folded.hidden = active && !rows;
      if (active) folded.open = rows > 0;
    }
    said.textContent = active ? `${shown} of ${plural(groups.length, "group")}` : "";
  }

  for (const button of filters) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      filter();
    });
    button.disabled = false;
  }
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { input.value = ""; filter(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea")) return;
    event.preventDefault();
    input.focus();
  });
  document.querySelector(".find").hidden = false;
}

// A link into a group that is closed opens it.
function openTarget() {
  const start = location.hash && document.getElementById(location.hash.slice(1));
  for (let target = start; target; target = target.parentElement) {
    if (target.tagName === "DETAILS") target.open = true;
  }
  if (start) start.scrollIntoView();
}

// A group is made ready when it is opened first: a page may hold hundreds.
function prepare(group) {
  if (!group.open || group.dataset.ready) return;
  group.dataset.ready = "yes";
  const script = group.querySelector(":scope > .inside > script.data");
  const data = script ? JSON.parse(script.textContent) : null;
  const section = group.querySelector(".explored");
  if (section) {
    const choose = explore(section, data);
    for (const span of group.querySelectorAll("[data-path]")) {
      const button = make("button", { type: "button", class: "key", title: "Show its path" }, ...span.childNodes);
      button.addEventListener("click", () => choose(Number(span.dataset.path), true));
      span.replaceChildren(button);
    }
  }
  group.querySelectorAll(".operations").forEach((host, number) => operations(host, data.operations[number]));
  const lives = group.querySelector(".timeline");
  if (lives) timeline(lives, data.timeline);
  group.querySelectorAll(".histogram").forEach((host, number) => histogram(host, data.latencies[number]));
  for (const figure of group.querySelectorAll("figure.trend")) drawTrend(figure);
  const logs = group.querySelector(".logs");
  if (logs) {
    const jump = showLogs(logs, data.logs);
    for (const button of group.querySelectorAll("button.jump")) {
      button.addEventListener("click", () => jump(button.dataset.unit, button.dataset.text));
      button.hidden = false;
    }
  }
}

for (const element of document.querySelectorAll("[data-copy]")) {
  element.after(copyButton(element.textContent, element.dataset.copy));
}
if (document.querySelector(".filters")) filterGroups();
// Groups below what is seen at first wait until the browser has drawn that.
const groups = [...document.querySelectorAll("details.group")];
for (const group of groups) group.addEventListener("toggle", () => prepare(group));
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    prepare(entry.target);
  }
}, { rootMargin: "1200px" });
const FIRST = 3;
groups.filter((group) => group.open).forEach((group, number) => {
  if (number < FIRST) prepare(group);
  else near.observe(group);
});
addEventListener("hashchange", openTarget);
openTarget();
