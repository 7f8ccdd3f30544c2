// The review as it came in, and what is worked out from it once.

const KINDS = {
  file: { label: "Files", one: "file", icon: "M2.2 1.2H7L9.8 4V10.8H2.2Z" },
  program: { label: "Programs", one: "program", icon: "M3 1.2L10.8 6L3 10.8Z" },
  network: { label: "Network", one: "network", icon: "M6 .4L11.6 6L6 11.6L.4 6Z" },
  signal: { label: "Signals", one: "signal", icon: "M7.4 .4L2 7H5.4L4.2 11.6L10 4.8H6.6Z" },
  system_call: {
    label: "Refused calls",
    one: "system call",
    icon: "M6 .5L10.8 3.2V8.8L6 11.5L1.2 8.8V3.2Z",
  },
  environment: {
    label: "Environment",
    one: "environment",
    icon: "M6 1A5 5 0 1 1 6 11A5 5 0 1 1 6 1Z",
  },
  python: {
    label: "Python",
    one: "python",
    icon: "M4.2 .8H7.8V4.2H11.2V7.8H7.8V11.2H4.2V7.8H.8V4.2H4.2Z",
  },
};

const OUTCOMES = {
  refused: { label: "refused", icon: "M6 1A5 5 0 1 1 6 11A5 5 0 1 1 6 1ZM2.6 2.6L9.4 9.4" },
  allowed: { label: "allowed", icon: "M1.8 6.4L4.8 9.4L10.4 2.8" },
  missing: { label: "missing", icon: "M6 2A4 4 0 1 1 6 10A4 4 0 1 1 6 2Z" },
  failed: { label: "failed", icon: "M2.5 2.5L9.5 9.5M9.5 2.5L2.5 9.5" },
};

const SEVERITIES = {
  high: { label: "High", icon: "M4 .6H8L11.4 4V8L8 11.4H4L.6 8V4ZM6 3V6.8M6 8.4V9.4" },
  medium: { label: "Medium", icon: "M6 .8L11.6 11H.4ZM6 4.4V7.4M6 8.6V9.6" },
  low: { label: "Low", icon: "M6 .6L11.4 6L6 11.4L.6 6ZM6 3.4V6.6M6 7.8V8.8" },
  info: { label: "Info", icon: "M6 .8A5.2 5.2 0 1 1 6 11.2A5.2 5.2 0 1 1 6 .8ZM6 5.2V9M6 3V4" },
};

const SEVERITY_NAMES = Object.keys(SEVERITIES);

const ACCESSES = ["look", "list", "read", "write", "create", "change", "rename", "link", "remove"];

const NETWORK_ACTIONS = ["resolve", "connect", "send", "bind", "listen"];
// What is telling stands first; imports are many.
const PYTHON_ACTIONS = [
  "decode",
  "compile",
  "exec",
  "unpickle",
  "url",
  "resolve",
  "library",
  "program",
  "other",
  "import",
];

const review = JSON.parse(byId("review").textContent);

/** Give a run with its events described; worked out when it is first looked at. */
const prepared = new Map();

function runOf(index) {
  if (!prepared.has(index)) prepared.set(index, prepareRun(index));
  return prepared.get(index);
}

function prepareRun(index) {
  const run = review.runs[index];
  run.lanes = lanesOf(run);
  run.laneOf = new Map(run.lanes.map((lane) => [lane.number, lane]));
  run.events.forEach((event, place) => prepareEvent(run, event, place));
  for (const finding of review.findings) markProofs(run, finding, index);
  run.totals = totalsOf(run.events);
  run.end = endOf(run);
  return run;
}

function prepareEvent(run, event, place) {
  event.index = place;
  event.outcome ??= "allowed";
  event.count ??= 1;
  event.what = describeEvent(event);
  event.findings = [];
  event.severities = new Set();
  event.lane = run.laneOf.get(event.process) ?? addUnseen(run, event.process);
  event.lane.total += 1;
  const words = [event.what, event.named, event.sent, event.where, event.why, event.path];
  const facts = [event.kind, event.outcome, event.lane.title];
  event.words = [...words, ...facts].filter(Boolean).join("\n").toLowerCase();
}

