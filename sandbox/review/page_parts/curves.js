// What the run used over time, on the axis of the timeline.

const CURVE_HEIGHT = 44;
const CURVES = [
  {
    name: "cpu",
    label: "Processor",
    unit: (value) => `${Math.round(value * 100)} %`,
    of: cpuShare,
  },
  { name: "memory", label: "Memory", unit: bytes, of: (sample) => sample.memory_bytes },
  { name: "processes", label: "Processes", unit: number, of: (sample) => sample.processes },
  { name: "output", label: "Output", unit: bytes, of: (sample) => sample.output_bytes },
];

function cpuShare(sample, before) {
  if (!before || sample.at <= before.at) return 0;
  return Math.max(0, (sample.cpu_seconds - before.cpu_seconds) / (sample.at - before.at));
}

/** One curve: its label, its value under the pointer, its canvas. */
class Curve {
  constructor(kind) {
    this.kind = kind;
    this.canvas = el("canvas", { role: "img" });
    this.value = el("span.curve-value");
    this.label = el("div.track-label.curve-label", {}, el("span", {}, kind.label), this.value);
    this.node = el("div.track.curve", {}, this.label, el("div.track-plot", {}, this.canvas));
  }

  show(run, scale) {
    const { samples } = run;
    this.points = samples.map((sample, place) => ({
      at: sample.at,
      value: this.kind.of(sample, samples[place - 1]),
    }));
    this.most = this.points.reduce((most, point) => Math.max(most, point.value), 0);
    this.peak = `peak ${this.kind.unit(this.most)}`;
    this.canvas.setAttribute("aria-label", `${this.kind.label} over time, ${this.peak}`);
    this.draw(scale);
    this.point(null);
  }

  draw(scale) {
    const context = prepareCanvas(this.canvas, scale.width, CURVE_HEIGHT);
    drawGrid(context, scale, CURVE_HEIGHT);
    if (!this.points.length) return;
    context.beginPath();
    this.trace(context, scale);
    context.strokeStyle = colours.accent;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(scale.x(this.points.at(-1).at), CURVE_HEIGHT);
    context.lineTo(scale.x(this.points[0].at), CURVE_HEIGHT);
    context.fillStyle = colours.accent;
    context.globalAlpha = 0.16;
    context.fill();
  }

  trace(context, scale) {
    const high = CURVE_HEIGHT - 8;
    let before = null;
    for (const point of this.points) {
      const x = scale.x(point.at);
      const y = CURVE_HEIGHT - 2 - (point.value / (this.most || 1)) * high;
      // A share of the processor is of the time before; the others hold until the next sample.
      if (before !== null) {
        if (this.kind.name === "cpu") context.lineTo(before.x, y);
        else context.lineTo(x, before.y);
      }
      context.lineTo(x, y);
      before = { x, y };
    }
  }

  /** Say the value at a moment, or the peak. */
  point(at) {
    const point = at === null ? null : this.points.findLast((each) => each.at <= at);
    this.value.textContent = point ? this.kind.unit(point.value) : this.peak;
  }
}
