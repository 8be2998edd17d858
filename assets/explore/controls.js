// What a reader turns and presses: sliders, buttons, and a motion that can be played.

/** Whether the reader has asked for less motion. */
function isStill() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** A row for sliders and buttons. */
export function controls(parent) {
  return parent.append("div").attr("class", "explore-controls");
}

/** A slider between its name and its value, which `show` writes. */
export function slider(parent, { name, spoken, min, max, step, value, show, change }) {
  const label = parent.append("label").attr("class", "explore-slider");
  label.append("span").attr("class", "explore-name").attr("aria-hidden", "true").text(name);
  const input = label.append("input").attr("type", "range").attr("aria-label", spoken);
  const output = label.append("span").attr("class", "explore-value").attr("aria-hidden", "true");
  function write() {
    output.text(show(get()));
    input.attr("aria-valuetext", show(get()));
  }
  function get() {
    return Number(input.property("value"));
  }
  input.attr("min", min).attr("max", max).attr("step", step).property("value", value);
  input.on("input", () => {
    write();
    change(get());
  });
  write();
  return {
    set(x) {
      input.property("value", x);
      write();
    },
  };
}

export function button(parent, text, press) {
  return parent.append("button").attr("type", "button").attr("class", "explore-button").text(text).on("click", press);
}

/**
 * A row of controls that change the `state` of a figure and then call `update()`: `slider(name, …)` for one of its
 * numbers, and `again(text, draw)`, a button in `place` that takes the next seed and calls `draw()`.
 */
export function steering(parent, state, update) {
  const panel = controls(parent);
  const set = (name) => (value) => {
    state[name] = value;
    update();
  };
  return {
    panel,
    set,
    slider: (name, options) => slider(panel, { ...options, value: state[name], change: set(name) }),
    again(text, draw = () => {}, place = panel) {
      button(place, text, () => {
        state.seed += 1;
        draw();
        update();
      });
    },
  };
}

/**
 * A button that starts a motion and stops it, then with the name `halt`. `start()` prepares it, and `frame(ms)` shows its state so long after the
 * start, and returns whether it goes on. With less motion asked for, only the end is shown, `frame(Infinity)`.
 */
export function player(parent, name, { start = () => {}, frame, halt = "Pause" }) {
  let running = 0;
  const pressed = button(parent, name, () => {
    if (running) return stop();
    start();
    if (isStill()) return void frame(Infinity);
    const began = performance.now();
    pressed.text(halt);
    running = requestAnimationFrame(function next(now) {
      if (frame(Math.max(0, now - began))) running = requestAnimationFrame(next);
      else stop();
    });
  });
  function stop() {
    cancelAnimationFrame(running);
    running = 0;
    pressed.text(name);
  }
  return { stop };
}
