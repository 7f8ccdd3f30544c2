// The page put together: filter bar, sections, details, keys.

function announce(text) {
  byId("said").textContent = visible(text);
}

function selectEvent(event) {
  if (event) update({ selected: event.index });
}

let cameFrom = null;

/** Go to an event, wherever it is; a filter that hides it gives way. */
function jumpTo(runIndex, place) {
  const event = runOf(runIndex).events[place];
  cameFrom = document.activeElement;
  const isHidden = failing(
    event,
    { ...state, process: state.run === runIndex ? state.process : null },
    wordsOf(state.text),
  );
  update({
    run: runIndex,
    selected: place,
    ...(isHidden || runIndex !== state.run ? NOTHING_CHOSEN : {}),
  });
  requestAnimationFrame(() => revealEvent(event, isHidden));
}

function revealEvent(event, wasHidden) {
  timeline.reveal(event);
  const row = eventTable.rows.indexOf(event);
  byId("timeline").scrollIntoView();
  eventTable.move(row);
  byId("details").focus({ preventScroll: true });
  announce(`${event.what}${wasHidden ? "; the filter was cleared to show it" : ""}`);
}

// The filter bar.

function chip(facet, name, label, sign) {
  const counter = el("span.chip-count");
  const choose = () => update({ [facet]: toggled(state[facet], name) });
  const node = el(
    "button.chip",
    { type: "button", "aria-pressed": "false", onclick: choose },
    sign,
    label,
    counter,
  );
  views.push(({ counts }) => {
    node.setAttribute("aria-pressed", String(state[facet].includes(name)));
    counter.textContent = number(counts[facet][name] ?? 0);
    node.classList.toggle("none", !counts[facet][name]);
  });
  return node;
}

function chips(label, facet, known, style) {
  const made = Object.entries(known).map(([name, each]) =>
    chip(facet, name, each.label, icon(each.icon, style(name))),
  );
  return el(
    "div.chips",
    { role: "group", "aria-label": label },
    el("span.chips-label.only-narrow", {}, label),
    made,
  );
}

function searchBox() {
  const box = el("input", {
    type: "search",
    id: "search",
    placeholder: "Search all events",
    "aria-label": "Search all events",
    "aria-keyshortcuts": "/",
    spellcheck: "false",
    oninput: () => update({ text: box.value }),
  });
  views.push(() => {
    if (box.value !== state.text) box.value = state.text;
  });
  return el("div.search", {}, box, el("kbd", { "aria-hidden": "true" }, "/"));
}

function processChoice() {
  const choose = () => update({ process: node.value === "" ? null : Number(node.value) });
  const node = el("select", { "aria-label": "Process", onchange: choose });
  views.push(({ run }) => {
    if (node.shownFor !== run)
      fill(node, el("option", { value: "" }, "All processes"), run.lanes.map(laneOption));
    node.shownFor = run;
    node.value = state.process ?? "";
  });
  return node;
}

function laneOption(lane) {
  return el("option", { value: lane.number }, `${lane.number}: ${lane.title.slice(0, 60)}`);
}

const MOST_SWITCHES = 4;

function runSwitch() {
  if (review.runs.length < 2) return "";
  return review.runs.length > MOST_SWITCHES ? runChoice() : runButtons();
}

function chooseRun(index) {
  update({ run: index, selected: null, process: null, from: null, to: null });
}

function runName(run, index) {
  return `${index + 1}: ${run.input || "no input"}`;
}

function runChoice() {
  const node = el("select", { "aria-label": "Run", onchange: () => chooseRun(Number(node.value)) });
  const options = review.runs.map((run, index) => el("option", { value: index }));
  fill(node, options);
  views.push(() => {
    node.value = state.run;
    options.forEach((option, index) =>
      fill(option, `Run ${runName(review.runs[index], index)} (${number(countMatches(index))})`),
    );
  });
  return node;
}

function runButtons() {
  const made = review.runs.map((run, index) => runButton(run, index));
  return el("fieldset.runs", {}, el("legend", {}, "Run"), made);
}

function runButton(run, index) {
  const radio = el("input", {
    type: "radio",
    name: "run",
    value: index,
    onchange: () => chooseRun(index),
  });
  const counter = el("span.chip-count");
  views.push(() => {
    radio.checked = state.run === index;
    counter.textContent = number(countMatches(index));
  });
  const sign = icon(
    run.result.status === "ok" ? OUTCOMES.allowed.icon : OUTCOMES.failed.icon,
    "stroke",
  );
  const name = el("span.run-name", { title: run.input }, runName(run, index));
  return el(
    "label.run",
    {},
    radio,
    name,
    el("span.run-status", {}, sign, run.result.status),
    counter,
  );
}

