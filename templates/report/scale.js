// An axis of time that can be zoomed: in proportion, with long waits folded, or logarithmic.
// Moments are milliseconds. `u` is a place on the whole axis, 0 to 1.
const FOLD = 0.05; // the part of the axis that a folded wait takes
const MOST_FOLDS = 6;

// The waits to fold: those that are a third of what is left, the longest first.
function longWaits(moments) {
  const gaps = [];
  for (let index = 1; index < moments.length; index += 1) {
    gaps.push([moments[index - 1], moments[index]]);
  }
  gaps.sort((one, other) => (other[1] - other[0]) - (one[1] - one[0]));
  let left = moments.length ? moments[moments.length - 1] - moments[0] : 0;
  const found = [];
  for (const gap of gaps) {
    const length = gap[1] - gap[0];
    if (found.length >= MOST_FOLDS || length <= 0 || length < left / 3 || left - length <= 0) break;
    found.push(gap);
    left -= length;
  }
  return found.sort((one, other) => one[0] - other[0]);
}

// Whether the waits hide the rest: nearly all of the time.
function isHidden(moments) {
  const span = moments[moments.length - 1] - moments[0];
  const waits = longWaits(moments).reduce((sum, [from, to]) => sum + to - from, 0);
  return moments.length > 3 && waits > span * 0.95;
}

function makeScale(moments, start, end, mode) {
  const span = end - start || 1;
  const folds = mode === "fold" ? longWaits(moments) : [];
  if (mode === "log") {
    const after = moments.map((at) => at - start).filter((at) => at > 0);
    const least = Math.max(after.length ? Math.min(...after) : span, span / 1e6);
    const whole = Math.log1p(span / least);
    return {
      start, end, mode, folds,
      u: (at) => Math.log1p(Math.max(0, at - start) / least) / whole,
      at: (u) => start + least * Math.expm1(u * whole),
    };
  }
  // Pieces of the axis between which it is linear.
  const rest = span - folds.reduce((sum, [from, to]) => sum + to - from, 0) || 1;
  const room = 1 - FOLD * folds.length;
  const pieces = [];
  let [at, u] = [start, 0];
  for (const [from, to] of folds) {
    const there = u + (from - at) / rest * room;
    pieces.push({ at, to: from, u, v: there, folded: false });
    pieces.push({ at: from, to, u: there, v: there + FOLD, folded: true });
    [at, u] = [to, there + FOLD];
  }
  pieces.push({ at, to: end > at ? end : at + span, u, v: 1, folded: false });
  const between = (value, a, b, c, d) => (b > a ? c + (value - a) / (b - a) * (d - c) : c);
  return {
    start, end, mode, folds, pieces,
    u(moment_) {
      const piece = pieces.find((one) => moment_ <= one.to) || pieces[pieces.length - 1];
      return between(moment_, piece.at, piece.to, piece.u, piece.v);
    },
    at(place) {
      const piece = pieces.find((one) => place <= one.v) || pieces[pieces.length - 1];
      return between(place, piece.u, piece.v, piece.at, piece.to);
    },
  };
}

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * 0.999);
}

// Where the axis has strokes: [moment, text].
function ticks(scale, from, to, width, apart) {
  const found = [];
  let lastX = -Infinity;
  const put = (at, step) => {
    const x = (scale.u(at) - from) / (to - from) * width;
    if (x < -1 || x > width + 1 || x - lastX < apart) return;
    lastX = x;
    found.push([at, moment(at - scale.start, step)]);
  };
  if (scale.mode === "log") {
    put(scale.start, 1);
    for (let power = -4; power < 9; power += 1) {
      for (const factor of [1, 2, 5]) {
        const step = factor * 10 ** power;
        if (scale.start + step <= scale.end) put(scale.start + step, 10 ** power);
      }
    }
    return found;
  }
  for (const piece of scale.pieces) {
    if (piece.folded || piece.v < from || piece.u > to || piece.v <= piece.u) continue;
    const perPixel = (piece.to - piece.at) / ((piece.v - piece.u) / (to - from) * width);
    const step = niceStep(perPixel * apart);
    const first = Math.max(piece.at, scale.at(Math.max(from, piece.u)));
    const last = Math.min(piece.to, scale.at(Math.min(to, piece.v)));
    const begin = Math.ceil((first - scale.start) / step - 1e-9);
    for (let number = begin; number * step <= last - scale.start + step * 1e-9; number += 1) {
      put(scale.start + number * step, step);
    }
  }
  return found;
}

