// The logs of a group: all units in the order of time, or one alone; only what is seen is in the
// document, so that very many lines stay usable.
const LINE = 20; // px, the height of a line (page.css)
const MORE_LINES = 30; // above and below what is seen
const KINDS = ["stdout", "stderr", "probe", "skipped"];
const SIGNS = ["", "!", "◆", "…"];

function showLogs(section, logs) {
  const lines = logs.lines.map(([unit, kind, at, bound, text]) => ({ unit, kind, at, bound, text }));
  const host = section.querySelector(".log-view");
  const choice = make("select", { "aria-label": "Unit" }, make("option", { value: -1 }, "All units, merged"),
    ...logs.units.map((name, number) => make("option", { value: number }, name)));
  const input = make("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "Search the logs", "aria-label": "Search the logs" });
  const said = make("span", { class: "soft said", "aria-live": "polite" });
  const only = make("input", { type: "checkbox" });
  const toggles = [0, 1, 2].map((kind) => make("input", { type: "checkbox", checked: true, "data-kind": KINDS[kind] }));
  const move = (text, label, by) => {
    const button = make("button", { type: "button", "aria-label": label, title: label }, text);
    button.addEventListener("click", () => next(by));
    return button;
  };
  const name = section.closest("details.group").querySelector(".name").textContent;
  const box = make("div", { class: "log-lines", tabindex: "0", role: "region", "aria-label": `Lines of the logs of ${name}` });
  const [sizer, block] = [make("div", { class: "sizer" }), make("div", { class: "block" })];
  sizer.append(block);
  box.append(sizer);
  host.replaceChildren(
    make("div", { class: "controls search" }, choice, input,
      make("span", { class: "joined" }, move("↑", "Previous match", -1), move("↓", "Next match", 1)),
      make("label", {}, only, " only matches"), said),
    make("div", { class: "controls legend", role: "group", "aria-label": "Legend: what is shown" },
      ...toggles.map((toggle, kind) => make("label", { class: KINDS[kind] }, toggle,
        make("span", { class: "mark" }, SIGNS[kind] || "·"), ` ${["stdout", "stderr", "probes"][kind]}`))),
    box,
  );

  let shown = [];
  let matches = [];
  let current = -1;
  let marked = null;
  let drawnFrom = -1;

  function words(text, wanted) {
    if (!wanted) return [text];
    const parts = [];
    const low = text.toLowerCase();
    let at = 0;
    for (let found = low.indexOf(wanted); found >= 0 && parts.length < 40; found = low.indexOf(wanted, at)) {
      parts.push(text.slice(at, found), make("mark", {}, text.slice(found, found + wanted.length)));
      at = found + wanted.length;
    }
    return [...parts, text.slice(at)];
  }

  function paint(force) {
    const first = Math.max(0, Math.floor(box.scrollTop / LINE) - MORE_LINES);
    if (!force && first === drawnFrom) return;
    drawnFrom = first;
    const last = Math.min(shown.length, first + Math.ceil(box.clientHeight / LINE) + 2 * MORE_LINES);
    const wanted = input.value.trim().toLowerCase();
    const all = Number(choice.value) < 0;
    const rows = [];
    for (let number = first; number < last; number += 1) {
      const line = lines[shown[number]];
      const before = number > 0 ? lines[shown[number - 1]] : null;
      const same = before && line.bound && before.bound && before.at === line.at && before.unit === line.unit;
      const time = line.at === null ? "" : same ? "″" : `${line.bound ? "≤ " : ""}${line.at.toFixed(3)} s`;
      rows.push(make("div", { class: `line ${KINDS[line.kind]}${line === marked ? " marked" : ""}` },
        make("span", { class: "time" }, time),
        all ? make("span", { class: "unit", title: logs.units[line.unit] }, fitted(logs.units[line.unit], 100, true)) : "",
        make("span", { class: "mark", title: KINDS[line.kind] }, SIGNS[line.kind]),
        make("span", { class: "text" }, ...words(line.text, wanted))));
    }
    block.style.transform = `translateY(${first * LINE}px)`;
    block.replaceChildren(...rows);
  }

  function filter() {
    const wanted = input.value.trim().toLowerCase();
    const unit = Number(choice.value);
    const kinds = new Set(toggles.flatMap((toggle, kind) => (toggle.checked ? [kind] : [])).concat(3));
    [shown, matches] = [[], []];
    lines.forEach((line, number) => {
      if ((unit >= 0 && line.unit !== unit) || !kinds.has(line.kind)) return;
      const found = wanted && line.text.toLowerCase().includes(wanted);
      if (wanted && only.checked && !found) return;
      if (found) matches.push(shown.length);
      shown.push(number);
    });
    current = -1;
    sizer.style.height = `${shown.length * LINE}px`;
    said.textContent = wanted ? plural(matches.length, "match").replace("matchs", "matches") : plural(shown.length, "line");
    drawnFrom = -1;
    if (matches.length) next(1);
    else paint(true);
  }

  function next(by) {
    if (!matches.length) return;
    current = (current + by + matches.length) % matches.length;
    go(matches[current]);
    said.textContent = `${current + 1} of ${plural(matches.length, "match").replace("matchs", "matches")}`;
  }

  function go(row) {
    marked = lines[shown[row]];
    box.scrollTop = Math.max(0, row * LINE - box.clientHeight / 2);
    paint(true);
  }

  choice.addEventListener("change", filter);
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") next(event.shiftKey ? -1 : 1);
  });
  for (const one of [only, ...toggles]) one.addEventListener("change", filter);
  box.addEventListener("scroll", () => paint(false));
  onWidth(box, () => paint(true));
  filter();
  box.scrollTop = 0;

  // Goes to the last line of a unit that has this text.
  return (unit, text) => {
    [choice.value, input.value, only.checked] = [-1, "", false];
    for (const toggle of toggles) toggle.checked = true;
    filter();
    for (let row = shown.length - 1; row >= 0; row -= 1) {
      const line = lines[shown[row]];
      if (logs.units[line.unit] !== unit || line.text !== text) continue;
      section.scrollIntoView({ block: "start" });
      go(row);
      box.focus({ preventScroll: true });
      return;
    }
  };
}
