// Sorts and filters what stands on the page already; without it, as in a notebook that is not trusted, all is there.
(() => {
  const numbers = (key) => (one, other) => Number(other.dataset[key] ?? 0) - Number(one.dataset[key] ?? 0);
  const ORDERS = {
    size: numbers("size"),
    wasted: numbers("wasted"),
    changes: numbers("changes"),
    layer: (one, other) => Number(one.dataset.layer) - Number(other.dataset.layer),
    name: (one, other) => one.dataset.name.localeCompare(other.dataset.name),
  };

  const sort = (parent, order) => {
    const entries = [...parent.children].filter((child) => "size" in child.dataset);
    const rest = [...parent.children].filter((child) => !("size" in child.dataset));
    parent.append(...entries.sort(ORDERS[order]), ...rest);
  };

  const enliven = (root) => {
    root.dataset.live = "";
    const find = (name) => root.querySelector(`[data-tool="${name}"]`);
    const trees = () => root.querySelectorAll(".nbc-tree");
    const layers = root.querySelector(".nbc-layers");

    // An entry is to be seen when it is wanted itself, or something in it is.
    const filter = () => {
      const text = find("text").value.trim().toLowerCase();
      const kinds = new Set([...root.querySelectorAll("[data-kind]")].filter((box) => box.checked).map((box) => box.dataset.kind));
      const wasted = find("wasted").checked;
      const narrowed = text !== "" || kinds.size < 3 || wasted;
      const wanted = (entry, path) =>
        (text === "" || path.toLowerCase().includes(text)) &&
        kinds.has(entry.dataset.change) && (!wasted || Number(entry.dataset.wasted) > 0);
      const visit = (parent, above) => {
        let seen = false;
        for (const entry of parent.querySelectorAll(":scope > [data-name]")) {
          const path = `${above}/${entry.dataset.name}`;
          const tree = entry.querySelector(":scope > .nbc-tree");
          const inner = tree !== null && visit(tree, path);
          const shown = inner || wanted(entry, path);
          entry.classList.toggle("nbc-hidden", !shown);
          if (narrowed && inner) entry.open = true;
          seen ||= shown;
        }
        for (const more of parent.querySelectorAll(":scope > .nbc-more")) more.classList.toggle("nbc-hidden", narrowed);
        return seen;
      };
      for (const layer of layers.children) {
        const seen = visit(layer.querySelector(":scope > .nbc-tree"), "");
        if (narrowed) layer.open = seen;
      }
    };

    find("text").addEventListener("input", filter);
    find("wasted").addEventListener("change", filter);
    for (const box of root.querySelectorAll("[data-kind]")) box.addEventListener("change", filter);
    find("paths").addEventListener("change", (event) => trees().forEach((tree) => sort(tree, event.target.value)));
    find("layers").addEventListener("change", (event) => sort(layers, event.target.value));
    const fold = (open) => root.querySelectorAll("details").forEach((one) => { one.open = open; });
    find("unfold").addEventListener("click", () => fold(true));
    find("fold").addEventListener("click", () => fold(false));
    // JupyterLab takes what is typed in an output for its own shortcuts.
    find("text").addEventListener("keydown", (event) => event.stopPropagation());
    root.querySelector(".nbc-tools").hidden = false;
  };

  document.querySelectorAll(".nbc-explorer:not([data-live])").forEach(enliven);
})();
