// Wall times on a named clock, to instants and back.

const digits = (zone) => new Intl.DateTimeFormat("en-CA", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" });

// `2026-11-22T10:00` on that clock.
export function local(instant, zone) {
  const found = Object.fromEntries(digits(zone).formatToParts(new Date(instant)).map((one) => [one.type, one.value]));
  return `${found.year}-${found.month}-${found.day}T${found.hour}:${found.minute}`;
}

// A second and a third try, since the offset is known only once the instant nearly is.
export function instant(wall, zone) {
  const asked = Date.parse(`${wall}:00Z`);
  let found = asked;
  for (let i = 0; i < 3; i += 1) found += asked - Date.parse(`${local(found, zone)}:00Z`);
  return new Date(found).toISOString().replace(".000Z", "Z");
}
