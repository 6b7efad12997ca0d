// How long keys took: a histogram with budgets.
function countStep(most) {
  return Math.max(1, niceStep(most / 4));
}

function histogram(host, data) {
  const box = make("div", { class: "drawn still" });
  host.append(box);
  onWidth(box, (width) => {
    const [left, right, plotHeight, bottom] = [46, 14, 150, 24];
    const room = width - left - right;
    const scale = data.log
      ? (value) => Math.log(Math.max(value, data.from) / data.from) / Math.log(data.to / data.from)
      : (value) => (value - data.from) / (data.to - data.from);
    const x = (value) => left + scale(value) * room;
    // Labels of lines stand above the bars, in rows of their own, and do not overlap.
    const marks = [...data.marks].sort((one, other) => one.at - other.at);
    const rows = [];
    for (const mark of marks) {
      const wide = mark.text.length * 7.3 + 12;
      const at = x(mark.at);
      mark.flip = at + wide > width;
      const [from, to] = mark.flip ? [at - wide, at] : [at, at + wide];
      let row = 0;
      while (rows[row] && rows[row].some(([a, b]) => from < b && a < to)) row += 1;
      (rows[row] ||= []).push([from, to]);
      mark.row = row;
    }
    const top = rows.length * 18 + 8;
    const base = top + plotHeight;
    const most = Math.max(1, ...data.bins.map(([, , count]) => count));
    const y = (count) => base - count / most * (plotHeight - 8);
    const svg = draw("svg", { width, height: base + bottom + 14, role: "img", "aria-label": data.label });
    for (let count = 0; count <= most; count += countStep(most)) {
      svg.append(draw("line", { class: "axis", x1: left, x2: width - right, y1: y(count), y2: y(count) }),
        draw("text", { class: "quiet", x: left - 6, y: y(count) + 4, "text-anchor": "end" }, String(count)));
    }
    for (const [from, to, count, title] of data.bins) {
      svg.append(draw("rect", { class: "bin", x: x(from) + 0.5, y: y(count), width: Math.max(1, x(to) - x(from) - 1), height: base - y(count) },
        draw("title", {}, title)));
    }
    let last = -Infinity;
    for (const [at, text] of data.ticks) {
      if (x(at) - last < 62 || x(at) > width - right + 1) continue;
      last = x(at);
      svg.append(draw("line", { class: "axis", x1: x(at), x2: x(at), y1: base, y2: base + 5 }),
        draw("text", {
          class: "quiet", x: x(at), y: base + 18, "text-anchor": x(at) > width - 34 ? "end" : "middle",
        }, text));
    }
    svg.append(draw("text", { class: "quiet", x: width - right, y: base + 34, "text-anchor": "end" }, "latency"),
      draw("text", { class: "quiet", x: 4, y: top - 6 }, rows.length ? "" : "keys"));
    for (const mark of marks) {
      const textY = mark.row * 18 + 14;
      svg.append(draw("path", { class: `limit ${mark.kind}`, d: `M${x(mark.at)} ${textY - 10}V${base}` }),
        draw("text", { class: mark.kind === "broken" ? "bad" : "", x: x(mark.at) + (mark.flip ? -5 : 5), y: textY, "text-anchor": mark.flip ? "end" : "start" }, mark.text));
    }
    box.replaceChildren(svg);
  });
}
