// An audience over time: how many it had at the end of each day, and who joined and left.

import { draw, series } from "../figures/charts.js";
import { given, period, text } from "../figures/show.js";

const box = document.getElementById("history");
const of = (name) => given.days.map((one) => one[name]);
draw(box, (colours) => {
  const made = series(of("day").map(period), [
    { name: text("members"), data: of("count"), kind: "line" },
    { name: text("joined"), data: of("joined"), kind: "bar", colour: 2 },
    { name: text("left"), data: of("left").map((one) => -one), kind: "bar", colour: 5 },
  ], "number")(colours);
  // Members are many, and those who come and go few: an axis of their own.
  made.yAxis = [{ ...made.yAxis, scale: true }, { ...made.yAxis, splitLine: { show: false } }];
  made.series[1] = { ...made.series[1], yAxisIndex: 1, stack: "moves" };
  made.series[2] = { ...made.series[2], yAxisIndex: 1, stack: "moves" };
  return made;
});
