// Chapter 18: the tree of questions, one at a time. Its text is the nested list that stands in the chapter's own block:
// each item is a question with its answers as a list below, and an answer begins with a word or two and a colon.
import { button } from "./controls.js";
import { body, summary } from "./parts.js";

const isList = (node) => node.nodeName === "UL";

/** An item of the list: its own nodes, and its answers, each with a word and the nodes behind it. */
function read(item) {
  const parts = [...item.childNodes].flatMap((node) => (node.nodeName === "P" ? [...node.childNodes] : [node]));
  return { nodes: parts.filter((node) => !isList(node)), answers: parts.filter(isList).flatMap((list) => [...list.children].map(readAnswer)) };
}

function readAnswer(item) {
  const { nodes, answers } = read(item);
  const [taken, word] = item.textContent.match(/^\s*([^:?.]{1,40}):\s*/) ?? [];
  const isPlain = taken && nodes[0].nodeType === Node.TEXT_NODE && nodes[0].data.startsWith(taken.trimEnd());
  if (!isPlain) throw new Error(`chooser: an answer must begin with plain words and a colon, got "${item.textContent.trim().slice(0, 60)}"`);
  return { word, taken: nodes[0].data.match(/^[^:]*:\s*/)[0].length, nodes, answers };
}

/** Copies of the nodes as they are now, since formulas are drawn late, without an answer's first words. */
function place(parent, { nodes, taken = 0 }) {
  const copies = nodes.map((node) => node.cloneNode(true));
  if (taken) copies[0].data = copies[0].data.slice(taken);
  parent.node().append(...copies);
}

export default function chooser(element) {
  const list = element.querySelector(":scope > ul");
  if (list?.children.length !== 1) throw new Error("chooser: the block must hold one list with one item, the first question");
  const first = read(list.children[0]);

  const root = body(element, "Questions that lead to an estimator, one at a time");
  const steps = root.append("ol").attr("class", "explore-path");
  const here = root.append("div").attr("class", "explore-question").attr("tabindex", "-1");
  const spoken = summary(root);
  show([]);

  function go(path) {
    show(path);
    here.node().focus({ preventScroll: true });
  }

  function show(path) {
    const now = path.at(-1) ?? first;
    steps.selectAll("*").remove();
    path.forEach((answer, i) => {
      const step = steps.append("li");
      place(step.append("span"), path[i - 1] ?? first);
      button(step, answer.word, () => go(path.slice(0, i))).attr("aria-label", `${answer.word}. Go back to this question`);
    });
    here.selectAll("*").remove();
    here.classed("is-answer", now.answers.length === 0);
    place(here.append("p"), now);
    const keys = here.append("p").attr("class", "explore-pair");
    for (const answer of now.answers) button(keys, answer.word, () => go([...path, answer]));
    if (!now.answers.length) button(keys, "Start over", () => go([]));
    spoken.say(here.select("p").text().trim());
  }
}
