// The path of a chosen key: a waterfall for each of its circuits, units as lanes.
const [MOST_CHOICES, MOST_WRONG] = [200, 3];
const [BOUND, ABSENT] = [1, 2];
// A path that takes less is drawn to scale: its longest hop is what readers look for.
const SHORT_MS = 1000;

// The steps of a drawing as objects; see testrium/report/html.py for their order.
function stepsOf(data, drawing) {
  return drawing.steps.map(([unit, label, at, flags, type, source, facts = "", fault = "", skipped = 0]) => ({
    unit: data.texts[unit], label: data.texts[label], at, bound: (flags & BOUND) > 0,
    absent: (flags & ABSENT) > 0, type: data.texts[type], source, facts, fault, skipped,
  }));
}

function timeOf(step, span) {
  if (step.absent) return "never";
  if (step.at === null) return "other clock";
  return `${step.bound ? "≤ " : ""}${milliseconds(step.at, span)}`;
}

// The places of what is wrong with a path: `late at host:received`, `collision at a:sent|b:sent`.
function placesOf(wrong) {
  return new Set(wrong.flatMap((text) => text.slice(text.indexOf(" at ") + 4).split("|")));
}

// `usual`: when keys are mostly there, by unit and step.
function waterfall(host, steps, label, usual) {
  for (const step of steps) step.usual = step.absent ? usual.get(`${step.unit}\n${step.label}`) : undefined;
  const moments = steps.flatMap((step) => [step.at, step.usual]).filter((at) => at !== null && at !== undefined);
  moments.sort((one, other) => one - other);
  const broken = steps.some((step) => step.absent);
  const end = Math.max(moments[moments.length - 1] || 0, 1e-3) * (broken ? 1.15 : 1);
  const lanes = new Map();
  steps.forEach((step, number) => {
    if (!lanes.has(step.unit)) lanes.set(step.unit, []);
    lanes.get(step.unit).push(number);
  });
  const [ROW, HEAD] = [22, 24];
  new TimeView(host, {
    label, moments, start: 0, end,
    mode: end < SHORT_MS ? "time" : undefined,
    left: (width) => Math.round(Math.min(260, Math.max(118, width * 0.3))),
    right: (width) => (width < 560 ? 76 : 176),
    paint(frame) {
      const { svg, plot, x, left, top, room, width } = frame;
      const rows = new Map();
      let y = top;
      for (const [unit, numbers] of lanes) {
        const height = HEAD + ROW * numbers.length;
        svg.append(
          draw("rect", { class: "lane", x: 0, y, width, height }),
          draw("text", { class: "unit", x: 6, y: y + 16 }, fittedName(unit, left - 12), draw("title", {}, unit)),
        );
        numbers.forEach((number, index) => rows.set(number, y + HEAD + ROW * index + ROW / 2 - 2));
        y += height + 4;
      }
      const links = draw("g");
      const dots = draw("g");
      plot.append(links, dots);
      steps.forEach((step, number) => {
        const row = rows.get(number);
        const source = step.source < 0 ? null : steps[step.source];
        const said = `${step.wrong ? "✗ " : ""}${step.label}${step.fault ? ` ⚡ ${step.fault}` : ""}`;
        const title = [`${step.unit}:${step.label}`, step.type, step.facts, step.fault].filter(Boolean).join(" · ");
        svg.append(draw("text", { class: step.absent || step.wrong ? "step broken" : "step", x: 16, y: row + 4 },
          fitted(said, left - 24, true), draw("title", {}, title)));
        const wide = width >= 560;
        svg.append(draw("text", {
          class: step.absent || step.wrong ? "time broken" : "time", x: wide ? width - 88 : width - 4, y: row + 4, "text-anchor": "end",
        }, timeOf(step, end)));
        const hop = source && source.at !== null && step.at !== null ? step.at - source.at : null;
        if (wide && hop !== null) {
          svg.append(draw("text", { class: "quiet", x: width - 4, y: row + 4, "text-anchor": "end" },
            `${hop < 0 ? "−" : "+"}${milliseconds(Math.abs(hop), end)}`));
        }
        const to = step.at === null ? (step.absent ? left + room : null) : x(step.at);
        if (source && source.at !== null && to !== null) {
          const from = x(source.at);
          const broken = step.absent ? " broken" : step.wrong ? " wrong" : "";
          if (rows.get(step.source) !== row) {
            links.append(draw("path", { class: `link${broken}`, d: `M${from} ${rows.get(step.source)}V${row}` }));
          }
          links.append(draw("path", { class: `hop${broken}`, d: `M${from} ${row}H${to}` }));
          if (!step.absent && Math.abs(to - from) > 14) {
            const back = to < from ? 1 : -1;
            dots.append(draw("path", { class: `tip${broken}`, d: `M${to + 5 * back} ${row}l${7 * back} -4v8z` }));
          }
        }
        if (step.usual !== undefined) {
          dots.append(draw("path", { class: "usual", d: `M${x(step.usual)} ${row - 8}v16` },
            draw("title", {}, `other keys are usually here at ${milliseconds(step.usual, end)}`)));
        }
        if (step.absent) {
          dots.append(draw("path", { class: "cross", d: `M${left + room - 8} ${row - 5}l10 10m0 -10l-10 10` }, draw("title", {}, title)));
        } else if (to !== null) {
          dots.append(draw("circle", { class: `dot${step.bound ? " bound" : ""}${step.wrong ? " wrong" : ""}`, cx: to, cy: row, r: 4.5 }, draw("title", {}, title)));
        }
      });
      return y;
    },
  });
}

