// Draws what is marked with data-chart, by uPlot; follows its data and the palette.
"use strict";

const drawn = new Map();
const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const minute = (seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;

// Series stand one upon the other: each is drawn at its height and that of those that follow.
const heights = ({ at, series }) => [at, ...series.map(({ values }, first) => values.map((value, step) =>
  value === null ? null : series.slice(first).reduce((sum, other) => sum + other.values[step], 0)))];

function optionsOf(chart, width) {
  const { unit } = chart;
  const written = (value) => (value === null || value === undefined ? "–" : `${value.toLocaleString("en")}${unit}`);
  const line = { stroke: tone("line"), width: 1 };
  const axis = { stroke: tone("faint"), grid: line, ticks: line, font: "12px system-ui, sans-serif" };
  return {
    width,
    height: 170,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
    scales: {
      x: { range: () => [chart.at[0], chart.at.at(-1) + chart.step] },
      y: { range: (_, low, high) => [0, Math.max(high || 0, 1) * 1.05] },
    },
    axes: [
      { ...axis, size: 30, space: 60, values: "{HH}:{mm}" },
      { ...axis, size: 60, space: 24, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? written(tick) : "")) },
    ],
    series: [
      { label: "from", value: (_, seconds) => (seconds === null ? "–" : minute(seconds)) },
      ...chart.series.map(({ name, tone: colour }, place) => ({
        label: name,
        fill: tone(colour),
        stroke: tone(colour),
        width: 0,
        points: { show: false },
        paths: uPlot.paths.bars({ size: [0.8, 60], align: 1 }),
        value: (_, height, number, step) => written(step === null ? null : chart.series[place].values[step]),
      })),
    ],
  };
}

function draw(anew) {
  for (const place of document.querySelectorAll("[data-chart]")) {
    const fresh = JSON.parse(place.dataset.chart);
    const known = drawn.get(place);
    if (known && !anew) {
      known.plot.setData(heights(Object.assign(known.chart, fresh)));
      continue;
    }
    known?.plot.destroy();
    drawn.set(place, { chart: fresh, plot: new uPlot(optionsOf(fresh, place.clientWidth), heights(fresh), place) });
  }
}

draw(true);
document.addEventListener("htmx:after:swap", () => draw(false));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
addEventListener("resize", () => draw(true));
