// Starts each figure of a page when it comes near the window. A figure lives in a module with the name that
// `data-explore` gives, whose default export fills the element.

const NEAR = "600px";

async function start(element) {
  try {
    const figure = await import(`./${element.dataset.explore}.js`);
    figure.default(element);
  } catch (error) {
    element.classList.add("is-still");
    throw error;
  }
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      start(target);
    }
  },
  { rootMargin: NEAR },
);

for (const element of document.querySelectorAll("[data-explore]")) watcher.observe(element);
