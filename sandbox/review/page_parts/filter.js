// What is looked at: one state, which the address keeps, and what of a run is in it.

const FACETS = { kinds: 1, outcomes: 2, process: 4, severities: 8, text: 16, time: 32 };

const NOTHING_CHOSEN = {
  kinds: [],
  outcomes: [],
  severities: [],
  process: null,
  text: "",
  from: null,
  to: null,
};

let state = { run: 0, selected: null, ...NOTHING_CHOSEN };
const views = [];
let isAwaited = false;

/** Change what is looked at; everything follows with the next frame. */
function update(change) {
  state = { ...state, ...change };
  writeAddress();
  if (isAwaited) return;
  isAwaited = true;
  requestAnimationFrame(show);
}

function show() {
  isAwaited = false;
  const selection = select(runOf(state.run), state);
  for (const view of views) view(selection);
}

/** Say when something was, as finely as the run is short. */
function moment(at) {
  return seconds(at, runOf(state.run).end < 1 ? 0.0001 : 0.001);
}

function isFiltered() {
  return Object.keys(NOTHING_CHOSEN).some((key) => {
    const value = state[key];
    return Array.isArray(value) || typeof value === "string" ? value.length : value !== null;
  });
}

function toggled(chosen, name) {
  return chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name];
}

function wordsOf(text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

/** Say which parts of the filter an event does not pass, as bits. */
function failing(event, chosen, words) {
  let bits = 0;
  if (chosen.kinds.length && !chosen.kinds.includes(event.kind)) bits |= FACETS.kinds;
  if (chosen.outcomes.length && !chosen.outcomes.includes(event.outcome)) bits |= FACETS.outcomes;
  if (chosen.process !== null && event.process !== chosen.process) bits |= FACETS.process;
  if (chosen.severities.length && !provesAny(event, chosen.severities)) bits |= FACETS.severities;
  if (words.length && !words.every((word) => event.words.includes(word))) bits |= FACETS.text;
  if (!isInTime(event, chosen)) bits |= FACETS.time;
  return bits;
}

function provesAny(event, severities) {
  return severities.some((name) => event.severities.has(name));
}

function isInTime(event, chosen) {
  return chosen.from === null || (event.at <= chosen.to && event.at >= chosen.from);
}

/** Give what passes the filter, and for each part of it how much each choice would give. */
function select(run, chosen) {
  const words = wordsOf(chosen.text);
  const selection = newSelection(run);
  for (const event of run.events) {
    const bits = failing(event, chosen, words);
    if (!bits) addMatch(selection, event);
    if (!(bits & ~FACETS.time)) selection.ofAnyTime.push(event);
    countChoices(selection.counts, event, bits);
  }
  return selection;
}

function newSelection(run) {
  const counts = { kinds: {}, outcomes: {}, severities: {} };
  return { run, events: [], ofAnyTime: [], byProcess: new Map(), byKind: noneOfAnyKind(), counts };
}

function noneOfAnyKind() {
  return Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));
}

function addMatch(selection, event) {
  selection.events.push(event);
  selection.byKind[event.kind].push(event);
  const own = selection.byProcess.get(event.process);
  if (own) own.push(event);
  else selection.byProcess.set(event.process, [event]);
}

function countChoices(counts, event, bits) {
  if (!(bits & ~FACETS.kinds)) increment(counts.kinds, event.kind);
  if (!(bits & ~FACETS.outcomes)) increment(counts.outcomes, event.outcome);
  if (bits & ~FACETS.severities) return;
  for (const name of event.severities) increment(counts.severities, name);
}

function increment(counts, name) {
  counts[name] = (counts[name] ?? 0) + 1;
}

function countMatches(index) {
  if (!isFiltered()) return review.runs[index].events.length;
  const words = wordsOf(state.text);
  const chosen = { ...state, process: index === state.run ? state.process : null };
  const passes = (event) => !(failing(event, chosen, words) & ~FACETS.time);
  return runOf(index).events.filter(passes).length;
}

// The address: #run=2&kind=file,network&q=... Only known words are taken from it.

function writeAddress() {
  const said = new URLSearchParams();
  if (state.run) said.set("run", state.run + 1);
  if (state.kinds.length) said.set("kind", state.kinds.join(","));
  if (state.outcomes.length) said.set("outcome", state.outcomes.join(","));
  if (state.severities.length) said.set("severity", state.severities.join(","));
  if (state.process !== null) said.set("process", state.process);
  if (state.text) said.set("q", state.text);
  if (state.from !== null) said.set("time", `${state.from.toFixed(6)},${state.to.toFixed(6)}`);
  if (state.selected !== null) said.set("event", state.selected + 1);
  const address = said.toString();
  if (address === location.hash.slice(1)) return;
  history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
}

function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const run = placeIn(said.get("run"), review.runs.length) ?? 0;
  const [from, to] = rangeIn(said.get("time"));
  return {
    ...NOTHING_CHOSEN,
    run,
    kinds: knownIn(said.get("kind"), KINDS),
    outcomes: knownIn(said.get("outcome"), OUTCOMES),
    severities: knownIn(said.get("severity"), SEVERITIES),
    process: processIn(said.get("process"), run),
    text: (said.get("q") ?? "").slice(0, 200),
    from,
    to,
    selected: placeIn(said.get("event"), review.runs[run].events.length),
  };
}

function knownIn(text, known) {
  return (text ?? "").split(",").filter((name) => Object.hasOwn(known, name));
}

function placeIn(text, length) {
  const place = Number(text) - 1;
  return text && Number.isInteger(place) && place >= 0 && place < length ? place : null;
}

function processIn(text, run) {
  return text && runOf(run).laneOf.has(Number(text)) ? Number(text) : null;
}

function rangeIn(text) {
  const [from, to] = (text ?? "").split(",").map(Number);
  return Number.isFinite(from) && Number.isFinite(to) && from < to ? [from, to] : [null, null];
}
