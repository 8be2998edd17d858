// Draws formulas by KaTeX once, at rendering, so pages need no script for them: for render/ (formulas.py), and for Quarto
// (after_quarto.js).

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
