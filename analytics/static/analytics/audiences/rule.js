// A rule as people build it: groups (all, any or none of what they hold) and conditions; to and from the rule that is stored.

export const GROUPS = ["all", "any", "none"];
export const group = (op = "all", of = []) => ({ op, of });
export const isGroup = (node) => "op" in node;

export function read(rule) {
  const [kind] = Object.keys(rule);
  if (kind === "all" || kind === "any") return group(kind, rule[kind].map(read));
  if (kind !== "not") return { kind, value: structuredClone(rule[kind]) };
  const inner = read(rule.not);
  return inner.op === "any" ? group("none", inner.of) : group("none", [inner]);
}

// At the root there is always a group, so that a condition can be added.
export function root(rule) {
  const node = rule ? read(rule) : group();
  return isGroup(node) ? node : group("all", [node]);
}

// The stored rule; null where nothing is in it yet. Each node keeps the path of its part of the rule, by which its count is told.
export function write(node, complete, path = "") {
  if (!isGroup(node)) {
    node.path = complete(node) ? path : null;
    return node.path === null ? null : { [node.kind]: node.value };
  }
  const join = (...parts) => [path, ...parts].filter((part) => part !== "").join(".");
  const written = node.of.filter((one) => (isGroup(one) ? holds(one, complete) : complete(one)));
  for (const one of node.of) if (!written.includes(one)) forget(one);
  node.path = written.length ? path : null;
  if (!written.length) return null;
  if (node.op !== "none") return { [node.op]: written.map((one, i) => write(one, complete, join(node.op, String(i)))) };
  if (written.length === 1) return { not: write(written[0], complete, join("not")) };
  return { not: { any: written.map((one, i) => write(one, complete, join("not", "any", String(i)))) } };
}

const holds = (node, complete) => (isGroup(node) ? node.of.some((one) => holds(one, complete)) : complete(node));

function forget(node) {
  node.path = null;
  if (isGroup(node)) node.of.forEach(forget);
}

export function* nodes(node) {
  yield node;
  if (isGroup(node)) for (const one of node.of) yield* nodes(one);
}
