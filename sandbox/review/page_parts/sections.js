// The sections that are no timeline and no tree: header, findings, result, policy, bounds.

const EVIDENCE =
  "Evidence that code can evade: the program's own Python told this, from inside. What is not " +
  "here may have happened all the same, and what is here may be forged.";

function section(id, title, hint, ...children) {
  const counter = el("span.counter", { id: `${id}-count` });
  return el(
    "section",
    { id, tabindex: "-1", "aria-labelledby": `${id}-title` },
    el(
      "div.section-head",
      {},
      el("h2", { id: `${id}-title` }, title),
      counter,
      el("p.hint", {}, hint),
    ),
    children,
  );
}

function evidence() {
  return el("p.evidence", { role: "note" }, icon(SEVERITIES.info.icon, "stroke"), EVIDENCE);
}

// The header.

function showHeader() {
  const { subject } = review;
  document.title = visible(`Security review of ${subject.name}`);
  const words = subject.arguments.map((word) => el("span.argument", {}, word));
  fill(
    byId("top"),
    el(
      "div.head-subject",
      {},
      el("p.eyebrow", {}, `Security review of a ${subject.kind}`),
      el("h1", {}, subject.name || "(without a name)"),
      words.length ? el("p.arguments", { "aria-label": "Arguments" }, words) : "",
      facts([
        ["Policy", [el("b", {}, review.policy_name), ` ${review.policy_fingerprint}`]],
        ["Reviewed", sayDate(review.reviewed_at)],
        ["Runs", sayRuns()],
        ["SHA-256", el("code", { title: subject.hash }, `${subject.hash.slice(0, 16)}…`)],
      ]),
    ),
    verdict(),
  );
}

function sayDate(text) {
  return text.replace("T", " ").replace(/(\.\d+)?(Z|\+00:00)$/, " UTC");
}

function sayRuns() {
  const counts = {};
  for (const run of review.runs) increment(counts, run.result.status);
  const said = Object.entries(counts).map(([status, count]) => `${count} ${status}`);
  return `${number(review.runs.length)} (${said.join(", ")})`;
}

function facts(pairs) {
  return el(
    "dl.facts",
    {},
    pairs.map(([name, said]) => el("div", {}, el("dt", {}, name), el("dd", {}, said))),
  );
}

function verdict() {
  const isClean = !review.findings.length;
  const severity = isClean ? "none" : review.severity;
  const sign = isClean ? OUTCOMES.allowed.icon : SEVERITIES[review.severity].icon;
  const title = isClean ? "No finding" : `${SEVERITIES[review.severity].label} severity`;
  return el(
    `div.verdict.${severity}`,
    { role: "group", "aria-label": "Verdict" },
    icon(sign, "stroke"),
    el(
      "div",
      {},
      el("p.verdict-title", {}, title),
      el("p.verdict-sentence", {}, review.sentence),
      tally(),
    ),
  );
}

function tally() {
  if (!review.findings.length) return "";
  const counted = Object.entries(SEVERITIES).map(([name, { label, icon: sign }]) => {
    const count = review.finding_counts[name];
    const said = `${count} ${label.toLowerCase()}`;
    return count ? el(`span.severity.${name}`, {}, icon(sign, "stroke"), said) : "";
  });
  return el("p.tally", { "aria-label": "Findings by severity" }, counted);
}

// What it did, at a glance: a tile for each kind.

function glance() {
  const tiles = Object.keys(KINDS).map((name) => el("a.tile", { href: `#${SECTION_OF[name]}` }));
  views.push((selection) => showTiles(tiles, selection));
  return el("div.tiles", { role: "group", "aria-label": "Events by kind" }, tiles);
}

const SECTION_OF = {
  file: "files",
  program: "programs",
  network: "network",
  signal: "signals",
  system_call: "calls",
  environment: "environment",
  python: "python",
};

