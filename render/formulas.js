// Writes a formula as KaTeX does, with half of the elements: a long chapter has three hundred formulas, and a phone takes a
// second to style and lay out their parts. No glyph moves by as much as a pixel. Evaluated after katex.min.js, whose trees it works on.
"use strict";

const PLAIN = new Set(["", "mord", "mop", "mbin", "mrel", "mopen", "mclose", "mpunct", "minner", "mtight"]); // no style names them
const ROW = /^(base|sizing|(reset-)?size\d+)$/;
const SIZES = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.44, 1.728, 2.074, 2.488]; // of the classes size1 to size11
const LINE = { height: 0.915, depth: 0.287 }; // of KaTeX_Main with a line height of 1.2
const { Span, SymbolNode } = katex.__domTree;

const has = (node, name) => node.classes?.includes(name) ?? false;
const em = (number) => `${+number.toFixed(4)}em`;
const isBare = (node) => Object.keys(node.style).length === 0;
const isRow = (node) => node instanceof Span && node.classes.every((name) => PLAIN.has(name) || ROW.test(name));
const isWrapper = (node) => isRow(node) && isBare(node) && node.classes.every((name) => PLAIN.has(name));
const isSpace = (node) => has(node, "mspace") && node.classes.length === 1 && Object.keys(node.style).join() === "marginRight";
const isMovable = (node) => node instanceof SymbolNode || has(node, "script");

// An index or an exponent alone becomes a shifted span; KaTeX makes a table for it.
function asScript(node) {
  const items = has(node, "msupsub") ? node.children[0].children[0].children[0].children : [];
  if (items.length !== 1) return node;
  const [pstrut, script] = items[0].children;
  if (!isRow(script) || !isBare(script)) return node;
  const [from, to] = ["reset-size", "size"].map((kind) => script.classes.find((name) => name.match(`^${kind}\\d`))?.replace(kind, ""));
  script.scale = from ? SIZES[to - 1] / SIZES[from - 1] : 1;
  const { top, marginLeft, marginRight } = items[0].style;
  const lengths = { top: parseFloat(top) + parseFloat(pstrut.style.height), marginLeft, marginRight };
  for (const [name, length] of Object.entries(lengths)) if (parseFloat(length)) addTo(script, name, parseFloat(length));
  script.classes = [...script.classes.filter((name) => !PLAIN.has(name)), "script"];
  return script;
}

function addTo(node, name, length) {
  if (node.italic) [node.style.marginRight, node.italic] = [em(node.italic), 0];
  node.style[name] = em(parseFloat(node.style[name] ?? 0) + length / (node.scale ?? 1));
}

// A space becomes a margin of the symbol beside it.
function withoutSpaces(parts) {
  return parts.filter((part, i) => {
    if (!isSpace(part)) return true;
    const before = parts.slice(0, i).findLast((other) => !isSpace(other));
    const after = parts.slice(i).find((other) => !isSpace(other));
    const width = parseFloat(part.style.marginRight);
    if (before && isMovable(before)) addTo(before, "marginRight", width);
    else if (after && isMovable(after)) addTo(after, "marginLeft", width);
    else return true;
    return false;
  });
}

function lighten(node, isStacked = false) {
  if (!node.children) return node;
  node.children = node.children.map((child) => lighten(child, has(node, "vlist")));
  // The second row of a stack only gives it depth, which the strut of the formula has already.
  if (has(node, "vlist-t2")) {
    node.classes = ["vlist-t"];
    node.children.pop();
    node.children[0].children.pop();
  }
  if (isStacked || !isRow(node)) return node;
  const parts = node.children.flatMap((child) => (isWrapper(child) ? child.children : [child])).map(asScript);
  node.children = withoutSpaces(parts);
  for (const part of node.children) if (part instanceof SymbolNode) part.classes = part.classes.filter((name) => !PLAIN.has(name));
  return node;
}

// What screen readers read: without the copy of the source, and without blanks and boxes that only place things.
function spoken(node) {
  if (!node.children) return node.character ? [] : [node];
  const takesMany = ["math", "semantics", "mstyle", "mrow", "mtd"].includes(node.type);
  node.children = node.children.flatMap((child) => {
    const parts = spoken(child);
    return takesMany || parts.length === 1 ? parts : [child];
  });
  const [first, ...others] = node.children;
  const isWrapped = first?.type === "mrow" && !others.length;
  if (isWrapped && (node.type === "math" || node.type === "mtd")) node.children = first.children;
  if (node.type === "annotation" || node.type === "mspace") return [];
  return ["semantics", "mstyle"].includes(node.type) || (node.type === "mrow" && first && !others.length) ? node.children : [node];
}

// A formula in a line of text needs no strut where a line of KaTeX's font is as high, and one that cannot be broken no box of its own.
function withoutStruts(drawn) {
  for (const base of drawn.children) {
    const [strut] = base.children;
    const depth = -parseFloat(strut.style.verticalAlign ?? 0);
    if (depth <= LINE.depth && parseFloat(strut.style.height) - depth <= LINE.height) base.children.shift();
  }
  if (drawn.children.length === 1) {
    drawn.children = drawn.children[0].children;
    drawn.classes.push("base");
  }
  return drawn;
}

function renderFormula(tex, displayMode) {
  const tree = katex.__renderToDomTree(tex, { displayMode, output: "htmlAndMathml", strict: "error" });
  const [aloud, drawn] = displayMode ? tree.children[0].children : tree.children;
  const [math] = spoken(aloud.children[0]);
  math.attributes = { ...math.attributes, class: "katex-mathml" };
  lighten(drawn);
  if (displayMode) return math.toMarkup() + drawn.toMarkup();
  withoutStruts(drawn);
  const isOneSymbol = drawn.children.length === 1 && drawn.children[0] instanceof SymbolNode;
  return isOneSymbol ? drawn.children[0].toMarkup() : math.toMarkup() + drawn.toMarkup();
}
