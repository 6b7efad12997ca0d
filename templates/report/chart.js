// A figure over time, in the width that it has: axes, dates, zoom, and a cursor for the keyboard.
// A point is [seconds since 1970, value, verdict, words, run]; the oldest is first.
const TREND = { height: 190, left: 64, right: 12, top: 12, bottom: 30 };
const NARROW = 500; // so many pixels hold 30 points, not hundreds
const GOOD = new Set(["pass", "xfail", "skip"]);
const SCALES = {
  s: [["min", 60, 120], ["s", 1, 1], ["ms", 1e-3, 1e-3], ["µs", 1e-6, 0]],
  ms: [["s", 1e3, 1e3], ["ms", 1, 1], ["µs", 1e-3, 0]],
  B: [["GB", 1e9, 1e9], ["MB", 1e6, 1e6], ["kB", 1e3, 1e3], ["B", 1, 0]],
};

// A number in few signs, however large or small it is.
function shortly(value, decimals) {
  const size = Math.abs(value);
  return size && (size >= 1e7 || size < 1e-4) ? value.toExponential(1) : value.toFixed(decimals);
}

// Ticks of 1, 2 or 5 times a power of ten, and what they are called in one unit.
function valueTicks(least, most, unit) {
  const largest = Math.max(most, -least);
  const [name, size] = (SCALES[unit] || []).find(([, , from]) => largest >= from) || [unit, 1];
  const rough = (most - least) / size / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const decimals = Math.min(20, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  const ticks = [];
  for (let number = Math.ceil(least / size / step - 1e-4); number * step <= most / size * 1.0001; number += 1) {
    ticks.push([number * step * size, `${shortly(number * step, decimals)} ${name}`.trim()]);
  }
  return ticks;
}

// Dates in UTC, as the lists have them; the time only where the days are few.
function dateWords(seconds, span) {
  const date = new Date(seconds * 1000);
  const time = date.toISOString().slice(11, span > 600 ? 16 : 19);
  const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  if (span > 300 * 86400) return `${day} ${date.getUTCFullYear()}`;
  if (span > 3 * 86400) return day;
  return span > 86400 ? `${day} ${time}` : time;
}

function drawTrend(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const all = data.points;
  const place = make("div", { class: "plot", tabindex: "0", role: "group", "aria-label": `${data.name} over time: arrow keys move from point to point, Enter opens the run, plus and minus zoom` });
  const said = make("p", { class: "said", "aria-live": "polite" });
  const tools = make("div", { class: "tools", role: "group", "aria-label": `Zoom of ${data.name}` });
  let [from, to, cursor, even, width] = [0, all.length - 1, -1, true, 0];
  let anchor = null;

  const tool = (text, label, action) => {
    const button = make("button", { type: "button", title: label, "aria-label": `${text} ${label}` }, text);
    button.addEventListener("click", action);
    tools.append(button);
    return button;
  };
  tool("+", "Zoom in", () => zoom(0.5));
  tool("−", "Zoom out", () => zoom(2));
  for (const last of [30, 100]) {
    if (all.length > last) tool(`last ${last}`, `Show the last ${last}`, () => show(all.length - last, all.length - 1));
  }
  tool("all", "Show all", () => show(0, all.length - 1));
  const byDate = tool("by date", "In proportion to the dates", () => {
    even = !even;
    byDate.setAttribute("aria-pressed", String(!even));
    redraw();
  });
  byDate.setAttribute("aria-pressed", "false");

  function show(first, last) {
    from = Math.max(0, Math.round(first));
    to = Math.min(all.length - 1, Math.round(last));
    if (to - from < 1) [from, to] = [Math.max(0, to - 1), Math.min(all.length - 1, Math.max(0, to - 1) + 1)];
    if (cursor < from || cursor > to) cursor = -1;
    redraw();
  }

  function zoom(factor) {
    const middle = cursor >= 0 ? cursor : (from + to) / 2;
    const half = Math.max(1, (to - from) * factor / 2);
    const first = Math.max(0, Math.min(middle - half, all.length - 1 - 2 * half));
    show(first, first + 2 * half);
  }

  function x(index) {
    const room = width - TREND.left - TREND.right;
    if (even || all[from][0] === all[to][0]) return TREND.left + room * (to > from ? (index - from) / (to - from) : 0.5);
    return TREND.left + room * (all[index][0] - all[from][0]) / (all[to][0] - all[from][0]);
  }

  function nearest(at) {
    let best = from;
    for (let index = from; index <= to; index += 1) {
      if (Math.abs(x(index) - at) < Math.abs(x(best) - at)) best = index;
    }
    return best;
  }

  function point(index) {
    cursor = index;
    said.textContent = index < 0 ? "" : all[index][3];
    redraw();
  }

  function open(index) {
    if (index >= 0 && all[index][4]) location.href = `/run/${encodeURIComponent(all[index][4])}`;
  }

  function redraw() {
    if (!width) return;
    const { height, left, top, bottom } = TREND;
    const shown = all.slice(from, to + 1);
    const values = [0, data.usual, ...shown.map((one) => one[1])];
    const least = Math.min(...values);
    const most = Math.max(...values) || (least < 0 ? 0 : 1);
    const base = height - bottom;
    const y = (value) => base - (base - top) * ((value - least) / (most - least) / 1.06);
    const svg = draw("svg", { width, height, "aria-hidden": "true" });
    for (const [value, words] of valueTicks(least, most, data.unit)) {
      svg.append(draw("line", { class: "axis", x1: left, x2: width - TREND.right, y1: y(value), y2: y(value) }));
      svg.append(draw("text", { class: "quiet", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, fitted(words, left - 10)));
    }
    const span = all[to][0] - all[from][0];
    const room = Math.max(2, Math.floor((width - left) / 110));
    let free = -1;
    for (let tick = 0; tick < room; tick += 1) {
      const index = Math.round(from + (to - from) * tick / (room - 1));
      if (x(index) < free) continue;
      const anchorOf = tick === 0 ? "start" : index === to ? "end" : "middle";
      free = x(index) + 100;
      svg.append(draw("line", { class: "axis", x1: x(index), x2: x(index), y1: base, y2: base + 5 }));
      svg.append(draw("text", { class: "quiet", x: x(index), y: base + 20, "text-anchor": anchorOf }, dateWords(all[index][0], span)));
    }
    svg.append(draw("line", { class: "usual", x1: left, x2: width - TREND.right, y1: y(data.usual), y2: y(data.usual) }));
    svg.append(draw("polyline", { class: "curve", points: shown.map((one, at) => `${x(from + at).toFixed(1)},${y(one[1]).toFixed(1)}`).join(" ") }));
    const r = Math.max(1.3, Math.min(2.8, width / shown.length / 2.6));
    shown.forEach((one, at) => {
      const [cx, cy] = [x(from + at), y(one[1])];
      if (GOOD.has(one[2])) svg.append(draw("circle", { class: "point", cx, cy, r }));
      else svg.append(draw("path", { class: `cross ${one[2]}`, d: `M${cx - 4} ${cy - 4}l8 8m0 -8l-8 8` }));
    });
    if (cursor >= 0) {
      svg.append(draw("line", { class: "cursor", x1: x(cursor), x2: x(cursor), y1: top, y2: base }));
      svg.append(draw("circle", { class: "chosen", cx: x(cursor), cy: y(all[cursor][1]), r: 6 }));
    }
    if (anchor !== null && cursor >= 0) {
      const [one, other] = [x(anchor), x(cursor)].sort((a, b) => a - b);
      svg.append(draw("rect", { class: "chosen-range", x: one, y: top, width: other - one, height: base - top }));
    }
    place.replaceChildren(svg);
    tools.hidden = all.length < 3;
  }

  const inside = (event) => event.clientX - place.getBoundingClientRect().left;
  place.addEventListener("pointermove", (event) => point(nearest(inside(event))));
  place.addEventListener("pointerleave", () => { anchor = null; point(-1); });
  place.addEventListener("pointerdown", (event) => { if (event.button === 0) anchor = nearest(inside(event)); });
  place.addEventListener("pointerup", (event) => {
    const index = nearest(inside(event));
    const began = anchor;
    anchor = null;
    if (began === null) return;
    if (Math.abs(x(index) - x(began)) < 6) open(index);
    else show(Math.min(index, began), Math.max(index, began));
  });
  place.addEventListener("dblclick", () => show(0, all.length - 1));
  place.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -all.length, End: all.length };
    if (event.key in moves) {
      const start = cursor < 0 ? to + (event.key === "ArrowLeft" ? 1 : 0) : cursor;
      point(Math.max(from, Math.min(to, start + moves[event.key])));
    } else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") show(0, all.length - 1);
    else if (event.key === "Enter") open(cursor);
    else return;
    event.preventDefault();
  });
  place.addEventListener("blur", () => point(-1));
  figure.querySelector("figcaption").append(tools);
  figure.append(place, said);
  onWidth(place, (now) => {
    const first = !width;
    width = now;
    if (first && now < NARROW && all.length > 40) show(all.length - 30, all.length - 1);
    else redraw();
  });
}
