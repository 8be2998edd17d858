// Draws formulas by KaTeX once, at rendering, so pages need no script for them: for render/ (formulas.py), and for Quarto,
// which runs this file after rendering. Without it, Quarto's pages draw their formulas while they are read, and jump.

const OPTIONS = { output: "htmlAndMathml", strict: "error" };
const TEX = /<annotation[^]*?<\/annotation>/g; // KaTeX repeats it in the MathML, where nothing reads it

/** The HTML of a formula and, where KaTeX refuses it, the reason. */
function draw(tex, displayMode) {
  try {
    return [katex.renderToString(tex, { ...OPTIONS, displayMode }).replace(TEX, ""), ""];
  } catch (error) {
    return ["", error.rawMessage ?? String(error)];
  }
}

const FORMULA = /<span\s+class="math (inline|display)">([^<]*)<\/span>([.,;:!?)]*)/g;
const SCRIPTS = /\s*<script[^>]*\/katex\.min\.js"><\/script>\s*<script>document\.addEventListener\([^]*?<\/script>/;
const ENTITIES = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&" };

/** A page of Quarto's with its formulas drawn, and without the scripts that would draw them. */
function drawPage(html) {
  if (!SCRIPTS.test(html)) return html; // it has no formulas, or they are drawn
  return html.replace(SCRIPTS, "").replace(FORMULA, (_, kind, escaped, mark) => {
    const tex = escaped.replace(/&(?:lt|gt|quot|#39|amp);/g, (entity) => ENTITIES[entity]);
    const [drawn, reason] = draw(tex, kind === "display");
    if (reason) throw new Error(`KaTeX refuses ${tex}: ${reason}`);
    const formula = `<span class="math ${kind} notranslate">${drawn}</span>`;
    if (kind === "display" || !mark) return formula + mark;
    return `<span class="joined${mark.length > 1 ? " wide" : ""}">${formula}<span class="formula-end">${mark}</span></span>`;
  });
}

if (globalThis.Deno) {
  (0, eval)(Deno.readTextFileSync("assets/katex/katex.min.js"));
  for (const page of Deno.env.get("QUARTO_PROJECT_OUTPUT_FILES").split("\n")) {
    if (page.endsWith(".html")) Deno.writeTextFileSync(page, drawPage(Deno.readTextFileSync(page)));
  }
}
