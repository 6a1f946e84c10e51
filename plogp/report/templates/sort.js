"use strict";
// Sorts and filters the tables; everything is readable without it.
for (const table of document.querySelectorAll("table[data-sort]")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const key = (row, i) => row.cells[i].dataset.v ?? row.cells[i].textContent.trim();
  heads.forEach((head, i) => {
    if (head.dataset.fixed !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(head.firstChild);
    head.prepend(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending" || (head.dataset.first === "up" && !head.hasAttribute("aria-sort"));
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [key(row, i), row]);
      const numeric = rows.every(([k]) => k === "" || !Number.isNaN(Number(k)));
      rows.sort(([a], [b]) => {
        if (numeric && (a === "" || b === "")) return (a === "") - (b === "");
        const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
        return up ? order : -order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
  if (body.rows.length < 6) continue;
  const tools = document.createElement("div"), find = document.createElement("input"), count = document.createElement("span");
  tools.className = "tools";
  find.type = "search";
  find.placeholder = "filter";
  find.setAttribute("aria-label", "Filter the rows of " + table.dataset.sort);
  count.className = "dim";
  count.setAttribute("role", "status");
  tools.append(find);
  let only = null;
  if (table.dataset.only) {
    const label = document.createElement("label");
    only = document.createElement("input");
    only.type = "checkbox";
    label.append(only, " " + table.dataset.only);
    tools.append(label);
  }
  tools.append(count);
  table.closest(".box").before(tools);
  const apply = () => {
    const text = find.value.toLowerCase();
    let left = 0;
    for (const row of body.rows) {
      row.hidden = !row.textContent.toLowerCase().includes(text) || Boolean(only && only.checked && row.dataset.hit !== "1");
      left += !row.hidden;
    }
    count.textContent = left === body.rows.length ? "" : left + " of " + body.rows.length + " rows";
  };
  find.addEventListener("input", apply);
  if (only) only.addEventListener("change", apply);
}