function totalsOf(events) {
  const totals = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, 0]));
  for (const event of events) totals[event.kind] += 1;
  return totals;
}

function markProofs(run, finding, index) {
  for (const proof of finding.proofs) {
    const event = proof.run === index ? run.events[proof.event] : undefined;
    if (!event || event.findings.includes(finding)) continue;
    event.findings.push(finding);
    event.severities.add(finding.severity);
  }
}

function endOf(run) {
  const ends = [0.001];
  for (const event of run.events) ends.push(Math.max(event.at, event.last_at ?? 0));
  for (const process of run.processes) ends.push(process.ended_at ?? process.started_at);
  // What did not say that it ends was there to the last; else the time after it was the engine's.
  const isCutOff = run.processes.some((process) => process.ended_at === null);
  if (isCutOff || !run.processes.length) ends.push(run.seconds || run.result.usage.wall_seconds);
  for (const sample of run.samples) ends.push(sample.at);
  return ends.reduce((most, each) => Math.max(most, each));
}

/** Give the processes in the order of their tree, each with its depth in it. */
function lanesOf(run) {
  const children = Map.groupBy(run.processes, (process) => process.parent);
  const numbers = new Set(run.processes.map((process) => process.number));
  const roots = run.processes.filter((process) => !numbers.has(process.parent));
  const lanes = [];
  const waiting = roots.map((process) => [process, 0]).reverse();
  const seen = new Set();
  while (waiting.length) {
    const [process, depth] = waiting.pop();
    if (seen.has(process.number)) continue;
    seen.add(process.number);
    lanes.push(laneOf(process, depth));
    const below = children.get(process.number) ?? [];
    waiting.push(...below.map((child) => [child, depth + 1]).reverse());
  }
  return lanes;
}

function laneOf(process, depth) {
  const fallback = process.parent === null ? "the call itself" : `a fork of ${process.parent}`;
  return { ...process, depth, title: process.name || fallback, isNamed: !!process.name, total: 0 };
}

function addUnseen(run, processNumber) {
  const process = { number: processNumber, parent: null, pid: 0, started_at: 0, ended_at: null };
  const lane = laneOf({ ...process, name: "" }, 0);
  lane.title = "a process that was not seen to start";
  run.lanes.push(lane);
  run.laneOf.set(processNumber, lane);
  return lane;
}

const DESCRIPTIONS = {
  file: (event) => `${event.access} ${event.path}${event.to ? ` → ${event.to}` : ""}`,
  program: (event) => commandLine(event),
  network: (event) => `${event.action} ${endpoint(event)}`,
  signal: (event) => `${event.signal} to ${event.target}`,
  system_call: (event) => `${event.name} → ${event.error}`,
  environment: (event) => event.name,
  python: (event) => `${event.action} ${event.detail}`,
};

/** Say in a few words what an event was. */
function describeEvent(event) {
  return DESCRIPTIONS[event.kind](event);
}

function commandLine(event) {
  const words = event.argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : quoted(word)));
  return `${words.join(" ")}${event.is_cut ? " …" : ""}`;
}

function quoted(word) {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function endpoint(event) {
  if (event.name) return event.name;
  if (event.family === "unix" || !event.port) return event.address || event.family;
  return event.family === "inet6"
    ? `[${event.address}]:${event.port}`
    : `${event.address}:${event.port}`;
}

/** Give the worse of two severities; either may be none. */
function worse(one, other) {
  if (!one || !other) return one ?? other ?? null;
  return SEVERITY_NAMES.indexOf(one) < SEVERITY_NAMES.indexOf(other) ? one : other;
}

function worstOf(event) {
  return event.severities.size
    ? SEVERITY_NAMES.find((name) => event.severities.has(name))
    : undefined;
}
