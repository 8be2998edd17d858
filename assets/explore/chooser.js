// Chapter 18: the tree of questions, one at a time. Its text is the nested list that stands in the chapter's own block:
// each item is a question with its answers as a list below, and an answer begins with a word or two and a colon.
import { body, summary } from "./parts.js";

/** An item of the list as { text: nodes, answers: [{ word, text, answers }] }. */
function read(item) {
  const parts = [...item.childNodes].flatMap((node) => (node.nodeName === "P" ? [...node.childNodes] : [node]));
  const isList = (node) => node.nodeName === "UL";
  const text = parts.filter((node) => !isList(node)).map((node) => node.cloneNode(true));
  const answers = parts.filter(isList).flatMap((list) => [...list.children].map(readAnswer));
  return { text, answers };
}

function readAnswer(item) {
  const { text, answers } = read(item);
  const first = text.find((node) => node.textContent.trim());
  const [found, word] = first.textContent.match(/^\s*([^:]{1,40}):\s*/) ?? [];
  if (!found) throw new Error(`chooser: an answer must begin with a word and a colon, got "${item.textContent.trim().slice(0, 60)}"`);
  first.textContent = first.textContent.slice(found.length);
  return { word, text, answers };
}

export default function chooser(element) {
  const list = element.querySelector(":scope > ul");
  if (list?.children.length !== 1) throw new Error("chooser: the block must hold one list with one item, the first question");
  const first = read(list.children[0]);
  let path = []; // the answers so far

  const root = body(element, "A choice of estimators by questions, one at a time");
  const steps = root.append("ol").attr("class", "explore-path");
  const here = root.append("div").attr("class", "explore-question").attr("tabindex", "-1");
  const spoken = summary(root);
  show();

  function go(to) {
    path = to;
    show();
    here.node().focus({ preventScroll: true });
  }

  function show() {
    const now = path.at(-1) ?? first;
    steps.selectAll("*").remove();
    path.forEach((answer, i) => {
      const before = path[i - 1] ?? first;
      const step = steps.append("li");
      place(step.append("span"), before.text);
      step.append("button").attr("type", "button").attr("class", "explore-button").attr("aria-pressed", "true").text(answer.word)
        .attr("aria-label", `${answer.word}. Go back to this question`)
        .on("click", () => go(path.slice(0, i)));
    });
    here.selectAll("*").remove();
    here.classed("is-answer", now.answers.length === 0);
    place(here.append("p"), now.text);
    const keys = here.append("p").attr("class", "explore-pair");
    for (const answer of now.answers) {
      keys.append("button").attr("type", "button").attr("class", "explore-button").text(answer.word).on("click", () => go([...path, answer]));
    }
    if (!now.answers.length) keys.append("button").attr("type", "button").attr("class", "explore-button").text("Start over").on("click", () => go([]));
    spoken.say(now.text.map((node) => node.textContent).join("").trim());
  }

  function place(parent, nodes) {
    for (const node of nodes) parent.node().append(node.cloneNode(true));
  }
}
