"use strict";
// Chooses what of the page is shown. All texts were made harmless before; they are only ever put
// in as text, never as markup.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MOST_CHOICES = 200;
  const layout = JSON.parse(document.getElementById("layout").textContent);

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function draw(name, attributes = {}, text = null) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== null) element.textContent = text;
    return element;
  }

  function cut(text) {
    const signs = Array.from(text);
    return signs.length <= layout.cells ? text : signs.slice(0, layout.cells - 1).join("") + "…";
  }

  function plural(count, noun) {
    return `${count} ${noun}${count === 1 ? "" : "s"}`;
  }

  // The steps of a way as objects; see testrium/report/formats/html.py for their order.
  function stepsOf(data, way) {
    return way.steps.map(([unit, label, time, gap, type, source, absent, facts, fault, skipped]) => ({
      unit: data.texts[unit], label: data.texts[label], time, gap, type: data.texts[type],
      source, absent, facts, fault, skipped,
    }));
  }

  function tip(id, broken) {
    const marker = draw("marker", {
      id, viewBox: "0 0 8 8", refX: 12, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto",
    });
    marker.append(draw("path", {
      class: broken ? "arrowhead broken" : "arrowhead", d: "M0 0 8 4 0 8z",
    }));
    return marker;
  }

  function sequence(steps, id, title) {
    const lanes = new Map();
    for (const step of steps) {
      if (!lanes.has(step.unit)) {
        lanes.set(step.unit, layout.left + Math.floor(layout.lane / 4) + lanes.size * layout.lane);
      }
    }
    const fault = (step) => (step.fault ? ` ⚡ ${step.fault}` : "");
    const width = Math.max(
      layout.left + layout.lane * lanes.size,
      ...steps.map((step) => lanes.get(step.unit) + 14 + layout.char * (cut(step.label) + fault(step)).length),
    );
    const height = layout.head + layout.row * steps.length + 8;
    const svg = draw("svg", { width, height, role: "img", "aria-label": title });
    const tips = draw("defs");
    tips.append(tip(`${id}-tip`, false), tip(`${id}-broken`, true));
    svg.append(tips);
    for (const [unit, x] of lanes) {
      svg.append(draw("line", { class: "lane", x1: x, y1: 28, x2: x, y2: height }));
      svg.append(draw("text", { x, y: 18, "text-anchor": "middle" }, cut(unit)));
    }
    const place = (number) => ({
      x: lanes.get(steps[number].unit),
      y: layout.head + Math.floor(layout.row / 2) + number * layout.row,
    });
    steps.forEach((step, number) => {
      if (step.source < 0) return;
      const [from, to] = [place(step.source), place(number)];
      const [back, bent] = [to.x < from.x, to.x - from.x > layout.lane];
      const xc = back ? from.x : Math.floor((from.x + to.x) / 2);
      const yc = back ? to.y : bent ? from.y : Math.floor((from.y + to.y) / 2);
      svg.append(draw("path", {
        class: step.absent ? "arrow broken" : "arrow",
        d: `M${from.x} ${from.y}Q${xc} ${yc} ${to.x} ${to.y}`,
        "marker-end": `url(#${id}-${step.absent ? "broken" : "tip"})`,
      }));
    });
    steps.forEach((step, number) => {
      const { x, y } = place(number);
      svg.append(draw("text", { class: "quiet", x: 88, y: y + 4, "text-anchor": "end" }, step.time));
      svg.append(draw("circle", { class: step.absent ? "dot broken" : "dot", cx: x, cy: y, r: 5 }));
      if (step.absent) svg.append(draw("path", { class: "cross", d: `M${x - 3} ${y - 3}l6 6m0 -6l-6 6` }));
      svg.append(draw("text", {
        class: step.absent ? "label broken" : "label", x: x + 10, y: y - 8,
      }, cut(step.label) + fault(step)));
    });
    return svg;
  }

  function storyTable(steps) {
    const head = make("tr", {}, ...["time", "change", "unit", "step", "type", "metadata"].map(
      (text, column) => make("th", column < 2 ? { class: "number" } : {}, text)));
    const body = make("tbody");
    for (const step of steps) {
      if (step.skipped) {
        body.append(make("tr", {}, make("td", { colspan: 6, class: "soft" },
          `${plural(step.skipped, "event")} left out`)));
      }
      const facts = [step.facts, step.fault && `⚡ ${step.fault}`].filter(Boolean).join(" ");
      const row = [step.time, step.gap, step.unit, step.label, step.type, facts];
      body.append(make("tr", step.absent ? { class: "fail" } : {}, ...row.map(
        (text, column) => make("td", column < 2 ? { class: "number" } : {}, text))));
    }
    return make("table", { class: "story" }, make("thead", {}, head), body);
  }

  function explore(group, section) {
    const data = JSON.parse(group.querySelector("script.data").textContent);
    const [explorer, list] = [section.querySelector(".explorer"), section.querySelector(".choice")];
    const [folded, chosen] = [section.querySelector(".folded"), section.querySelector(".chosen")];
    const [input, all] = [explorer.querySelector("input"), explorer.querySelector(".all")];
    const texts = data.ways.map((way) => [way.name, ...way.others, ...way.wrong].join("\n").toLowerCase());
    let current = null;

    function mark() {
      all.setAttribute("aria-pressed", String(current === null));
      for (const button of list.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(Number(button.dataset.number) === current));
      }
    }

    function choose(number, { move = false } = {}) {
      current = number;
      folded.hidden = number !== null;
      chosen.hidden = number === null;
      chosen.replaceChildren();
      mark();
      if (number === null) return;
      const way = data.ways[number];
      const steps = stepsOf(data, way);
      const title = make("h4", { tabindex: "-1" }, way.name);
      const facts = [way.circuits.join(", "), way.latency, plural(way.events, "event")];
      if (way.others.length) facts.push(`also ${way.others.join(", ")}`);
      const region = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Path of ${way.name}` });
      region.append(sequence(steps, `${group.id}-way`, `Path of ${way.name}`));
      chosen.append(title, make("p", { class: "soft" }, facts.filter(Boolean).join(" · ")));
      if (way.wrong.length) chosen.append(make("p", { class: "fail" }, `✗ ${way.wrong.join(", ")}`));
      chosen.append(region, make("div", { class: "scroll" }, storyTable(steps)));
      if (move) {
        group.open = true;
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
        const way = data.ways[number];
        const bad = way.wrong.length > 0 || way.lost;
        const button = make("button", { type: "button", "data-number": number },
          make("span", { class: bad ? "mark fail" : "mark" }, bad ? "✗" : ""),
          make("span", { class: "name" }, way.name),
          make("span", { class: "soft" }, way.latency));
        button.addEventListener("click", () => choose(number));
        return make("li", {}, button);
      }));
      explorer.querySelector(".told").textContent = found.length < total
        ? `${found.length} of ${plural(total, "key")} are listed: type to find others`
        : `${plural(total, "key")}`;
      mark();
    }

    input.addEventListener("input", offer);
    all.addEventListener("click", () => choose(null));
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      const buttons = [...list.querySelectorAll("button")];
      const next = buttons[buttons.indexOf(document.activeElement) + step];
      if (next) { event.preventDefault(); next.focus(); }
    });
    for (const span of group.querySelectorAll("[data-way]")) {
      const button = make("button", { type: "button", class: "key", title: "Show its way" }, ...span.childNodes);
      button.addEventListener("click", () => choose(Number(span.dataset.way), { move: true }));
      span.replaceChildren(button);
    }
    explorer.hidden = false;
    section.classList.add("two");
    offer();
  }

  function search(section) {
    const bar = section.querySelector(".search");
    const [input, probes] = bar.querySelectorAll("input");
    const told = bar.querySelector(".told");
    const logs = [...section.querySelectorAll("details.log")].map((details) => ({
      details,
      lines: [...details.querySelectorAll("li")].map((line) => (
        { line, text: line.textContent.toLowerCase(), probe: line.classList.contains("probe") })),
    }));
    function filter() {
      const wanted = input.value.trim().toLowerCase();
      let [total, units] = [0, 0];
      for (const { details, lines } of logs) {
        let found = 0;
        for (const { line, text, probe } of lines) {
          line.hidden = !((probes.checked || !probe) && text.includes(wanted));
          found += !line.hidden;
        }
        total += found;
        units += found > 0;
        details.hidden = wanted !== "" && !found;
        if (wanted) details.open = found > 0;
      }
      told.textContent = wanted ? `${plural(total, "line")} in ${plural(units, "unit")}` : "";
    }
    input.addEventListener("input", filter);
    probes.addEventListener("change", filter);
    bar.hidden = false;
  }

  // A link into a group that is closed opens it.
  function openTarget() {
    let target = location.hash && document.getElementById(location.hash.slice(1));
    for (const start = target; target; target = target.parentElement) {
      if (target.tagName === "DETAILS") target.open = true;
      if (!target.parentElement) start.scrollIntoView();
    }
  }

  // A group is made ready when it is opened first: a page may hold hundreds.
  for (const group of document.querySelectorAll("details.group")) {
    const prepare = () => {
      if (!group.open || group.dataset.ready) return;
      group.dataset.ready = "yes";
      for (const section of group.querySelectorAll(".ways")) explore(group, section);
      for (const section of group.querySelectorAll(".logs")) search(section);
    };
    group.addEventListener("toggle", prepare);
    prepare();
  }
  addEventListener("hashchange", openTarget);
  openTarget();
})();
