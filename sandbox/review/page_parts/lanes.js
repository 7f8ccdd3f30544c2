// Processes as bars, and on them what they did: marks by kind, drawn together where they meet.

const LANE_HEIGHT = 34;
const MARK_WIDTH = 15;
const MOST_LANES = 12;
const MARK_ORDER = ["network", "system_call", "signal", "program", "python", "environment", "file"];

class Lanes {
  constructor(timeline) {
    this.timeline = timeline;
    this.shown = [];
    this.marks = new Map();
    this.cursor = null;
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.labels = el("div.lane-labels");
    this.layer = el("div.lane-layer", {}, this.labels, el("div.lane-plot", {}, this.canvas));
    this.spacer = el("div.lane-spacer", {}, this.layer);
    this.node = el("div.lanes", this.attributes(), this.spacer);
    this.plot = this.canvas.parentElement;
    this.plot.addEventListener("pointerdown", (event) => this.grab(event));
    this.plot.addEventListener("pointermove", (event) => this.hover(event));
    this.plot.addEventListener("pointerleave", () => this.timeline.hideTip());
  }

  attributes() {
    return {
      tabindex: "0",
      role: "application",
      "aria-roledescription": "timeline",
      "aria-label": "Processes and their events",
      "aria-describedby": "timeline-keys",
      onscroll: () => this.draw(),
      onkeydown: (event) => this.key(event),
      onfocus: () => this.focused(),
      onblur: () => this.timeline.hideTip(),
    };
  }

  show(selection, scale) {
    Object.assign(this, { selection, scale });
    this.shown = lanesToShow(selection);
    this.marks.clear();
    this.node.style.height = `${Math.min(this.shown.length, MOST_LANES) * LANE_HEIGHT + 2}px`;
    this.spacer.style.height = `${this.shown.length * LANE_HEIGHT}px`;
    if (!this.shown.includes(this.cursor?.lane)) this.cursor = null;
    this.draw();
  }

  draw() {
    if (!this.scale) return;
    const height = Math.min(this.shown.length, MOST_LANES) * LANE_HEIGHT;
    this.layer.style.height = `${height}px`;
    this.context = prepareCanvas(this.canvas, this.scale.width, height);
    drawGrid(this.context, this.scale, height);
    const top = this.node.scrollTop;
    const first = Math.floor(top / LANE_HEIGHT);
    const drawn = this.shown.slice(first, first + MOST_LANES + 1);
    drawn.forEach((lane, place) => this.drawLane(lane, (first + place) * LANE_HEIGHT - top));
    this.drawLabels(drawn, first * LANE_HEIGHT - top);
  }

  drawLabels(lanes, top) {
    const made = lanes.map((lane, place) => {
      const label = this.label(lane);
      label.style.transform = `translateY(${top + place * LANE_HEIGHT}px)`;
      label.style.paddingLeft = `${6 + Math.min(lane.depth, 6) * 12}px`;
      return label;
    });
    this.labels.replaceChildren(...made);
  }

  label(lane) {
    const own = this.selection.byProcess.get(lane.number)?.length ?? 0;
    const facts = `process ${lane.number}, pid ${lane.pid}: ${lane.title}`;
    const choose = () => update({ process: state.process === lane.number ? null : lane.number });
    const label = el(
      "button.lane-label",
      { type: "button", tabindex: "-1", title: facts, onclick: choose },
      el("span.lane-number", {}, lane.number),
      el(`span.lane-name${lane.isNamed ? "" : ".unnamed"}`, {}, lane.title.slice(0, 120)),
      el("span.lane-count", {}, own ? number(own) : ""),
    );
    label.classList.toggle("quiet", !own);
    label.classList.toggle("chosen", state.process === lane.number);
    return label;
  }

  drawLane(lane, top) {
    this.context.strokeStyle = colours.line;
    this.context.lineWidth = 1;
    line(this.context, 0, top + LANE_HEIGHT - 0.5, this.scale.width, top + LANE_HEIGHT - 0.5);
    this.drawBar(lane, top);
    for (const mark of this.marksOf(lane)) this.drawMark(mark, top);
  }

