// For Quarto's pages. A classic script: a page opened from a file may not load modules, and quarto.js says so there.
(async () => {
  const here = document.currentScript.src;
  try {
    if (location.protocol === "file:") throw new Error("modules need a server");
    const { startAll } = await import(new URL("explore.js", here).href);
    startAll((name) => import(new URL(`${name}.js`, here).href));
  } catch {
    for (const element of document.querySelectorAll("[data-explore]")) element.classList.add("is-still");
  }
})();