function showTiles(tiles, selection) {
  Object.keys(KINDS).forEach((name, place) => {
    const outcomes = {};
    for (const event of selection.byKind[name]) increment(outcomes, event.outcome);
    fill(tiles[place], tile(name, outcomes));
  });
}

function tile(name, outcomes) {
  const total = Object.values(outcomes).reduce((sum, each) => sum + each, 0);
  const parts = ["refused", "missing", "failed", "allowed"].filter((each) => outcomes[each]);
  const said = parts
    .filter((each) => each !== "allowed")
    .map((each) => badge(each, outcomes[each]));
  return [
    el(
      `span.tile-head.kind-${name}`,
      {},
      icon(KINDS[name].icon, `kind-${name}`),
      KINDS[name].label,
    ),
    el("span.tile-count", {}, number(total)),
    el(
      "span.tile-bar",
      { "aria-hidden": "true" },
      parts.map((each) => share(each, outcomes[each] / total)),
    ),
    el(
      "span.tile-said",
      {},
      said.length ? said : el("span.soft", {}, total ? "all allowed" : "none"),
    ),
  ];
}

function share(outcome, part) {
  const node = el(`span.share.${outcome}`);
  node.style.width = `${part * 100}%`;
  return node;
}

// Findings.

function findingsSection() {
  const cards = el("div.cards");
  views.push(() => showFindings(cards));
  return section("findings", "Findings", "The worst first. A proof leads to its event.", cards);
}

function showFindings(cards) {
  const kept = review.findings.filter(isFindingShown);
  const isSame = (finding, place) => finding === cards.shown?.[place];
  // Cards that stay keep their focus, and what was unfolded in them.
  if (cards.shownFor === state.run && kept.length === cards.shown.length && kept.every(isSame))
    return;
  Object.assign(cards, { shown: kept, shownFor: state.run });
  byId("findings-count").textContent = countText(kept.length, review.findings.length);
  const none = review.findings.length ? "No finding passes the filter." : "Nothing was found.";
  fill(cards, kept.length ? kept.map(card) : el("p.empty", {}, none));
}

function isFindingShown(finding) {
  const said = [
    finding.title,
    finding.reason,
    finding.rule,
    ...finding.proofs.map((proof) => proof.text),
  ];
  const text = said.join("\n").toLowerCase();
  const isOfSeverity = !state.severities.length || state.severities.includes(finding.severity);
  return isOfSeverity && wordsOf(state.text).every((word) => text.includes(word));
}

const FIRST_PROOFS = 3;

function card(finding) {
  const { severity, proofs } = finding;
  const items = proofs.map((proof) => el("li", {}, proofLine(proof)));
  const rest = items.slice(FIRST_PROOFS);
  const more = plural(rest.length, "more proof");
  return el(
    `article.card.${severity}`,
    { "aria-label": `${severity} severity: ${finding.title}` },
    el("p.card-head", {}, severityBadge(severity), el("code.rule", {}, finding.rule)),
    el("h3", {}, finding.title),
    el("p.reason", {}, finding.reason),
    el("ul.proofs", {}, items.slice(0, FIRST_PROOFS)),
    rest.length ? unfold(more, el("ul.proofs", {}, rest)) : "",
    finding.count > proofs.length
      ? el(
          "p.soft.small",
          {},
          `${number(finding.count)} in all; ${proofs.length} are kept as proof.`,
        )
      : "",
  );
}

function severityBadge(severity) {
  return el(
    `span.severity.${severity}`,
    {},
    icon(SEVERITIES[severity].icon, "stroke"),
    SEVERITIES[severity].label,
  );
}

function proofLine(proof) {
  const run = proof.run === state.run ? "" : el("span.proof-run", {}, `run ${proof.run + 1}`);
  const event = review.runs[proof.run]?.events[proof.event];
  if (!event) return el("span.proof", {}, run, el("span.proof-text", {}, proof.text));
  const kindName = el("span.unseen", {}, `${KINDS[event.kind].one}: `);
  const jump = () => jumpTo(proof.run, proof.event);
  return el(
    "button.proof",
    { type: "button", onclick: jump },
    [run, icon(KINDS[event.kind].icon, `kind-${event.kind}`), kindName],
    el("span.proof-text", {}, proof.text),
    el("span.proof-at", {}, seconds(event.at)),
  );
}

