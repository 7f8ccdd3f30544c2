// Time on a line, and canvases that are sharp and follow the colours of the page.

const SCALE_MARGIN = 10;
const SHORTEST_RANGE = 0.00002;

/** Seconds to pixels and back. */
class Scale {
  constructor(from, to, width) {
    Object.assign(this, { from, to, width });
    this.perSecond = (width - 2 * SCALE_MARGIN) / (to - from);
  }

  x(at) {
    return SCALE_MARGIN + (at - this.from) * this.perSecond;
  }

  at(x) {
    const at = this.from + (x - SCALE_MARGIN) / this.perSecond;
    return Math.max(this.from, Math.min(this.to, at));
  }

  /** Give the round step that leaves at least `pixels` between two ticks. */
  step(pixels = 84) {
    const least = pixels / this.perSecond;
    const power = 10 ** Math.floor(Math.log10(least));
    return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least);
  }

  ticks() {
    const step = this.step();
    const first = Math.ceil(this.from / step - 1e-9);
    const last = Math.floor(this.to / step + 1e-9);
    return Array.from({ length: last - first + 1 }, (_, place) => (first + place) * step);
  }
}

let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "line", "panel", "bar", "accent", ...Object.keys(SEVERITIES)];
  const kinds = Object.keys(KINDS).map((kind) => `kind-${kind}`);
  colours = Object.fromEntries(
    [...names, ...kinds].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
  );
}

/** Give an empty canvas its size in the page's pixels; returns where to draw. */
function prepareCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

const iconPaths = new Map();

function iconPath(kind) {
  if (!iconPaths.has(kind)) iconPaths.set(kind, new Path2D(KINDS[kind].icon));
  return iconPaths.get(kind);
}

function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

function drawGrid(context, scale, height) {
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  for (const tick of scale.ticks()) {
    const x = Math.round(scale.x(tick)) + 0.5;
    line(context, x, 0, x, height);
  }
}
