// The tree of places that the page was given, and what of it a question is about.

import { given } from "./show.js";

export const byKey = new Map(given.places.map((place) => [place.key, place]));
export const named = (key) => byKey.get(key)?.name || given.brands.find((brand) => brand.key === key)?.name || key;
export const kind = (state) => (state.brand ? "brand" : byKey.get(state.place)?.kind || "venue");
export const title = (state) => named(state.brand || state.place);
export const subject = (state) => (state.brand ? { brand: state.brand } : { zone: state.place });

export function trail(key) {
  const found = [];
  for (let place = byKey.get(key); place && !found.includes(place); place = byKey.get(place.parent)) found.unshift(place);
  return found;
}

const within = (place, key) => trail(place.key).some((one) => one.key === key);
export const children = (key) => given.places.filter((place) => place.parent === key);

// The stores beside which a place stands: those of the brand, of the place itself, or of the floor around it.
export function stores(state) {
  const all = given.places.filter((place) => place.kind === "store");
  if (state.brand) return all.filter((place) => place.brand === state.brand);
  if (!given.venue) return all;
  const place = byKey.get(state.place);
  const around = place && !["venue", "floor"].includes(place.kind) ? trail(place.key).filter((one) => ["venue", "floor"].includes(one.kind)).at(-1) : place;
  return around ? all.filter((one) => within(one, around.key)) : all;
}

// The venue's root, its floor or area: the nearest place around that has places in it.
export function holder(state) {
  const place = byKey.get(state.place);
  if (!place) return given.venue?.key || "";
  if (place.kind === "venue" || (place.kind === "floor" && children(place.key).length)) return place.key;
  return trail(place.key).filter((one) => ["venue", "floor"].includes(one.kind)).at(-1)?.key || "";
}

export const options = () => {
  const listed = [];
  const visit = (key, depth) => {
    for (const place of children(key).sort((a, b) => a.name.localeCompare(b.name))) {
      listed.push([place, depth]);
      visit(place.key, depth + 1);
    }
  };
  const roots = given.places.filter((place) => !byKey.has(place.parent));
  for (const root of roots) {
    listed.push([root, 0]);
    visit(root.key, 1);
  }
  return listed;
};
