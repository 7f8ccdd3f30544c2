// The timeline: strip, axis, processes and curves on one scale.

const MOST_TOLD = 6;

class Timeline {
  constructor(host) {
    this.host = host;
    this.brush = new Brush((from, to) => this.zoomTo(from, to));
    this.lanes = new Lanes(this);
    this.curves = CURVES.map((kind) => new Curve(kind));
    this.axis = el("canvas", { "aria-hidden": "true" });
    this.crosshair = el("div.crosshair", { hidden: true });
    this.drag = el("div.drag", { hidden: true });
    this.tip = el("div.tip", { hidden: true });
    this.rangeText = el("span.range-text");
    this.noSamples = el(
      "p.empty",
      {},
      "No curves: what this run used was not sampled, or only once.",
    );
    this.tracks = el("div.tracks", {}, this.parts());
    this.build();
    new ResizeObserver(() => this.resized()).observe(this.tracks);
  }

  parts() {
    const strip = el("div.track-label.strip-label", {}, this.rangeText, this.zoomButtons());
    return [
      el("div.track.strip", {}, strip, el("div.track-plot", {}, this.brush.node)),
      el("div.track.axis", {}, el("div.track-label"), el("div.track-plot", {}, this.axis)),
      this.lanes.node,
      this.curves.map((curve) => curve.node),
      [this.crosshair, this.drag, this.tip],
    ];
  }

  build() {
    fill(
      this.host,
      el("p.legend", {}, Object.keys(KINDS).map(legendOf), signs()),
      this.tracks,
      this.noSamples,
      el("p.keys", { id: "timeline-keys" }, KEYS),
    );
    const leave = () => this.hideTip();
    this.tracks.addEventListener("pointerleave", leave);
    for (const curve of this.curves) {
      curve.canvas.addEventListener("pointermove", (event) => this.pointAt(event));
    }
  }

  zoomButtons() {
    const button = (label, sign, act) =>
      el("button.small", { type: "button", "aria-label": label, title: label, onclick: act }, sign);
    return el("span.zoom", {}, [
      button("Zoom in", "+", () => this.zoom(0.5)),
      button("Zoom out", "−", () => this.zoom(2)),
      button("Show the whole run", "Reset", () => this.reset()),
    ]);
  }

  show(selection) {
    this.selection = selection;
    const width = this.axis.parentElement.clientWidth;
    if (!width) return;
    this.width = width;
    const { end } = selection.run;
    const [from, to] = [state.from ?? 0, Math.min(state.to ?? end, Math.max(end, state.from ?? 0))];
    this.scale = new Scale(
      Math.min(from, end - SHORTEST_RANGE),
      Math.max(to, from + SHORTEST_RANGE),
      width,
    );
    this.rangeText.textContent = this.sayRange();
    for (const each of [this.crosshair, this.drag]) each.style.top = `${this.axisTop()}px`;
    this.brush.show(selection, this.scale.from, this.scale.to, width);
    this.drawAxis();
    this.lanes.show(selection, this.scale);
    this.showCurves(selection.run);
  }

  showCurves(run) {
    const isSampled = run.samples.length > 1;
    this.noSamples.hidden = isSampled;
    for (const curve of this.curves) {
      curve.node.hidden = !isSampled;
      curve.show(run, this.scale);
    }
  }

  resized() {
    const width = this.axis.parentElement.clientWidth;
    if (this.selection && width !== this.width) this.show(this.selection);
  }

  sayRange() {
    const step = this.scale.step() / 10;
    return `${seconds(this.scale.from, step).slice(0, -2)} – ${seconds(this.scale.to, step)}`;
  }

  drawAxis() {
    const context = prepareCanvas(this.axis, this.width, 22);
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillStyle = colours.soft;
    const step = this.scale.step();
    for (const tick of this.scale.ticks()) {
      const label = seconds(tick, step);
      const half = label.length * 3.3;
      const x = Math.min(this.width - half, Math.max(half, this.scale.x(tick)));
      context.fillText(label, x, 14);
    }
  }

