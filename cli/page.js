// Heads of tables become buttons that sort; numbers by value, with what is none last in both directions.
document.documentElement.classList.add("sorts");
for (const head of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  head.setAttribute("aria-sort", "none");
  button.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0], column = head.cellIndex;
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = value => head.dataset.kind === "number" && value ? Number(value) : value;
    const rows = Array.from(body.rows, row => [key(row.cells[column].dataset.value), row]);
    rows.sort(([a], [b]) => a === b ? 0 : a === "" ? 1 : b === "" ? -1 : (a < b ? -1 : 1) * (up ? 1 : -1));
    body.append(...rows.map(([, row]) => row));
  });
}
