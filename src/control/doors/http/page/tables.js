// Tables whose rows stay: a row that is there is changed in place, so that the focus and what was marked stay where they are.
//
// Everything goes into the page by textContent: a URI with markup in it is text.

export function put(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

// Kinds of columns. Each fills its cell once, and sets it each second.

export const text = (of, className = "") => ({ className, set: (cell, item) => put(cell, of(item)) });

export const number = (of) => text(of, "number");

// A word with a colour of its own.
export const state = (of) => ({
  className: "",
  set(cell, item) {
    put(cell, of(item));
    cell.dataset.state = of(item);
  },
});

// What the row is about, and below it, smaller, what else it is called.
export const head = (of, small) => ({
  isHead: true,
  className: "",
  fill(cell) {
    const below = document.createElement("span");
    below.className = "small";
    cell.append(document.createElement("span"), below);
  },
  set(cell, item) {
    put(cell.firstElementChild, of(item));
    put(cell.lastElementChild, small(item));
  },
});

// A bar of 0 to 1, or none where nobody knows, and a text beside it.
export const bar = (share, words) => ({
  className: "",
  fill(cell) {
    const meter = document.createElement("meter");
    meter.low = 0.7;
    meter.high = 0.9;
    meter.optimum = 0;
    cell.append(meter, document.createElement("span"));
  },
  set(cell, item) {
    const [meter, beside] = cell.children;
    const part = share(item);
    meter.hidden = part === null;
    meter.value = part ?? 0;
    meter.setAttribute("aria-label", words(item));
    put(beside, words(item));
  },
});

export class Table {
  #rows = new Map();

  constructor(table, columns) {
    this.body = table.tBodies[0];
    this.columns = columns;
    for (const [index, column] of columns.entries()) {
      table.tHead.rows[0].cells[index].classList.toggle("number", column.className === "number");
    }
  }

  show(items, keyOf) {
    const gone = new Set(this.#rows.keys());
    let place = this.body.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      gone.delete(key);
      const row = this.#rows.get(key) ?? this.#add(key);
      if (row === place) {
        place = place.nextElementSibling;
      } else {
        this.body.insertBefore(row, place);
      }
      this.columns.forEach((column, index) => column.set(row.cells[index], item));
    }
    for (const key of gone) {
      this.#rows.get(key).remove();
      this.#rows.delete(key);
    }
  }

  #add(key) {
    const row = document.createElement("tr");
    for (const column of this.columns) {
      const cell = document.createElement(column.isHead ? "th" : "td");
      if (column.isHead) {
        cell.scope = "row";
      }
      cell.className = column.className;
      column.fill?.(cell);
      row.append(cell);
    }
    this.#rows.set(key, row);
    return row;
  }
}
