// For Quarto's pages: below the title of a chapter, the links that render/ puts there. The notebook lies beside the page;
// where it can be run in the browser follows from Quarto's own "View source" link, which is there once `_quarto.yml`
// has a `repo-url`.
(() => {
  const chapter = location.pathname.match(/\/(chapters\/[\w-]+)\.html$/)?.[1];
  const title = document.querySelector("#title-block-header") ?? document.querySelector("main h1");
  if (!chapter || !title) return;
  const notebook = `${chapter}.ipynb`;
  const links = [["Download the notebook", notebook.split("/").pop(), "download"]];
  const source = document.querySelector(`.toc-action[href$="${notebook}"]`)?.href;
  const [, repository, branch] = source?.match(/^https:\/\/github\.com\/([^/]+\/[^/]+)\/blob\/(.+)\/chapters\//) ?? [];
  if (repository) {
    links.push(["Run in Binder", `https://mybinder.org/v2/gh/${repository}/${branch}?labpath=${notebook}`]);
    links.push(["Run in Colab", `https://colab.research.google.com/github/${repository}/blob/${branch}/${notebook}`]);
  }
  const list = document.createElement("ul");
  list.className = "chapter-facts";
  for (const [text, address, attribute = "rel"] of links) {
    const link = document.createElement("a");
    link.textContent = text;
    link.href = address;
    link.setAttribute(attribute, attribute === "rel" ? "noopener" : "");
    list.append(document.createElement("li"));
    list.lastChild.append(link);
  }
  title.after(list);
})();
