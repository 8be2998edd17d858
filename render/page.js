// What a page of render/ does: colours, contents on a phone, search, copying code, tabs, boxes that scroll by keyboard,
// the outline that follows, arrow keys, previews of references.
(() => {
  const root = document.currentScript.dataset.root;
  const $ = (selector) => document.querySelector(selector);
  const $$ = (selector) => [...document.querySelectorAll(selector)];
  const make = (tag, values, ...children) => {
    const made = Object.assign(document.createElement(tag), values);
    made.append(...children);
    return made;
  };
  const html = document.documentElement;

  // Colours
  {
    const menu = $(".quarto-color-scheme-toggle");
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const show = () => {
      html.dataset.mode = menu.value;
      html.dataset.theme = menu.value !== "auto" ? menu.value : dark.matches ? "dark" : "light";
    };
    menu.value = html.dataset.mode;
    menu.addEventListener("change", () => {
      show();
      try {
        localStorage.setItem("mode", menu.value);
      } catch {
        // a browser that keeps nothing: the choice holds for this page
      }
    });
    dark.addEventListener("change", show);
    // the choice may have changed in another tab, or on a page from which the reader comes back to this one; a browser
    // may also give the menu the value it had
    const follow = () => {
      try {
        menu.value = localStorage.getItem("mode") || "auto";
      } catch {
        return;
      }
      show();
    };
    addEventListener("storage", ({ key }) => key === "mode" && follow());
    addEventListener("pageshow", follow);
  }

  // The contents, behind a button on a narrow screen
  {
    const button = $(".quarto-btn-toggle");
    const contents = $("#quarto-sidebar");
    const set = (isOpen) => {
      contents.classList.toggle("show", isOpen);
      button.setAttribute("aria-expanded", isOpen);
      if (isOpen) (contents.querySelector("[aria-current]") ?? contents.querySelector("a")).focus();
    };
    button.addEventListener("click", () => set(!contents.classList.contains("show")));
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !contents.classList.contains("show")) return;
      set(false);
      button.focus();
    });
    addEventListener("focusin", ({ target }) => {
      if (contents.classList.contains("show") && !contents.contains(target) && target !== button) set(false);
    });
    addEventListener("pagehide", () => set(false)); // a page that is kept for Back must not come back covered
    matchMedia("(max-width: 820px)").addEventListener("change", () => set(false));
    const current = contents.querySelector("[aria-current]");
    // not at once: to ask for a place lays out the page, and what follows would make it necessary again
    requestAnimationFrame(() => {
      if (current) contents.scrollTop = Math.max(0, current.offsetTop - contents.clientHeight / 2);
    });
  }

  // Search: index and library are scripts, which load from a file on disk too, and only when somebody searches
  {
    const dialog = $(".book-search");
    const input = dialog.querySelector("input");
    const list = dialog.querySelector(".search-results");
    const count = dialog.querySelector(".search-count");
    const FOUND = 12;
    const AROUND = 70;
    let loading, index, synonyms;

    const load = (name) =>
      new Promise((done, failed) =>
        document.head.append(make("script", { src: `${root}assets/${name}`, onload: done, onerror: failed })),
      );
    const weight = (id) => (id.startsWith("appendices/") ? 0.2 : 1) * (id.includes("#") ? 1 : 2); // chapters before sections
    const fold = (term) => term.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
    const stem = (term) => (term.length > 4 ? term.replace(/(?<=[^s])s$/, "") : term);
    async function prepare() {
      await Promise.all([load("minisearch.js"), load("search-index.js")]);
      const { entries, synonyms: words } = globalThis.BOOK_INDEX;
      synonyms = Object.entries(words);
      index = new MiniSearch({
        fields: ["title", "page", "text"],
        storeFields: ["title", "page", "text"],
        processTerm: (term) => stem(fold(term)),
        searchOptions: {
          boost: { title: 5, page: 3 },
          prefix: (term) => term.length > 3,
          fuzzy: (term) => (term.length > 5 ? 0.15 : false),
          boostDocument: weight,
        },
      });
      index.addAll(entries);
      find();
    }
    const expanded = (query) => {
      const said = ` ${fold(query).replace(/[-\s]+/g, " ").trim()} `;
      const more = synonyms.filter(([name]) => said.includes(` ${name.replace(/-/g, " ")} `)).map(([, words]) => words);
      return { said: query, more };
    };
    function search(query) {
      const { said, more } = expanded(query);
      const queries = [{ queries: [said], combineWith: "OR" }, ...more.map((words) => ({ queries: [words], boostDocument: (id) => 2 * weight(id) }))];
      const all = index.search({ queries, combineWith: "OR" });
      const both = query.trim().split(/\s+/).length > 1 ? new Set(index.search(said, { combineWith: "AND" }).map(({ id }) => id)) : null;
      return both ? all.map((hit) => ({ ...hit, score: hit.score * (both.has(hit.id) ? 2 : 1) })).sort((a, b) => b.score - a.score) : all;
    }
    function excerpt(text, words) {
      const folded = text.toLowerCase();
      const at = Math.max(0, Math.min(...words.map((word) => folded.indexOf(word)).filter((place) => place >= 0), Infinity));
      const start = Number.isFinite(at) ? Math.max(0, at - AROUND) : 0;
      const shown = text.slice(start, start + 3 * AROUND);
      return `${start ? "…" : ""}${shown}${start + 3 * AROUND < text.length ? "…" : ""}`;
    }
    function marked(text, words) {
      if (!words.length) return [text];
      const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      return text.split(new RegExp(`(${escaped.join("|")})`, "gi")).map((part, i) => (i % 2 ? make("mark", {}, part) : part));
    }
    function find() {
      if (!index) return;
      const query = input.value.trim();
      const found = query ? search(query) : [];
      const results = found.length > FOUND ? `The first ${FOUND} of ${found.length} results` : found.length === 1 ? "1 result" : `${found.length} results`;
      count.textContent = !query ? "" : found.length ? results : "No results found.";
      list.replaceChildren(
        ...found.slice(0, FOUND).map((hit) => {
          const words = hit.terms.filter((word) => word.length > 1);
          const title = hit.id.includes("#") ? hit.title : hit.page;
          const link = make("a", { href: root + hit.id }, make("strong", {}, ...marked(title, words)));
          if (title !== hit.page) link.append(make("span", { className: "search-page" }, hit.page));
          link.append(make("span", { className: "search-excerpt" }, ...marked(excerpt(hit.text, words), words)));
          return make("li", {}, link);
        }),
      );
    }
    function open() {
      if ($("#quarto-sidebar.show")) $(".quarto-btn-toggle").focus(); // where the focus returns to must not disappear
      if (!dialog.open) dialog.showModal();
      input.select();
      loading ??= prepare().catch(() => {
        loading = undefined;
        count.textContent = "The search could not be loaded. Close it and open it again.";
      });
    }
    $(".open-search").addEventListener("click", open);
    dialog.querySelector(".close-search").addEventListener("click", () => dialog.close());
    input.addEventListener("input", find);
    list.addEventListener("click", (event) => event.target.closest("a") && dialog.close());
    let pressed; // a drag that ends outside is no click there
    dialog.addEventListener("pointerdown", ({ target }) => (pressed = target));
    dialog.addEventListener("click", ({ target }) => target === dialog && pressed === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => {
      const links = [...list.querySelectorAll("a")];
      const at = links.indexOf(document.activeElement);
      if (event.key === "Enter" && event.target === input) links[0]?.click();
      else if (event.key === "ArrowDown") (links[at + 1] ?? links[at])?.focus();
      else if (event.key === "ArrowUp" && at >= 0) (links[at - 1] ?? input).focus();
      else return;
      event.preventDefault();
    });
    addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      open();
    });
  }

  // Copy buttons
  for (const code of $$("main div.sourceCode")) {
    const button = make("button", { type: "button", className: "code-copy-button", textContent: "Copy" });
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.querySelector("pre").innerText);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Could not copy"; // refused, or a page without https
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    code.append(button);
  }

  // Tabs
  for (const list of $$(".panel-tabset > .nav-tabs")) {
    const tabs = [...list.querySelectorAll("[role=tab]")];
    const show = (chosen) => {
      for (const tab of tabs) {
        const isChosen = tab === chosen;
        tab.classList.toggle("active", isChosen);
        tab.setAttribute("aria-selected", isChosen);
        tab.tabIndex = isChosen ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).classList.toggle("active", isChosen);
      }
    };
    list.addEventListener("click", ({ target }) => target.closest("[role=tab]") && show(target.closest("[role=tab]")));
    list.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      const next = tabs.at((tabs.indexOf(event.target) + step) % tabs.length);
      show(next);
      next.focus();
      event.stopPropagation();
    });
  }

  // A box that scrolls must be reachable with the keyboard, and one that does not should not be in the way. An observer
  // tells of their sizes when the page is laid out; to ask each would lay it out once more.
  {
    const boxes = $$("main :is(pre, .float-content, .katex-display)");
    const KINDS = { Table: ".float-content", Formula: ".katex-display" }; // divs and spans: the focus needs names
    const names = new Map();
    for (const [kind, all] of Object.entries(KINDS)) {
      $$(`main ${all}`).forEach((box, i) => names.set(box, `${kind} ${i + 1} on this page, scrollable`));
    }
    const watcher = new ResizeObserver((entries) => {
      const sizes = entries.map(({ target }) => [target, target.scrollWidth > target.clientWidth]);
      for (const [target, scrolls] of sizes) {
        const named = names.has(target) && { role: "region", "aria-label": names.get(target) };
        const said = { tabindex: "0", ...named };
        for (const [name, value] of Object.entries(said)) {
          if (scrolls) target.setAttribute(name, value);
          else target.removeAttribute(name);
        }
      }
    });
    document.fonts.ready.then(() => boxes.forEach((box) => watcher.observe(box)));
  }

  // The outline follows: the last heading above a line near the top of the window is where the reader is
  {
    const links = $$("#TOC a");
    const headings = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
    const BELOW_HEADER = 10.6; // rem: a little more than where a link puts its heading
    const hash = () => {
      try {
        return document.getElementById(decodeURIComponent(location.hash.slice(1)));
      } catch {
        return null; // an address that is no text
      }
    };
    let isWaiting = false;
    let jumpedTo = hash(); // a link's target near the end of a page cannot come to its top; it is where the reader is
    const mark = () => {
      isWaiting = false;
      const isAtEnd = scrollY > 0 && scrollY + innerHeight >= html.scrollHeight - 2;
      const line = isAtEnd ? innerHeight : BELOW_HEADER * parseFloat(getComputedStyle(html).fontSize);
      const above = headings.findLastIndex((heading) => heading && heading.getBoundingClientRect().top <= line);
      const at = isAtEnd && headings.includes(jumpedTo) ? headings.indexOf(jumpedTo) : above;
      links.forEach((link, i) => {
        link.classList.toggle("active", i === at);
        if (i === at) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      });
      const sidebar = $("#quarto-margin-sidebar");
      const link = links[at];
      if (sidebar.scrollHeight > sidebar.clientHeight) sidebar.scrollTop = link ? link.offsetTop - sidebar.clientHeight / 2 : 0;
    };
    const later = () => {
      if (!isWaiting) requestAnimationFrame(mark);
      isWaiting = true;
    };
    if (links.length) {
      addEventListener("scroll", later, { passive: true });
      addEventListener("resize", later);
      const leave = (event) => {
        if (event.type === "keydown" && !/^(End|Home|Page|Arrow| )/.test(event.key)) return;
        jumpedTo = null;
        later();
      };
      for (const move of ["wheel", "touchmove", "keydown"]) addEventListener(move, leave, { passive: true });
      addEventListener("hashchange", () => {
        jumpedTo = hash();
        later();
      });
      later();
    }
  }

  // The outline leaves while a note in the margin passes its place
  {
    const sidebar = $("#quarto-margin-sidebar");
    const notes = $$("main .column-margin");
    const covering = new Set();
    let watcher;
    const watch = () => {
      watcher?.disconnect();
      covering.clear();
      const below = Math.max(0, innerHeight - parseFloat(getComputedStyle(sidebar).top) - sidebar.clientHeight);
      watcher = new IntersectionObserver((entries) => {
        for (const { target, isIntersecting } of entries) covering[isIntersecting ? "add" : "delete"](target);
        $("#TOC").classList.toggle("is-covered", covering.size > 0);
      }, { rootMargin: `0px 0px -${below}px` });
      notes.forEach((note) => watcher.observe(note));
    };
    if (notes.length && $("#TOC")) {
      new ResizeObserver(watch).observe(sidebar);
      addEventListener("resize", watch);
    }
  }

  // Arrow keys turn pages
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
    if ($("dialog[open]") || event.target.closest?.("input, select, textarea, [role=tab], [tabindex='0'], .explore-body")) return;
    const link = { ArrowLeft: $("[rel=prev]"), ArrowRight: $("[rel=next]") }[event.key];
    if (link) location.href = link.href;
  });

  // A link to an equation or to a source shows it while the pointer or the keyboard is on the link. From a file on disk
  // other pages cannot be read, and the link is then an ordinary one.
  {
    const pages = new Map();
    let box, timer;
    const parsed = (text) => new DOMParser().parseFromString(text, "text/html");

    async function target(link) {
      const { protocol, pathname, hash } = new URL(link.href);
      if (!pages.has(pathname)) {
        if (pathname !== location.pathname && protocol === "file:") return null;
        pages.set(pathname, pathname === location.pathname ? document : fetch(pathname).then((r) => r.text()).then(parsed));
      }
      const found = (await pages.get(pathname)).getElementById(decodeURIComponent(hash.slice(1)));
      return found?.matches(".equation, .csl-entry") ? found : null;
    }

    function hide() {
      clearTimeout(timer);
      box?.remove();
      box = null;
    }

    async function show(link) {
      const found = await target(link).catch(() => null);
      if (!found || !link.matches(":hover, :focus-visible")) return;
      hide();
      const copy = document.importNode(found, true);
      [copy, ...copy.querySelectorAll("[id]")].forEach((part) => part.removeAttribute("id"));
      box = make("div", { className: "link-preview" }, copy);
      document.querySelector("main").append(box);
      const at = link.getBoundingClientRect();
      const around = box.offsetParent.getBoundingClientRect();
      const left = Math.max(16, Math.min(at.left, html.clientWidth - box.offsetWidth - 16));
      const isAbove = at.bottom + box.offsetHeight + 8 > innerHeight && at.top > box.offsetHeight + 8;
      box.style.left = `${left - around.left}px`;
      box.style.top = `${(isAbove ? at.top - box.offsetHeight - 4 : at.bottom + 4) - around.top}px`;
      box.addEventListener("pointerenter", () => clearTimeout(timer));
      box.addEventListener("pointerleave", hide);
    }

    function later(action) {
      clearTimeout(timer);
      timer = setTimeout(action, 250);
    }

    for (const link of $$('main :is(a.quarto-xref, a[href*="#ref-"])')) {
      link.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && later(() => show(link)));
      link.addEventListener("pointerleave", () => later(hide));
      link.addEventListener("focus", () => link.matches(":focus-visible") && later(() => show(link)));
      link.addEventListener("blur", hide);
    }
    addEventListener("keydown", (event) => event.key === "Escape" && hide());
  }
})();
