// When each unit ran, what was waited for and broken, and CPU and memory below, on one axis.
const MOST_CURVES = 8;
const ENDS = { again: "↻", failed: "✗", stopped: "■", finished: "✓" };

function timeline(host, data) {
  const moments = new Set([0, data.end]);
  for (const unit of data.units) {
    for (const [from, to] of unit.periods) moments.add(from).add(to);
    for (const [at] of unit.ticks) moments.add(at);
    for (const [from, to] of unit.faults) moments.add(from).add(to);
  }
  const ms = [...moments].map((seconds) => seconds * 1000).sort((one, other) => one - other);
  new TimeView(host, {
    label: "Timeline of the units", moments: ms, start: 0, end: data.end * 1000,
    mode: isHidden(ms) && data.end > 5 ? "fold" : "time",
    left: (width) => Math.round(Math.min(190, Math.max(92, width * 0.2))),
    right: (width) => (width < 560 ? 30 : 100),
    paint: (frame) => {
      let y = frame.top + 4;
      for (const unit of data.units) y = unitRow(frame, unit, y);
      if (data.waits.length) y = waitRow(frame, data.waits, y);
      for (const chart of data.charts) y = curves(frame, chart, y);
      return y + 2;
    },
  });
}

function named(frame, text, y, kind = "unit") {
  frame.svg.append(draw("text", { class: kind, x: 4, y }, fittedName(text, frame.left - 14), draw("title", {}, text)));
}

function bar(frame, from, to, y, height, kind, title) {
  if (!frame.visible(from * 1000, to * 1000)) return;
  const x = frame.x(from * 1000);
  frame.plot.append(draw("rect", {
    class: `bar ${kind}`, x, y, width: Math.max(2, frame.x(to * 1000) - x), height, rx: 2,
  }, draw("title", {}, title)));
}

function unitRow(frame, unit, y) {
  named(frame, unit.name, y + 13);
  const { plot, x } = frame;
  for (const [from, to, state, title] of unit.periods) {
    bar(frame, from, to, y + 2, 14, state === "starting" ? "starting" : "lived", title);
  }
  for (const [from, to, , title] of unit.faults) {
    const at = x(from * 1000);
    plot.append(draw("g", {}, draw("title", {}, title),
      draw("path", { class: "struck", d: `M${at} ${y}H${Math.max(at + 2, x(to * 1000))}` }),
      draw("text", { class: "struck", x: at, y: y + 14, "text-anchor": "middle" }, "⚡")));
  }
  // Probes that fall on one pixel are one stroke, the longer the more they are.
  const pixels = new Map();
  for (const [at, count, bad, title] of unit.ticks) {
    if (!frame.visible(at * 1000)) continue;
    const place = Math.round(x(at * 1000));
    const there = pixels.get(place) || { count: 0, bad: false, titles: [] };
    there.count += count;
    there.bad ||= bad > 0;
    if (there.titles.length < 4) there.titles.push(title);
    pixels.set(place, there);
  }
  for (const [place, there] of pixels) {
    const height = Math.min(10, 4 + 2 * Math.floor(Math.log2(there.count)));
    plot.append(draw("path", { class: there.bad ? "tick bad" : "tick", d: `M${place + 0.5} ${y + 18}v${height}` },
      draw("title", {}, there.titles.join("\n"))));
  }
  for (const [at, kind, title] of unit.signs) {
    if (!frame.visible(at * 1000)) continue;
    const place = x(at * 1000);
    if (kind === "ready" || kind === "running") {
      plot.append(draw("path", { class: "sign", d: `M${place} ${y}v18` }, draw("title", {}, title)));
    } else if (kind === "again") {
      plot.append(draw("text", { class: "sign again", x: place, y: y + 14, "text-anchor": "middle" }, ENDS.again, draw("title", {}, title)));
    } else {
      frame.svg.append(draw("text", { class: `sign ${kind}`, x: frame.width - frame.right + 10, y: y + 13 },
        `${ENDS[kind] || "·"} ${frame.right > 60 ? kind : ""}`, draw("title", {}, title)));
    }
  }
  return y + 32;
}

function waitRow(frame, waits, y) {
  named(frame, "waiting", y + 13, "quiet");
  for (const [from, to, , title] of waits) bar(frame, from, to, y + 2, 14, "starting", title);
  return y + 30;
}

function curves(frame, chart, y) {
  const [ROW, CAPTION] = [34, 24];
  frame.svg.append(draw("text", { class: "caption", x: 4, y: y + 16 }, chart.title));
  y += CAPTION;
  const shown = [...chart.curves].sort((one, other) => other.most - one.most).slice(0, MOST_CURVES);
  const top = Math.max(...shown.map((curve) => curve.most), 1e-9);
  for (const curve of shown) {
    const base = y + ROW - 6;
    const points = curve.points.map(([at, value]) => [frame.x(at * 1000), base - value / top * (ROW - 10)]);
    const line = points.map((point) => point.map((one) => one.toFixed(1)).join(",")).join(" ");
    named(frame, curve.unit, base - 4, "quiet");
    frame.svg.append(draw("line", { class: "axis", x1: frame.left, x2: frame.left + frame.room, y1: base, y2: base }));
    if (points.length > 1) {
      frame.plot.append(
        draw("polygon", { class: "area", points: `${points[0][0]},${base} ${line} ${points[points.length - 1][0]},${base}` }),
        draw("polyline", { class: "curve", points: line }));
    }
    if (points.length < 200) {
      points.forEach(([px, py], number) => frame.plot.append(draw("circle", { class: "point", cx: px, cy: py, r: 2 },
        draw("title", {}, `${curve.unit}: ${curve.points[number][2]}`))));
    }
    if (frame.right > 60) frame.svg.append(draw("text", { class: "quiet", x: frame.width - frame.right + 10, y: base - 4 }, curve.words));
    y += ROW;
  }
  if (shown.length < chart.curves.length) {
    frame.svg.append(draw("text", { class: "quiet", x: 4, y: y + 12 },
      `${plural(chart.curves.length - shown.length, "unit")} that used less`));
    y += 18;
  }
  return y;
}
