// Starts each figure of a page when it comes near the window. A figure is the default export of the module with the name
// that `data-explore` gives; `load` fetches a module by its name.

const NEAR = "600px";

async function start(element, load) {
  try {
    const figure = await load(element.dataset.explore);
    figure.default(element);
  } catch (error) {
    element.classList.add("is-still");
    throw error;
  }
}

export function startAll(load) {
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        start(target, load);
      }
    },
    { rootMargin: NEAR },
  );
  for (const element of document.querySelectorAll("[data-explore]")) watcher.observe(element);
}
