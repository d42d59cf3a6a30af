// Local dates as texts ("2026-11-21"), the presets of the range picker, and the clock of the place.

export const add = (day, n) => {
  const date = new Date(`${day}T00:00:00Z`);
  date.setUTCDate(date.getUTCDate() + n);
  return date.toISOString().slice(0, 10);
};

export const months = (day, n) => {
  const [year, month] = day.split("-").map(Number);
  return new Date(Date.UTC(year, month - 1 + n, 1)).toISOString().slice(0, 10);
};

export const between = (from, to) => Math.round((Date.parse(to) - Date.parse(from)) / 86400000);
const weekday = (day) => (new Date(`${day}T00:00:00Z`).getUTCDay() + 6) % 7; // 0 is Monday

const parts = (at, zone) => {
  const format = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return Object.fromEntries(format.formatToParts(at).map((part) => [part.type, part.value]));
};

export const today = (zone) => {
  const now = parts(new Date(), zone);
  return `${now.year}-${now.month}-${now.day}`;
};

export const hourNow = (zone) => Number(parts(new Date(), zone).hour);

const offset = (at, zone) => {
  const p = parts(at, zone);
  return Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) - Math.floor(at.getTime() / 1000) * 1000;
};

// The instant that the same clock showed a week ago.
export const weekAgo = (zone) => {
  const now = new Date();
  const then = new Date(now.getTime() - 7 * 86400000);
  return new Date(then.getTime() + offset(now, zone) - offset(then, zone)).toISOString().slice(0, 19) + "Z";
};

// [from, to) of a preset. Whole days end with yesterday, so that two ranges can be compared; what is called "this" goes up to now.
export function range(preset, day) {
  const monday = add(day, -weekday(day));
  const month = `${day.slice(0, 7)}-01`;
  const quarter = months(month, -((Number(day.slice(5, 7)) - 1) % 3));
  return {
    today: [day, add(day, 1)],
    yesterday: [add(day, -1), day],
    "7d": [add(day, -7), day],
    "28d": [add(day, -28), day],
    week: [monday, add(day, 1)],
    month: [month, add(day, 1)],
    lastmonth: [months(month, -1), month],
    quarter: [quarter, add(day, 1)],
    year: [`${day.slice(0, 4)}-01-01`, add(day, 1)],
    "12m": [months(month, -12), month],
  }[preset];
}

export function grain(from, to) {
  const days = between(from, to);
  return days <= 2 ? "hour" : days <= 92 ? "day" : days <= 400 ? "week" : "month";
}

export const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text || "") && !Number.isNaN(Date.parse(text));