function countText(shown, total) {
  return shown === total ? number(total) : `${number(shown)} of ${number(total)}`;
}

// System calls: how often each was made.

const FIRST_CALLS = 24;

function callsSection() {
  const counts = el("div.call-counts");
  const host = table("system_call");
  views.push(({ run }) => showCalls(counts, run));
  const hint =
    "Those that the filter refuses, with the reason; then how often each watched call was made.";
  return section("calls", "System calls", hint, host, counts);
}

function showCalls(host, run) {
  if (host.shownFor === run) return;
  host.shownFor = run;
  const calls = run.system_calls.toSorted((a, b) => b.refused - a.refused || b.count - a.count);
  const most = calls.reduce((sofar, call) => Math.max(sofar, call.count), 1);
  const bars = calls.map((call) => el("li", {}, callBar(call, most)));
  const rest = bars.slice(FIRST_CALLS);
  fill(
    host,
    el("h3", {}, `Calls used: ${number(calls.length)}`),
    el("ul.bars", {}, bars.slice(0, FIRST_CALLS)),
    rest.length ? unfold(plural(rest.length, "more call"), el("ul.bars", {}, rest)) : "",
  );
}

function unfold(label, ...content) {
  return el("details", {}, el("summary", {}, label), content);
}

function callBar(call, most) {
  const bar = el(
    "span.bar",
    { "aria-hidden": "true" },
    share("refused", call.refused / (call.count || 1)),
  );
  bar.style.width = `${Math.max(2, (Math.log1p(call.count) / Math.log1p(most)) * 100)}%`;
  const refused = call.refused ? badge("refused", call.refused) : "";
  return [
    el("code", { title: call.name }, call.name),
    el("span.bar-room", { "aria-hidden": "true" }, bar),
    el("span.bar-count", {}, number(call.count), refused),
  ];
}

// The end of the run.

function resultSection() {
  const host = el("div.result");
  views.push(({ run }) => showResult(host, run));
  return section("result", "Result of the run", "How it ended, what it said, what it left.", host);
}

function showResult(host, run) {
  if (host.shownFor === run) return;
  host.shownFor = run;
  const { result } = run;
  fill(
    host,
    el("div.columns", {}, endOfRun(run), leftFiles(run)),
    error(result.error),
    el("div.columns", {}, [
      stream("stdout", result.stdout, result.stdout_dropped),
      stream("stderr", result.stderr, result.stderr_dropped),
      result.value && stream("value", result.value, 0),
    ]),
    unfold("What held each limit", facts(Object.entries(result.enforced))),
  );
}

function endOfRun({ input, result }) {
  const { usage } = result;
  return facts([
    ["Input", input || "none"],
    ["Status", statusBadge(result.status)],
    ["Exit code", result.exit_code ?? (result.signal ? `none: signal ${result.signal}` : "none")],
    ["Limits hit", result.limits_hit.join(", ") || "none"],
    ["Real time", seconds(usage.wall_seconds, 0.01)],
    ["Processor time", seconds(usage.cpu_seconds, 0.01)],
    ["Most memory", bytes(usage.peak_memory_bytes)],
    ["Most processes", number(usage.peak_processes)],
  ]);
}

function statusBadge(status) {
  return el(`span.status.${status === "ok" ? "good" : "bad"}`, {}, status);
}

function leftFiles(run) {
  if (!run.left.length) return el("p.empty", {}, "Nothing was left in its work folder.");
  const rows = run.left.map((each) => [
    each.change,
    el("span.path", {}, each.path.slice(0, 400)),
    each.change === "removed" ? "" : bytes(each.size_bytes),
  ]);
  return plainTable("Left in its work folder", ["Change", "File", "Size"], rows);
}

