// For Quarto's pages. A classic script: a page opened from a file may not load modules, and has to say so.
(async () => {
  const here = document.currentScript.src;
  if (location.protocol !== "file:") {
    const { startAll } = await import(new URL("explore.js", here).href);
    startAll((name) => import(new URL(`${name}.js`, here).href));
    return;
  }
  for (const element of document.querySelectorAll("[data-explore]")) {
    const hint = document.createElement("p");
    hint.className = "explore-hint";
    hint.textContent = "This figure moves when the book is served: make preview.";
    element.classList.add("is-still");
    element.append(hint);
  }
})();
