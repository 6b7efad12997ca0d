// Filters of tables, and what goes on now. Texts come in ready to be shown, and only as text.
const STATE_SIGNS = { created: "·", starting: "◌", ready: "●", running: "●", finished: "✓", failed: "✗", stopped: "■" };
const VERDICT_SIGNS = { pass: "✓", xfail: "✓", fail: "✗", error: "!", unknown: "?", skip: "-" };

// Of a long table this many rows are shown, until all are asked for or a filter is set.
const FIRST_ROWS = 40;

// What is chosen stays in the address, so that going back and links keep it.
function filterTable(bar) {
  const table = document.getElementById(bar.dataset.filter);
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const buttons = [...bar.querySelectorAll("[data-verdict]")];
  const [input, only] = [bar.querySelector("input[type=search]"), bar.querySelector("[data-only]")];
  const selects = [...bar.querySelectorAll("select")];
  const said = bar.querySelector(".said");
  const name = (what) => `${table.id}.${what}`;
  const more = make("button", { type: "button", class: "more", hidden: true }, `Show all ${rows.length}`);
  let whole = rows.length <= FIRST_ROWS * 1.5;
  more.addEventListener("click", () => { whole = true; apply(); });
  table.after(more);

  function chosen() {
    return buttons.filter((one) => one.getAttribute("aria-pressed") === "true").map((one) => one.dataset.verdict);
  }

  function fits({ row, text }, verdicts, words) {
    if (verdicts.length && !verdicts.includes(row.dataset.verdict)) return false;
    if (only && only.checked && !("changed" in row.dataset)) return false;
    for (const select of selects) {
      if (!select.value) continue;
      if (select.dataset.by === "owner" && row.dataset.owner !== select.value) return false;
      if (select.dataset.by === "tags" && !JSON.parse(row.dataset.tags).includes(select.value)) return false;
    }
    return words.every((word) => text.includes(word));
  }

  function apply() {
    const verdicts = chosen();
    const words = (input ? input.value : "").toLowerCase().split(/\s+/).filter(Boolean);
    const all = whole || verdicts.length || words.length || selects.some((one) => one.value) || (only && only.checked);
    let count = 0;
    for (const one of rows) {
      const found = fits(one, verdicts, words);
      count += found;
      one.row.hidden = !found || !(all || count <= FIRST_ROWS);
    }
    more.hidden = Boolean(all);
    said.textContent = count === rows.length ? `${rows.length}` : `${count} of ${rows.length}`;
    const query = new URLSearchParams(location.search);
    const keep = (what, value) => (value ? query.set(name(what), value) : query.delete(name(what)));
    keep("verdict", verdicts.join(","));
    keep("text", input && input.value);
    keep("only", only && only.checked ? "1" : "");
    for (const select of selects) keep(select.dataset.by, select.value);
    const text = query.toString();
    history.replaceState(null, "", location.pathname + (text ? `?${text}` : "") + location.hash);
  }

  const query = new URLSearchParams(location.search);
  const wanted = (query.get(name("verdict")) || "").split(",");
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(wanted.includes(button.dataset.verdict)));
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  if (input) {
    input.value = query.get(name("text")) || "";
    input.addEventListener("input", apply);
  }
  if (only) {
    only.checked = query.has(name("only"));
    only.addEventListener("change", apply);
  }
  for (const select of selects) {
    select.value = query.get(name(select.dataset.by)) || "";
    if (select.selectedIndex < 0) select.value = "";
    select.addEventListener("change", apply);
  }
  bar.hidden = false;
  apply();
}

// Small tables: each cell says what it is, where the columns do not fit.
function nameCells(table) {
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, at) => { if (heads[at]) cell.dataset.head = heads[at]; });
  }
}

function progressWords(counts) {
  const failed = counts.failed ? `, ${counts.failed} failed` : "";
  return `${counts.ended} of ${counts.all} done, ${counts.running} running${failed}`;
}

// The runs that go on, on the page of all runs; when one has ended, the page is an old one.
function watchProject(section) {
  const source = new EventSource(section.dataset.events);
  let shown = [...section.querySelectorAll("strong")].map((one) => one.textContent);
  source.addEventListener("runs", (event) => {
    const { runs } = JSON.parse(event.data);
    const names = runs.map((one) => one.run);
    const over = shown.filter((run) => !names.includes(run));
    shown = names;
    const cards = runs.map(({ run, counts }) => make("a", { class: "card", href: `/run/${encodeURIComponent(run)}` },
      make("strong", {}, run), ` is running: ${progressWords(counts)}`));
    if (over.length || section.dataset.old) {
      section.dataset.old = "yes";
      cards.push(make("a", { class: "card", href: "/" }, "A run has ended: reload to see it"));
    }
    section.replaceChildren(...cards);
  });
}

