// Small signs with words, and the tables: each shows the events of a kind.

/** A sign for an outcome: never by its colour alone. */
function badge(outcome, count = null) {
  const said = count === null ? outcome : number(count);
  const label = count === null ? null : `${count} ${outcome}`;
  const attributes = label ? { title: label, "aria-label": label, role: "img" } : {};
  return el(`span.badge.${outcome}`, attributes, icon(OUTCOMES[outcome].icon, "stroke"), said);
}

function severityMark(severity) {
  const label = `in a finding of ${severity} severity`;
  const sign = icon(SEVERITIES[severity].icon, "stroke");
  return el(`span.mark.${severity}`, { title: label, role: "img", "aria-label": label }, sign);
}

function kindSign(kind) {
  return el(`span.kind.kind-${kind}`, {}, icon(KINDS[kind].icon, `kind-${kind}`), KINDS[kind].one);
}

const COLUMNS = {
  at: { name: "at", label: "Time", cell: (event) => moment(event.at) },
  process: {
    name: "process",
    label: "Process",
    cell: (event) => el("span", { title: event.lane.title }, `#${event.process}`),
  },
  kind: { name: "kind", label: "Kind", cell: (event) => kindSign(event.kind) },
  outcome: { name: "outcome", label: "Outcome", cell: (event) => badge(event.outcome) },
  count: {
    name: "count",
    label: "Times",
    cell: (event) => (event.count > 1 ? `${number(event.count)}×` : ""),
  },
  what: { name: "what", label: "What", main: true, cell: whatCell },
};

function whatCell(event) {
  const severity = worstOf(event);
  return [severity && severityMark(severity), el("span.what", {}, event.what.slice(0, 400))];
}

function textColumn(name, label, of, main = false) {
  return {
    name,
    label,
    main,
    cell: (event) => el("span.what", {}, String(of(event)).slice(0, 400)),
  };
}

const { at, process, outcome, count, what, kind } = COLUMNS;

const TABLES = {
  network: {
    label: "Network attempts",
    parts: { label: "Kind of attempt", key: "action", names: NETWORK_ACTIONS },
    columns: [
      at,
      process,
      outcome,
      textColumn("action", "Action", (event) => event.action),
      textColumn("family", "Family", (event) => event.family),
      { ...COLUMNS.what, label: "Where to", cell: (event) => endpointCell(event) },
      textColumn("sent", "First bytes", (event) => event.sent ?? ""),
      count,
    ],
    empty: "Nothing was tried over the network.",
  },
  program: {
    label: "Programs started",
    columns: [
      at,
      process,
      outcome,
      { ...what, label: "Program with its arguments" },
      textColumn("path", "File", (event) => event.path),
      count,
    ],
    empty: "No program was started.",
  },
  signal: {
    label: "Signals",
    columns: [at, process, outcome, { ...what, label: "Signal" }, count],
    empty: "No signal was sent.",
  },
  system_call: {
    label: "System calls that were refused",
    columns: [
      at,
      process,
      textColumn("error", "Program got", (event) => event.error),
      { ...what, label: "Call", cell: (event) => [marked(event), el("b.what", {}, event.name)] },
      textColumn("why", "Why it is refused", (event) => event.why),
      count,
    ],
    empty: "The filter refused nothing.",
  },
  environment: {
    label: "Variables that were read",
    columns: [at, process, outcome, { ...what, label: "Variable" }, count],
    empty: "No variable was read, as far as the program's Python tells.",
  },
  python: {
    label: "What the program's Python told",
    parts: { label: "Kind of act", key: "action", names: PYTHON_ACTIONS, isSorted: true },
    columns: [
      at,
      process,
      textColumn("action", "Action", (event) => event.action),
      {
        ...what,
        label: "Detail",
        cell: (event) => [marked(event), el("span.what", {}, event.detail.slice(0, 400))],
      },
      textColumn("where", "Where", (event) => event.where ?? ""),
      count,
    ],
    empty: "The program's Python told nothing.",
  },
};

function marked(event) {
  const severity = worstOf(event);
  return severity && severityMark(severity);
}

function endpointCell(event) {
  const server = event.name && event.address ? ` (asked ${event.address}:${event.port})` : "";
  return [marked(event), el("span.what", {}, endpoint(event) + server)];
}

const EVENT_COLUMNS = [at, process, kind, outcome, what, count];

function makeTable(name) {
  const { label, columns, empty } = TABLES[name];
  const table = new Grid({ id: name, label, columns, empty, onPick: selectEvent, mostRows: 10 });
  const parts = TABLES[name].parts && new Parts(TABLES[name].parts, () => show());
  views.push((selection) => {
    const own = selection.byKind[name];
    table.show(parts ? parts.choose(own) : own, selection.run.totals[name]);
  });
  if (parts) table.host.prepend(parts.node);
  return table;
}

/** Chips that choose among the parts of one table, as the kinds of access of the files. */
class Parts {
  constructor({ label, key, names, isSorted = false }, onChange) {
    Object.assign(this, { key, names, isSorted, onChange, chosen: null });
    this.chips = names.map((name) => this.chip(name));
    this.node = el("div.chips.parts", { role: "group", "aria-label": label }, this.chips);
  }

  chip(name) {
    const choose = () => {
      this.chosen = this.chosen === name ? null : name;
      this.onChange();
    };
    return el("button.chip", { type: "button", onclick: choose });
  }

  /** Give what is chosen of these events, in the order of the chips; those count all. */
  choose(events) {
    const counts = {};
    for (const event of events) increment(counts, event[this.key]);
    this.names.forEach((name, place) => this.tell(this.chips[place], name, counts[name] ?? 0));
    if (this.chosen) return events.filter((event) => event[this.key] === this.chosen);
    return this.isSorted
      ? events.toSorted((one, other) => this.rank(one) - this.rank(other))
      : events;
  }

  rank(event) {
    return this.names.indexOf(event[this.key]);
  }

  tell(chip, name, count) {
    chip.setAttribute("aria-pressed", String(this.chosen === name));
    chip.classList.toggle("none", !count);
    fill(chip, name, el("span.chip-count", {}, number(count)));
  }
}

/** A table of facts that are few: [[heading, ...], [cell, ...], ...]. */
function plainTable(label, headings, rows) {
  const head = el(
    "tr",
    {},
    headings.map((heading) => el("th", { scope: "col" }, heading)),
  );
  const body = rows.map((row) =>
    el(
      "tr",
      {},
      row.map((cell, place) => el("td", { "data-label": headings[place] }, cell)),
    ),
  );
  const table = el(
    "table",
    {},
    el("caption.unseen", {}, label),
    el("thead", {}, head),
    el("tbody", {}, body),
  );
  return el("div.scroll-x", { tabindex: "0", role: "region", "aria-label": label }, table);
}