function error(said) {
  if (!said) return "";
  const text = `${said.type}: ${said.message}${said.traceback ? `\n${said.traceback}` : ""}`;
  return stream("error", text, 0);
}

function stream(name, text, dropped) {
  const shown = el("pre", { tabindex: "0", "aria-label": name });
  shown.append(textNodes(text || "(nothing)", true));
  const left = dropped
    ? el("p.soft.small", {}, `${number(dropped)} bytes more came and were not kept.`)
    : "";
  return el("div.stream", {}, el("h3", {}, name), shown, left);
}

// The policy.

function policySection() {
  const says = review.policy_says.map((line) => policyLine(line));
  const hint = `What “${review.policy_name}” allows. What it does not name is denied.`;
  return section(
    "policy",
    "Policy",
    hint,
    el("dl.policy", {}, says),
    leastPolicy(),
    dependencies(),
  );
}

function policyLine(line) {
  const place = line.indexOf(": ");
  const [name, said] = place < 0 ? ["", line] : [line.slice(0, place), line.slice(place + 2)];
  return el("div", {}, el("dt", {}, name), el("dd", {}, said));
}

function leastPolicy() {
  if (!review.least_policy) return el("p.empty", {}, "No least policy was asked for.");
  const text = el("pre", { tabindex: "0", "aria-label": "The least policy" });
  text.append(textNodes(review.least_policy, true));
  const said = el("span.soft", { role: "status" });
  const button = el("button.small", { type: "button", onclick: () => copy(text, said) }, "Copy");
  const head = el("div.least-head", {}, el("h3", {}, "The least policy"), button, said);
  const hint = "The smallest document under which these runs pass.";
  return el("div.least", {}, head, el("p.hint", {}, hint), differences(), text);
}

function differences() {
  const said = review.least_differences.map((each) => el("li", {}, each));
  if (!said.length) return "";
  const title = el("strong", {}, "Under it, the same runs went otherwise:");
  return el("div.notice", { role: "note" }, title, el("ul.plain", {}, said));
}

async function copy(node, said) {
  try {
    await navigator.clipboard.writeText(review.least_policy);
    said.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(node);
    said.textContent = "selected: copy it with your keyboard";
  }
}

function dependencies() {
  const rows = review.subject.dependencies.map((each) => [
    each.name,
    el("code.hash", {}, each.hash),
  ]);
  if (!rows.length) return "";
  const table = plainTable("Code of others that ran", ["Name", "SHA-256"], rows);
  const label = `Code of others that ran: ${number(rows.length)}`;
  return unfold(label, table);
}

// What is not in here.

function boundsSection() {
  const host = el("div.bounds");
  views.push(({ run }) => showBounds(host, run));
  return section("bounds", "What this does not show", "The bounds of what was seen.", host);
}

const BOUNDS = [
  "A record is what was asked. Paths and arguments were read while the call waited, and a program " +
    "with several threads can change them afterwards; no wall depends on them.",
  "Environment and Python events come from inside the program: they are evidence, and no proof " +
    "of absence.",
  "Another input, another hour or another machine may show another side of it: only these runs " +
    "were seen.",
  "Long texts are cut on this page, and contents of files are left out: the review in JSON has " +
    "all that was kept.",
];

function showBounds(host, run) {
  if (host.shownFor === run) return;
  host.shownFor = run;
  const names = run.unwatched.map((name) => el("code", {}, name));
  fill(
    host,
    el("ul.plain", {}, [el("li", {}, keptText(run)), BOUNDS.map((said) => el("li", {}, said))]),
    el("h3", {}, "System calls that are not watched"),
    el("p.hint", {}, "They move bytes, memory and time, and name nothing."),
    el("p.names", {}, names.length ? names : "none"),
  );
}

function keptText(run) {
  if (!run.not_kept) return "All events of this run were kept one by one.";
  const more = plural(run.not_kept, "more event");
  const said = `${more} went over the bounds of the record: counted, and not kept one by one.`;
  return el("strong", {}, said);
}
