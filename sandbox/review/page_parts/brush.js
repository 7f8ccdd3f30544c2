// The whole run in one strip, and the range of it that is looked at.

const STRIP_HEIGHT = 46;
const STRIP_BUCKET = 4;

class Brush {
  constructor(onRange) {
    this.onRange = onRange;
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.range = el("div.brush-range", { "aria-hidden": "true" });
    this.handles = ["from", "to"].map((edge) => this.handle(edge));
    this.node = el(
      "div.brush",
      { onpointerdown: (event) => this.grab(event) },
      [this.canvas, this.range],
      this.handles,
    );
  }

  handle(edge) {
    return el(`div.brush-handle.${edge}`, {
      role: "slider",
      tabindex: "0",
      "aria-label": edge === "from" ? "Start of the range" : "End of the range",
      "aria-orientation": "horizontal",
      onkeydown: (event) => this.key(event, edge),
    });
  }

  show(selection, from, to, width) {
    Object.assign(this, { end: selection.run.end, from, to });
    this.scale = new Scale(0, this.end, width);
    this.draw(selection, width);
    const [left, right] = [this.scale.x(from), this.scale.x(to)];
    this.range.style.left = `${left}px`;
    this.range.style.width = `${Math.max(2, right - left)}px`;
    this.handles.forEach((handle, place) => this.placeHandle(handle, place ? to : from));
  }

  placeHandle(handle, at) {
    handle.style.left = `${this.scale.x(at)}px`;
    handle.setAttribute("aria-valuemin", "0");
    handle.setAttribute("aria-valuemax", this.end.toFixed(3));
    handle.setAttribute("aria-valuenow", at.toFixed(3));
    handle.setAttribute("aria-valuetext", seconds(at));
  }

  draw(selection, width) {
    const context = prepareCanvas(this.canvas, width, STRIP_HEIGHT);
    const all = this.histogram(selection.run.events, width);
    const most = Math.max(1, ...all);
    const refused = selection.ofAnyTime.filter((event) => event.outcome === "refused");
    this.bars(context, all, most, colours.line);
    this.bars(context, this.histogram(selection.ofAnyTime, width), most, colours.soft);
    this.bars(context, this.histogram(refused, width), most, colours.high);
  }

  histogram(events, width) {
    const counts = new Array(Math.ceil(width / STRIP_BUCKET) + 1).fill(0);
    for (const event of events) counts[Math.floor(this.scale.x(event.at) / STRIP_BUCKET)] += 1;
    return counts;
  }

  bars(context, counts, most, colour) {
    context.fillStyle = colour;
    counts.forEach((count, place) => {
      const height = (Math.log1p(count) / Math.log1p(most)) * (STRIP_HEIGHT - 6);
      const x = place * STRIP_BUCKET;
      if (count) context.fillRect(x, STRIP_HEIGHT - height, STRIP_BUCKET - 1, height);
    });
  }

  key(event, edge) {
    const step = (this.end / 100) * (event.shiftKey ? 10 : 1);
    const now = this[edge];
    const moves = { ArrowLeft: now - step, ArrowRight: now + step, Home: 0, End: this.end };
    moves.ArrowDown = moves.ArrowLeft;
    moves.ArrowUp = moves.ArrowRight;
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.set(edge, moves[event.key]);
  }

  set(edge, at) {
    const shortest = this.end / 1000;
    if (edge === "from") this.onRange(Math.max(0, Math.min(at, this.to - shortest)), this.to);
    else this.onRange(this.from, Math.min(this.end, Math.max(at, this.from + shortest)));
  }

  grab(event) {
    const start = this.at(event);
    const edge = ["from", "to"].find((name) => event.target.classList.contains(name));
    const isWhole = this.from === 0 && this.to === this.end;
    const inside = event.target === this.range && !isWhole;
    const [from, to] = [this.from, this.to];
    event.preventDefault();
    if (edge) this.handles[edge === "to" ? 1 : 0].focus();
    followPointer(this.node, event, (moved) => {
      const now = this.at(moved);
      if (edge) this.set(edge, now);
      else if (inside) this.slide(from, to, now - start);
      else if (Math.abs(now - start) > this.end / 200)
        this.onRange(...[start, now].sort(ascending));
    });
  }

  slide(from, to, by) {
    const allowed = Math.max(-from, Math.min(this.end - to, by));
    this.onRange(from + allowed, to + allowed);
  }

  at(event) {
    return this.scale.at(event.clientX - this.canvas.getBoundingClientRect().left);
  }
}

function ascending(one, other) {
  return one - other;
}

/** Tell `onMove` of the pointer until it is let go; `onEnd` of the end. */
function followPointer(node, start, onMove, onEnd = () => {}) {
  const ending = new AbortController();
  const { signal } = ending;
  const end = (event) => {
    ending.abort();
    onEnd(event);
  };
  node.setPointerCapture(start.pointerId);
  node.addEventListener("pointermove", onMove, { signal });
  node.addEventListener("pointerup", end, { signal });
  node.addEventListener("pointercancel", end, { signal });
}
