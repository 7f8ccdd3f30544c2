// Files as a tree: a folder says what was done in it, whether it is open or not.

const OPENED_FOLDERS = 30;
// Below it the rest of a path is one name: a guest can make paths of a thousand folders.
const DEEPEST = 40;
const SYSTEM_PATH =
  /^\/(usr|lib|lib32|lib64|bin|sbin|proc|sys|dev|opt\/python|opt\/packages|run\/sandbox)(\/|$)/;
const SYSTEM_NAME = /^(site-packages|dist-packages|__pycache__|python3(\.\d+)?|node_modules)$/;

class FileNode {
  constructor(name, parent) {
    Object.assign(this, { name, parent, children: new Map() });
    this.path = parent ? `${parent.path === "/" ? "" : parent.path}/${name}` : "/";
    this.isSystem =
      !!parent && (parent.isSystem || SYSTEM_PATH.test(this.path) || SYSTEM_NAME.test(name));
    this.isOpen = null;
    this.empty();
  }

  empty() {
    this.counts = {};
    this.refusals = {};
    this.outcomes = {};
    this.total = 0;
    this.events = [];
    this.severity = null;
  }

  child(name) {
    if (!this.children.has(name)) this.children.set(name, new FileNode(name, this));
    return this.children.get(name);
  }

  add(event) {
    this.events.push(event);
    const severity = worstOf(event);
    for (let node = this; node; node = node.parent) node.count(event, severity);
  }

  count(event, severity) {
    this.total += 1;
    increment(this.counts, event.access);
    increment(this.outcomes, event.outcome);
    if (event.outcome === "refused") increment(this.refusals, event.access);
    this.severity = worse(this.severity, severity);
  }
}

const trees = new Map();

/** Give the tree of a run's files; which folders are open stays as it was. */
function treeOf(run) {
  if (!trees.has(run)) trees.set(run, plantTree(run));
  return trees.get(run);
}

function plantTree(run) {
  const root = new FileNode("", null);
  const nodes = new Map([["/", root]]);
  const leaves = new Map();
  for (const event of run.events) {
    if (event.kind === "file") leaves.set(event, leafOf(root, nodes, event.path));
  }
  sortTree(root);
  return { root, nodes, leaves };
}

function sortTree(root) {
  const waiting = [root];
  while (waiting.length) {
    const node = waiting.pop();
    node.order = [...node.children.values()].sort(byRank);
    waiting.push(...node.order);
  }
}

function leafOf(root, nodes, path) {
  if (nodes.has(path)) return nodes.get(path);
  const names = path.split("/").filter(Boolean);
  const rest = names.splice(DEEPEST);
  if (rest.length) names.push(rest.join("/"));
  const leaf = names.reduce((node, name) => node.child(name), root);
  nodes.set(path, leaf);
  return leaf;
}

function countTree(tree, events) {
  const waiting = [tree.root];
  while (waiting.length) {
    const node = waiting.pop();
    if (!node.total) continue;
    node.empty();
    waiting.push(...node.order);
  }
  for (const event of events) tree.leaves.get(event).add(event);
}

/** Give the rows in sight, folders first; a folder with one thing in it shares its row. */
function rowsOf(tree, opensAll) {
  const rows = [];
  const waiting = childrenOf(tree.root).map((node) => ({ node, level: 1, from: tree.root }));
  waiting.reverse();
  while (waiting.length) {
    const row = shortened(waiting.pop());
    rows.push(row);
    const below = childrenOf(row.node);
    row.isFolder = below.length > 0;
    row.isOpen = row.isFolder && isOpen(row, below.length, opensAll);
    if (!row.isOpen) continue;
    const places = below.map((node) => ({ node, level: row.level + 1, from: row.node }));
    waiting.push(...places.reverse());
  }
  return rows;
}

function childrenOf(node) {
  return node.order.filter((child) => child.total);
}

function byRank(one, other) {
  const folders = (other.children.size > 0) - (one.children.size > 0);
  return one.isSystem - other.isSystem || folders || (one.name < other.name ? -1 : 1);
}

function shortened({ node, level, from }) {
  let last = node;
  while (!last.events.length) {
    const below = childrenOf(last);
    if (below.length !== 1 || (below[0].isSystem && !last.isSystem)) break;
    [last] = below;
  }
  const prefix = from.path === "/" ? 0 : from.path.length;
  return { node: last, level, label: last.path.slice(prefix + (from.path === "/" ? 0 : 1)) };
}

