/**
 * Versions and their order, by Semantic Versioning 2.0.0: https://semver.org/spec/v2.0.0.html
 * @module
 */

const maxLength = 128;

// §9: an identifier of a pre-release is a number without leading zeros, or has a letter or hyphen in it; §10: one of a
// build may be any of these characters.
const number = '(?:0|[1-9][0-9]*)';
const identifier = `(?:${number}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)`;
const build = '[0-9A-Za-z-]+';
const core = `(?<core>${number}\\.${number}\\.${number})`;
const pre = `(?<pre>${identifier}(?:\\.${identifier})*)`;
const grammar = new RegExp(`^${core}(?:-${pre})?(?:\\+${build}(?:\\.${build})*)?$`);

/** Which of two versions comes first: -1 the left, 1 the right, 0 neither. */
export type Order = -1 | 0 | 1;

/**
 * Whether this is a strict version: `v1.2.3`, `1.2` and `01.2.3` are not, nor is a text of more than 128 characters.
 */
export function isVersion(text: string): boolean {
  return text.length <= maxLength && grammar.test(text);
}

/**
 * The precedence of two versions (§11). Build metadata does not count, so 0 does not mean that the texts are equal.
 *
 * @throws TypeError where one is not a version.
 */
export function compareVersions(a: string, b: string): Order {
  const [left, right] = [parse(a), parse(b)];
  const order = compareLists(left.core, right.core);
  if (order !== 0) return order;
  // §11.3: a version comes after its own pre-releases.
  if (left.pre.length === 0 || right.pre.length === 0) return sign(right.pre.length - left.pre.length);
  return compareLists(left.pre, right.pre);
}

interface Parts {
  readonly core: readonly string[];
  /** Empty unless it is a pre-release. */
  readonly pre: readonly string[];
}

function parse(text: string): Parts {
  const { core, pre } = (text.length <= maxLength ? grammar.exec(text)?.groups : undefined) ?? {};
  if (core === undefined) {
    throw new TypeError(`Cannot compare versions: ${JSON.stringify(text.slice(0, maxLength))} is not one`);
  }
  return { core: core.split('.'), pre: pre?.split('.') ?? [] };
}

/** The first difference decides; without one, the longer list comes later (§11.4.4). */
function compareLists(a: readonly string[], b: readonly string[]): Order {
  for (const [index, left] of a.entries()) {
    const right = b[index];
    if (right === undefined) return 1;
    const order = compareIdentifiers(left, right);
    if (order !== 0) return order;
  }
  return a.length < b.length ? -1 : 0;
}

function compareIdentifiers(a: string, b: string): Order {
  const [isNumber, isOtherNumber] = [/^[0-9]+$/.test(a), /^[0-9]+$/.test(b)];
  // §11.4.3: numbers come before words.
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
  // Without leading zeros the longer number is the greater one, so numbers may be of any size.
  if (isNumber && a.length !== b.length) return sign(a.length - b.length);
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function sign(difference: number): Order {
  if (difference === 0) return 0;
  return difference < 0 ? -1 : 1;
}
