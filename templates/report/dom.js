// Elements, words and numbers. Texts are only ever put in as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children);
  return element;
}

function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

// As testrium/phrases.py writes them: "0.042 ms", "81.5 ms", "1234 ms".
function milliseconds(value, largest = value) {
  const size = Math.abs(largest);
  return `${value.toFixed(size < 10 ? 3 : size < 1000 ? 1 : 0)} ms`;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

// A moment on an axis, in milliseconds, as precise as a step of the axis.
function moment(ms, step) {
  if (Math.abs(ms) < 1e-9) return "0";
  if (step >= 60000) return duration(ms / 1000);
  const [size, unit] = step >= 100 ? [1000, "s"] : step >= 0.1 ? [1, "ms"] : [0.001, "µs"];
  const decimals = Math.max(0, Math.min(3, Math.ceil(-Math.log10(step / size) - 1e-9)));
  return `${(ms / size).toFixed(decimals)} ${unit}`;
}

// The text in as many signs of the monospace face as fit so many pixels; `middle` keeps both ends.
function fitted(text, pixels, middle = false, sign = 7.3) {
  const signs = Array.from(text);
  const most = Math.max(3, Math.floor(pixels / sign));
  if (signs.length <= most) return text;
  if (!middle) return `${signs.slice(0, most - 1).join("")}…`;
  const end = Math.floor((most - 1) / 2);
  return `${signs.slice(0, most - 1 - end).join("")}…${signs.slice(signs.length - end).join("")}`;
}

// The name of a unit in so many pixels: its face is bold and not monospace, so it is measured.
function fittedName(name, pixels) {
  const ruler = fittedName.ruler ||= make("canvas").getContext("2d");
  ruler.font = `600 12.5px ${getComputedStyle(document.body).fontFamily}`;
  let text = name;
  for (let most = Array.from(name).length - 1; most > 3 && ruler.measureText(text).width > pixels; most -= 1) {
    text = fitted(name, most, true, 1);
  }
  return text;
}

// A button that copies a text, and says so.
function copyButton(text, what) {
  const button = make("button", { type: "button", class: "copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { readonly: true });
      area.value = text;
      button.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  return button;
}

// Calls back when the width of an element has changed, and once at first.
function onWidth(element, callback) {
  let last = -1;
  new ResizeObserver(() => {
    const width = Math.floor(element.clientWidth);
    if (width && width !== last) callback(last = width);
  }).observe(element);
}
