// For Quarto's pages. A classic script: a page opened from a file may not load modules, and quarto.js says so there.
(async () => {
  const here = document.currentScript.src;
  if (location.protocol === "file:") {
    for (const element of document.querySelectorAll("[data-explore]")) element.classList.add("is-still");
    return;
  }
  const { startAll } = await import(new URL("explore.js", here).href);
  startAll((name) => import(new URL(`${name}.js`, here).href));
})();
