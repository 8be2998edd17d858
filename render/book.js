// A box that scrolls must be reachable with the keyboard, and one that does not should not be in the way. An observer
// tells of their sizes when the page is laid out; to ask each would lay it out once more.
const scrollBoxes = document.querySelectorAll(".scroll-box, .pst-scrollable-table-container, div.highlight pre");
const watcher = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
function watchScrollBoxes() {
  watcher.disconnect();
  scrollBoxes.forEach((box) => watcher.observe(box));
}
document.fonts.ready.then(watchScrollBoxes);

// "Back to top" is there below the first screen, for a reader who turns back: it would lie on the text of one who reads on.
const backToTop = document.getElementById("pst-back-to-top");
if (backToTop) {
  let last = scrollY;
  const place = () => {
    if (Math.abs(scrollY - last) < 2) return; // the page grew or shrank by a pixel: nobody has scrolled
    const isTurning = scrollY < last || backToTop === document.activeElement;
    backToTop.style.display = isTurning && scrollY > innerHeight ? "block" : "none";
    last = scrollY;
  };
  addEventListener("scroll", place, { passive: true });
  backToTop.addEventListener("click", () => scrollTo({ top: 0 }));
}

// The menu of colours closes when a choice is made, on Escape, and when something else is clicked.
for (const menu of document.querySelectorAll(".theme-menu")) {
  const close = () => menu.removeAttribute("open");
  const choices = [...menu.querySelectorAll("[data-mode].theme-change-button")];
  const showChoice = () => choices.forEach((c) => (c.ariaPressed = c.dataset.mode === document.documentElement.dataset.mode));
  menu.addEventListener("toggle", showChoice);
  addEventListener("click", (event) => {
    if (!menu.contains(event.target)) close();
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close(), menu.querySelector("summary").focus();
  });
  choices.forEach((choice) => choice.addEventListener("click", () => (close(), menu.querySelector("summary").focus())));
}

// A link to an equation or to a source shows it while the pointer or the keyboard is on the link. From a file on
// disk other pages cannot be read, and the link is then an ordinary one.
{
  const pages = new Map();
  let box, timer;

  async function target(link) {
    const { origin, pathname, hash } = new URL(link.href);
    if (origin !== location.origin || !hash) return null;
    if (!pages.has(pathname)) {
      const page = pathname === location.pathname ? document : fetch(pathname).then((r) => r.text()).then(parsed);
      pages.set(pathname, page);
    }
    const found = (await pages.get(pathname)).getElementById(decodeURIComponent(hash.slice(1)));
    return found?.matches(".equation, .citation") ? found : null;
  }
  const parsed = (text) => new DOMParser().parseFromString(text, "text/html");

  function hide() {
    clearTimeout(timer);
    box?.remove();
    box = null;
  }

  async function show(link) {
    const found = await target(link).catch(() => null);
    if (!found || !link.matches(":hover, :focus-visible")) return;
    hide();
    link.removeAttribute("title");
    const copy = document.importNode(found, true);
    copy.querySelectorAll(".headerlink").forEach((part) => part.remove());
    [copy, ...copy.querySelectorAll("[id]")].forEach((part) => part.removeAttribute("id"));
    box = document.createElement("div");
    box.className = "link-preview";
    box.append(copy);
    document.querySelector(".bd-article").append(box);
    const at = link.getBoundingClientRect();
    const around = box.offsetParent.getBoundingClientRect();
    const left = Math.max(16, Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 16));
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

  for (const link of document.querySelectorAll('.bd-article a.reference.internal[href*="#"]')) {
    link.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && later(() => show(link)));
    link.addEventListener("pointerleave", () => later(hide));
    link.addEventListener("focus", () => link.matches(":focus-visible") && later(() => show(link)));
    link.addEventListener("blur", hide);
  }
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
