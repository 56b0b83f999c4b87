// Lines over the last minutes, ten at most, drawn on a canvas.

import { KEPT_MS } from "./history.js";

const LEFT = 44;
const BOTTOM = 18;
const TOP = 6;
// How far back a chart goes: the first that holds all there is, seconds.
const SPANS = [60, 120, 300, KEPT_MS / 1_000];
const TICKS = [1, 0.8, 0.6, 0.4, 0.2];

// As many colours as page.css has.
export const LINES_MAX = 8;

// The next of 1, 2, 5, 10, 20 ... that is not below `number`.
export function ceiling(number) {
  const power = 10 ** Math.floor(Math.log10(Math.max(number, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number) ?? 10 * power;
}

export function decimals(number) {
  return number === null || number === undefined ? "–" : number.toFixed(number < 100 && !Number.isInteger(number) ? 1 : 0);
}

export class Chart {
  #canvas = document.createElement("canvas");
  #legend = document.createElement("ul");

  constructor(parent, title) {
    this.title = title;
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    this.#canvas.setAttribute("role", "img");
    this.#legend.className = "legend";
    figure.append(caption, this.#canvas, this.#legend);
    parent.append(figure);
  }

  // `lines`: [{ name, of: sample => number or null }], at most LINES_MAX; `samples` in order, the last one now.
  draw(samples, lines) {
    const now = samples.at(-1).at;
    const values = lines.map(({ of }) => samples.map((sample) => of(sample)));
    const top = ceiling(values.flat().reduce((most, value) => Math.max(most, value ?? 0), 0));
    const pen = this.#pen();
    const span = SPANS.find((seconds) => now - samples[0].at <= seconds * 1_000) ?? SPANS.at(-1);
    this.#grid(pen, top, span);
    const across = (at) => LEFT + (pen.width - LEFT) * (1 - (now - at) / 1_000 / span);
    const down = (value) => TOP + (pen.height - TOP - BOTTOM) * (1 - value / top);
    // The first one, which counts for most, lies on top.
    for (let index = lines.length - 1; index >= 0; index -= 1) {
      stroke(pen, index, samples.map((sample, at) => [across(sample.at), values[index][at]]), down);
    }
    this.#tell(lines, values);
  }

  #pen() {
    const canvas = this.#canvas;
    const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
    // Setting a size clears it, too.
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    return { context, width, height, color: (name) => style.getPropertyValue(name).trim() };
  }

  #grid({ context, width, height, color }, top, span) {
    context.font = "11px system-ui, sans-serif";
    context.strokeStyle = color("--rule");
    context.fillStyle = color("--faint");
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const row of [0, 0.5, 1]) {
      const y = Math.round(TOP + (height - TOP - BOTTOM) * (1 - row)) + 0.5;
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(width, y);
      context.stroke();
      context.fillText(decimals(top * row), LEFT - 6, y);
    }
    context.textAlign = "left";
    for (const tick of TICKS) {
      const ago = span < 300 ? `−${span * tick} s` : `−${(span * tick) / 60} min`;
      context.fillText(ago, LEFT + (width - LEFT) * (1 - tick), height - BOTTOM / 2);
    }
  }

  // The same in words: for those who see no picture, and behind the colours.
  #tell(lines, values) {
    while (this.#legend.children.length > lines.length) {
      this.#legend.lastElementChild.remove();
    }
    const told = lines.map(({ name }, index) => {
      const item = this.#legend.children[index] ?? this.#legend.appendChild(document.createElement("li"));
      item.className = `line-${index}`;
      item.textContent = `${name} ${decimals(values[index].at(-1))}`;
      const most = values[index].reduce((most, value) => Math.max(most, value ?? 0), 0);
      return `${name}: now ${decimals(values[index].at(-1))}, at most ${decimals(most)}`;
    });
    this.#canvas.setAttribute("aria-label", `${this.title}, the last ten minutes. ${told.join("; ")}`);
  }
}

function stroke({ context, color }, index, points, down) {
  context.strokeStyle = color(`--line-${index}`);
  context.lineWidth = index === 0 ? 2 : 1.5;
  context.lineJoin = "round";
  context.beginPath();
  let isDown = false;
  for (const [x, value] of points) {
    // Where nothing is known there is a gap.
    if (value !== null && value !== undefined) {
      isDown ? context.lineTo(x, down(value)) : context.moveTo(x, down(value));
    }
    isDown = value !== null && value !== undefined;
  }
  context.stroke();
}