let views = 0;

// A drawing over time with its controls: zoom, pan, modes, and a cursor.
//
// options: label; start, end, moments (sorted); left and right (gutters, as functions of the
// width); paint(frame) draws and returns the height. `frame` has svg, plot (clipped to the axis),
// x(moment), visible(from, to), left, right, top, width.
class TimeView {
  constructor(host, options) {
    this.options = options;
    this.id = `time-${views += 1}`;
    [this.from, this.to] = [0, 1];
    this.mode = options.mode || (isHidden(options.moments) ? "fold" : "time");
    this.box = make("div", {
      class: "drawn", tabindex: "0", role: "group",
      "aria-label": `${options.label}. Arrows move, + and − zoom, 0 shows the whole.`,
    });
    this.bar = this.#controls();
    host.append(this.bar, this.box);
    this.#rescale();
    onWidth(this.box, (width) => { this.width = width; this.paint(); });
    this.#listen();
  }

  #controls() {
    const bar = make("div", { class: "controls", role: "group", "aria-label": `Axis of: ${this.options.label}` });
    const modes = [["time", "To scale"], ["fold", "Shorten waits"], ["log", "Logarithmic"]];
    this.buttons = modes.map(([mode, text]) => {
      const button = make("button", { type: "button", "data-mode": mode }, text);
      button.addEventListener("click", () => this.setMode(mode));
      return button;
    });
    const zoom = (text, label, action) => {
      const button = make("button", { type: "button", "aria-label": label, title: label }, text);
      button.addEventListener("click", action);
      return button;
    };
    bar.append(
      make("span", { class: "joined" }, ...this.buttons),
      make("span", { class: "joined" },
        zoom("−", "Zoom out", () => this.zoom(2)),
        zoom("+", "Zoom in", () => this.zoom(0.5)),
        zoom("Whole", "Show the whole", () => this.show(0, 1))),
      this.said = make("span", { class: "soft", "aria-live": "polite" }),
    );
    return bar;
  }

  #rescale() {
    const { moments, start, end } = this.options;
    this.scale = makeScale(moments, start, end, this.mode);
    for (const button of this.buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === this.mode));
    }
    const waits = this.scale.folds.map(([from, to]) => moment(to - from, (to - from) / 100));
    this.said.textContent = this.mode !== "fold" ? ""
      : waits.length ? `// marks a wait drawn shorter than it was: ${waits.join(", ")}` : "no wait is long enough to shorten";
  }

  setMode(mode) {
    this.mode = mode;
    this.#rescale();
    this.show(0, 1);
  }

  show(from, to) {
    const size = Math.min(1, Math.max(1e-6, to - from));
    this.from = Math.min(Math.max(0, from), 1 - size);
    this.to = this.from + size;
    this.paint();
  }

  // Shows what lies between two moments, with some room.
  reveal(from, to) {
    const room = (this.scale.u(to) - this.scale.u(from)) * 0.15 + 0.002;
    this.show(this.scale.u(from) - room, this.scale.u(to) + room);
  }

  zoom(factor, around = (this.from + this.to) / 2) {
    const size = Math.min(1, (this.to - this.from) * factor);
    const part = (around - this.from) / (this.to - this.from);
    this.show(around - size * part, around + size * (1 - part));
  }

  pan(part) {
    const by = (this.to - this.from) * part;
    this.show(this.from + by, this.to + by);
  }

  paint() {
    if (!this.width) return;
    const { options, scale, width } = this;
    const [left, right] = [options.left(width), options.right(width)];
    const room = Math.max(40, width - left - right);
    const top = 24;
    const svg = draw("svg", { width, role: "img", "aria-label": options.label });
    const clip = draw("rect", { x: left - 6, y: 0, width: room + 12, height: 10 });
    const axis = draw("g", { class: "axes" });
    const plot = draw("g", { "clip-path": `url(#${this.id})` });
    svg.append(draw("defs", {}, draw("clipPath", { id: this.id }, clip)), axis);
    const x = (at) => left + (scale.u(at) - this.from) / (this.to - this.from) * room;
    this.frame = {
      svg, plot, x, left, right, top, width, room,
      visible: (from, to = from) => scale.u(to) >= this.from && scale.u(from) <= this.to,
    };
    const height = options.paint(this.frame);
    svg.append(plot);
    clip.setAttribute("height", height);
    svg.setAttribute("height", height);
    for (const [at, text] of ticks(scale, this.from, this.to, room, width < 600 ? 58 : 84)) {
      axis.append(
        draw("line", { class: "axis", x1: x(at), y1: top - 4, x2: x(at), y2: height }),
        draw("text", { class: "quiet", x: x(at), y: 14, "text-anchor": "middle" }, text),
      );
    }
    for (const [from, to] of scale.folds) {
      const [a, b] = [x(from), x(to)];
      if (b < left || a > left + room) continue;
      plot.prepend(draw("rect", { class: "folded", x: a, y: top - 4, width: b - a, height: height - top + 4 }));
      plot.append(draw("text", { class: "fold", x: (a + b) / 2, y: top + 8, "text-anchor": "middle" }, "//",
        draw("title", {}, `drawn shorter: a wait of ${moment(to - from, (to - from) / 100)}`)));
    }
    this.cursor = draw("g", { class: "cursor", visibility: "hidden" },
      draw("line", { y1: top - 6, y2: height }), draw("text", { y: 14 }));
    this.selection = draw("rect", { class: "selection", y: top - 4, height: height - top + 4, visibility: "hidden" });
    svg.append(this.selection, this.cursor);
    this.box.replaceChildren(svg);
  }

  #place(event) {
    const { left, room } = this.frame;
    const px = event.clientX - this.box.getBoundingClientRect().left;
    return { px, u: this.from + (px - left) / room * (this.to - this.from), inside: px >= left && px <= left + room };
  }

  #point(event) {
    const { px, u, inside } = this.#place(event);
    this.cursor.setAttribute("visibility", inside ? "visible" : "hidden");
    if (!inside) return;
    const at = this.scale.at(u);
    const step = Math.abs(this.scale.at(Math.min(1, u + (this.to - this.from) / this.frame.room)) - at) || 0.001;
    const [line, text] = this.cursor.children;
    line.setAttribute("x1", px);
    line.setAttribute("x2", px);
    const late = px > this.frame.left + this.frame.room / 2;
    text.setAttribute("x", px + (late ? -6 : 6));
    text.setAttribute("text-anchor", late ? "end" : "start");
    text.textContent = moment(at - this.scale.start, step);
  }

  #listen() {
    let began = null;
    this.box.addEventListener("pointerdown", (event) => {
      const place = this.#place(event);
      if (event.button === 0 && event.pointerType !== "touch" && place.inside) began = place;
    });
    this.box.addEventListener("pointermove", (event) => {
      this.#point(event);
      if (began === null) return;
      const { px } = this.#place(event);
      this.selection.setAttribute("x", Math.min(px, began.px));
      this.selection.setAttribute("width", Math.abs(px - began.px));
      this.selection.setAttribute("visibility", Math.abs(px - began.px) > 4 ? "visible" : "hidden");
    });
    this.box.addEventListener("pointerup", (event) => {
      if (began === null) return;
      const place = this.#place(event);
      const far = Math.abs(place.px - began.px) > 4;
      const [from, to] = [Math.min(place.u, began.u), Math.max(place.u, began.u)];
      began = null;
      if (far) this.show(from, to);
    });
    this.box.addEventListener("pointerleave", () => {
      began = null;
      this.cursor.setAttribute("visibility", "hidden");
      this.selection.setAttribute("visibility", "hidden");
    });
    this.box.addEventListener("dblclick", () => this.show(0, 1));
    this.box.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey) return; // the page scrolls
      event.preventDefault();
      if (event.ctrlKey) this.zoom(event.deltaY > 0 ? 1.3 : 1 / 1.3, this.#place(event).u);
      else this.pan((event.deltaY || event.deltaX) > 0 ? 0.15 : -0.15);
    }, { passive: false });
    this.box.addEventListener("keydown", (event) => {
      const action = {
        ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2),
        "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2),
        0: () => this.show(0, 1),
      }[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      action();
    });
  }
}
