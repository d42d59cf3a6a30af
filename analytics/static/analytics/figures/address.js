// What the page shows lives in its address, so that it can be shared and gone back to. What is left out is the default.

const DEFAULTS = { view: "overview", preset: "28d", compare: "previous", grain: "auto", hours: "all", figure: "visitors", hour: "", sort: "-visitors" };

export function read(search, start) {
  const given = new URLSearchParams(search);
  const state = { place: given.get("place") || "", brand: given.get("brand") || "", from: given.get("from") || "", to: given.get("to") || "" };
  for (const [name, value] of Object.entries(DEFAULTS)) state[name] = given.get(name) || value;
  if (state.from && state.to && !given.get("preset")) state.preset = "custom";
  if (!state.place && !state.brand && start) state[start[0]] = start[1];
  return state;
}

export function write(state) {
  const told = new URLSearchParams();
  if (state.brand) told.set("brand", state.brand);
  else if (state.place) told.set("place", state.place);
  if (state.preset === "custom") {
    told.set("from", state.from);
    told.set("to", state.to);
  } else if (state.preset !== DEFAULTS.preset) told.set("preset", state.preset);
  for (const name of ["view", "compare", "grain", "hours", "figure", "hour", "sort"]) if (state[name] !== DEFAULTS[name]) told.set(name, state[name]);
  return `?${told}`;
}