  drawBar(lane, top) {
    const { context, scale } = this;
    const end = lane.ended_at ?? this.selection.run.end;
    const left = Math.max(-2, scale.x(lane.started_at) - 3);
    const right = Math.min(scale.width + 2, scale.x(end) + 3);
    if (right < 0 || left > scale.width) return;
    context.fillStyle = colours.bar;
    context.beginPath();
    context.roundRect(left, top + 15, Math.max(3, right - left), 14, 4);
    context.fill();
    if (lane.ended_at === null) this.drawOpenEnd(right, top);
  }

  drawOpenEnd(right, top) {
    const { context } = this;
    context.strokeStyle = colours.soft;
    context.lineWidth = 1.5;
    context.setLineDash([2, 2]);
    line(context, right - 1, top + 12, right - 1, top + 32);
    context.setLineDash([]);
  }

  /** Give the marks of a process, from left to right: what would lie on each other shares one. */
  marksOf(lane) {
    if (!this.marks.has(lane)) this.marks.set(lane, this.gather(lane));
    return this.marks.get(lane);
  }

  gather(lane) {
    const places = new Map();
    for (const event of this.selection.byProcess.get(lane.number) ?? []) {
      const place = Math.round(this.scale.x(event.at) / MARK_WIDTH);
      if (!places.has(place)) places.set(place, newMark(lane, place));
      addToMark(places.get(place), event);
    }
    return [...places.values()].sort((one, other) => one.place - other.place);
  }

  drawMark(mark, top) {
    const { context } = this;
    const x = mark.place * MARK_WIDTH;
    this.drawPile(mark, x, top + 13);
    drawIcon(context, mark.first, x, top + 22);
    if (mark.severity) drawFlag(context, mark.severity, x, top + 4);
    if (mark === this.cursor || mark.events.some((event) => event.index === state.selected)) {
      context.strokeStyle = colours.accent;
      context.lineWidth = 2;
      context.strokeRect(x - 8.5, top + 13.5, 17, 17);
    }
  }

  drawPile(mark, x, bottom) {
    if (mark.events.length < 2) return;
    const height = Math.min(9, 1 + Math.log2(mark.events.length));
    let y = bottom;
    for (const kind of MARK_ORDER.toReversed()) {
      const share = ((mark.kinds[kind] ?? 0) / mark.events.length) * height;
      this.context.fillStyle = colours[`kind-${kind}`];
      this.context.fillRect(x - 4, y - share, 8, share);
      y -= share;
    }
  }

  markAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const lane =
      this.shown[Math.floor((event.clientY - box.top + this.node.scrollTop) / LANE_HEIGHT)];
    if (!lane) return null;
    const x = event.clientX - box.left;
    const near = (mark) => Math.abs(mark.place * MARK_WIDTH - x);
    const best = this.marksOf(lane).toSorted((one, other) => near(one) - near(other))[0];
    return best && near(best) <= MARK_WIDTH ? best : null;
  }

  hover(event) {
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    const mark = this.markAt(event);
    this.timeline.point(this.scale.at(x), x);
    if (mark) this.tip(mark);
    else this.timeline.hideTip(true);
  }

  tip(mark) {
    const top = this.shown.indexOf(mark.lane) * LANE_HEIGHT - this.node.scrollTop;
    this.timeline.showTip(mark, mark.place * MARK_WIDTH, this.node.offsetTop + top + LANE_HEIGHT);
  }

  grab(start) {
    const left = this.canvas.getBoundingClientRect().left;
    const mark = this.markAt(start);
    const from = start.clientX - left;
    let x = from;
    const move = (event) => {
      x = event.clientX - left;
      this.timeline.showDrag(from, x);
    };
    followPointer(this.plot, start, move, () => {
      this.timeline.showDrag(0, 0);
      if (Math.abs(x - from) > 6)
        this.timeline.zoomTo(...[from, x].map((each) => this.scale.at(each)));
      else if (mark) this.pick(mark);
    });
  }

  pick(mark) {
    this.cursor = mark;
    selectEvent(mark.first);
  }

  // By keys: left and right along a process, up and down between them.

  focused() {
    if (!this.cursor) this.cursor = this.shown.map((lane) => this.marksOf(lane)[0]).find(Boolean);
    if (this.cursor) this.goTo(this.cursor);
  }

  key(event) {
    const move = this.moves()[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  moves() {
    const own = this.cursor ? this.marksOf(this.cursor.lane) : [];
    const place = own.findIndex((mark) => mark.place === this.cursor.place);
    return {
      ArrowRight: () => this.goTo(own[place + 1]),
      ArrowLeft: () => this.goTo(own[place - 1]),
      Home: () => this.goTo(own[0]),
      End: () => this.goTo(own.at(-1)),
      ArrowDown: () => this.goToLane(1),
      ArrowUp: () => this.goToLane(-1),
      Enter: () => this.cursor && this.pick(this.cursor),
      "+": () => this.timeline.zoom(0.5, this.cursorTime()),
      "=": () => this.timeline.zoom(0.5, this.cursorTime()),
      "-": () => this.timeline.zoom(2, this.cursorTime()),
      0: () => this.timeline.reset(),
    };
  }

  cursorTime() {
    return this.cursor?.first.at;
  }

  goToLane(step) {
    let place = this.shown.indexOf(this.cursor?.lane) + step;
    while (this.shown[place] && !this.marksOf(this.shown[place]).length) place += step;
    const marks = this.shown[place] ? this.marksOf(this.shown[place]) : [];
    const far = (mark) => Math.abs(mark.place - (this.cursor?.place ?? 0));
    this.goTo(marks.toSorted((one, other) => far(one) - far(other))[0]);
  }

  goTo(mark) {
    if (!mark) return;
    this.cursor = mark;
    this.revealLane(mark.lane);
    this.draw();
    this.timeline.point(mark.first.at, mark.place * MARK_WIDTH);
    this.tip(mark);
    announce(sayMark(mark));
  }

  revealLane(lane) {
    const top = this.shown.indexOf(lane) * LANE_HEIGHT;
    const seen = MOST_LANES * LANE_HEIGHT;
    if (top < this.node.scrollTop) this.node.scrollTop = top;
    if (top + LANE_HEIGHT > this.node.scrollTop + seen)
      this.node.scrollTop = top + LANE_HEIGHT - seen;
  }
}

/** Give all processes; under a filter those with something in it, and those that they came from. */
function lanesToShow(selection) {
  const { lanes, laneOf } = selection.run;
  if (!isFiltered()) return lanes;
  const wanted = new Set();
  for (const processNumber of selection.byProcess.keys()) {
    let lane = laneOf.get(processNumber);
    while (lane && !wanted.has(lane)) {
      wanted.add(lane);
      lane = laneOf.get(lane.parent);
    }
  }
  return lanes.filter((lane) => wanted.has(lane));
}

function newMark(lane, place) {
  return { lane, place, events: [], kinds: {}, first: null, severity: null };
}

function addToMark(mark, event) {
  mark.events.push(event);
  increment(mark.kinds, event.kind);
  if (!mark.first || weight(event) > weight(mark.first)) mark.first = event;
  mark.severity = worse(mark.severity, worstOf(event));
}

/** Say how much an event should be seen before others in its place. */
function weight(event) {
  const rank = MARK_ORDER.length - MARK_ORDER.indexOf(event.kind);
  return rank + (event.outcome === "refused" ? 20 : 0) + (event.findings.length ? 40 : 0);
}

function drawIcon(context, event, x, y) {
  const colour = colours[`kind-${event.kind}`];
  const isHollow = event.outcome === "missing" || event.outcome === "failed";
  context.save();
  context.translate(x - 5.5, y - 5.5);
  context.scale(11 / 12, 11 / 12);
  context.lineWidth = 1.6;
  context.fillStyle = isHollow ? colours.panel : colour;
  context.strokeStyle = isHollow ? colour : colours.panel;
  context.stroke(iconPath(event.kind));
  context.fill(iconPath(event.kind));
  context.restore();
  if (event.outcome === "refused") drawRefusal(context, x, y);
}

function drawRefusal(context, x, y) {
  context.strokeStyle = colours.high;
  context.lineWidth = 1.8;
  context.beginPath();
  context.arc(x, y, 7.6, 0, 2 * Math.PI);
  context.stroke();
}

function drawFlag(context, severity, x, y) {
  context.fillStyle = colours[severity];
  context.beginPath();
  context.moveTo(x - 4, y - 3);
  context.lineTo(x + 4, y - 3);
  context.lineTo(x, y + 3);
  context.fill();
}

function sayMark(mark) {
  const { first } = mark;
  const more = mark.events.length > 1 ? ` and ${plural(mark.events.length - 1, "more event")}` : "";
  const who = `process ${mark.lane.number}, ${moment(first.at)}`;
  return `${who}: ${first.what}, ${first.outcome}${more}`;
}