function clearAll() {
  update({ ...NOTHING_CHOSEN, selected: null });
}

function filterBar() {
  const count = el("output.count", { id: "count" });
  const clear = el(
    "button.small",
    { type: "button", id: "clear", onclick: clearAll },
    "Clear filter",
  );
  const time = el("button.chip.time", { type: "button", onclick: () => timeline.reset() });
  const more = el("div.more", { id: "more" }, [
    chips("Kind", "kinds", KINDS, (name) => `kind-${name}`),
    chips("Outcome", "outcomes", OUTCOMES, (name) => `stroke ${name}`),
    chips("Severity", "severities", SEVERITIES, (name) => `stroke ${name}`),
    time,
  ]);
  const attributes = { type: "button", id: "open-filter", "aria-controls": "more" };
  const open = el(
    "button.small",
    { ...attributes, onclick: () => toggleMore(open, more) },
    "Filters",
  );
  open.setAttribute("aria-expanded", String(!NARROW.matches));
  more.classList.toggle("open", !NARROW.matches);
  views.push((selection) => showCount(selection, count, clear, time));
  fill(
    byId("filter"),
    el("div.first", {}, runSwitch(), searchBox(), processChoice(), [open, clear, count]),
    more,
  );
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
}

function toggleMore(button, more) {
  const isOpen = more.classList.toggle("open");
  button.setAttribute("aria-expanded", String(isOpen));
}

function showCount(selection, count, clear, time) {
  const total = selection.run.events.length;
  count.textContent = `${number(selection.events.length)} of ${plural(total, "event")}`;
  clear.disabled = !isFiltered();
  time.hidden = state.from === null;
  if (!time.hidden) fill(time, `Time: ${timeline.scale ? timeline.sayRange() : ""} ✕`);
}

// The sections and the way between them.

const timelineHost = el("div.timeline");
const timeline = new Timeline(timelineHost);
const eventTable = new Grid({
  id: "events",
  label: "Events",
  columns: EVENT_COLUMNS,
  onPick: selectEvent,
  empty: "Nothing was seen.",
});
const fileTree = new FileTree();
const grids = [eventTable, fileTree];

function table(name) {
  const made = makeTable(name);
  grids.push(made);
  return made.host;
}

function sections() {
  views.push((selection) => fileTree.showTree(selection));
  const overflow = el("p.notice", { role: "note", hidden: true });
  views.push(({ run }) => {
    overflow.hidden = !run.not_kept;
    fill(overflow, keptText(run));
  });
  return [
    section(
      "glance",
      "At a glance",
      "Events by kind; the bar is what became of them.",
      glance(),
      overflow,
    ),
    findingsSection(),
    section(
      "timeline",
      "Timeline",
      "Processes from start to end, and what they did.",
      timelineHost,
    ),
    section("events", "All events", "In the order in which they were first seen.", eventTable.host),
    section(
      "files",
      "Files",
      "What was done where. Interpreter and system folders are closed at first.",
      fileTree.host,
    ),
    section("network", "Network", "Every name, address and port that was tried.", table("network")),
    section(
      "programs",
      "Programs",
      "Every program that was started, or was to be.",
      table("program"),
    ),
    callsSection(),
    section("signals", "Signals", "Who was to be told or ended.", table("signal")),
    section(
      "environment",
      "Environment",
      "Variables that were asked for.",
      evidence(),
      table("environment"),
    ),
    section(
      "python",
      "Python",
      "Code made from text, requests and the like first; imports last.",
      evidence(),
      table("python"),
    ),
    resultSection(),
    policySection(),
    boundsSection(),
  ];
}

const COUNTED = Object.fromEntries(Object.entries(SECTION_OF).map(([name, id]) => [id, name]));

function buildSections() {
  const made = sections();
  fill(byId("main"), made);
  const links = made.map((each) => {
    const counter = el("span.nav-count");
    return {
      id: each.id,
      counter,
      node: el(
        "a",
        { href: `#${each.id}` },
        el("span", {}, each.querySelector("h2").textContent),
        counter,
      ),
    };
  });
  fill(
    byId("sections"),
    el(
      "ul",
      {},
      links.map(({ node }) => el("li", {}, node)),
    ),
  );
  views.push((selection) => showCounters(links, selection));
  watchSections(made, links);
}

function showCounters(links, { run, events, byKind }) {
  for (const { id, counter } of links) {
    const name = COUNTED[id];
    if (!name && id !== "events") continue;
    const shown = name ? byKind[name] : events;
    const text = countText(shown.length, name ? run.totals[name] : run.events.length);
    byId(`${id}-count`).textContent = text;
    counter.textContent = text;
  }
  links.find(({ id }) => id === "findings").counter.textContent =
    byId("findings-count").textContent;
}

