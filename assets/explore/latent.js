// Chapter 3: the plane of the latent variable with the codes of held-out digits, and what the decoder makes of a point in it.
import { decode } from "./discrete.js";
import { CODES, HIDDEN_BIAS, HIDDEN_WEIGHTS, LABELS, PIXEL_BIAS, PIXEL_WEIGHTS } from "./latent-weights.js";
import { button, controls, slider } from "./controls.js";
import { body, chart, disc, draggable, drawing, fixed, label, row, summary } from "./parts.js";

const SCALE = 100; // the weights are stored in hundredths
const RANGE = 2.7;
const SIDE = 8; // pixels across a picture
const HEIGHT = 310;
const STEP = 0.05;
const real = (numbers) => numbers.map((x) => x / SCALE);
const DECODER = {
  hidden: { weights: real(HIDDEN_WEIGHTS), bias: real(HIDDEN_BIAS) },
  pixels: { weights: real(PIXEL_WEIGHTS), bias: real(PIXEL_BIAS) },
};
const CODED = LABELS.map((digit, i) => ({ digit, z: [CODES[2 * i] / SCALE, CODES[2 * i + 1] / SCALE] }));
const onGrid = (z) => z.map((x) => Math.min(2.5, Math.max(-2.5, Math.round(x / STEP) * STEP)));
const nearest = (place) => {
  const distance = ({ z }) => Math.hypot(z[0] - place[0], z[1] - place[1]);
  return CODED.reduce((best, one) => (distance(one) < distance(best) ? one : best));
};
const OFFERED = CODED.filter(({ digit, z }) => nearest(onGrid(z)).digit === digit); // the sliders cannot show every code

export default function latent(element) {
  const state = { z: [-0.5, 0.5], next: 1 };
  let scales;
  let pixels;

  const root = body(element, "The latent plane, with sliders for both coordinates, and the decoded picture");
  const panels = row(root);
  const plane = drawing(panels, { height: HEIGHT, describe: describePlane, draw: drawPlane });
  const picture = drawing(panels, { height: HEIGHT, describe: describePicture, draw: drawPicture });
  const handle = plane.svg.append("g").attr("class", "explore-handle").attr("data-handle", "z");
  disc(handle, "explore-touch", [0, 0], 20);
  disc(handle, "", [0, 0], 9);
  draggable(plane.svg, handle, (place) => move(scales.x.invert(place[0]), scales.y.invert(place[1])));
  plane.svg.on("click", (event) => {
    const box = plane.svg.node().getBoundingClientRect();
    move(scales.x.invert(event.clientX - box.left), scales.y.invert(event.clientY - box.top));
  });
  const panel = controls(root);
  const axis = (i, name, spoken) =>
    slider(panel, {
      name, spoken, min: -2.5, max: 2.5, step: STEP, value: state.z[i], show: (x) => fixed(x, 2),
      change(x) {
        state.z[i] = x;
        update();
      },
    });
  const sliders = [axis(0, "z₁", "z 1"), axis(1, "z₂", "z 2")];
  button(panel, "Go to a picture's code", () => {
    const { z } = OFFERED[state.next % OFFERED.length];
    state.next += 1;
    move(...z);
  });
  const words = root.append("p").attr("class", "explore-step");
  const spoken = summary(root);
  update();

  function move(...z) {
    state.z = onGrid(z);
    state.z.forEach((x, i) => sliders[i].set(x));
    update();
  }

  function update() {
    pixels = decode(DECODER, state.z);
    const on = pixels.reduce((sum, p) => sum + p);
    const { digit } = nearest(state.z);
    const named = digit === 8 ? "an 8" : `a ${digit}`;
    const text = `At z = (${state.z.map((x) => fixed(x, 2)).join(", ")}), the decoder switches on ${fixed(on, 1)} of 64 pixels on average. The nearest code is that of ${named}. The codes of this digit are in colour.`;
    words.text(text);
    spoken.say(text);
    plane.update();
    picture.update();
  }

  function describePlane() {
    return `The latent plane with the codes of ${CODED.length} held-out digits as numerals, and a handle at ${state.z.map((x) => fixed(x, 2)).join(", ")}.`;
  }

  function drawPlane(svg, width) {
    const ticks = [-2, -1, 0, 1, 2];
    const both = { domain: [-RANGE, RANGE], ticks };
    scales = chart(svg, { width, height: HEIGHT, title: "codes of held-out digits, z₂ against z₁", x: { ...both, name: "z₁" }, y: both });
    const { digit: like } = nearest(state.z);
    for (const { digit, z } of CODED) {
      label(scales.inside, `is-code is-middle ${digit === like ? "is-pathwise" : ""}`, [scales.x(z[0]), scales.y(z[1]) + 4], `${digit}`);
    }
    handle.attr("transform", `translate(${scales.x(state.z[0])},${scales.y(state.z[1])})`);
  }

  function describePicture() {
    return `A picture of ${SIDE} by ${SIDE} pixels. The more likely it is that a pixel is on, the stronger its colour.`;
  }

  function drawPicture(svg, width) {
    const size = Math.min(width - 2, HEIGHT - 44) / SIDE;
    const left = (width - SIDE * size) / 2;
    label(svg, "", [left, 14], "decoded: probability of each pixel");
    const place = svg.append("g").attr("class", "is-pathwise").attr("transform", `translate(${left},26)`);
    pixels.forEach((p, i) => {
      const pixel = place.append("rect").attr("class", "explore-pixel").attr("x", (i % SIDE) * size).attr("y", Math.floor(i / SIDE) * size);
      pixel.attr("width", size).attr("height", size).attr("fill-opacity", p.toFixed(3));
    });
  }
}
