// A list of which only the rows in sight are there: a grid with one row active.

const MOST_PRINTED = 200;
const NARROW = matchMedia("(max-width: 719px)");
const NARROW_ROW = 60;
const WIDE_ROW = 30;
const NARROW_ROWS = 7;

/**
 * A grid of rows. `columns` are {name, label, cell(row), main}; `onPick(row)` is told of a choice.
 * A subclass may say more of a row: its class, its attributes, its keys.
 */
class Grid {
  constructor({ id, label, columns, onPick, mostRows = 14, empty = "Nothing of this was seen." }) {
    Object.assign(this, { id, label, columns, onPick, mostRows, empty });
    this.rows = [];
    this.active = -1;
    this.top = 0;
    this.isPrinting = false;
    this.build();
  }

  build() {
    this.head = el("div.grid-head", { role: "row", "aria-rowindex": "1" }, this.headCells());
    this.spacer = el("div.grid-spacer", { role: "rowgroup" });
    this.body = el(
      "div.grid-body",
      { role: "presentation", onscroll: () => this.scrolled() },
      this.spacer,
    );
    this.node = el(
      `div.grid.grid-${this.id}`,
      {
        role: "grid",
        "aria-label": this.label,
        tabindex: "0",
        onkeydown: (event) => this.key(event),
        onfocus: () => this.focused(),
        onclick: (event) => this.clicked(event),
      },
      el("div.grid-headgroup", { role: "rowgroup" }, this.head),
      this.body,
    );
    this.none = el("p.empty", { hidden: true });
    this.host = el("div.grid-host", {}, this.node, this.none);
  }

  headCells() {
    return this.columns.map((column) =>
      el(`div.cell.c-${column.name}`, { role: "columnheader" }, column.label),
    );
  }

  /** Show these rows; `total` is how many there would be without the filter. */
  show(rows, total = rows.length) {
    this.rows = rows;
    this.active = Math.min(this.active, rows.length - 1);
    this.node.setAttribute("aria-rowcount", rows.length + 1);
    this.node.hidden = !rows.length;
    this.none.hidden = !!rows.length;
    if (!rows.length) fill(this.none, total ? "Nothing of this passes the filter." : this.empty);
    this.resize();
  }

  get mostSeen() {
    return NARROW.matches ? Math.min(NARROW_ROWS, this.mostRows) : this.mostRows;
  }

  get rowHeight() {
    return NARROW.matches ? NARROW_ROW : WIDE_ROW;
  }

  // Kept here: to ask the browser between two changes would make it lay out the page each time.
  scrolled() {
    this.top = this.body.scrollTop;
    this.draw();
  }

  resize() {
    const shown = Math.min(this.rows.length, this.isPrinting ? MOST_PRINTED : this.mostSeen);
    this.node.classList.toggle("scrolls", this.rows.length > shown);
    this.body.style.height = `${shown * this.rowHeight}px`;
    this.spacer.style.height = `${this.rows.length * this.rowHeight}px`;
    this.draw();
  }

  print(isPrinting) {
    this.isPrinting = isPrinting;
    this.resize();
  }

  draw() {
    const height = this.rowHeight;
    const most = Math.max(0, this.rows.length * height - this.seenHeight());
    const first = Math.max(0, Math.floor(Math.min(this.top, most) / height) - 4);
    const count = Math.ceil(this.seenHeight() / height) + 8;
    const last = Math.min(this.rows.length, first + count);
    const drawn = [];
    for (let place = first; place < last; place += 1) drawn.push(this.row(place, height));
    this.spacer.replaceChildren(...drawn);
    this.tellActive();
  }

  seenHeight() {
    return parseFloat(this.body.style.height) || 0;
  }

  row(place, height) {
    const row = this.rows[place];
    const cells = this.columns.map((column) => this.cell(column, row));
    const node = el(
      "div.row",
      {
        role: "row",
        id: `${this.id}-row-${place}`,
        "aria-rowindex": place + 2,
        "data-place": place,
        ...this.rowAttributes(row),
      },
      cells,
    );
    node.classList.toggle("active", place === this.active);
    node.classList.add(...this.rowClasses(row));
    node.style.transform = `translateY(${place * height}px)`;
    node.style.height = `${height}px`;
    return node;
  }

  cell(column, row) {
    const spec = `div.cell.c-${column.name}${column.main ? ".main" : ""}`;
    return el(spec, { role: "gridcell" }, column.cell(row));
  }

  rowAttributes(row) {
    return this.isSelected(row) ? { "aria-selected": "true" } : {};
  }

  rowClasses(row) {
    return this.isSelected(row) ? ["selected"] : [];
  }

  isSelected(row) {
    return row.index !== undefined && row.index === state.selected && row.kind !== undefined;
  }

  tellActive() {
    const id = `${this.id}-row-${this.active}`;
    const isDrawn = this.active >= 0 && byId(id);
    if (isDrawn) this.node.setAttribute("aria-activedescendant", id);
    else this.node.removeAttribute("aria-activedescendant");
  }

  focused() {
    // Not under a pointer: rows drawn anew between its press and its release would lose the click.
    const isByKey = this.node.matches(":focus-visible");
    if (isByKey && this.active < 0 && this.rows.length) this.move(0);
  }

  clicked(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    this.move(Number(row.dataset.place));
    this.pick(this.rows[this.active], event);
  }

  pick(row) {
    this.onPick?.(row);
  }

  move(place) {
    this.active = Math.max(0, Math.min(this.rows.length - 1, place));
    this.reveal(this.active);
    this.draw();
  }

  reveal(place) {
    const top = place * this.rowHeight;
    const bottom = top + this.rowHeight - this.seenHeight();
    if (top < this.top) this.body.scrollTop = top;
    else if (bottom > this.top) this.body.scrollTop = bottom;
    this.top = this.body.scrollTop;
  }

  key(event) {
    const steps = {
      ArrowDown: this.active + 1,
      ArrowUp: this.active - 1,
      PageDown: this.active + this.mostSeen - 1,
      PageUp: this.active - this.mostSeen + 1,
      Home: 0,
      End: this.rows.length - 1,
    };
    if (event.key in steps) this.move(steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.pick(this.rows[this.active], event);
    else return;
    event.preventDefault();
  }
}