function watchSections(made, links) {
  const seen = new Set();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries)
        seen[isIntersecting ? "add" : "delete"](target.id);
      const current = links.find(({ id }) => seen.has(id));
      for (const { id, node } of links) node.classList.toggle("current", id === current?.id);
    },
    { rootMargin: "-20% 0px -50% 0px" },
  );
  for (const each of made) observer.observe(each);
}

function followAnchor(event) {
  const link = event.target.closest("a[href^='#']");
  const target = link && byId(link.getAttribute("href").slice(1));
  if (!target) return;
  event.preventDefault();
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

// The details of the event that is chosen.

function showDetails({ run }) {
  const host = byId("details");
  const event = run.events[state.selected];
  const isNew = event && host.shownFor !== event;
  host.hidden = !event;
  host.shownFor = event;
  document.body.classList.toggle("has-details", !!event);
  if (isNew) fill(host, detailsHead(event), facts(detailsOf(event)), detailsFindings(event));
}

function detailsHead(event) {
  const button = (label, act) => el("button.small", { type: "button", onclick: act }, label);
  return el("div.details-head", {}, [
    el("h2", {}, kindSign(event.kind), badge(event.outcome)),
    button("Only this process", () => update({ process: event.process })),
    event.path &&
      button("All of this path", () =>
        update({ ...NOTHING_CHOSEN, text: event.path.slice(0, 200) }),
      ),
    el(
      "button.small.close",
      { type: "button", "aria-label": "Close the details", onclick: closeDetails },
      "Close",
    ),
  ]);
}

function detailsOf(event) {
  const shown = [
    "path",
    "named",
    "to",
    "argv",
    "action",
    "family",
    "address",
    "port",
    "name",
    "sent",
    "signal",
    "target",
    "error",
    "why",
    "detail",
    "where",
  ];
  const own = shown.filter((key) => event[key] !== undefined && event[key] !== "");
  const last = event.last_at ? `, last at ${seconds(event.last_at)}` : "";
  return [
    ["what", el("span.path", {}, event.what)],
    ["time", seconds(event.at, 0.00001)],
    ["times", `${number(event.count)}${last}`],
    ["process", el("span.path", {}, `${event.process}: ${event.lane.title}`)],
    ...own.map((key) => [key, el("span.path", {}, sayValue(event[key]))]),
  ];
}

function sayValue(value) {
  return Array.isArray(value) ? value.map((word) => el("span.argument", {}, word)) : String(value);
}

function detailsFindings(event) {
  const items = event.findings.map((each) =>
    el("li", {}, severityBadge(each.severity), " ", each.title),
  );
  return items.length
    ? el("ul.details-findings", { "aria-label": "Findings that rest on it" }, items)
    : "";
}

function closeDetails() {
  update({ selected: null });
  if (byId("details").contains(document.activeElement)) cameFrom?.focus();
}

// Keys for the whole page.

function isTyping(event) {
  return /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
}

function pageKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !isTyping(event)) {
    event.preventDefault();
    byId("search").focus();
  }
  if (event.key === "Escape") escape(event);
}

/** Close what is open, the nearest first: details, then search, then the whole filter. */
function escape(event) {
  event.preventDefault();
  if (state.selected !== null) closeDetails();
  else if (state.text) update({ text: "" });
  else clearAll();
}

// Paper, colours, widths.

function printing(isPrinting) {
  document.documentElement.toggleAttribute("data-print", isPrinting);
  readColours();
  for (const grid of grids) grid.print(isPrinting);
  show();
}

function recolour() {
  readColours();
  show();
}

function addressChanged() {
  const target = byId(location.hash.slice(1));
  if (target) target.scrollIntoView();
  else update(readAddress());
}

function measureBar() {
  const height = byId("filter").offsetHeight;
  document.documentElement.style.setProperty("--bar-height", `${height + 12}px`);
}

function start() {
  readColours();
  showHeader();
  filterBar();
  buildSections();
  views.unshift((selection) => eventTable.show(selection.events, selection.run.events.length));
  views.unshift((selection) => timeline.show(selection));
  views.push(showDetails);
  state = readAddress();
  addEventListener("hashchange", addressChanged);
  addEventListener("click", followAnchor);
  addEventListener("keydown", pageKey);
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  NARROW.addEventListener("change", show);
  byId("details").tabIndex = -1;
  new ResizeObserver(measureBar).observe(byId("filter"));
  show();
  document.documentElement.dataset.ready = "yes";
}

start();
