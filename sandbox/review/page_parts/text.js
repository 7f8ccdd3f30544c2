// Text and elements. Whatever is shown passes through here, and becomes text nodes only.

// What is not seen, or changes how its neighbours are read: controls, direction marks, blanks
// that are no space, letters that have no shape, accents in a pile.
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|[^\S ]|\p{M}{3,}/gu;
const SVG = "http://www.w3.org/2000/svg";

function escapeCharacter(character) {
  const code = character.codePointAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}

function escapeAll(characters) {
  return [...characters].map(escapeCharacter).join("");
}

/** Give text in which everything can be seen: for attributes, titles and canvases. */
function visible(text) {
  return String(text).replace(HIDDEN, escapeAll);
}

/** Give text as nodes, what was written out set apart from what was there. */
function textNodes(text, keepsLines = false) {
  const shown = document.createDocumentFragment();
  let done = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (keepsLines && (found[0] === "\n" || found[0] === "\t")) continue;
    shown.append(text.slice(done, found.index), escapedNode(found[0]));
    done = found.index + found[0].length;
  }
  shown.append(text.slice(done));
  return shown;
}

function escapedNode(characters) {
  const node = document.createElement("span");
  node.className = "escaped";
  node.textContent = escapeAll(characters);
  return node;
}

/** Make an element: el("div.card", {role: "group"}, "text", another). */
function el(spec, attributes = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag);
  node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  node.append(...children.flat(2).filter(isShown).map(toNode));
  return node;
}

function isShown(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

function toNode(child) {
  return child instanceof Node ? child : textNodes(String(child));
}

function setAttribute(node, name, value) {
  if (typeof value === "function") node.addEventListener(name.slice(2), value);
  else if (value === true) node.setAttribute(name, "");
  else if (value !== false && value !== null && value !== undefined) {
    node.setAttribute(name, visible(value));
  }
}

/** Replace what an element holds. */
function fill(node, ...children) {
  node.replaceChildren(...children.flat(2).filter(isShown).map(toNode));
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Give a picture made of one path in a square of 12 by 12; words stand beside it. */
function icon(path, name) {
  const box = { viewBox: "0 0 12 12", "aria-hidden": "true", class: `icon ${name}` };
  return svg("svg", box, svg("path", { d: path }));
}

const PLURALS = { process: "processes" };

function plural(count, noun) {
  return `${number(count)} ${count === 1 ? noun : (PLURALS[noun] ?? `${noun}s`)}`;
}

function number(value) {
  return value.toLocaleString("en");
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  while (value >= 1024 && place < units.length - 1) {
    value /= 1024;
    place += 1;
  }
  return `${value >= 100 || place === 0 ? Math.round(value) : value.toFixed(1)} ${units[place]}`;
}

function seconds(value, step = 0.001) {
  const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step))));
  return `${value.toFixed(digits)} s`;
}

function byId(id) {
  return document.getElementById(id);
}