function groupLine(group, now) {
  const line = make("li", { class: group.bad ? "fail" : "" });
  const sign = VERDICT_SIGNS[group.state];
  if (sign) line.append(make("span", { class: `verdict ${group.state}` }, `${sign} ${group.state}`), " ");
  line.append(make("strong", {}, group.label));
  if (group.owner) line.append(" ", make("span", { class: "tag owner" }, `owner ${group.owner}`));
  for (const tag of group.tags) line.append(" ", make("span", { class: "tag" }, tag));
  if (sign) {
    if (!group.skip) line.append(" ", make("span", { class: "soft" }, duration(group.duration)));
    if (group.finding) line.append(" ", make("span", { class: group.bad ? "finding" : "soft" }, group.finding));
    if (group.message) line.append(make("p", {}, group.message));
    return line;
  }
  if (!group.started) return line;
  const clock = make("span", { class: "soft clock", "data-started": group.started }, duration(Math.max(0, now - group.started)));
  line.append(" ", clock);
  if (group.host) line.append(" ", make("span", { class: "soft" }, `on ${group.host}`));
  const units = make("ul", { class: "units", "aria-label": `Units of ${group.label}` });
  for (const [unit, state] of group.units) {
    units.append(make("li", { class: state }, `${STATE_SIGNS[state] || "·"} ${unit} `, make("span", { class: "soft" }, state)));
  }
  line.append(units);
  if (group.events) line.append(make("p", { class: "soft" }, `${plural(group.events, "event")}, last ${group.last}`));
  if (group.waiting.length) {
    const left = group.until ? `, ${Math.max(0, Math.round(group.until - now))} s left` : "";
    line.append(make("p", { class: "unknown" }, `waiting for ${group.waiting.join(", ")}${left}`));
  }
  return line;
}

function watchRun(place) {
  const source = new EventSource(place.dataset.events);
  const groups = new Map();
  const lists = Object.fromEntries(["failed", "running", "done", "queued"].map((name) => [name, place.querySelector(`.${name}`)]));
  const lines = new Map();
  let [skew, over] = [0, false]; // between the server's clock and ours
  const listOf = (group) => (group.bad ? "failed" : VERDICT_SIGNS[group.state] ? "done" : group.started ? "running" : "queued");

  function update({ counts, groups: changed, gone, now }) {
    skew = now - Date.now() / 1000;
    for (const label of gone) {
      groups.delete(label);
      lines.get(label)?.remove();
      lines.delete(label);
    }
    for (const group of changed) {
      groups.set(group.label, group);
      const line = groupLine(group, now);
      const [old, list] = [lines.get(group.label), lists[listOf(group)]];
      if (old && old.parentElement === list) old.replaceWith(line);
      else {
        old?.remove();
        if (list === lists.done || list === lists.failed) list.prepend(line);
        else list.append(line);
      }
      lines.set(group.label, line);
    }
    for (const list of Object.values(lists)) {
      list.parentElement.hidden = !list.childElementCount;
    }
    place.querySelector(".state").textContent = progressWords(counts);
    const bar = place.querySelector("progress");
    [bar.max, bar.value] = [counts.all || 1, counts.ended];
  }

  update(JSON.parse(place.querySelector("script").textContent));
  source.addEventListener("progress", (event) => update(JSON.parse(event.data)));
  source.addEventListener("ended", () => {
    over = true;
    source.close();
    place.querySelector(".state").replaceChildren("The run has ended: ", make("a", { href: location.pathname }, "open its report"));
  });
  setInterval(() => {
    if (over) return;
    for (const clock of place.querySelectorAll(".clock")) {
      clock.textContent = duration(Math.max(0, Date.now() / 1000 + skew - Number(clock.dataset.started)));
    }
  }, 1000);
}

for (const bar of document.querySelectorAll("[data-filter]")) filterTable(bar);
for (const table of document.querySelectorAll("table.rows")) nameCells(table);
for (const figure of document.querySelectorAll("figure.trend")) drawTrend(figure);
const live = document.getElementById("live");
if (live) watchProject(live);
const running = document.getElementById("run");
if (running) watchRun(running);
