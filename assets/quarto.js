// What Quarto's pages need and Quarto does not give them: the links of a chapter below its title, folded solutions and
// scrolling boxes that the keyboard reaches, and a word on what does not run in a page that is opened from a file.
(() => {
  const $$ = (selector) => [...document.querySelectorAll(selector)];
  const make = (name, values, ...children) => {
    const made = Object.assign(document.createElement(name), values);
    made.append(...children);
    return made;
  };
  const title = document.querySelector("#title-block-header") ?? document.querySelector("main h1");

  // The reader's copy lies beside the page. Where it can be run in the browser is as in render/book.py; the repository is
  // in Quarto's own "View source" link, which is there once `_quarto.yml` has a `repo-url`.
  const chapter = location.pathname.match(/\/chapters\/([\w-]+)\.html$/)?.[1];
  if (chapter && title) {
    const notebook = `${chapter}.ipynb`;
    const links = [make("a", { href: notebook, download: "" }, "Download the notebook")];
    const source = document.querySelector(`.toc-action[href$="/chapters/${notebook}"]`)?.href;
    const [, repository] = source?.match(/^https:\/\/github\.com\/([^/]+\/[^/]+)\/blob\//) ?? [];
    if (repository) {
      const binder = `https://mybinder.org/v2/gh/${repository}/notebooks?labpath=notebooks/${notebook}`;
      const colab = `https://colab.research.google.com/github/${repository}/blob/notebooks/notebooks/${notebook}`;
      links.push(make("a", { href: binder, rel: "noopener" }, "Run in Binder"));
      links.push(make("a", { href: colab, rel: "noopener" }, "Run in Colab"));
    }
    title.after(make("ul", { className: "chapter-facts" }, ...links.map((link) => make("li", {}, link))));
  }

  if (location.protocol === "file:" && title) {
    const figures = document.querySelector("[data-explore]") ? " and the interactive figures" : "";
    const said = `This page was opened from a file, so the search${figures} cannot run. Use \`make preview\` to view the book.`;
    const parts = said.split("`").map((part, i) => (i % 2 ? make("code", {}, part) : part));
    title.after(make("p", { className: "from-file" }, ...parts));
  }

  // Quarto folds callouts, and parts of the list of chapters, by elements that only a pointer can press. The label of a
  // callout hides its title, and a part has an arrow beside its name that does the same
  for (const header of $$(":is(.callout-header, #quarto-sidebar a:not([href]))[data-bs-toggle]")) {
    header.setAttribute("role", "button");
    if (header.matches(".callout-header")) header.removeAttribute("aria-label");
    header.tabIndex = header.matches(".sidebar-item-toggle") ? -1 : 0;
    header.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      header.click();
    });
  }

  // Navigations need names of their own, and the label of the links at the foot hides the number that they show
  const NAVIGATIONS = {
    ".quarto-secondary-nav": "Page", "#quarto-sidebar": "Contents", "#TOC": "On this page", ".page-navigation": "Previous and next page",
  };
  for (const [bar, name] of Object.entries(NAVIGATIONS)) document.querySelector(bar)?.setAttribute("aria-label", name);
  $$(".page-navigation .pagination-link").forEach((link) => link.removeAttribute("aria-label"));

  // A reference to a chapter, as in render/: the first page prints whole titles, and a line may break before the number
  for (const text of $$("main a.quarto-xref > span")) {
    const short = text.textContent.replace(/^(\d+)\s.+$/, "Chapter $1").replace(/^(Appendix \w+) — .+$/, "$1");
    text.textContent = short.replace(/^(\w+) ([\w.]+)$/, "$1\u00a0$2");
  }

  // The title of an appendix does not break before its dash
  const name = document.querySelector("h1 .quarto-section-identifier")?.firstChild;
  if (name?.nodeType === Node.TEXT_NODE) name.nodeValue = name.nodeValue.replace(/^(Appendix \w+) — /, "$1\u00a0— ");

  // A caption's number, as in render/
  for (const caption of $$("main figcaption.quarto-float-caption")) {
    const [, number, rest] = caption.firstChild?.nodeValue?.match(/^\s*(\S+\u00a0[\w.]+:)([^]*)$/) ?? [];
    if (!number) continue;
    caption.firstChild.nodeValue = rest;
    caption.prepend(make("span", { className: "caption-number" }, number));
  }

  // Of two empty lines in a cell one is shown, as in render/
  for (const line of $$(".cell pre.sourceCode > code > span")) {
    if (line.textContent.trim() || line.previousElementSibling?.textContent.trim() !== "") continue;
    line.nextSibling?.remove();
    line.remove();
  }

  // A wide table scrolls in a box of its own
  for (const table of $$("main table:not(.explore-numbers, .printed)")) {
    const box = table.parentElement;
    if (box.matches("[aria-describedby]")) {
      box.classList.add("float-content");
      continue;
    }
    const around = make("div", { className: "float-content" });
    table.before(around);
    around.append(table);
  }

  const BOXES = { Code: ":is(pre, div.sourceCode)", Table: ".float-content", Formula: ".katex-display" }; // that scroll

  // When all is drawn, boxes that scroll can be reached by the keyboard
  const finish = () => {
    const names = new Map();
    const watcher = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        const named = !target.matches("pre") && { role: "region", "aria-label": names.get(target) };
        const values = { tabindex: "0", ...named }; // a div or a span with the focus needs a role and a name of its own
        for (const [name, value] of Object.entries(values)) {
          if (target.scrollWidth > target.clientWidth) target.setAttribute(name, value);
          else target.removeAttribute(name);
        }
      }
    });
    for (const [kind, boxes] of Object.entries(BOXES)) {
      $$(`main ${boxes}`).forEach((box, i) => {
        names.set(box, `${kind} ${i + 1} on this page, scrollable`);
        watcher.observe(box);
      });
    }
  };
  if (document.readyState === "complete") finish();
  else addEventListener("load", finish);
})();