// Operations as intervals, a lane for each client: somewhere in its interval each one happened.
function operations(host, found) {
  const all = found.map(([unit, label, from, to, bad]) => ({ unit, label, from, to, bad }));
  const moments = all.flatMap((one) => [one.from, one.to]).filter((at) => at !== null).sort((one, other) => one - other);
  const end = Math.max(moments[moments.length - 1] || 0, 1e-3) * 1.02;
  const lanes = new Map();
  for (const one of all) lanes.set(one.unit, [...(lanes.get(one.unit) || []), one]);
  const [ROW, HEAD] = [24, 24];
  host.replaceChildren();
  new TimeView(host, {
    label: "Operations that no order explains", moments, start: 0, end, mode: "time",
    left: (width) => Math.round(Math.min(280, Math.max(150, width * 0.38))),
    right: () => 14,
    paint({ svg, plot, x, left, top, room, width }) {
      let y = top;
      for (const [unit, own] of lanes) {
        const height = HEAD + ROW * own.length;
        svg.append(draw("rect", { class: "lane", x: 0, y, width, height }),
          draw("text", { class: "unit", x: 6, y: y + 16 }, fittedName(unit, left - 12), draw("title", {}, unit)));
        own.forEach((one, number) => {
          const row = y + HEAD + ROW * number + ROW / 2 - 3;
          const title = `${one.label}: ${milliseconds(one.from, end)} to ${one.to === null ? "no answer" : milliseconds(one.to, end)}`;
          svg.append(draw("text", { class: one.bad ? "step broken" : "step", x: 16, y: row + 4 },
            fitted(`${one.bad ? "✗ " : ""}${one.label}`, left - 24), draw("title", {}, title)));
          const to = one.to === null ? left + room : Math.max(x(one.to), x(one.from) + 3);
          plot.append(draw("rect", {
            class: `operation${one.bad ? " bad" : ""}${one.to === null ? " open" : ""}`,
            x: x(one.from), y: row - 7, width: Math.max(3, to - x(one.from)), height: 14, rx: 2,
          }, draw("title", {}, title)));
        });
        y += height + 4;
      }
      return y;
    },
  });
}

