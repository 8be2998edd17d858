// Chapter 7: races between four runners, whose arrival times are exponential, and a tally of the winners.
import { race as raced } from "./discrete.js";
import { button, controls, player } from "./controls.js";
import { body, disc, drawing, fixed, label, line, numbers, plusMinus, row, summary } from "./parts.js";
import { gumbel, uniformSource } from "./random.js";

const RATES = [0.1, 0.2, 0.3, 0.4];
const MARKS = ["is-pathwise", "is-score", "is-third", "is-fourth"];
const MANY = 40;
const ONE_TAKES = 1200; // ms
const OF_MANY_TAKES = 150;
const LANE = 42;
const TOP = 26;
const HEIGHT = TOP + LANE * RATES.length;
const lane = (i) => TOP + LANE * (i + 0.5);

export default function race(element) {
  let seed = 0;
  let uniform = uniformSource(seed);
  let wins = RATES.map(() => 0);
  let latest = null; // the race that is shown
  let isOpen = false; // whether it has not been counted
  let share = 0; // of its time, which ends with the first arrival

  const root = body(element, "Races between four runners, with a tally of the winners");
  const words = root.append("p").attr("class", "explore-step");
  const panels = row(root);
  const track = drawing(panels, { height: HEIGHT, describe: () => "Four lanes. The runner who arrives first wins the race.", draw: drawTrack });
  const tally = drawing(panels, { height: HEIGHT, describe: describeTally, draw: drawTally });
  const panel = controls(root);
  const runs = (count, takes) => {
    let counted = 0;
    return {
      halt: "Stop", // the next press starts new races
      start() {
        stop();
        counted = 0;
      },
      frame(ms) {
        const over = Math.min(count, Math.floor(ms / takes));
        for (; counted < over; counted++) end();
        const goesOn = over < count;
        if (goesOn) begin();
        share = goesOn ? ms / takes - over : 1;
        update(!goesOn);
        return goesOn;
      },
    };
  };
  const players = [player(panel, "One race", runs(1, ONE_TAKES)), player(panel, "Forty races", runs(MANY, OF_MANY_TAKES))];
  button(panel, "Start over", () => {
    stop();
    seed += 1;
    uniform = uniformSource(seed);
    wins = RATES.map(() => 0);
    latest = null;
    isOpen = false;
    update(true);
  });
  const rows = RATES.map((rate, i) => [MARKS[i], `runner ${i + 1}`]);
  const table = numbers(root, "Wins of each runner", ["rate π", "wins", "expected", "share of wins"], rows);
  const spoken = summary(root);
  update(true);

  function stop() {
    for (const one of players) one.stop();
  }

  function begin() {
    if (isOpen) return;
    latest = raced(RATES, RATES.map(() => gumbel(uniform)));
    isOpen = true;
  }

  function end() {
    begin();
    wins[latest.winner] += 1;
    isOpen = false;
  }

  function update(rests) {
    const races = wins.reduce((sum, won) => sum + won);
    const texts = RATES.map((rate, i) => {
      const p = wins[i] / races;
      return [`${rate}`, `${wins[i]}`, fixed(rate * races, 1), races ? plusMinus(p, Math.sqrt((p * (1 - p)) / races)) : "none yet"];
    });
    table.set(texts);
    const after = `After ${races} ${races === 1 ? "race" : "races"},`;
    words.text(races ? `${after} runner 1 has won ${wins[0]} and runner 4 has won ${wins[3]}.` : "No races yet.");
    const expected = texts.map((text) => text[2]).join(", ");
    if (rests) spoken.say(races ? `${after} the wins of runners 1 to 4 are ${wins.join(", ")}. Expected: ${expected}.` : "No races yet.");
    track.update();
    tally.update();
  }

  function drawTrack(svg, width) {
    const [start, finish] = [86, width - 16];
    label(svg, "", [0, 14], "rate π");
    label(svg, "is-end", [width, 14], "finish");
    line(svg, "explore-exact", [finish, TOP], [finish, HEIGHT]);
    RATES.forEach((rate, i) => {
      line(svg, "explore-zero", [start, lane(i)], [finish, lane(i)]);
      label(svg, `${MARKS[i]} is-named`, [0, lane(i) + 4], `${i + 1}: π = ${rate}`);
      const way = latest ? (share * latest.times[latest.winner]) / latest.times[i] : 0;
      const runner = svg.append("g").attr("class", `explore-runner ${MARKS[i]}`).attr("data-runner", i + 1);
      runner.classed("is-winner", latest !== null && share === 1 && latest.winner === i);
      disc(runner, "", [start + way * (finish - start), lane(i)], 8);
    });
  }

  function describeTally() {
    return `Wins of the four runners as bars, ${wins.join(", ")}, with a mark at the expected number of wins of each.`;
  }

  function drawTally(svg, width) {
    const races = wins.reduce((sum, won) => sum + won);
    const most = Math.max(20, ...wins, 0.4 * races) * 1.15;
    const place = (count) => (count / most) * (width - 34);
    label(svg, "", [0, 14], "wins (bars) and expected wins (marks)");
    RATES.forEach((rate, i) => {
      const bar = svg.append("rect").attr("class", `explore-tally ${MARKS[i]}`).attr("x", 0).attr("y", lane(i) - 11);
      bar.attr("width", place(wins[i])).attr("height", 22);
      const expected = place(rate * races);
      line(svg, "explore-expected", [expected, lane(i) - 17], [expected, lane(i) + 17]);
      label(svg, "is-whole is-named", [Math.max(place(wins[i]), expected) + 6, lane(i) + 5], `${wins[i]}`);
    });
  }
}