  zoomTo(one, other) {
    const { end } = this.selection.run;
    const [from, to] = [Math.max(0, Math.min(one, other)), Math.min(end, Math.max(one, other))];
    if (to - from < SHORTEST_RANGE) return;
    if (from === 0 && to === end) this.reset();
    else update({ from, to });
  }

  zoom(factor, around) {
    const { from, to } = this.scale;
    const middle = around ?? (from + to) / 2;
    this.zoomTo(middle - (middle - from) * factor, middle + (to - middle) * factor);
  }

  reset() {
    update({ from: null, to: null });
  }

  /** Show a moment in every track. */
  point(at, x) {
    this.crosshair.hidden = false;
    this.crosshair.style.left = `${this.plotLeft() + x}px`;
    for (const curve of this.curves) curve.point(at);
  }

  pointAt(event) {
    const x = event.clientX - this.axis.getBoundingClientRect().left;
    this.point(this.scale.at(x), x);
  }

  axisTop() {
    return this.axis.parentElement.parentElement.offsetTop;
  }

  plotLeft() {
    return this.axis.parentElement.offsetLeft;
  }

  showDrag(from, to) {
    this.drag.hidden = from === to;
    this.drag.style.left = `${this.plotLeft() + Math.min(from, to)}px`;
    this.drag.style.width = `${Math.abs(to - from)}px`;
  }

  showTip(mark, x, y) {
    const told = mark.events.toSorted((one, other) => weight(other) - weight(one));
    const more = told.length - MOST_TOLD;
    fill(
      this.tip,
      el("div.tip-head", {}, `process ${mark.lane.number}: ${mark.lane.title.slice(0, 80)}`),
      told.slice(0, MOST_TOLD).map(tipLine),
      more > 0 && el("div.tip-more", {}, `and ${number(more)} more here: zoom in to part them`),
    );
    this.tip.hidden = false;
    const most = this.tracks.clientWidth - this.tip.offsetWidth - 4;
    this.tip.style.left = `${Math.max(0, Math.min(most, this.plotLeft() + x - 40))}px`;
    this.tip.style.top = `${y}px`;
  }

  hideTip(keepsMoment = false) {
    this.tip.hidden = true;
    if (keepsMoment) return;
    this.crosshair.hidden = true;
    for (const curve of this.curves) curve.point(null);
  }

  /** Bring an event into sight. */
  reveal(event) {
    const isOutside = event.at < this.scale.from || event.at > this.scale.to;
    if (isOutside) this.reset();
    this.lanes.revealLane(event.lane);
  }
}

const KEYS =
  "Drag to zoom. With the keyboard: arrows move along a process and between processes, + and − " +
  "zoom, 0 shows the whole run, Enter opens the event.";

function legendOf(kind) {
  return el("span.legend-kind", {}, icon(KINDS[kind].icon, `kind-${kind}`), KINDS[kind].label);
}

function signs() {
  const said = [
    [icon(OUTCOMES.missing.icon, "stroke ring"), "ringed: refused"],
    [icon("M2.2 2.2H9.8V9.8H2.2Z", "stroke"), "hollow: missing or failed"],
    [icon("M1 2.5H11L6 9.5Z", "high"), "flag: in a finding"],
    [icon("M6 .5V2.5M6 4.5V6.5M6 8.5V10.5", "stroke"), "dotted end: killed, or ended with the run"],
  ];
  return said.map((parts) => el("span.legend-sign", {}, parts));
}

function tipLine(event) {
  return el(
    "div.tip-line",
    {},
    icon(KINDS[event.kind].icon, `kind-${event.kind}`),
    el("span.tip-at", {}, moment(event.at)),
    el("span.tip-what", {}, event.what.slice(0, 160)),
    event.outcome === "allowed" ? "" : badge(event.outcome),
  );
}
