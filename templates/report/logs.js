function searchLogs(section) {
  const bar = section.querySelector(".search");
  const [input, probes] = bar.querySelectorAll("input");
  const said = bar.querySelector(".said");
  const logs = [...section.querySelectorAll("details.log")].map((details) => ({
    details,
    lines: [...details.querySelectorAll("li")].map((line) => (
      { line, text: line.textContent.toLowerCase(), probe: line.classList.contains("probe") })),
  }));
  function filter() {
    const wanted = input.value.trim().toLowerCase();
    let [total, units] = [0, 0];
    for (const { details, lines } of logs) {
      let found = 0;
      for (const { line, text, probe } of lines) {
        line.hidden = !((probes.checked || !probe) && text.includes(wanted));
        found += !line.hidden;
      }
      total += found;
      units += found > 0;
      details.hidden = wanted !== "" && !found;
      if (wanted) details.open = found > 0;
    }
    said.textContent = wanted ? `${plural(total, "line")} in ${plural(units, "unit")}` : "";
  }
  input.addEventListener("input", filter);
  probes.addEventListener("change", filter);
  bar.hidden = false;
}
