// Quarto runs this after rendering. As in render/, formulas are drawn and pictures below the first wait until they are
// near. Without it, Quarto's pages draw their formulas while they are read, and jump.

const FORMULA = /<span\s+class="math (inline|display)">([^<]*)<\/span>([.,;:!?)]*)/g;
const SCRIPTS = /\s*<script[^>]*\/katex\.min\.js"><\/script>\s*<script>document\.addEventListener\([^]*?<\/script>/;
const ENTITIES = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&" };
const PICTURE = /<img (?![^>]*\b(?:loading|fetchpriority)=)(?=[^>]*\bfigure-img\b)/g;

/** The page with its formulas drawn, and without the scripts that would draw them. */
function withFormulas(html) {
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

/** The page, whose text and fonts come before its pictures. */
function withPicturesLater(html) {
  let count = 0;
  return html.replace(PICTURE, () => (count++ ? '<img loading="lazy" decoding="async" ' : '<img fetchpriority="low" '));
}

if (globalThis.Deno) {
  for (const script of ["assets/katex/katex.min.js", "render/formulas.js"]) (0, eval)(Deno.readTextFileSync(script));
  for (const page of Deno.env.get("QUARTO_PROJECT_OUTPUT_FILES").split("\n")) {
    if (page.endsWith(".html")) Deno.writeTextFileSync(page, withPicturesLater(withFormulas(Deno.readTextFileSync(page))));
  }
}