function eventTable(steps, label) {
  const span = Math.max(0, ...steps.map((step) => step.at || 0));
  const head = make("tr", {}, ...["time", "hop", "unit", "step", "type", "metadata"].map(
    (text, column) => make("th", column < 2 ? { class: "number" } : {}, text)));
  const body = make("tbody");
  for (const step of steps) {
    if (step.skipped) {
      body.append(make("tr", {}, make("td", { colspan: 6, class: "soft" }, `${plural(step.skipped, "event")} left out`)));
    }
    const source = step.source < 0 ? null : steps[step.source];
    const hop = source && source.at !== null && step.at !== null
      ? `${step.at < source.at ? "−" : "+"}${milliseconds(Math.abs(step.at - source.at), span)}` : "";
    const facts = [step.facts, step.fault && `⚡ ${step.fault}`].filter(Boolean).join(" ");
    const row = [timeOf(step, span), hop, step.unit, step.label, step.type, facts];
    body.append(make("tr", step.absent || step.wrong ? { class: "fail" } : {}, ...row.map(
      (text, column) => make("td", column < 2 ? { class: "number" } : {}, text))));
  }
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Events: ${label}` },
    make("table", { class: "story" }, make("thead", {}, head), body));
}

// Lists the keys of a group and shows the chosen one. Returns what chooses one from elsewhere.
function explore(section, data) {
  const explorer = section.querySelector(".explorer");
  const list = section.querySelector(".choice");
  const chosen = section.querySelector(".chosen");
  const input = explorer.querySelector("input");
  const texts = data.paths.map((path) => [path.name, ...path.others, ...path.wrong].join("\n").toLowerCase());
  let current = null;

  // The list is one stop of the Tab key: the chosen key, else the first; arrows move within it.
  function mark() {
    const buttons = [...list.querySelectorAll("button")];
    const pressed = buttons.find((button) => Number(button.dataset.number) === current);
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button === pressed));
      button.tabIndex = button === (pressed || buttons[0]) ? 0 : -1;
    }
  }

  function choose(number, move = false) {
    current = number;
    mark();
    const path = data.paths[number];
    const title = make("h5", { tabindex: "-1" }, path.name);
    const facts = [path.latency, plural(path.events, "event")];
    if (path.others.length) facts.push(`also ${path.others.join(", ")}`);
    chosen.replaceChildren(title, make("p", { class: "soft" }, facts.filter(Boolean).join(" · ")));
    if (path.wrong.length) {
      const most = path.wrong.length > MOST_WRONG + 1 ? MOST_WRONG : path.wrong.length;
      const lines = path.wrong.slice(0, most).map((text) => make("li", { class: "fail" }, `✗ ${text}`));
      if (most < path.wrong.length) lines.push(make("li", { class: "soft" }, `and ${path.wrong.length - most} more`));
      chosen.append(make("ul", { class: "wrong" }, ...lines));
    }
    const places = placesOf(path.wrong);
    for (const drawing of path.drawings) {
      const steps = stepsOf(data, drawing);
      for (const step of steps) step.wrong = !step.absent && places.has(`${step.unit}:${step.label}`);
      const name = drawing.circuit || (path.drawings.length > 1 ? "in no circuit" : "");
      if (name) chosen.append(make("h6", {}, drawing.circuit ? `circuit ${name}` : name));
      const figure = make("div", { class: "waterfall" });
      chosen.append(figure);
      const usual = new Map((data.usual[drawing.circuit] || []).map(
        ([unit, step, at]) => [`${data.texts[unit]}\n${data.texts[step]}`, at]));
      waterfall(figure, steps, `Path of ${path.name}${name ? `, ${name}` : ""}`, usual);
      chosen.append(make("details", { class: "events" }, make("summary", {}, plural(steps.length, "hop"), " as a table"), eventTable(steps, `path of ${path.name}${name ? `, ${name}` : ""} in ${section.id}`)));
    }
    if (move) {
      section.closest("details.group").open = true;
      section.scrollIntoView({ block: "start" });
      title.focus({ preventScroll: true });
    }
  }

  function offer() {
    const wanted = input.value.trim().toLowerCase();
    const found = [];
    let total = 0;
    texts.forEach((text, number) => {
      if (!text.includes(wanted)) return;
      total += 1;
      if (found.length < MOST_CHOICES) found.push(number);
    });
    list.replaceChildren(...found.map((number) => {
      const path = data.paths[number];
      const bad = path.wrong.length > 0 || path.lost;
      const button = make("button", { type: "button", "data-number": number },
        make("span", { class: bad ? "mark fail" : "mark" }, bad ? "✗" : ""),
        make("span", { class: "name" }, path.name),
        make("span", { class: "soft" }, path.latency));
      button.addEventListener("click", () => choose(number));
      return make("li", {}, button);
    }));
    explorer.querySelector(".said").textContent = found.length < total
      ? `${found.length} of ${plural(total, "key")} are listed: type to find others`
      : plural(total, "key");
    mark();
  }

  input.addEventListener("input", offer);
  list.addEventListener("keydown", (event) => {
    const buttons = [...list.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const next = { ArrowDown: buttons[at + 1], ArrowUp: buttons[at - 1], Home: buttons[0], End: buttons[buttons.length - 1] }[event.key];
    if (next) { event.preventDefault(); next.focus(); }
  });
  section.querySelector(".paths").hidden = false;
  offer();
  if (data.paths.length) choose(0);
  return choose;
}
