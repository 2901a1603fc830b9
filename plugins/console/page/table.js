// A table whose rows come anew every second without anything being made anew that stayed the same.

import { element, setText } from "./dom.js";

export class Table {
  #body;
  #columns;
  #empty;
  #rows = new Map();

  /** `columns` are `{ label, text(row), title?(row), kind? }`; `kind` is "number" or "code". `empty` is shown without rows. */
  constructor(node, columns, empty) {
    this.#columns = columns;
    this.#body = element("tbody");
    this.#empty = element("p", { class: "none" }, empty);
    const heads = columns.map(({ label, kind }) => element("th", { scope: "col", class: kind ?? false }, label));
    node.append(element("thead", {}, element("tr", {}, ...heads)), this.#body);
    node.after(this.#empty);
  }

  /** Rows are told apart by `key`; `group` marks a row that belongs to the one above it. */
  update(rows) {
    const present = new Set(rows.map(({ key }) => key));
    for (const [key, shown] of this.#rows) {
      if (present.has(key)) continue;
      shown.node.remove();
      this.#rows.delete(key);
    }
    rows.forEach((row, index) => this.#show(row, index));
    this.#empty.hidden = rows.length > 0;
    this.#body.parentElement.hidden = rows.length === 0;
  }

  #show(row, index) {
    if (!this.#rows.has(row.key)) this.#rows.set(row.key, this.#make(row));
    const { node, cells } = this.#rows.get(row.key);
    if (this.#body.children[index] !== node) this.#body.insertBefore(node, this.#body.children[index] ?? null);
    this.#columns.forEach((column, at) => {
      setText(cells[at], column.text(row));
      const title = column.title?.(row);
      if (title) cells[at].title = title;
    });
  }

  #make(row) {
    // The labels stand beside the values where the screen is too narrow for columns.
    const cells = this.#columns.map(({ label, kind }, at) => element(at === 0 ? "th" : "td", { "data-label": label, class: kind ?? false, scope: at === 0 ? "row" : false }));
    return { node: element("tr", { class: row.isPart ? "part" : false, "data-key": row.key }, ...cells), cells };
  }
}