function isOpen(row, size, opensAll) {
  if (row.node.isOpen !== null) return row.node.isOpen;
  return opensAll || (!row.node.isSystem && (row.level === 1 || size <= OPENED_FOLDERS));
}

/** The tree as a grid: the name, and a column for each kind of access. */
class FileTree extends Grid {
  constructor() {
    super({
      id: "files",
      label: "Files by kind of access",
      columns: treeColumns(),
      mostRows: 22,
      empty: "No file was touched.",
    });
    this.node.setAttribute("role", "treegrid");
    this.parts = new Parts({ label: "Kind of access", key: "access", names: ACCESSES }, show);
    this.host.prepend(el("div.tree-tools", {}, this.parts.node, this.folderButtons()));
  }

  showTree(selection) {
    this.tree = treeOf(selection.run);
    countTree(this.tree, this.parts.choose(selection.byKind.file));
    this.showRows();
  }

  showRows() {
    const total = this.tree.leaves.size;
    this.show(rowsOf(this.tree, !!state.text), total);
  }

  folderButtons() {
    const button = (label, isOpen) =>
      el("button.small", { type: "button", onclick: () => this.openAll(isOpen) }, label);
    return [button("Open all", true), button("Close all", false)];
  }

  rowAttributes(row) {
    const open = row.isFolder ? { "aria-expanded": String(row.isOpen) } : {};
    return { "aria-level": row.level, ...open };
  }

  rowClasses(row) {
    const { node } = row;
    const isAbsent = !row.isFolder && node.total === node.outcomes.missing;
    const isSelected = node.events.some((event) => event.index === state.selected);
    const classes = [row.isFolder && "folder", node.isSystem && "system"];
    return [...classes, isAbsent && "absent", isSelected && "selected"].filter(Boolean);
  }

  pick(row) {
    if (row?.isFolder) this.toggle(row, !row.isOpen);
    else if (row) selectEvent(row.node.events.toSorted((a, b) => weight(b) - weight(a))[0]);
  }

  toggle(row, isOpen) {
    row.node.isOpen = isOpen;
    this.showRows();
  }

  key(event) {
    const row = this.rows[this.active];
    if (event.key === "ArrowRight" && row?.isFolder) this.enter(row);
    else if (event.key === "ArrowLeft" && row) this.leave(row);
    else return super.key(event);
    return event.preventDefault();
  }

  enter(row) {
    if (row.isOpen) this.move(this.active + 1);
    else this.toggle(row, true);
  }

  leave(row) {
    if (row.isFolder && row.isOpen) return this.toggle(row, false);
    const before = this.rows.slice(0, this.active).findLastIndex((each) => each.level < row.level);
    return before >= 0 && this.move(before);
  }

  openAll(isOpen) {
    const waiting = [this.tree.root];
    while (waiting.length) {
      const node = waiting.pop();
      node.isOpen = isOpen;
      waiting.push(...node.order);
    }
    this.showRows();
  }
}

function treeColumns() {
  const name = { name: "name", label: "Path", main: true, cell: nameCell };
  const accesses = ACCESSES.map((access) => ({
    name: `access.${access}`,
    label: access,
    cell: (row) => accessCell(row.node, access),
  }));
  const outcome = { name: "outcomes", label: "Not allowed", cell: (row) => outcomesCell(row.node) };
  return [name, ...accesses, outcome];
}

function nameCell(row) {
  const name = el("span.tree-name", { title: row.node.path }, row.label);
  const severity = row.node.severity && severityMark(row.node.severity);
  const arrow = el(
    `span.arrow${row.isOpen ? ".open" : ""}`,
    { "aria-hidden": "true" },
    row.isFolder ? "▸" : "",
  );
  const line = el("span.tree-line", {}, arrow, name, severity);
  line.style.paddingLeft = `${Math.min(row.level - 1, 10) * 14}px`;
  return line;
}

function accessCell(node, access) {
  const count = node.counts[access];
  if (!count) return "";
  const refused = node.refusals[access] ? ".has-refused" : "";
  const name = el("span.only-narrow", {}, access);
  return el(`span.pill.access-${access}${refused}`, {}, name, number(count));
}

function outcomesCell(node) {
  return ["refused", "missing", "failed"]
    .filter((name) => node.outcomes[name])
    .map((name) => badge(name, node.outcomes[name]));
}
