"use strict";
/* Draw curves and lanes as SVG. Colours are variables of style.css, so that they follow the reader's colour scheme. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 480, HEIGHT = 210, LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 24;

/* Return a new element with attributes and children; a text is never read as markup. */
function element(name, attributes = {}, ...children) {
  const made = ["svg", "g", "path", "line", "rect", "text", "title"].includes(name) && attributes.html !== true
    ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (key !== "html") made.setAttribute(key, value);
  made.append(...children.filter(child => child !== null));
  return made;
}

const shade = index => `var(--line-${index % 12})`;

function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  return size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

const percent = value => value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)}%`;

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/* Return two to five round numbers that cover [low, high]. */
function ticks(low, high) {
  const raw = (high - low) / 4 || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

/* Return a path through points; a point alone is a short line. */
function path(points, x, y) {
  const words = points.map(([step, value], index) => `${index ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`);
  return words.length === 1 ? `${words[0]}h.1` : words.join("");
}

/* Return a figure of one picture with a legend that shows the values under the pointer. */
function chart(picture) {
  const points = picture.lines.flatMap(line => line.points);
  const steps = points.map(point => point[0]), values = points.map(point => point[1]);
  const first = Math.min(...steps), last = Math.max(...steps);
  let low = Math.min(0, ...values), high = picture.is_share ? Math.min(1, Math.max(.1, ...values)) : Math.max(...values);
  if (high === low) high = low + 1;
  const x = step => LEFT + (last === first ? .5 : (step - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = value => TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);
  const say = picture.is_share ? percent : number;

  const svg = element("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${picture.title} over steps`});
  for (const at of ticks(low, high)) {
    svg.append(element("line", {class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(at), y2: y(at)}));
    svg.append(element("text", {x: LEFT - 6, y: y(at) + 4, "text-anchor": "end"}, picture.is_share ? `${Math.round(100 * at)}%` : number(at)));
  }
  for (const at of new Set([first, Math.round((first + last) / 2), last])) {
    svg.append(element("text", {x: x(at), y: HEIGHT - 6, "text-anchor": at === last && first !== last ? "end" : "middle"}, String(at)));
  }
  for (const line of picture.lines) {
    const drawn = element("path", {class: "line", d: path(line.points, x, y)});
    drawn.style.stroke = shade(line.colour);
    svg.append(drawn);
  }
  const legend = element("ul", {class: "legend"}), shown = [];
  for (const line of picture.lines) {
    const mark = element("i"), value = element("b");
    mark.style.background = shade(line.colour);
    legend.append(element("li", {}, mark, `${line.label} `, value));
    shown.push([line, value]);
  }
  const cursor = element("line", {class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden"});
  svg.append(cursor);
  const show = step => {
    for (const [line, value] of shown) {
      const near = line.points.reduce((best, point) => Math.abs(point[0] - step) < Math.abs(best[0] - step) ? point : best);
      value.textContent = say(near[1]);
    }
  };
  show(last);
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * WIDTH;
    const step = first + (at - LEFT) / (WIDTH - LEFT - RIGHT) * (last - first);
    cursor.setAttribute("x1", at); cursor.setAttribute("x2", at); cursor.setAttribute("visibility", "visible");
    show(step);
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); show(last); });
  const under = picture.under ? element("span", {}, picture.under) : null;
  return element("figure", {}, element("figcaption", {}, picture.title, under), legend, svg);
}

/* Return a small curve without axes. */
function spark(points) {
  const values = points.map(point => point[1]), high = Math.max(...values, 1e-9);
  const x = step => points.length < 2 ? 64 : 2 + (step - points[0][0]) / (points.at(-1)[0] - points[0][0]) * 124;
  const svg = element("svg", {viewBox: "0 0 128 26", "aria-hidden": "true"});
  const drawn = element("path", {class: "line", d: path(points, x, value => 24 - value / high * 22)});
  drawn.style.stroke = "var(--after)";
  svg.append(drawn);
  return svg;
}

/* Return the stages of the last steps as lanes over time. */
function lanes(stages, steps) {
  const width = 1000, left = 74, row = 26, height = stages.length * row + 22;
  const first = steps[0].start_s, last = steps.at(-1).end_s, span = Math.max(last - first, 1e-3);
  const x = at => left + (Math.max(at, first) - first) / span * (width - left - 4);
  const svg = element("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "stages of the last steps over time"});
  stages.forEach((stage, index) => {
    svg.append(element("text", {x: 0, y: index * row + 17}, stage));
    for (const step of steps) {
      const wide = Math.max(x(step.end_s) - x(step.start_s) - 1, .5), busy = step.busy_s[stage] || 0;
      const share = Math.min(1, busy / Math.max(step.end_s - step.start_s, 1e-3));
      const box = element("rect", {class: "lane", x: x(step.start_s), y: index * row + 2, width: wide, height: row - 4},
        element("title", {}, `step ${step.step}, ${stage}: ${number(busy)} s of ${number(step.end_s - step.start_s)} s`));
      const high = share * (row - 4);
      const bar = element("rect", {x: x(step.start_s), y: index * row + row - 2 - high, width: wide, height: high, "pointer-events": "none"});
      bar.style.fill = shade(index);
      svg.append(box, bar);
    }
  });
  svg.append(element("text", {x: left, y: height - 5}, `step ${steps[0].step}`));
  svg.append(element("text", {x: width - 4, y: height - 5, "text-anchor": "end"}, `step ${steps.at(-1).step}, ${duration(span)} later`));
  return svg;
}
